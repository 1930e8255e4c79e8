//! Programs that serve: when they are ready, that one takes over from another, and that no request is
//! refused meanwhile.

use std::thread::JoinHandle;

use crate::http::{self, free_port};
use crate::prelude::*;
use crate::watch::{Loop, project};

/// A server as the book has it: it takes the socket that the watch holds, and ends in an orderly way.
const SERVER: &str = r#"
const http = require("node:http");
const generation = process.env.GENSTORE_GENERATION;
const server = http.createServer((request, response) => response.end(generation));
const inherited = Number(process.env.LISTEN_FDS) === 1 && Number(process.env.LISTEN_PID) === process.pid;
server.listen(inherited ? { fd: 3 } : Number(process.env.PORT), () => console.log("listening"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"#;

fn get(port: u16) -> std::io::Result<String> {
    match http::get(port, "", None)? {
        answer if answer.status == 200 => Ok(answer.body),
        other => Err(std::io::Error::other(format!("{other:?}"))),
    }
}

/// Asks again and again from several threads.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(port: u16) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let ask = |_| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut failed = vec![];
                while !stop.load(Ordering::Relaxed) {
                    failed.extend(get(port).err().map(|error| error.to_string()));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        };
        let threads = (0..4).map(ask).collect();
        Load { stop, asked, threads }
    }

    /// Ends it, and returns how many were asked, and what went wrong.
    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

fn no_request_is_refused(more: &str) {
    needs!(has_program("node"));
    let port = free_port();
    let site = project(&format!(
        "[watch.run.api]\ncommand = ['node', 'server.js']\nlisten = '127.0.0.1:{port}'\nready = '^listening$'\n{more}"
    ));
    site.write("server.js", SERVER);
    let mut watch = Loop::start(&site, "", "");
    watch.child("api", "ready");
    assert_eq!(get(port).unwrap(), "1");
    let load = Load::start(port);
    for n in 2..8 {
        site.write("src/a.txt", n.to_string());
        watch.child("api", "ready");
        eventually("it is served", || get(port).is_ok_and(|generation| generation == n.to_string()));
    }
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked}: {failed:?}", failed.len());
    assert!(asked > 6);
    watch.end(&site);
    assert!(get(port).is_err());
}

#[test]
fn requests_wait_in_a_socket_that_the_watch_holds() {
    no_request_is_refused("");
}

#[test]
fn a_new_run_takes_over_from_the_old_one_under_load() {
    no_request_is_refused("handover = true\n");
}

#[test]
fn the_old_one_is_kept_where_the_new_one_is_never_ready() {
    let run = "echo up-$GENSTORE_GENERATION; exec sleep 1000";
    let site = project(&format!(
        "[watch.run.api]\ncommand = '{run}'\nready = 'up-[1359]'\nready_timeout = '300ms'\nhandover = true\n"
    ));
    let mut watch = Loop::start(&site, "", "");
    let first = watch.child("api", "started")["pid"].clone();
    assert!(watch.child("api", "ready")["after_ms"].is_u64());
    site.write("src/a.txt", "two");
    let second = watch.child("api", "started")["pid"].clone();
    let late = watch.child("api", "not-ready");
    assert_eq!(late["message"], "api is not ready after 0 s; the old one is kept");
    watch.child("api", "stopped");
    assert!(is_there(&first) && !is_there(&second));
    // The next one is ready.
    site.write("src/a.txt", "three");
    watch.child("api", "ready");
    assert_eq!(watch.child("api", "stopped")["signal"], 15);
    assert!(!is_there(&first));
    let third = watch.events.iter().rev().find(|event| event["state"] == "started").unwrap()["pid"].clone();
    assert!(is_there(&third));
    watch.end(&site);
    assert!(!is_there(&third));
}

fn is_there(pid: &serde_json::Value) -> bool {
    Path::new(&format!("/proc/{pid}")).try_exists().unwrap()
}

#[test]
fn one_that_ends_before_it_is_ready_leaves_the_old_one() {
    let run = "test $GENSTORE_GENERATION = 2 && exit 7; echo up; exec sleep 1000";
    let site = project(&format!("[watch.run.api]\ncommand = '{run}'\nready = 'up'\nhandover = true\n"));
    let mut watch = Loop::start(&site, "", "");
    let first = watch.child("api", "started")["pid"].clone();
    watch.child("api", "ready");
    site.write("src/a.txt", "two");
    let ended = watch.child("api", "not-ready");
    assert_eq!((&ended["exit"], is_there(&first)), (&7.into(), true));
    assert_eq!(ended["message"], "api exited with 7 before it was ready; the old one is kept");
    watch.end(&site);
}

#[test]
fn a_port_or_a_url_says_that_it_is_ready_and_a_time_limit_is_said() {
    needs!(has_program("node"));
    let server = "require('http').createServer((q, r) => { r.statusCode = q.url === '/ok' ? 200 : 503; r.end(); }).listen(process.env.PORT)";
    for (ready, state) in [
        ("PORT", "ready"),
        ("'http://localhost:PORT/ok'", "ready"),
        ("'http://127.0.0.1:PORT/bad'", "not-ready"),
    ] {
        let port = free_port().to_string();
        let site = project(&format!(
            "[watch.run.api]\ncommand = 'PORT={port} exec node server.js'\nready = {}\nready_timeout = '{}'\n",
            ready.replace("PORT", &port),
            if state == "ready" { "60s" } else { "1s" },
        ));
        site.write("server.js", server);
        let mut watch = Loop::start(&site, "", "");
        let event = watch.child("api", state);
        if state == "not-ready" {
            assert_eq!(event["message"], "api is not ready after 1 s", "it goes on");
        }
        watch.end(&site);
    }
}

#[test]
fn what_cannot_be_so_is_said_at_the_beginning() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let check = |keys: &str, status: i32, message: &str| {
        let site = project(&format!("[watch.run.api]\ncommand = 'sleep 1000'\n{keys}\n"));
        let out = site.run("watch").exits(status);
        assert!(out.stderr.contains(message), "{keys}: {}", out.stderr);
    };
    let by = format!("cannot open the port of `listen = \"127.0.0.1:{port}\"` of api: ");
    check(&format!("listen = '127.0.0.1:{port}'"), 1, &by);
    check(&format!("listen = '127.0.0.1:{port}'"), 1, "(process [PID]) has it\n  Address already in use");
    check("listen = 'nowhere'", 2, "`listen = \"nowhere\"` of api is no address");
    check("handover = true", 2, "api hands over, and nothing says when it is ready");
    check("handover = true\nready = 3000", 2, "api hands over: its old run answers for the new one");
    check("ready_timeout = '1s'", 2, "api has `ready_timeout` without `ready`");
    check("ready = '('", 2, "`ready`: \"(\" is no regular expression");
    check("ready = 'https://x'", 2, "is no URL that begins with http://");
    check("ready = 70000", 2, "it is no port, no URL and no regular expression");
    check("redy = 3000", 2, "unknown key `redy`");
}

#[test]
fn who_has_the_port_of_a_program_that_crashes_is_said() {
    needs!(has_program("node"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let server = format!("require('http').createServer().listen({port}, '127.0.0.1')");
    let site = project(&format!("[watch.run.api]\ncommand = 'exec node server.js'\nready = {port}\n"));
    site.write("server.js", server);
    let mut watch = Loop::start(&site, "", "");
    watch.child("api", "crashed");
    let message = watch.event("warning")["message"].clone();
    let by = format!("(process {}) has it", std::process::id());
    assert!(message.as_str().unwrap().ends_with(&by), "{message}");
    watch.end(&site);
}

//! `serve`: the verb. `serve_http` and `serve_generations` test the responses.

use crate::http::{Client, free_port};
use crate::prelude::*;

/// A running `genstore serve`, and its port.
pub struct Server {
    pub running: Running,
    pub port: u16,
}

impl Server {
    /// Starts a server of the site's store, on a free port.
    pub fn start(site: &Site, args: &str) -> Server {
        Server::of(site.command(&format!("serve --addr 127.0.0.1:0 {args}")))
    }

    /// Starts a server.
    pub fn of(run: Run<'_>) -> Server {
        let mut running = run.spawn();
        let line = running.line();
        let port = line.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no address in {line:?}"));
        Server { running, port }
    }

    /// Opens a connection.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }
}

#[test]
fn serves_until_a_signal_comes() {
    let site = Site::published();
    let mut running = site.command("serve --addr 127.0.0.1:0").spawn();
    let line = running.line();
    assert!(line.starts_with("Serving generation 2 at http://127.0.0.1:"), "{line}");
    let port = line.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let mut client = Client::new(port);
    assert_eq!(client.get("/a.txt", &[]).text(), "one\ntwo\n");
    running.signal("TERM");
    client.wait_for_end();
    running.end(&site).ok();
}

#[test]
fn events_are_lines_of_json() {
    let site = Site::published();
    let mut running = site.command("serve --addr 127.0.0.1:0 --json").spawn();
    let event = |line: String| -> Value { serde_json::from_str(&line).unwrap() };
    let listening = event(running.line());
    assert_eq!((&listening["event"], &listening["generation"]), (&json!("listening"), &json!(2)));
    assert_eq!(listening["schema"], "genstore.serve/1");
    let url = listening["url"].as_str().unwrap();
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let mut client = Client::new(port);
    client.get("/a.txt?x=1", &[]);
    let request = event(running.line());
    assert_eq!(request["event"], "request");
    assert_eq!((&request["method"], &request["target"]), (&json!("GET"), &json!("/a.txt?x=1")));
    assert_eq!((&request["status"], &request["generation"]), (&json!(200), &json!(2)));
    site.run("switch 1").ok();
    let moved = event(running.line());
    assert_eq!(
        (&moved["event"], &moved["generation"], &moved["previous"]),
        (&json!("moved"), &json!(1), &json!(2))
    );
    running.signal("INT");
    assert_eq!(event(running.line())["event"], "stopped");
    running.end(&site).ok();
}

#[test]
fn a_taken_port_names_its_holder() {
    let site = Site::published();
    let server = Server::start(&site, "");
    let port = server.port;
    let message =
        format!("error: cannot listen on 127.0.0.1:{port}: genstore-testin (process [PID]) has the port");
    site.run(&format!("serve --addr {port}")).exits(1).says(&format!(
        "{}\n  Address already in use (os error 98)\nhint: end that program, or choose another address with --addr\n",
        message
    ));
}

#[test]
fn other_machines_must_be_allowed() {
    let site = Site::published();
    let hint = "hint: allow this with --allow-remote, or use an address like 127.0.0.1:8080\n";
    let port = free_port();
    site.run(&format!("serve --addr 0.0.0.0:{port}")).is(
        2,
        "",
        &format!("error: other machines reach 0.0.0.0:{port}\n{hint}"),
    );
    let server = Server::start(&site, "--allow-remote --addr 0.0.0.0:0");
    assert_eq!(server.client().request("GET", "/a.txt", "site.example", &[]).status, 200);
}

#[test]
fn arguments_are_checked() {
    let site = Site::published();
    site.run("serve --addr nonsense").exits(2);
    site.run("serve --root ../x --addr 0").exits(2);
    site.write("genstore.toml", "[serve]\naddr = 'nonsense'\n");
    let hint = "hint: write it like 127.0.0.1:8080, [::1]:8080 or 8080\n";
    site.run("serve").is(2, "", &format!("error: `addr` of [serve] is no address\n{hint}"));
    let empty = Site::new();
    empty.run("serve").exits(10);
}

#[test]
fn the_projects_settings_apply() {
    let site = Site::of(&[("web/index.html", "=home"), ("web/app.css", "=css"), ("other.txt", "=x")]);
    site.run("publish dist").ok();
    let settings =
        "addr = '127.0.0.1:0'\nroot = 'web'\nspa = true\nhosts = ['site.test']\nimmutable = ['**/*.css']\n";
    site.write("genstore.toml", format!("[serve]\n{settings}cors = ['https://a.test']\n"));
    let server = Server::of(site.command("serve"));
    let mut client = server.client();
    assert_eq!(client.request("GET", "/deep/page", "site.test", &[]).text(), "home");
    assert_eq!(client.get("/other.txt", &[]).status, 404);
    let css = client.get("/app.css", &["Origin: https://a.test"]);
    assert_eq!(css.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(css.header("access-control-allow-origin"), "https://a.test");
    let other = client.get("/app.css", &["Origin: https://b.test"]);
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[test]
fn it_ends_when_idle() {
    let site = Site::published();
    let mut running = site.command("serve --addr 127.0.0.1:0 --idle-exit 20ms").spawn();
    assert!(running.line().starts_with("Serving"));
    running.end(&site).ok();
}

#[test]
fn a_socket_of_systemd_is_used() {
    needs!(has_program("python3"));
    let site = Site::published();
    let script = site.path("activate.py");
    fs::write(
        &script,
        "import os, socket, sys\n\
         s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n\
         os.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n\
         os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
         os.execv(sys.argv[1], sys.argv[1:])\n",
    )
    .unwrap();
    let run = site.command("serve").under(&[OsStr::new("python3"), script.as_os_str()]);
    let server = Server::of(run);
    assert_eq!(server.client().get("/a.txt", &[]).status, 200);
}

#[test]
fn a_store_that_vanishes_is_an_answer_and_comes_back() {
    let site = Site::published();
    let server = Server::start(&site, "");
    let mut client = server.client();
    assert_eq!(client.get("/a.txt", &[]).status, 200);
    fs::rename(site.path("genstore"), site.path("away")).unwrap();
    fs::create_dir(site.path("genstore")).unwrap();
    eventually("the store is gone", || server.client().get("/a.txt", &[]).status == 503);
    let gone = client.get("/a.txt", &[]);
    assert_eq!(gone.header("retry-after"), "1");
    assert!(!gone.text().contains(&*site.path("").to_string_lossy()), "{}", gone.text());
    fs::remove_dir(site.path("genstore")).unwrap();
    fs::rename(site.path("away"), site.path("genstore")).unwrap();
    assert_eq!(client.get("/a.txt", &[]).text(), "one\ntwo\n");
    // Another store at the same place.
    fs::rename(site.path("genstore"), site.path("away")).unwrap();
    site.tree("dist", &[("a.txt", "=other")]);
    site.run("publish dist").ok();
    eventually("the new store is served", || server.client().get("/a.txt", &[]).text() == "other");
}

#[test]
fn a_browser_is_opened() {
    let site = Site::published();
    let (folder, pipe) = (site.path("programs"), site.path("opened"));
    fs::create_dir(&folder).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = folder.join("xdg-open");
    fs::write(&script, format!("#!/bin/sh\necho \"$@\" >'{}'\n", pipe.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let server = Server::of(site.command("serve --addr 127.0.0.1:0 --open").env("PATH", path));
    let url = format!("http://localhost:{}/@genstore/\n", server.port);
    assert_eq!(fs::read_to_string(&pipe).unwrap(), url);
    // Without a program for it, the server stays, and says so.
    let mut running =
        site.command("serve --addr 127.0.0.1:0 --json --open").env("PATH", "/nowhere").spawn();
    assert!(running.line().contains("listening"));
    let problem: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(problem["code"], "cannot-open");
    assert!(
        problem["message"].as_str().unwrap().contains("there is no xdg-open here; open http://localhost:")
    );
    running.signal("TERM");
}

//! Remotes on real servers: an honest one of S3, one that lies, and a web server. `scripts/setup` installs them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use genstore_remote::Access;
use genstore_remote::transport::http::HttpTransport;
use genstore_remote::transport::s3::S3Transport;
use genstore_remote::transport::{Created, Reason, Transport};
use genstore_remote::{Error, Options, Patience, PullOptions, PushOptions, Remote, Wanted};
use genstore_testkit::{at, has_program};

use crate::place::Place;

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a program that listens at the port in place of `PORT`. Returns `None` if it is not installed.
    fn start(dir: &Path, words: &[&str], vars: &[(&str, &str)]) -> Option<Server> {
        if !has_program(words[0]) {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let with_port = |word: &str| word.replace("PORT", &port.to_string());
        let mut command = Command::new(words[0]);
        command.args(words[1..].iter().map(|word| with_port(word))).current_dir(dir);
        command.envs(vars.iter().map(|(name, value)| (name, with_port(value))));
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { child, port };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} does not listen", words[0]);
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    fn bucket(&self, path: &str) -> Box<dyn Transport> {
        let address = format!("{path}?endpoint=http://127.0.0.1:{}", self.port);
        Box::new(S3Transport::new(&address, &access()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("end the server");
    }
}

fn access() -> Access {
    Access::default().key("test", "test")
}

/// Creates a bucket. The first requests may come before the server is ready.
fn make_bucket(server: &Server, name: &str) {
    let endpoint = format!("http://127.0.0.1:{}", server.port).parse().unwrap();
    let bucket =
        rusty_s3::Bucket::new(endpoint, rusty_s3::UrlStyle::Path, name.to_owned(), "us-east-1").unwrap();
    let credentials = rusty_s3::Credentials::new("test", "test");
    let address = rusty_s3::S3Action::sign(&bucket.create_bucket(&credentials), Duration::from_secs(60));
    let begun = Instant::now();
    loop {
        match ureq::put(address.as_str()).send_empty() {
            Ok(_) => return,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn remote(transport: Box<dyn Transport>) -> Remote {
    let patience = Patience { attempts: 3, pause: Duration::from_millis(50) };
    Remote::new(transport, Options::new(Arc::new(|| at(5_000)), "server").patience(patience))
}

/// Pushes three generations, pulls each, and collects.
fn round(place: &Place, connect: &dyn Fn() -> Box<dyn Transport>) {
    let store = place.store("a");
    for (text, name) in [("=one", "b"), ("=one and two", "c"), ("=three", "d")] {
        let generation = place.publish("a", &[("a", text), ("d/b", "=same"), ("l", ">a")]);
        let pushed = remote(connect()).push(&store, &generation, "main", &PushOptions::default()).unwrap();
        assert!(pushed.changed);
        let options = PullOptions::default().activate(true);
        remote(connect()).pull(&place.store(name), &Wanted("main".to_owned()), &options).unwrap();
        assert_eq!(place.tree("a"), place.tree(name));
    }
    let done = remote(connect()).collect(1, false).unwrap();
    assert_eq!((done.removed.len(), done.barrier), (2, Some(4)));
    let options = PullOptions::default().activate(true);
    remote(connect()).pull(&place.store("e"), &Wanted("main".to_owned()), &options).unwrap();
    assert_eq!(place.tree("a"), place.tree("e"));
}

#[test]
fn an_honest_server_holds_generations() {
    let place = Place::new();
    let port = [("GATEWAY_PORT", "PORT"), ("BIND_HOST", "127.0.0.1")];
    let Some(server) = Server::start(&place.path(""), &["ministack"], &port) else { return };
    make_bucket(&server, "honest");
    let connect = || server.bucket("honest/some/prefix");
    remote(connect()).probe(&|| Ok(connect())).unwrap();
    round(&place, &connect);
    let missing = remote(server.bucket("no-such-bucket/x")).newest().unwrap_err();
    assert!(matches!(missing, Error::Request { .. }), "{missing:?}");
    race(&connect, rounds(50));
}

/// The number of rounds of a race: few in the gate, many in a soak.
fn rounds(few: u64) -> u64 {
    std::env::var("GENSTORE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(few)
}

/// Eight writers create the same key on connections of their own. Each round has one winner, and its bytes stay.
fn race(connect: &(dyn Fn() -> Box<dyn Transport> + Sync), rounds: u64) {
    for number in 0..rounds {
        let key = format!("race/{number}");
        let won = std::thread::scope(|scope| {
            let create = |writer: usize| {
                let (connection, key) = (connect(), key.clone());
                let create = move || connection.create(&key, writer.to_string().as_bytes());
                std::thread::Builder::new().spawn_scoped(scope, create).unwrap()
            };
            let threads: Vec<_> = (0..8).map(create).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let winner = won.iter().position(|won| *won == Ok(Created::New));
        assert_eq!(won.iter().filter(|won| **won == Ok(Created::New)).count(), 1, "{won:?}");
        let kept = connect().get(&key, 64).unwrap();
        assert_eq!(kept, winner.map(|writer| writer.to_string().into_bytes()));
    }
}

#[test]
fn a_second_honest_server_holds_generations() {
    let place = Place::new();
    let probe = Command::new("python3").args(["-c", "import moto.server, flask"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return genstore_testkit::skip_without_package("the Python package moto[server]");
    }
    // One thread, so that no request races with another.
    let code = "import sys\nfrom moto.server import DomainDispatcherApplication, create_backend_app\n\
                from werkzeug.serving import run_simple\n\
                run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app))";
    let words = ["python3", "-c", code, "PORT"];
    let Some(server) = Server::start(&place.path(""), &words, &[]) else { return };
    make_bucket(&server, "second");
    let connect = || server.bucket("second/prefix");
    remote(connect()).probe(&|| Ok(connect())).unwrap();
    round(&place, &connect);
    race(&connect, rounds(0));
}

#[test]
fn a_large_file_goes_up_and_down_in_parts() {
    let place = Place::new();
    let port = [("GATEWAY_PORT", "PORT"), ("BIND_HOST", "127.0.0.1")];
    let Some(server) = Server::start(&place.path(""), &["ministack"], &port) else { return };
    make_bucket(&server, "large");
    let connect = || server.bucket("large");
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (state >> 58) as u8)
    });
    let text = format!("={}", noise.take(70 << 20).collect::<String>());
    let generation = place.publish("a", &[("large", &text), ("small", "=small")]);
    let pushing = remote(connect());
    pushing.push(&place.store("a"), &generation, "main", &PushOptions::default()).unwrap();
    // The beginning, three parts or more of 16 MiB, and the end.
    assert!(pushing.traffic().puts >= 7, "{:?}", pushing.traffic());
    let options = PullOptions::default().activate(true);
    remote(connect()).pull(&place.store("b"), &Wanted("main".to_owned()), &options).unwrap();
    assert_eq!(place.tree("a"), place.tree("b"));
    let verified = remote(connect()).verify_all().unwrap();
    assert!(verified.findings.is_empty() && verified.objects == 2, "{verified:?}");
}

#[test]
fn a_server_that_overwrites_silently_is_refused() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("files/liar")).unwrap();
    let words = ["rclone", "serve", "s3", "--auth-key", "test,test", "--addr", "127.0.0.1:PORT", "files"];
    let Some(server) = Server::start(&place.path(""), &words, &[]) else { return };
    let connect = || server.bucket("liar");
    let refused = remote(connect()).probe(&|| Ok(connect())).unwrap_err();
    let Error::Distrusted { check, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(check.name(), "create-only", "{refused}");
}

#[test]
fn a_web_server_of_the_same_files_is_for_reading() {
    let place = Place::new();
    place.publish("a", &[("a", "=one"), ("b", "=two")]);
    place.push("a", "main");
    let words = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "remote", "PORT"];
    let Some(server) = Server::start(&place.path(""), &words, &[]) else { return };
    let connect =
        || Box::new(HttpTransport::new(&format!("http://127.0.0.1:{}", server.port), None).unwrap());
    let options = PullOptions::default().activate(true);
    remote(connect()).pull(&place.store("b"), &Wanted("main".to_owned()), &options).unwrap();
    assert_eq!(place.tree("a"), place.tree("b"));
    let generation = place.publish("a", &[("a", "=other")]);
    let pushed = remote(connect()).push(&place.store("a"), &generation, "main", &PushOptions::default());
    let Err(Error::Request { cause, .. }) = pushed else { panic!("{pushed:?}") };
    assert!(cause.to_string().contains("can only be read"), "{cause}");
}

/// Makes an authority and a certificate by it for this machine. Returns `false` if openssl is not installed.
fn make_certificates(place: &Place) -> bool {
    if !has_program("openssl") {
        return false;
    }
    std::fs::write(place.path("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let new = ["req", "-newkey", "rsa:2048", "-nodes"];
    for words in [
        [
            &new[..],
            &["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        ]
        .concat(),
        [&new[..], &["-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"]].concat(),
        vec![
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            "server.pem",
        ],
    ] {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(words).current_dir(place.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    true
}

#[test]
fn nginx_serves_a_directory_over_tls_by_an_authority_of_its_own() {
    let place = Place::new();
    place.publish("a", &[("a", "=one"), ("b", "=two")]);
    place.push("a", "main");
    if !has_program("nginx") || !make_certificates(&place) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = place.path("").display().to_string();
    let user = if genstore_testkit::is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {dir}/{name};"))
        .collect();
    // One process: a worker would live on after its master was killed.
    let config = format!(
        "{user} daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log; events {{}}\n\
         http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port} ssl;\n\
         ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key; root {dir}/remote; }} }}\n"
    );
    std::fs::write(place.path("nginx.conf"), config).unwrap();
    let words = ["nginx", "-c", &format!("{dir}/nginx.conf"), "-e", &format!("{dir}/error.log")];
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server { child: command.spawn().unwrap(), port };
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let url = format!("https://127.0.0.1:{}", server.port);
    let connect = |file: Option<&Path>| Box::new(HttpTransport::new(&url, file).unwrap());
    let options = PullOptions::default().activate(true);
    let pull = |store: &str, file: Option<&Path>| {
        remote(connect(file)).pull(&place.store(store), &Wanted("main".to_owned()), &options)
    };
    pull("b", Some(&place.path("ca.pem"))).unwrap();
    assert_eq!(place.tree("a"), place.tree("b"));
    let Err(Error::Request { cause, .. }) = pull("c", None) else {
        panic!("an unknown authority is trusted")
    };
    assert_eq!(cause.reason, Reason::Certificate, "{cause:?}");
    assert!(HttpTransport::new(&url, Some(&place.path("ext"))).is_err(), "a file without certificates");
    // A file that is cut off or another on the way is refused.
    let log = place.path("remote/log/00000000000000000001");
    let right = std::fs::read(&log).unwrap();
    std::fs::write(&log, &right[..right.len() - 1]).unwrap();
    assert!(matches!(pull("d", Some(&place.path("ca.pem"))), Err(Error::Damaged { .. })));
}

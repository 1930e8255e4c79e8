//! A file server over `current`: no client gets "not modified" for bytes that it does not have.

use genstore_testkit::write_tree;

use crate::http::get;
use crate::prelude::*;

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts Python's file server, which answers 304 by comparing whole seconds.
    fn start(site: &Site) -> Option<Server> {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(site.path("genstore/current"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .inspect_err(|_| skip_without_package("python3"))
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).unwrap();
        let port = line.split("port ").nth(1)?.split_whitespace().next()?.parse().unwrap();
        Some(Server { child, port })
    }
}

#[test]
fn never_a_stale_304() {
    let site = Site::new();
    let paths = ["index.html", "app.js", "extra.css"];
    // Older and older sources, one that comes and goes, and some that stay.
    let same: &[(&str, &str)] = &[("img/a", "=a"), ("img/b", "=b"), ("img/c", "=c")];
    let trees: [&[(&str, &str)]; 3] = [
        &[("index.html", "=one"), ("app.js", "=same")],
        &[("index.html", "=two"), ("app.js", "=same"), ("extra.css", "=a")],
        &[("index.html", "=three"), ("app.js", "=other"), ("extra.css", "=b")],
    ];
    // Each publication uses another way; the last one recycles the tree of the first.
    site.write("genstore.toml", "[retain]\nauto = true\nkeep_last = 3\ngrace = '0s'\n");
    let mut ways = Way::ALL.into_iter().cycle();
    let mut publish = |nth: usize| {
        let tree = things(1_700_000_000 - nth as u64, &[trees[nth], same].concat());
        write_tree(&site.path("dist"), &tree);
        let flags = ways.next().unwrap().flags();
        site.command("publish dist").args(flags).env("GENSTORE_NOW", "").run().ok();
    };
    publish(0);
    let Some(server) = Server::start(&site) else { return };
    // All answers that a client has received: path and date, and their bytes.
    let mut kept: BTreeMap<(&str, String), String> = BTreeMap::new();
    let mut unchanged = 0;
    let mut check = |step: &str| {
        for path in paths {
            let answer = get(server.port, path, None).unwrap();
            if answer.status == 404 {
                continue;
            }
            assert_eq!(answer.status, 200, "{step}: {path}");
            let body = answer.body;
            kept.insert((path, answer.date.unwrap()), body.clone());
            for ((_, date), old) in kept.iter().filter(|((p, _), _)| *p == path) {
                let again = get(server.port, path, Some(date)).unwrap();
                match again.status {
                    200 => assert_eq!(again.body, body, "{step}: {path}"),
                    304 => {
                        unchanged += 1;
                        assert_eq!(*old, body, "{step}: stale 304 for {path} since {date}");
                    }
                    other => panic!("{step}: {path}: {other}"),
                }
            }
        }
    };
    check("first");
    for nth in [1, 2, 0, 1] {
        publish(nth);
        check(&format!("publish {nth}"));
    }
    assert_eq!(site.names("genstore/generations"), ["2", "3", "4", "5"]);
    for verb in
        ["rollback", "rollback", "switch 4", "switch 2", "switch 3", "rollback --keep-good", "switch 5"]
    {
        site.command(verb).env("GENSTORE_NOW", "").run().ok();
        check(verb);
    }
    assert!(unchanged > 10, "the server does answer 304: {unchanged}");
    site.run("verify").ok();
}

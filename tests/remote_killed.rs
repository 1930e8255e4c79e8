//! A push, a pull and a gc that are killed at each of their requests. The program reaches the remote through a
//! program named `ssh`, which passes requests on to `genstore serve` and kills the client at a turn.

use crate::prelude::*;

/// Runs the last argument in a shell. At the turn `KILL`, its parent is killed: before the request is passed on, or
/// with `AFTER` when its answer has come.
const RELAY: &str = r#"#!/usr/bin/env python3
import os, selectors, signal, subprocess, sys
child = subprocess.Popen(["/bin/sh", "-c", sys.argv[-1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
choose = selectors.DefaultSelector()
choose.register(0, selectors.EVENT_READ, (child.stdin.fileno(), True))
choose.register(child.stdout, selectors.EVENT_READ, (1, False))
turns, last, kill = 0, False, int(os.environ.get("KILL", "0"))
after = "AFTER" in os.environ
parent = os.getppid()
while True:
    for key, _ in choose.select():
        to, is_client = key.data
        bytes = os.read(key.fd, 1 << 16)
        if not bytes:
            choose.unregister(key.fileobj)
            if not is_client:
                sys.exit(child.wait())
            child.stdin.close()
            continue
        turns += is_client and not last
        last = is_client
        if kill and turns >= kill and (is_client != after):
            os.kill(parent, signal.SIGKILL)
            if is_client:
                sys.exit(1)
        try:
            while bytes:
                bytes = bytes[os.write(to, bytes):]
        except BrokenPipeError:
            sys.exit(1)
"#;

struct Killed {
    site: Site,
}

impl Killed {
    fn new() -> Option<Killed> {
        if !has_program("python3") {
            return None;
        }
        let site = Site::published();
        site.write("bin/ssh", RELAY);
        fs::set_permissions(site.path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Killed { site })
    }

    fn command(&self, machine: &str, args: &str) -> Run<'_> {
        let dir = self.site.path("remote").display().to_string();
        let url = format!("ssh://here{dir}?program={}", crate::harness::SHIPPED);
        let path = format!("{}:{}", self.site.path("bin").display(), std::env::var("PATH").unwrap());
        let run = self.site.command(&args.replace("REMOTE", &url));
        run.env("XDG_STATE_HOME", self.site.path(machine)).env("PATH", path)
    }

    /// Kills the command at each turn, until it has so few that it is done. Each time, `check` runs after the same
    /// command was run again. Returns the number of kills.
    fn at_each_turn(
        &self,
        machine: &str,
        args: &str,
        ready: &dyn Fn(usize),
        check: &dyn Fn(usize),
    ) -> usize {
        let mut kills = 0;
        for after in ["", "1"] {
            for turn in 1.. {
                ready(kills);
                let run = self.command(machine, args).env("KILL", turn.to_string());
                let output = if after.is_empty() { run } else { run.env("AFTER", after) }.run();
                if output.status == 0 {
                    break;
                }
                self.command(machine, args).run().ok();
                check(kills);
                kills += 1;
            }
        }
        kills
    }
}

#[test]
fn a_push_and_a_pull_that_are_killed_are_completed_by_the_same_command() {
    let Some(killed) = Killed::new() else { return };
    let site = &killed.site;
    let publish = |number: usize| {
        site.tree("dist", &[("a.txt", &format!("={number}")), ("b.txt", "=same")]);
        site.run("publish dist").ok();
    };
    let records = || site.names("remote/log").len();
    let pushes = killed.at_each_turn("a", "push REMOTE", &publish, &|number| {
        // One record for each tree, and none for a tree that was pushed already.
        let log =
            killed.command("c", "remote log REMOTE --json -n 100").run().json("genstore.remote-log/1");
        let trees: Vec<&Value> =
            log["records"].as_array().unwrap().iter().map(|record| &record["tree"]).collect();
        let all: BTreeSet<String> = trees.iter().map(|tree| tree.to_string()).collect();
        assert_eq!(all.len(), trees.len(), "record by record, {number} kills: {log}");
        killed.command("b", "--store other pull REMOTE --activate").run().ok();
        assert_eq!(site.read("other/current/a.txt"), number.to_string());
    });
    assert!(pushes >= 6, "{pushes} kills of a push");
    let before = records();
    let pulls = killed.at_each_turn(
        "d",
        "--store pulled pull REMOTE --activate",
        &|_| {
            drop(fs::remove_dir_all(site.path("pulled")));
            drop(fs::remove_dir_all(site.path("d")));
        },
        &|_| assert_eq!(site.read("pulled/current/b.txt"), "same"),
    );
    assert!(pulls >= 6, "{pulls} kills of a pull");
    assert_eq!(records(), before);
    site.run("--store pulled verify").ok();
}

#[test]
fn a_gc_that_is_killed_is_completed_by_the_same_command() {
    let Some(killed) = Killed::new() else { return };
    let site = &killed.site;
    let push = |number: usize| {
        for text in [format!("={number}"), format!("={number}{number}")] {
            site.tree("dist", &[("a.txt", &text)]);
            site.run("publish dist").ok();
            killed.command("a", "push REMOTE").run().ok();
        }
    };
    let kills = killed.at_each_turn("a", "remote gc REMOTE --keep-last 1", &push, &|number| {
        killed.command("a", "remote verify REMOTE").run().ok();
        killed.command("b", "--store other pull REMOTE --activate").run().ok();
        assert_eq!(site.read("other/current/a.txt"), format!("{number}{number}"));
        let bundles: usize = site
            .names("remote/bundle")
            .iter()
            .map(|hh| site.names(&format!("remote/bundle/{hh}")).len())
            .sum();
        // The head, and the checkpoint that it needs.
        assert!(bundles <= 2, "{bundles} bundles are left");
    });
    assert!(kills >= 10, "{kills} kills");
}

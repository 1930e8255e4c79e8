//! `watch --run`: programs that run on the current generation and restart after each commit; and `[hooks]`.
//! No process remains, however the watch ends.

use crate::prelude::*;
use crate::watch::{Loop, project};

/// Returns whether a process is alive; a zombie is not.
fn lives(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Reads the numbers that programs wrote to a file.
fn pids(site: &Site, file: &str) -> Vec<u64> {
    let text = if site.has(file) { site.read(file) } else { String::new() };
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn wait_for_pids(site: &Site, file: &str, count: usize) -> Vec<u64> {
    eventually("they wrote their numbers down", || pids(site, file).len() >= count);
    pids(site, file)
}

/// Records its pid and that of its child, and runs until it is stopped.
const SERVER: &str = "echo $$ >> pids; sleep 1000 & echo $! >> pids; wait";

#[test]
fn programs_run_on_what_is_current_and_are_started_anew_after_a_commit() {
    let site =
        project("run = [\"api: cat $GENSTORE_ROOT/lib/a.txt > saw-$GENSTORE_GENERATION; sleep 1000\"]\n");
    let mut watch = Loop::published(&site);
    let first = watch.child("api", "started")["pid"].as_u64().unwrap();
    eventually("it ran", || site.has("saw-1") && site.read("saw-1") == "one");
    let anew = |watch: &mut Loop, text: &str, end: &str, before: u64| {
        site.write("src/a.txt", text);
        watch.event(end);
        assert_eq!(watch.child("api", "stopped")["signal"], 15);
        let pid = watch.child("api", "started")["pid"].as_u64().unwrap();
        assert!(!lives(before));
        pid
    };
    // The build had the same result: the program may read that source itself.
    let second = anew(&mut watch, "one", "unchanged", first);
    anew(&mut watch, "two", "published", second);
    eventually("it ran", || site.has("saw-2") && site.read("saw-2") == "two");
    // It also restarts after another program's commit.
    site.run("rollback").ok();
    watch.event("activated");
    watch.child("api", "started");
    assert!(!site.run("gc --keep-last 1 --grace 0s -n").ok().stdout.contains("remove  1"));
    watch.end(&site);
}

#[test]
fn programs_run_on_whole_generations_where_older_ones_are_recycled() {
    let site = project(
        "run = [\"api: cat $GENSTORE_ROOT/lib/a.txt > saw-$GENSTORE_GENERATION; sleep 1000\"]\n\
         [retain]\nauto = true\nkeep_last = 1\ngrace = '0s'\n",
    );
    for name in ["b", "c", "d"] {
        site.write(&format!("src/{name}.txt"), name);
    }
    let mut watch = Loop::start(&site, "", "");
    for (generation, text) in (1..).zip(["one", "two", "three", "four"]) {
        if generation > 1 {
            site.write("src/a.txt", text);
        }
        assert_eq!(watch.event("published")["generation"], generation);
        let saw = format!("saw-{generation}");
        eventually("it ran", || site.has(&saw) && site.read(&saw) == text);
    }
    assert!(!site.has("genstore/generations/1"));
    watch.end(&site);
    site.run("verify").ok();
}

#[test]
fn a_generation_stays_as_long_as_a_program_runs_on_it() {
    let site = project("run = ['api: sleep 1000']\n");
    let watch = Loop::serving(&site);
    site.tree("other", &[("x", "=1")]);
    // Whether it is activated before the watch notices or after: the program on 1 keeps that generation
    // until it ends.
    site.run("publish other --no-activate").ok();
    let plan = site.run("gc --keep-last 1 --grace 0s -n").ok().stdout;
    assert!(plan.contains("  1  current; leased"), "{plan}");
    watch.end(&site);
    let plan = site.run("gc --keep-last 1 --grace 0s -n").ok().stdout;
    assert!(!plan.contains("leased"), "{plan}");
}

#[test]
fn what_does_not_stop_is_killed_with_all_that_it_started() {
    let stubborn = "api: trap : TERM; echo $$ >> pids; (trap : TERM; echo $$ >> pids; while :; do sleep 1000; done) & \
                    while :; do sleep 1000; done";
    let site = project(&format!("stop_timeout = '100ms'\nrun = [\"{stubborn}\"]\n"));
    let mut watch = Loop::serving(&site);
    let old = wait_for_pids(&site, "pids", 2);
    site.write("src/a.txt", "two");
    let stopped = watch.child("api", "stopped");
    assert_eq!(stopped["message"], "it did not stop in time, and was killed");
    assert!(old.iter().all(|pid| !lives(*pid)), "nothing of it is left before the next one runs");
    watch.child("api", "started");
    watch.end(&site);
}

#[test]
fn a_crash_is_said_and_the_program_comes_back_and_one_that_is_done_stays_done() {
    let site = project(
        "[watch.run]\nflaky = 'test -e fixed || { touch fixed; exit 3; }; sleep 1000'\nonce = 'true'\n",
    );
    let mut watch = Loop::published(&site);
    has(&watch.child("flaky", "crashed"), json!({"exit": 3, "again_after_ms": 1000}));
    watch.child("flaky", "started");
    let done: Vec<_> = watch.events.iter().filter(|event| event["state"] == "done").collect();
    assert_eq!(done.len(), 1, "{:#?}", watch.events);
    assert_eq!(done[0]["name"], "once");
    site.write("src/a.txt", "two");
    watch.event("published");
    watch.child("once", "done");
    watch.end(&site);
}

#[test]
fn a_program_that_cannot_be_run_is_told_and_tried_again_after_a_commit() {
    let site = project("[watch.run]\napi = ['./server']\nshell = 'no-such-program --port 1'\n");
    let mut watch = Loop::start(&site, "", "");
    let failed = watch.child("api", "failed");
    assert!(failed["message"].as_str().unwrap().contains("./server"), "{failed}");
    watch.child("shell", "failed");
    site.write("server", "#!/bin/sh\nexec sleep 1000\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.path("server"), mode).unwrap();
    site.write("src/a.txt", "two");
    watch.event("published");
    watch.child("api", "started");
    watch.end(&site);
}

#[test]
fn several_programs_stop_together_and_their_lines_are_told_apart() {
    let site = project("");
    let runs = ["--run", "a: echo hello; sleep 1000", "--run", "printf 'ready\\nno-end'; exec sleep 1000"];
    let mut running =
        site.command("watch --run-in generation").args(&runs).args(&["--run", "longer: pwd"]).spawn();
    let lines = running.lines();
    let mut all = Vec::new();
    let mut wait_for = |what: &str| {
        while !all.iter().any(|line: &String| line.contains(what)) {
            all.push(
                lines
                    .recv_timeout(std::time::Duration::from_secs(60))
                    .unwrap_or_else(|e| panic!("{e}: {all:#?}")),
            );
        }
    };
    wait_for("     a | hello");
    wait_for("   Started a (process ");
    wait_for(&format!("longer | {}", site.path("genstore/generations/1/tree").display()));
    // The rest has no line feed, and arrives with the end.
    wait_for("printf | ready");
    running.signal("INT");
    wait_for("printf | no-end");
    wait_for("     Ended");
    assert_eq!(running.end_without_reading(&site).status, 130);
}

#[test]
fn however_it_ends_no_process_and_no_debris_is_left() {
    for signal in ["INT", "TERM", "HUP", "KILL"] {
        let site = project(&format!("run = [\"api: {SERVER}\"]\n"));
        // The second build never ends by itself.
        let build = format!("cp src/* $GENSTORE_OUT/; test ! -e src/slow || {{ {SERVER}; }}");
        let mut watch = Loop::start(&site, "", &build);
        watch.child("api", "started");
        wait_for_pids(&site, "pids", 2);
        site.write("src/slow", "");
        watch.event("build-start");
        let pids = wait_for_pids(&site, "pids", 4);
        assert!(pids.iter().all(|pid| lives(*pid)), "{signal}");
        if signal == "KILL" {
            watch.kill();
        } else {
            watch.end_by(signal, &site);
        }
        eventually("all of them are gone", || pids.iter().all(|pid| !lives(*pid)));
        if signal == "KILL" {
            // Nothing was cleaned up; the next command does it.
            site.run("mark @ good").ok();
        }
        assert_eq!(site.names("genstore/staging"), [""; 0], "{signal}");
        site.run("verify").ok();
        site.run("publish src").ok();
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let site = project(&format!("run = [\"api: {SERVER}\"]\n"));
    // Python's pty is a terminal; closing it sends a hangup.
    let script = "import os, pty, select, sys\n\
                  pid, master = pty.fork()\n\
                  if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
                  while not (os.path.exists('pids') and open('pids').read().count('\\n') >= 2):\n\
                  \x20   if select.select([master], [], [], 0.02)[0]: os.read(master, 65536)\n\
                  print(pid, flush=True)\n\
                  os.close(master)\n\
                  os.waitpid(pid, 0)\n";
    let program = env!("CARGO_BIN_EXE_genstore");
    let run =
        Command::new("python3").args(["-c", script, program, "watch"]).current_dir(site.path("")).output();
    let Ok(run) = run else {
        skip_without_package("python3");
        return;
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let pids = pids(&site, "pids");
    eventually("all of them are gone", || pids.iter().all(|pid| !lives(*pid)));
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn a_build_or_a_program_that_is_killed_is_like_one_that_fails() {
    let site = project("run = ['api: echo $$ >> pids; exec sleep 1000']\n");
    let mut watch = Loop::start(
        &site,
        "",
        "echo $$ > build; test ! -e src/slow || sleep 1000; cp src/a.txt $GENSTORE_OUT/",
    );
    let pid = watch.child("api", "started")["pid"].as_u64().unwrap();
    kill(pid);
    assert_eq!(watch.child("api", "crashed")["signal"], 9);
    watch.child("api", "started");
    site.write("src/slow", "");
    fs::remove_file(site.path("build")).unwrap();
    watch.event("build-start");
    kill(wait_for_pids(&site, "build", 1)[0]);
    let end = watch.event("build-end");
    assert_eq!(end["ok"], false);
    assert_eq!(
        watch.event("error")["message"].as_str().unwrap().split(" was killed by signal 9").count(),
        2
    );
    fs::remove_file(site.path("src/slow")).unwrap();
    assert_eq!(watch.event("unchanged")["generation"], 1);
    watch.end(&site);
}

/// For every verb that moves `current`: the document reports a failed hook, and the final current
/// generation.
#[test]
fn hooks_that_fail_are_told_of_to_programs() {
    let failing = "[build]\ncommand = 'cp src/* $GENSTORE_OUT/'\n[hooks]\npost_commit = 'exit 7'\n";
    let check = |site: &Site, args: &str, schema: &str| {
        let run = site.run(args);
        let told = run.json(schema);
        let warning =
            json!([{"message": "the hook post_commit: exit 7 exited with 7", "not_durable": false}]);
        assert_eq!(
            (run.status, &told["warnings"], &told["current"]),
            (3, &warning, &json!(true)),
            "{args}"
        );
        assert_eq!(run.stderr, "", "{args}");
    };
    let site = project("");
    site.write("genstore.toml", failing);
    check(&site, "build --json", "genstore.publish/1");
    site.write("src/a.txt", "two");
    check(&site, "publish src --json", "genstore.publish/1");
    let stage = site.run("begin --ttl 1h --json").json("genstore.begin/1")["stage"].clone();
    let stage = stage.as_str().unwrap();
    site.write(&format!("genstore/staging/s-{stage}/out/a.txt"), "three");
    check(&site, &format!("commit {stage} --json"), "genstore.publish/1");
    check(&site, "rollback --json", "genstore.rollback/1");
    check(&site, "switch 1 --json", "genstore.switch/1");
    site.write("src/a.txt", "four");
    site.run("publish src --no-activate --json").is_json("genstore.publish/1");
    site.run("rollback --json").fails(1, "{");
    site.run("switch 2 -q");
    site.run("rollback -q");
    site.run("publish src --no-activate --always -q").ok();
    check(&site, "resume --json", "genstore.resume/1");
}

#[test]
fn a_hook_that_rolls_back_is_told_of() {
    let site = project("");
    site.run("build").ok();
    let hook = format!("{} --store genstore rollback -q || true", crate::harness::PROGRAM);
    site.write("genstore.toml", format!("[hooks]\npost_commit = ['{hook}', 'false']\n"));
    site.write("src/a.txt", "two");
    let run = site.run("publish src --json");
    let told = run.json("genstore.publish/1");
    assert_eq!((run.status, &told["generation"], &told["current"]), (3, &json!(2), &json!(false)));
    let messages: Vec<&str> =
        told["warnings"].as_array().unwrap().iter().map(|w| w["message"].as_str().unwrap()).collect();
    let not_current = "generation 2 is no longer current: generation 1 is";
    assert_eq!(messages, ["the hook post_commit: false exited with 1", not_current]);
    site.run("current").prints("1\n");
    let told = site.run("publish src --always");
    assert!(told.stderr.contains("warning: generation 3 is no longer current: generation 1 is\n"));
    let run = site.run("switch 2 --json");
    let told = run.json("genstore.switch/1");
    assert_eq!((run.status, &told["generation"], &told["current"]), (3, &json!(2), &json!(false)));
    assert!(told["warnings"].to_string().contains(not_current), "{told}");
    site.run("current").prints("1\n");
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let site =
        project("[hooks]\npost_commit = ['echo $$ >> pids; exec sleep 1000', 'true']\ntimeout = '1s'\n");
    let done = site.run("build");
    let warning = "warning: the hook post_commit: echo $$ >> pids; exec sleep 1000 timed out\n";
    assert!(done.status == 3 && done.stderr.contains(warning), "{}", done.stderr);
    assert!(pids(&site, "pids").iter().all(|pid| !lives(*pid)));
    site.run("current").prints("1\n");
}

#[test]
fn a_watch_tells_of_hooks_that_fail() {
    let site = project("[hooks]\npost_commit = 'exit 7'\n");
    let mut watch = Loop::start(&site, "", "");
    assert_eq!(watch.event("warning")["message"], "the hook post_commit: exit 7 exited with 7");
}

fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn hooks_run_after_each_move_of_current() {
    let site = project(
        "[hooks]\npost_commit = 'echo $GENSTORE_VERB $GENSTORE_GENERATION ${GENSTORE_PREVIOUS:-none} >> hooks; \
                        test -e \"$GENSTORE_ROOT\" || echo gone >> hooks'\n",
    );
    // Earlier values of these variables are ignored.
    site.command("build").env("GENSTORE_PREVIOUS", "7").env("GENSTORE_GENERATION", "8").run().ok();
    site.run("publish src").ok();
    site.run("publish src").ok();
    site.write("src/a.txt", "two");
    site.run("publish src --no-activate").ok();
    site.run("rollback").ok();
    site.run("resume").ok();
    site.run("switch 1").ok();
    site.run("switch 1").ok();
    let watch = Loop::published(&site);
    eventually("its hook ran", || site.read("hooks").lines().count() >= 6);
    watch.end(&site);
    let expected = "build 1 none\npublish 2 1\nrollback 1 2\nresume 3 1\nswitch 1 3\nwatch 4 1\n";
    assert_eq!(site.read("hooks"), expected);
    // A failure there does not undo the commit.
    site.write("genstore.toml", "[hooks]\npost_commit = [['false'], '']\n");
    site.write("src/a.txt", "three");
    let done = site.run("publish src");
    assert_eq!(
        (done.status, done.stderr.as_str()),
        (
            3,
            "warning: the hook post_commit: false exited with 1\n\
             warning: a command of [hooks] post_commit is empty\n\
             hint: the commit is done: fix the hook's command, and run it by hand\n"
        )
    );
    assert!(Path::new(&site.path("genstore/generations/5")).is_dir());
}

//! Requests to a running `watch`: `rebuild`, `restart`, and the key `r`.

use crate::prelude::*;
use crate::watch::{Loop, gated, open_gate, project, wait_for_copy};

#[test]
fn rebuild_builds_though_nothing_changed() {
    let site = project("");
    let mut watch = Loop::start(&site, "", gated(&site));
    watch.then("build-start");
    wait_for_copy(&site, 1);
    // During a build one more is queued, however many requests come; and this one is shown.
    site.run("rebuild").prints("The watch is building\n");
    site.run("rebuild --json").is_json("genstore.rebuild/1");
    open_gate(&site);
    watch.then("build-end");
    assert_eq!(watch.then("published")["generation"], 1);
    assert_eq!(watch.then("build-start")["build"], 2);
    wait_for_copy(&site, 2);
    open_gate(&site);
    watch.in_turn(&["build-end", "unchanged"]);
    site.run("rebuild").ok();
    assert_eq!(watch.then("build-start")["build"], 3);
    watch.end(&site);
    let run = site.run("rebuild");
    run.fails(1, "error: no watch of this store answers\n");
}

#[test]
fn restart_starts_one_program_anew() {
    let site = project("[watch.run]\napi = 'exec sleep 1000'\nweb = 'exec sleep 1000'\n");
    let mut watch = Loop::serving(&site);
    watch.child("web", "started");
    site.run("restart web").prints("The watch restarts web\n");
    watch.child("web", "stopped");
    watch.child("web", "started");
    let run = site.run("restart wbe --json");
    let error = run.json_error();
    assert_eq!(
        (run.status, &error["code"], &error["hint"]),
        (1, &"no-program".into(), &"it runs api, web".into())
    );
    let stopped = watch.events.iter().filter(|event| event["state"] == "stopped").count();
    assert_eq!(stopped, 1, "{:#?}", watch.events);
    watch.end(&site);
}

/// Runs a watch in a terminal: the steps of a Python script, then Ctrl-C. Returns `false`, and records a skip,
/// without Python, whose pty is the terminal.
fn in_a_terminal(site: &Site, steps: &str) -> bool {
    let script = format!(
        "import os, pty, sys\n\
         pid, master = pty.fork()\n\
         if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
         def until(text):\n\
         \x20   seen = b''\n\
         \x20   while text not in seen: seen += os.read(master, 1024)\n\
         {steps}\
         os.write(master, b'\\x03')\n\
         try: until(b'Ended')\n\
         except OSError: pass\n\
         print(os.waitpid(pid, 0)[1])\n"
    );
    let program = env!("CARGO_BIN_EXE_genstore");
    let run = Command::new("python3")
        .args(["-c", &script, program, "--color", "never", "watch"])
        .current_dir(site.path(""))
        .output();
    let Ok(run) = run else {
        skip_without_package("python3");
        return false;
    };
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(String::from_utf8_lossy(&run.stdout), format!("{}\n", 130 << 8), "{said}");
    true
}

#[test]
fn the_key_r_builds_again() {
    let site = project("");
    in_a_terminal(
        &site,
        "until(b'Published generation 1')\n\
         os.write(master, b'x\\nr\\n')\n\
         until(b'(build 2)')\n\
         until(b'Unchanged')\n",
    );
}

#[test]
fn one_program_has_the_terminal() {
    let run = "read line; echo \"it got $line, $(test -t 0 && echo from a terminal)\"; exec sleep 1000";
    let site = project(&format!("[watch.run.api]\ncommand = '{run}'\nterminal = true\n"));
    let is_there = in_a_terminal(
        &site,
        "until(b'Started')\n\
         os.write(master, b'r\\n')\n\
         until(b'it got r, from a terminal')\n",
    );
    if !is_there {
        return;
    }
    // Without a terminal its stdin is a pipe, as that of all others.
    let watch = Loop::serving(&site);
    watch.end(&site);
    let both =
        "[watch.run]\na = { command = 'x', terminal = true }\nb = { command = 'x', terminal = true }\n";
    let message = "error: both a and b want the terminal\n";
    project(both).run("watch").fails(2, message);
    let listens = "[watch.run.a]\ncommand = 'x'\nterminal = true\nhandover = true\nready = 'x'\n";
    let message = "error: a has the terminal, and cannot have `listen` or `handover`\n";
    project(listens).run("watch").fails(2, message);
}

//! `[watch.run.NAME]`: the sources of each program, its restarts, and its variables.

use crate::prelude::*;
use crate::watch::{Loop, make_gate, open_gate, project};

/// Prints what it sees, and runs until it is stopped.
const TELL: &str = "echo $GENSTORE_GENERATION $A $(cat app.txt) >> starts; exec sleep 1000";

fn starts(site: &Site) -> Vec<String> {
    let text = if site.has("starts") { site.read("starts") } else { String::new() };
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn started(site: &Site, lines: &[&str]) {
    eventually(&format!("it started: {lines:?}"), || starts(site).len() >= lines.len());
    assert_eq!(starts(site), lines);
}

#[test]
fn a_program_is_started_anew_for_what_it_reads_of_its_own_without_a_build() {
    let site = project(&format!(
        "[watch.run.api]\ncommand = '{TELL}'\npaths = ['app.txt']\nenv_file = 'conf/.env'\n"
    ));
    site.write("app.txt", "v1");
    let mut watch = Loop::serving(&site);
    started(&site, &["1 v1"]);
    site.write("app.txt", "v2");
    has(&watch.event("restart"), json!({"name": "api", "paths": ["app.txt"]}));
    watch.child("api", "started");
    started(&site, &["1 v1", "1 v2"]);
    // Its variables, though their folder did not exist.
    site.write("conf/.env", "A='one two' # of its own\n");
    watch.child("api", "started");
    site.write("src/a.txt", "two");
    watch.event("published");
    watch.child("api", "started");
    let seen = ["1 v1", "1 v2", "1 one two v2", "2 one two v2"];
    started(&site, &seen);
    assert_eq!(watch.builds(), 2, "none for its own sources");
    // An unreadable file is reported, and corrected.
    site.write("conf/.env", "not a line");
    let failed = watch.child("api", "failed");
    assert!(
        failed["message"].as_str().unwrap().ends_with("conf/.env: line 1 is not NAME=VALUE"),
        "{failed}"
    );
    site.write("conf/.env", "A=3");
    watch.child("api", "started");
    started(&site, &[&seen[..], &["2 3 v2"]].concat());
    watch.end(&site);
}

#[test]
fn who_starts_the_watch_has_the_last_word_on_variables() {
    let site = project(&format!("[watch.run.api]\ncommand = '{TELL}'\nenv_file = '.env'\n"));
    site.write("app.txt", "v1");
    site.write(".env", "A=theirs");
    let mut watch = Loop::of(site.command("watch --json").env("A", "mine").spawn());
    watch.child("api", "started");
    started(&site, &["1 mine v1"]);
    watch.end(&site);
}

#[test]
fn companions_outlive_commits() {
    let site = project(
        "[watch.run.changed]\ncommand = 'exec sleep 1000'\npaths = ['app.txt']\nrestart = 'change'\n\
         [watch.run.never]\ncommand = 'exec sleep 1000'\nrestart = 'never'\n\
         [watch.run.always]\ncommand = 'exec sleep 1000'\npaths = []\n",
    );
    site.write("app.txt", "v1");
    let mut watch = Loop::start(&site, "", "");
    let first = ["always", "changed", "never"].map(|name| watch.child(name, "started")["pid"].clone());
    site.write("src/a.txt", "two");
    watch.event("published");
    watch.child("always", "started");
    site.write("app.txt", "v2");
    watch.child("changed", "started");
    let states: Vec<_> = watch
        .events
        .iter()
        .filter(|event| event["event"] == "child")
        .map(|event| format!("{} {}", event["name"].as_str().unwrap(), event["state"].as_str().unwrap()))
        .collect();
    let once = ["always started", "changed started", "never started"];
    let then = ["always stopped", "always started", "changed stopped", "changed started"];
    assert_eq!(states, [&once[..], &then].concat(), "{first:?}");
    watch.end(&site);
}

#[test]
fn a_change_that_the_build_does_not_read_may_be_a_programs() {
    let site = project(&format!(
        "[watch.run]\napi = '{TELL}'\nother = {{ command = 'exec sleep 1000', paths = [] }}\n"
    ));
    site.write("app.txt", "v1");
    let mut watch = Loop::start(&site, "--path src --path app.txt", "");
    watch.child("api", "started");
    watch.child("other", "started");
    started(&site, &["1 v1"]);
    site.write("app.txt", "v2");
    watch.event("unchanged");
    assert_eq!(watch.event("restart")["name"], "api");
    watch.child("api", "started");
    started(&site, &["1 v1", "1 v2"]);
    let others = watch.events.iter().filter(|event| event["name"] == "other").count();
    assert_eq!(others, 1, "of that one it is known that it reads nothing else");
    watch.end(&site);
}

#[test]
fn the_stdin_of_a_program_is_open_and_says_nothing() {
    let site = project("[watch.run]\napi = 'echo >> runs; cat; echo >> over'\n");
    let mut watch = Loop::serving(&site);
    site.write("src/a.txt", "two");
    let stopped = watch.child("api", "stopped");
    assert_eq!(stopped["signal"], 15, "it did not end by itself");
    watch.child("api", "started");
    assert!(!site.has("over"));
    watch.end(&site);
}

#[test]
fn colours_are_kept_where_ours_are() {
    let tell = "echo ${FORCE_COLOR-none} ${CLICOLOR_FORCE-none} > seen-$WHO";
    let site = project(&format!("[watch.run]\napi = 'WHO=api; {tell}; exec sleep 1000'\n"));
    let check = |color: &str, variables: &[(&str, &str)], expected: &str| {
        let mut run = site.command(&format!("watch --color {color}")).env("TERM", "xterm-256color");
        run = run.env("COLORTERM", "");
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let build = format!("WHO=build; {tell}; cp src/* $GENSTORE_OUT/");
        let running = run.args(&["--", "sh", "-c", &build]).spawn();
        for who in ["seen-build", "seen-api"] {
            eventually("it saw them", || site.has(who) && !site.read(who).is_empty());
            assert_eq!(site.read(who), format!("{expected}\n"), "{color} {variables:?}");
            fs::remove_file(site.path(who)).unwrap();
        }
        running.signal("INT");
        running.end(&site);
    };
    check("always", &[], "2 1");
    check("always", &[("COLORTERM", "truecolor")], "3 1");
    check("always", &[("FORCE_COLOR", "0")], "0 none");
    check("never", &[], "none none");
}

#[test]
fn progress_and_questions_are_seen_while_a_program_works() {
    let site = project("");
    make_gate(&site);
    // A reader that meets the end of the writer before reads nothing, and opens the gate again.
    let wait = "until read go < gate; do :; done";
    let build =
        format!("printf '\\r1 of 2'; {wait}; printf '\\r2 of 2'; {wait}; echo; cp src/* $GENSTORE_OUT/");
    let mut running = site.command("watch").args(&["--", "sh", "-c", &build]).spawn();
    let mut seen = Vec::new();
    for part in ["build | 1 of 2", "\rbuild | 2 of 2"] {
        while !String::from_utf8_lossy(&seen).contains(part) {
            seen.extend(running.pipe_start(1));
        }
        open_gate(&site);
    }
    while !String::from_utf8_lossy(&seen).contains("Published") {
        seen.extend(running.pipe_start(1));
    }
    running.signal("INT");
    running.end_without_reading(&site);
}

#[test]
fn what_takes_its_time_to_stop_is_said_while_it_lasts() {
    let site =
        project("stop_timeout = '3s'\n[watch.run]\napi = \"trap '' TERM; while :; do sleep 1; done\"\n");
    let mut watch = Loop::serving(&site);
    site.write("src/a.txt", "two");
    let stopping = watch.child("api", "stopping");
    assert!((1..=1000).contains(&stopping["killed_after_ms"].as_u64().unwrap()), "{stopping}");
    assert_eq!(watch.child("api", "stopped")["signal"], 9);
    watch.end(&site);
}

/// A terminal's Ctrl-C arrives again from each runner above that forwards it.
#[test]
fn one_interruption_is_one_however_often_it_comes_within_a_second() {
    let drain =
        "trap 'sleep 0.3; echo > drained; exit 0' INT TERM; echo > up; while :; do sleep 0.05; done";
    let site = project(&format!("[watch.run]\napi = \"{drain}\"\n"));
    let watch = Loop::start(&site, "", "");
    eventually("it is up", || site.has("up"));
    watch.signal("INT");
    watch.end_by("INT", &site);
    assert!(site.has("drained"), "it was given its time");
}

#[test]
fn a_table_that_cannot_be_is_refused() {
    let site = project("");
    let check = |table: &str, message: &str| {
        site.write(
            "genstore.toml",
            format!("[build]\ncommand = 'true'\n[watch]\npaths = ['src']\n{table}\n"),
        );
        let run = site.run("watch").exits(2);
        assert!(run.stderr.contains(message), "{}", run.stderr);
    };
    check("[watch.run.api]\ncommand = 'x'\nrestrat = 'never'", "restrat");
    check("[watch.run.api]\ncommand = 'x'\nrestart = 'always'", "is not commit, change or never");
    check("[watch.run.api]\npaths = ['src']", "the key `command` is missing");
    check(
        "[watch.run.api]\ncommand = 'x'\npaths = ['src']\nrestart = 'never'",
        "has paths but never restarts",
    );
    check("[watch.run.api]\ncommand = 'x'\npaths = ['nowhere']", "cannot watch");
    check("run = ['api: x', 'api: y']", "two programs are called api");
}

#[test]
fn programs_run_at_once_on_what_is_current() {
    let site = project(&format!("[watch.run]\napi = '{TELL}'\n"));
    site.write("app.txt", "v1");
    site.run("build").ok();
    make_gate(&site);
    site.write("src/a.txt", "two");
    let mut watch = Loop::start(&site, "", "until read go < gate; do :; done; cp src/a.txt $GENSTORE_OUT/");
    watch.child("api", "started");
    started(&site, &["1 v1"]);
    assert!(watch.events.iter().all(|event| event["event"] != "build-end"));
    open_gate(&site);
    watch.event("published");
    watch.child("api", "started");
    started(&site, &["1 v1", "2 v1"]);
    watch.end(&site);
}

#[test]
fn status_shows_what_the_build_does_and_a_new_configuration_is_reported() {
    let site = project("run = ['api: sleep 1000']\n");
    let mut watch = Loop::published(&site);
    let state = || site.run("status --json").is_json("genstore.status/1")["watch"]["build"].clone();
    assert_eq!(state(), "done");
    let text = format!("{}# more\n", site.read("genstore.toml"));
    site.write("genstore.toml", text);
    site.write("src/folder/file", "cp without -r refuses it");
    assert_eq!(
        watch.event("warning")["message"],
        "genstore.toml has changed: it counts when the watch is started again"
    );
    watch.event("error");
    assert_eq!(state(), "failed");
    site.run("status").stdout_has("; the last build failed");
    watch.end(&site);
}

#[test]
fn a_change_of_a_program_and_of_what_it_imports_restarts_it_once_after_the_build() {
    let site = Site::new();
    site.write("src/a.txt", "one");
    site.write("api/main", "one");
    site.write(
        "genstore.toml",
        "[watch]\npaths = ['src']\ndebounce = '20ms'\n[watch.run.api]\npaths = ['api']\n\
         command = 'echo $(cat api/main) $(cat $GENSTORE_ROOT/a.txt) >> seen; sleep 1000'\n",
    );
    let build =
        "while test -e hold; do sleep 0.02; done; test ! -e src/broken && cp src/* \"$GENSTORE_OUT\"";
    let mut watch = Loop::start(&site, "", build);
    watch.child("api", "started");
    eventually("it ran", || site.has("seen"));
    // The build of the same change is under way when the program's own sources change.
    site.write("hold", "");
    site.write("src/a.txt", "two");
    watch.event("build-start");
    site.write("api/main", "two");
    has(&watch.event("restart"), json!({"name": "api", "paths": ["api/main"], "after_build": true}));
    fs::remove_file(site.path("hold")).unwrap();
    watch.event("published");
    watch.child("api", "started");
    eventually("it ran again", || site.read("seen").lines().count() == 2);
    assert_eq!(site.read("seen"), "one one\ntwo two\n");
    let restarts = watch.events.iter().filter(|event| event["event"] == "restart");
    assert_eq!(restarts.count(), 1, "{:#?}", watch.events);
    // If the build fails, it starts on what is current.
    site.write("src/broken", "");
    site.write("hold", "");
    watch.event("build-start");
    site.write("api/main", "three");
    has(&watch.event("restart"), json!({"after_build": true}));
    fs::remove_file(site.path("hold")).unwrap();
    assert!(watch.event("restart")["after_build"].is_null());
    watch.child("api", "started");
    eventually("it ran again", || site.read("seen").ends_with("three two\n"));
    watch.end(&site);
}

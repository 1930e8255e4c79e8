//! `watch` and its store: the effects of a rollback, a second watch, retention, views and a kill.

use crate::prelude::*;
use crate::watch::{Loop, gated, numbers, open_gate, project, wait_for_copy};

#[test]
fn a_rollback_is_not_overtaken() {
    let site = project("");
    let mut watch = Loop::published(&site);
    site.write("src/a.txt", "two");
    watch.event("published");
    site.run("rollback").ok();
    let activated = watch.then("activated");
    assert_eq!(numbers(&activated, ["generation", "previous"]), [Some(1), Some(2)]);
    assert_eq!(activated["held"], true);
    site.write("src/a.txt", "three");
    let kept = watch.event("kept");
    assert_eq!(numbers(&kept, ["generation", "current"]), [Some(3), Some(1)]);
    assert_eq!(site.read("genstore/current/lib/a.txt"), "one");
    // The same content is not kept twice.
    site.write("src/a.txt", "three");
    assert_eq!(watch.event("unchanged")["generation"], 3);
    // A new watch respects the hold, too.
    watch.end(&site);
    let mut watch = Loop::start(&site, "", "");
    assert_eq!(watch.events[0]["held"], true);
    watch.event("kept");
    site.run("resume").prints("Resumed: 1 [ID] -> 4 [ID]\n");
    assert_eq!(watch.then("activated")["held"], false);
    site.write("src/a.txt", "four");
    assert_eq!(watch.event("published")["generation"], 5);
    watch.end(&site);
}

#[test]
fn the_second_watch_of_a_store_is_refused_and_names_the_first() {
    let site = project("");
    let watch = Loop::published(&site);
    let error = site.run("watch --json").exits(11).json_error();
    assert_eq!(error["holders"][0]["pid"], watch.pid());
    assert_eq!(error["hint"], "only one process can watch a store: end the other one first");
    watch.end(&site);
    let watch = Loop::start(&site, "", "");
    watch.end(&site);
}

#[test]
fn what_retention_gives_up_does_not_pile_up() {
    let site = project("[retain]\nkeep_last = 2\ngrace = '0s'\n");
    let mut watch = Loop::start(&site, "--debounce 5ms", "");
    watch.event("published");
    for n in 0..20 {
        site.write("src/a.txt", format!("{n}"));
        watch.event("published");
    }
    let collected = match watch.events.iter().find(|event| event["event"] == "collected") {
        Some(collected) => collected.clone(),
        None => watch.event("collected"),
    };
    assert!(collected["objects"].as_u64() > Some(10), "{collected}");
    assert!(site.names("genstore/generations").len() <= 4);
    assert_eq!(site.read("genstore/current/lib/a.txt"), "19");
    watch.end(&site);
    site.run("verify").ok();
}

#[test]
fn a_build_that_writes_through_a_view_is_named_and_nothing_is_lost() {
    let site = project("[[view]]\npath = 'shown'\n");
    let build = "cp src/* $GENSTORE_OUT/; test ! -e src/bad || rm shown/a.txt";
    let mut watch = Loop::start(&site, "", build);
    watch.event("published");
    assert_eq!(site.read("shown/a.txt"), "one");
    site.write("src/bad", "");
    assert_eq!(watch.event("published")["generation"], 2);
    let warning = watch.then("warning");
    let told = "generation 1 was written to: removed a.txt; `genstore verify --repair` repairs it";
    assert_eq!(warning["message"], told);
    assert_eq!(site.read("shown/a.txt"), "one", "the current tree is whole");
    watch.end(&site);
    site.run("verify --repair");
    site.run("cat 1 a.txt").prints("one");
}

#[test]
fn a_build_whose_output_is_the_view_or_in_the_store_is_refused() {
    for output in ["shown", "genstore/out"] {
        let site = project("");
        site.run("init").ok();
        site.run("publish src").ok();
        site.run("view add shown").ok();
        let build = format!("mkdir -p {output} && echo new > {output}/new");
        let mut watch = Loop::start(&site, &format!("--output {output}"), &build);
        let error = watch.event("error");
        assert_eq!(error["code"], "bad-source", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!("{output}: it lies in the store, or is a view of it")),
            "{message}"
        );
        assert_eq!(site.run("current").ok().stdout, "1\n");
        watch.end(&site);
    }
}

#[test]
fn killed_at_any_event_it_leaves_a_whole_store_and_no_process() {
    // The watch is killed after each of these events: ready, build, child, a change, and so on.
    for events in 1..=12 {
        let site = project("run = ['echo $$ >> pids; exec sleep 1000']\n");
        let mut watch = Loop::start(&site, "--debounce 5ms", "echo $$ >> pids; cp src/* $GENSTORE_OUT/");
        while watch.events.len() < events {
            if watch.next().is_some_and(|event| event["event"] == "published") {
                site.write("src/a.txt", format!("{events}"));
            }
        }
        watch.kill();
        let pids = if site.has("pids") { site.read("pids") } else { String::new() };
        for pid in pids.lines() {
            let there = format!("/proc/{pid}/cmdline");
            // The file is empty for a zombie.
            eventually("it is gone", || fs::read(&there).map_or(true, |line| line.is_empty()));
        }
        let (report, current) = (site.run("verify").ok(), site.run("current"));
        assert!(report.stdout.contains("no damage"), "after {events} events: {}", report.stdout);
        assert!(current.status == 0 || events <= 4, "after {events} events: {}", current.stderr);
        site.run("publish src").ok();
        assert_eq!(site.names("genstore/staging"), [""; 0], "after {events} events");
    }
}

/// Removes files like `git clean -fdx`.
#[test]
fn a_store_that_is_removed_is_made_anew_and_all_is_served_again() {
    let site = project("[watch.run]\napi = 'exec sleep 1000'\n[[view]]\npath = 'shown'\n");
    let mut watch = Loop::published(&site);
    watch.child("api", "started");
    for round in ["two", "three"] {
        fs::remove_dir_all(site.path("genstore")).unwrap();
        fs::remove_file(site.path("shown")).unwrap();
        let gone = watch.event("store-gone");
        assert_eq!(gone["path"], site.path("genstore").to_str().unwrap());
        watch.child("api", "stopped");
        watch.event("ready");
        assert_eq!(watch.event("published")["generation"], 1);
        watch.child("api", "started");
        site.write("src/a.txt", round);
        watch.event("published");
        assert_eq!(site.read("shown/lib/a.txt"), round);
        watch.child("api", "started");
    }
    assert!(watch.events.iter().all(|event| event["event"] != "error"), "{:#?}", watch.events);
    watch.end(&site);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn resume_does_not_show_what_was_built_while_sources_changed() {
    let site = project("");
    let mut watch = Loop::start(&site, "", gated(&site));
    open_gate(&site);
    watch.event("published");
    site.write("src/a.txt", "two");
    wait_for_copy(&site, 2);
    open_gate(&site);
    assert_eq!(watch.event("published")["generation"], 2);
    site.run("rollback").ok();
    watch.event("activated");
    site.write("src/a.txt", "three");
    wait_for_copy(&site, 3);
    site.write("src/a.txt", "four");
    assert_eq!(watch.event("change")["queued"], false);
    assert_eq!(watch.event("change")["queued"], true);
    open_gate(&site);
    has(&watch.event("kept"), json!({"generation": 3, "why": "inputs-changed"}));
    site.run("resume").prints("Resumed: there is no newer build, 1 stays current\n");
    watch.end(&site);
}

#[test]
fn a_view_that_is_removed_is_made_anew_at_once() {
    let site = project("[[view]]\npath = 'deep/shown'\n[[view]]\npath = 'copied'\nas = 'mirror'\n");
    let mut watch = Loop::published(&site);
    for _ in 0..2 {
        fs::remove_file(site.path("deep/shown")).unwrap();
        let warning = watch.event("warning");
        assert!(
            warning["message"].as_str().unwrap().ends_with("/deep/shown was removed and is created again")
        );
        assert_eq!(site.read("deep/shown/lib/a.txt"), "one");
        fs::remove_dir_all(site.path("copied")).unwrap();
        watch.event("warning");
        assert_eq!(site.read("copied/lib/a.txt"), "one");
    }
    assert_eq!(watch.builds(), 1);
    watch.end(&site);
}

//! `history`: who did what and when; `--actor`.

use crate::prelude::*;

/// A site in which much was done, each time by somebody else.
fn lived() -> Site {
    let site = Site::of(&[("a.txt", "=one")]);
    let by = |who: &str, args: &str| site.command(args).env("GENSTORE_ACTOR", who).run().ok();
    by("ci", "publish dist -m first");
    site.write("dist/a.txt", "two");
    by("ci", "publish dist -m second");
    by("anna", "pin 1 stable -m audited --until 2026-03-01");
    by("anna", "rollback");
    site.write("dist/a.txt", "three");
    by("ci", "publish dist --no-activate");
    by("anna", "mark 2 good -m fine");
    by("ops", "switch 3");
    by("ops", "unpin stable");
    by("cron", "gc --keep-last 1 --grace 0s");
    site
}

#[test]
fn lists_who_did_what() {
    let site = lived();
    site.run("history").prints(
        "just now  cron  gc           removed 2 generations (2, 1), 2 objects, 9 B\n\
         just now  ops   unpin     1  stable\n\
         just now  ops   switch    3  was 1\n\
         just now  anna  mark      2  good: fine\n\
         just now  ci    publish   3  only kept\n\
         just now  anna  rollback  1  was 2; marked as bad: 2\n\
         just now  anna  pin       1  stable until 2026-03-01 00:00:00 UTC: audited\n\
         just now  ci    publish   2  was 1: second\n\
         just now  ci    publish   1  the first: first\n",
    );
    site.run("history -n 2 --format {event}:{generation}:{previous}:{by}:{time}")
        .prints("gc:::cron:2026-01-02T03:04:05Z\nunpin:1::ops:2026-01-02T03:04:05Z\n");
    site.run("history --format {no}").fails(2, "error: invalid value '{no}' for '--format <TEXT>'");
}

#[test]
fn tells_programs() {
    let site = lived();
    let doc = site.run("history --json").is_json("genstore.history/1");
    let time = "2026-01-02T03:04:05Z";
    assert_eq!(
        doc["events"],
        json!([
            {"time": time, "by": "cron", "event": "gc", "generation": null, "removed": [2, 1], "objects": 2, "bytes": 9},
            {"time": time, "by": "ops", "event": "unpin", "generation": 1, "name": "stable"},
            {"time": time, "by": "ops", "event": "switch", "generation": 3, "previous": 1},
            {"time": time, "by": "anna", "event": "mark", "generation": 2, "mark": "good", "why": "fine"},
            {"time": time, "by": "ci", "event": "publish", "generation": 3, "note": "", "activated": false},
            {"time": time, "by": "anna", "event": "rollback", "generation": 1, "previous": 2, "marked_bad": [2]},
            {"time": time, "by": "anna", "event": "pin", "generation": 1, "name": "stable", "why": "audited",
             "until": "2026-03-01T00:00:00Z"},
            {"time": time, "by": "ci", "event": "publish", "generation": 2, "previous": 1, "note": "second",
             "activated": true},
            {"time": time, "by": "ci", "event": "publish", "generation": 1, "note": "first", "activated": true},
        ])
    );
}

#[test]
fn names_the_end_of_a_hold_and_what_was_forgotten() {
    let site = Site::published();
    site.run("rollback --keep-good").ok();
    // A newer good one becomes current again.
    site.run("resume").ok();
    site.run("rollback").ok();
    site.run("resume").ok();
    site.run("resume").ok();
    site.run("history --format {event}:{generation}:{text}").prints(
        "resume:1:ended the hold\nrollback:1:was 2; marked as bad: 2\nresume:2:was 1\nrollback:1:was 2\n\
         publish:2:was 1\npublish:1:the first: first\n",
    );
    site.run("forget old.txt").ok();
    let doc = site.run("history --json").is_json("genstore.history/1");
    let digest = genstore::tree::Digest::of(b"old\n").to_string();
    let events: Vec<&str> = doc["events"]
        .as_array()
        .unwrap()
        .iter()
        .take(3)
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["gc", "publish", "forget"]);
    assert_eq!(doc["events"][2]["digests"], json!([digest]));
}

#[test]
fn switching_to_what_is_current_may_only_change_its_mark() {
    let site = Site::published();
    site.run("mark 2 bad").ok();
    site.run("switch 2").ok();
    site.run("switch 2").ok();
    site.run("history -n 2 --format {event}:{generation}:{text}").prints("mark:2:good\nmark:2:bad\n");
}

#[test]
fn lists_only_the_events_since_a_time() {
    let site = Site::published();
    site.command("pin 1 p").env("GENSTORE_NOW", "2026-01-05T00:00:00Z").run().ok();
    let later = |args: &str| site.command(args).env("GENSTORE_NOW", "2026-01-05T01:00:00Z").run();
    later("history --since 2h --format {event}").prints("pin\n");
    later("history --since 2026-01-02 --limit 2 --format {event}").prints("pin\npublish\n");
    later("history --since soon").exits(2).stderr_has("error: not a time: soon");
    let empty = Site::new();
    empty.run("init").ok();
    empty.run("history").prints("");
    assert_eq!(empty.run("history --json").is_json("genstore.history/1")["events"], json!([]));
}

#[test]
fn an_actor_may_be_named() {
    let site = Site::published();
    let by = |doc: &serde_json::Value| doc["events"][0]["by"].clone();
    let last = || by(&site.run("history -n 1 --json").is_json("genstore.history/1"));
    site.run("pin 1 a").ok();
    let default = last();
    let default = default.as_str().unwrap();
    assert!(
        default.starts_with("user tester, process ") && default.ends_with(", genstore pin"),
        "{default}"
    );
    site.command("pin 1 b").env("GENSTORE_ACTOR", "deploy bot").run().ok();
    assert_eq!(last(), "deploy bot");
    // A flag beats the environment.
    site.command("--actor anna pin 1 c").env("GENSTORE_ACTOR", "deploy bot").run().ok();
    assert_eq!(last(), "anna");
    site.write("dist/a.txt", "by anna");
    site.run("publish dist --actor anna").ok();
    assert_eq!(site.run("list -n 1 --format {by}").ok().stdout, "anna\n");
    site.run("publish dist --expect 1 --always --actor ops").exits(6).stderr_has("anna");

    site.run_with(&["pin", "1", "d", "--actor", ""])
        .fails(2, "error: invalid value '' for '--actor <WHO>': it is empty");
    site.run_with(&["pin", "1", "d", "--actor", "a\nb"]).exits(2).stderr_has("it has control characters");
    let long = "x".repeat(201);
    site.run_with(&["pin", "1", "d", "--actor", &long]).exits(2).stderr_has("it is longer than 200 bytes");
    site.command("pin 1 d").env("GENSTORE_ACTOR", &long).run().exits(2).says(
        "error: GENSTORE_ACTOR is no name: it is longer than 200 bytes\n\
         hint: name a person or a service, like `deploy bot`, or unset it\n",
    );
}

#[test]
fn logs_of_older_programs_and_lines_of_newer_ones_can_be_read() {
    let site = Site::published();
    let log = "\
{\"time\":{\"secs\":1000000000,\"nanos\":0},\"by\":\"old\",\"generation\":1,\"event\":\"publish\",\"manifest\":\"m\",\"created\":{\"secs\":1,\"nanos\":0},\"note\":\"n\",\"facts\":{}}\n\
{\"time\":{\"secs\":1000000000,\"nanos\":0},\"by\":\"old\",\"generation\":1,\"event\":\"activate\"}\n\
{\"time\":{\"secs\":1000000001,\"nanos\":0},\"by\":\"old\",\"generation\":2,\"event\":\"activate\",\"previous\":1}\n\
{\"time\":{\"secs\":1000000002,\"nanos\":0},\"by\":\"new\",\"generation\":2,\"event\":\"praise\"}\n\
{\"time\":{\"secs\":1000000003,\"nanos\":0},\"by\":\"new\",\"generation\":1,\"event\":\"activate\",\"previous\":2,\"cause\":\"whim\"}\n\
{\"time\":{\"secs\":1000000004,\"nanos\":0},\"by\":\"new\",\"generation\":2,\"event\":\"activate\",\"previous\":1,\"more\":[]}\n\
{\"cut\":";
    fs::write(site.path("genstore/log"), log).unwrap();
    site.run("history --format {by}:{event}:{generation}:{text}").prints(
        "new:activate:2:was 1\nnew:activate:1:was 2\nold:activate:2:was 1\nold:publish:1:the first: n\n",
    );
    site.run("rollback").ok().stdout_has("Rolled back: 2");
    site.run("history -n 1 --format {event}").prints("rollback\n");
}

#[test]
fn what_was_done_stands_if_the_log_cannot_be_written() {
    let site = Site::published();
    // The fault is at the write of the line, the last call of the verb.
    let steps = |args: &str| {
        (1..200).find(|step| {
            let fault = format!("{step}:eio");
            let run = site.command(args).env("GENSTORE_FAULT", fault).run();
            run.stderr.contains("could not write the log")
        })
    };
    assert!(steps("pin 1 kept").is_some(), "no warning was seen");
    site.run("path kept").ok();
    assert!(steps("mark 1 bad --json").is_some() || steps("mark 1 bad").is_some(), "no warning was seen");
}

#[test]
fn a_replaced_log_hides_the_history_and_stops_nothing() {
    let site = Site::published();
    fs::remove_file(site.path("genstore/log")).unwrap();
    fs::create_dir(site.path("genstore/log")).unwrap();
    site.run("pin 1 p").ok();
    site.run("unpin p").ok();
    site.run("history").prints("");
}

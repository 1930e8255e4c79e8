//! `switch`.

use crate::prelude::*;

#[test]
fn goes_in_either_direction() {
    let site = Site::published();
    site.run("switch 1").prints("Switched: 2 [ID] -> 1 [ID] (first)\n");
    site.run("current").prints("1\n");
    site.run("switch 2").prints("Switched: 1 [ID] -> 2 [ID]\n");
    site.run("switch 2").prints("Unchanged: generation 2 [ID] is already current\n");
    site.run("switch 1 -q").prints("");
}

#[test]
fn clears_a_bad_mark() {
    let site = Site::published();
    site.run("rollback").ok();
    site.run("switch 2").ok();
    assert_eq!(site.run("show 2 --json").is_json("genstore.show/1")["mark"], "good");
}

#[test]
fn starts_from_nothing() {
    let site = Site::of(&[("a", "=1")]);
    site.run("publish dist --no-activate").ok();
    site.run("switch 1").prints("Switched: nothing -> 1 [ID]\n");
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("switch 1 --json").is_json("genstore.switch/1");
    let expected = json!({
        "schema": "genstore.switch/1", "generation": 1, "tree": doc["tree"], "previous": 2, "changed": true,
        "refreshed": doc["refreshed"], "durable": true, "current": true, "warnings": [],
        "path": site.path("genstore/generations/1/tree").to_str().unwrap(),
    });
    assert_eq!(doc, expected);
    assert_eq!(site.run("switch 1 --json").is_json("genstore.switch/1")["changed"], false);
    assert_eq!(site.run("switch 7 --json").json_error()["near"], json!(["2", "1"]));
}

#[test]
fn wakes_who_watches_the_notice() {
    let site = Site::published();
    let before = site.read("genstore/notice");
    site.run("switch 1").ok();
    let after = site.read("genstore/notice");
    assert!(before.starts_with("2 ") && after.starts_with("1 "), "{before}{after}");
}

#[test]
fn shows_what_it_would_do() {
    let site = Site::published();
    site.run("switch 1 -n").is(0, "Would switch: 2 [ID] -> 1 [ID] (first)\n", "");
    site.run("switch 2 -n").prints("Would change nothing: generation 2 is already current\n");
    let doc = site.run("switch 1 -n --json").is_json("genstore.switch/1");
    assert_eq!((&doc["dry_run"], &doc["changed"]), (&json!(true), &json!(true)));
    site.run("switch 1 -n --expect 1").exits(6);
    site.run("switch 1 --expect none").exits(6);
    site.run("current").prints("2\n");
    site.run("switch 1 --expect 2").ok();
}

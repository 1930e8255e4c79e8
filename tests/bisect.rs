//! `bisect`: the search for the first bad generation.

use crate::prelude::*;

/// A site with nine generations. From the sixth on, `state` says that it is broken.
fn broken_at_six() -> Site {
    let site = Site::new();
    for number in 1..=9 {
        let state = if number < 6 { "works" } else { "is broken" };
        site.tree("dist", &[("number", &format!("={number}")), ("state", &format!("={state}"))]);
        site.run("publish dist").ok();
    }
    site
}

#[test]
fn a_command_finds_the_first_bad_generation() {
    let site = broken_at_six();
    site.run("bisect start 1").prints(
        "Test generation 5 at [DIR]/genstore/generations/5/tree: 7 generations left, at most 3 tests\n",
    );
    site.write(
        "test.sh",
        "echo $GENSTORE_GENERATION >>tested; grep -q works $GENSTORE_ROOT/state && [ -f $1/number ]\n",
    );
    let found = site.run("bisect run sh test.sh {}").ok();
    assert_eq!(found.stdout, "Generation 6 is the first bad one: 5 is good\n");
    assert_eq!(site.read("tested"), "5\n7\n6\n");
    // `current` stays, and so does the result until the end of the search.
    site.run("current").prints("9\n");
    has(
        &site.run("bisect status --json").is_json("genstore.bisect/1"),
        json!({"first_bad": 6, "good": 5, "bad": 6}),
    );
    site.run("bisect reset").prints("Ended the search\n");
    assert_eq!(site.names("genstore/pins"), [""; 0]);
    site.run("bisect reset").prints("No search is under way\n");
}

#[test]
fn the_search_goes_by_hand() {
    let site = broken_at_six();
    site.run("bisect start 2 8").ok();
    let doc = site.run("bisect good --json").is_json("genstore.bisect/1");
    has(&doc, json!({"good": 5, "bad": 8, "open": 2, "steps": 2, "next": 7}));
    has(&site.run("bisect bad 6 --json").is_json("genstore.bisect/1"), json!({"first_bad": 6, "open": 0}));
}

#[test]
fn gc_keeps_the_range_until_the_end() {
    let site = broken_at_six();
    site.run("bisect start 2").ok();
    site.run("gc --keep-last 1 --grace 0").ok();
    assert_eq!(site.names("genstore/generations").len(), 8, "only generation 1 is gone");
    site.run("bisect good 5").ok();
    site.run("gc --keep-last 1 --grace 0").ok();
    assert_eq!(site.names("genstore/generations"), ["5", "6", "7", "8", "9"]);
    // An abandoned search ends after seven days.
    let later =
        site.command("gc --keep-last 1 --grace 0").env("GENSTORE_NOW", "2026-01-09T03:04:06Z").run();
    later.ok();
    assert_eq!(site.names("genstore/generations"), ["9"]);
}

#[test]
fn a_generation_that_cannot_be_tested_is_skipped() {
    let site = broken_at_six();
    site.run("bisect start 4 7").ok();
    site.write(
        "test.sh",
        "[ $GENSTORE_GENERATION != 6 ] || exit 125; grep -q works $GENSTORE_ROOT/state\n",
    );
    let found = site.run("bisect run sh test.sh").exits(1);
    assert_eq!(
        found.stdout,
        "The first bad generation is 7, or one of those that were skipped: generation 6\n"
    );
}

#[test]
fn a_test_that_cannot_run_stops_the_search_where_it_is() {
    let site = broken_at_six();
    site.run("bisect start 1").ok();
    for script in ["exit 126", "kill -9 $$", "exit 200"] {
        let output = site.run_with(&["bisect", "run", "sh", "-c", script]).exits(1);
        assert!(output.stderr.contains("generation 5 was not tested"), "{script}: {}", output.stderr);
    }
    has(&site.run("bisect status --json").is_json("genstore.bisect/1"), json!({"next": 5, "open": 7}));
}

#[test]
fn refuses_what_makes_no_sense() {
    let site = broken_at_six();
    for verb in ["status", "good", "run true"] {
        let error = site.run(&format!("--json bisect {verb}")).json_error();
        has(&error, json!({"code": "no-search"}));
    }
    let error = site.run("bisect start 5 5 --json").json_error();
    has(&error, json!({"code": "bad-range", "exit": 2}));
    site.run("bisect start 1 4").ok();
    site.run("bisect good 7").is(
        1,
        "",
        "error: generation 7 is not between 1 (good) and 4 (bad)\n\
         hint: `genstore bisect status` names the generation to test\n",
    );
    site.run("bisect bad 2").ok();
    let error = site.run("bisect good --json").json_error();
    has(&error, json!({"code": "search-over"}));
}

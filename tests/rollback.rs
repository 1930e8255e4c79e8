//! `rollback`.

use crate::prelude::*;

#[test]
fn goes_back_and_marks() {
    let site = Site::published();
    site.run("rollback").is(
        0,
        "Rolled back: 2 [ID] -> 1 [ID] (first); 2 is marked bad\n",
        "hint: go forward again with `genstore switch 2`; gc keeps 2 until 2026-01-02 03:14:05 UTC\n",
    );
    assert_eq!(site.read("genstore/current/a.txt"), "one\n");
    let list = site.run("list").ok().stdout;
    assert!(list.contains("bad: rolled back to 1\n"), "{list}");
    site.run("rollback").exits(1).says(
        "error: there is no good generation older than 1\n\
         hint: `genstore list` shows all generations; `genstore switch` activates any of them\n",
    );
}

#[test]
fn goes_back_several_good_ones() {
    let site = Site::published();
    for content in ["3", "4", "5"] {
        site.write("dist/a.txt", content);
        site.run("publish dist").ok();
    }
    site.run("mark 4 bad").ok();
    site.run("rollback 2 -q").prints("");
    site.run("current").prints("2\n");
    site.run("rollback 2").fails(1, "error: there are not 2 good generations older than 2\n");
    site.run("rollback 0").fails(2, "error: invalid value '0' for '[N]'");
}

#[test]
fn keeps_the_mark_when_told() {
    let site = Site::published();
    site.run("rollback --keep-good").is(
        0,
        "Rolled back: 2 [ID] -> 1 [ID] (first)\n",
        "hint: go forward again with `genstore switch 2`; gc keeps 2 (last 5)\n",
    );
    let doc = site.run("show 2 --json").is_json("genstore.show/1");
    assert_eq!(doc["mark"], "good");
}

#[test]
fn says_what_becomes_of_the_one_it_left() {
    let site = Site::published();
    site.run("pin 2 stable").ok();
    site.run("rollback").ok().stderr_ends("; gc keeps 2 (pinned: stable)\n");
    site.run("switch 2").ok();
    site.run("unpin stable").ok();
    site.write("genstore.toml", "[retain]\ngrace = '0'\n");
    site.run("rollback").ok().stderr_ends("; the next gc removes 2\n");
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("rollback --json").is_json("genstore.rollback/1");
    let expected = json!({
        "schema": "genstore.rollback/1", "generation": 1, "tree": doc["tree"], "previous": 2, "changed": true,
        "marked_bad": 2, "refreshed": doc["refreshed"], "durable": true, "current": true, "warnings": [],
        "path": site.path("genstore/generations/1/tree").to_str().unwrap(),
    });
    assert_eq!(doc, expected);
    // Servers that compare mtimes must see that the file changed.
    assert!(doc["refreshed"].as_u64().unwrap() >= 1);
    let doc = site.run("rollback --json");
    assert_eq!(doc.json_error()["code"], "nothing-older");
}

#[test]
fn goes_only_to_what_was_current() {
    let site = Site::new();
    for (content, flags) in [("1", ""), ("2", "--no-activate"), ("3", ""), ("4", "--no-activate")] {
        site.write("dist/a", content);
        site.run(&format!("publish dist {flags}")).ok();
    }
    let doc = site.run("rollback --json").is_json("genstore.rollback/1");
    assert_eq!((doc["generation"].as_u64(), doc["previous"].as_u64()), (Some(1), Some(3)));
    site.run("switch 4").ok();
    // 3 is marked bad and 2 was never current.
    site.run("rollback -q").prints("");
    site.run("current").prints("1\n");
    site.run("switch 2").ok();
    site.run("switch 3").ok();
    // By now 2 was.
    site.run("rollback -q").prints("");
    site.run("current").prints("2\n");
}

#[test]
fn says_what_it_passes_over() {
    let site = Site::new();
    for (content, flags) in [("1", "--no-activate"), ("2", "")] {
        site.write("dist/a", content);
        site.run(&format!("publish dist {flags}")).ok();
    }
    site.run("rollback").exits(1).says(
        "error: there is no good generation older than 2 that was current before (1 never was)\n\
         hint: `genstore list` shows all generations; `genstore switch` activates any of them\n",
    );
    site.run("current").prints("2\n");
}

#[test]
fn shows_what_it_would_do() {
    let site = Site::published();
    site.run("rollback -n").is(0, "Would roll back: 2 [ID] -> 1 [ID] (first); 2 would be marked bad\n", "");
    site.run("rollback -n --keep-good").prints("Would roll back: 2 [ID] -> 1 [ID] (first)\n");
    let doc = site.run("rollback -n --json").is_json("genstore.rollback/1");
    assert_eq!((&doc["dry_run"], &doc["generation"]), (&json!(true), &json!(1)));
    assert_eq!((&doc["previous"], &doc["marked_bad"]), (&json!(2), &json!(2)));
    site.run("current").prints("2\n");
    site.run("rollback --expect 1").exits(6);
    site.run("rollback --expect 2").ok();
    site.run("rollback -n").fails(1, "error: there is no good generation older than 1");
}

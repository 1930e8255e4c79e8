//! `list --limit`, `--since` and `--format`, and `wait --follow`: the history for programs.

use crate::prelude::*;

#[test]
fn a_list_is_cut_and_formatted() {
    let site = Site::published();
    site.write("dist/a.txt", "3");
    site.command("publish dist").env("GENSTORE_NOW", "2026-01-05T00:00:00Z").run().ok();
    site.run("switch 1").ok();
    let list = |args: &[&str]| {
        let run = site.command("list").args(args).env("GENSTORE_NOW", "2026-01-05T12:00:00Z").run();
        run.ok().stdout
    };
    let numbers = |args: &[&str]| list(&[args, &["--format", "{generation}"]].concat()).replace('\n', " ");
    for (args, expected) in [
        (&["--limit", "2"][..], "3 2 "),
        (&["--limit", "9"], "3 2 1 "),
        (&["--since", "1d"], "3 "),
        (&["--since", "2026-01-02"], "3 2 1 "),
        (&["--since", "2026-01-02T03:04:06Z"], "3 "),
        (&["--since", "7d", "--limit", "1"], "3 "),
        (&["--since", "1h"], ""),
    ] {
        assert_eq!(numbers(args), expected, "{args:?}");
    }
    assert!(list(&["--limit", "2"]).contains("\n2 of 3 generations, "));
    assert_eq!(
        list(&[
            "--limit",
            "1",
            "--format",
            "{{{generation}}} {time} {activated} {current} {mark}|{pins}|{note}"
        ]),
        "{3} 2026-01-05T00:00:00Z 2026-01-05T00:00:00Z false good||\n"
    );
    let doc = site.run("list --json --since 2026-01-01").is_json("genstore.list/1");
    let by = doc["generations"][2]["by"].as_str().unwrap();
    assert!(by.starts_with("user tester, process ") && by.ends_with(", genstore publish"), "{by}");
    assert_eq!(doc["generations"][2]["activated"], "2026-01-02T03:04:05Z");
    for (args, told) in [
        ("--format {size}", "there is no field size; known here: generation, tree, short"),
        ("--format }x", "a `}` stands alone"),
        ("--since yesterday", "not a time: yesterday"),
        ("--limit 0", "invalid value '0'"),
    ] {
        let output = site.run(&format!("list {args}"));
        assert_eq!((output.status, output.stderr.contains(told)), (2, true), "{args}: {}", output.stderr);
    }
}

#[test]
fn a_follower_misses_no_move() {
    let site = Site::published();
    let mut waiting = site.command("wait --follow --json --after 1").spawn();
    waiting.wait_for_watch();
    let lines = waiting.lines();
    // Moves that come faster than anybody could look.
    for args in ["switch 1", "switch 2", "publish dist", "rollback", "switch 2"] {
        site.run(args).ok();
    }
    let event = |line: String| -> (u64, u64, String) {
        let doc: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&doc["schema"], &doc["event"]), (&json!("genstore.follow/1"), &json!("activated")));
        let by = doc["by"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
        (doc["generation"].as_u64().unwrap(), doc["previous"].as_u64().unwrap(), by)
    };
    let found: Vec<_> = lines.iter().take(5).map(event).collect();
    let moved = |to, from, by: &str| (to, from, by.to_owned());
    let expected = [
        moved(2, 1, "publish"),
        moved(1, 2, "switch"),
        moved(2, 1, "switch"),
        moved(1, 2, "rollback"),
        moved(2, 1, "switch"),
    ];
    assert_eq!(found, expected);
}

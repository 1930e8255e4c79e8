//! `gc`.

use crate::prelude::*;

/// A time after the grace time.
const LATER: &str = "2026-01-02T04:04:05Z";

/// Creates five generations: 1 and 2 as published, 3 marked as bad, 4 pinned, 5 current.
fn five() -> Site {
    let site = Site::published();
    for content in ["3", "44", "555"] {
        site.write("dist/a.txt", content);
        site.run("publish dist").ok();
    }
    site.run("mark 3 bad").ok();
    site.run("pin 4 stable").ok();
    site
}

#[test]
fn the_dry_run_and_the_real_one_say_the_same() {
    let site = five();
    let lines = "\
keep    5  current; last 2\n\
keep    4  pinned: stable; last 2\n\
remove  3  marked as bad\n\
remove  2  older than last 2\n\
remove  1  older than last 2\n";
    let totals = "3 generations, 4 objects, 17 B: 34 B -> 17 B\n";
    let gc =
        |args: &str| site.command(&format!("gc --keep-last 2 {args}")).env("GENSTORE_NOW", LATER).run();
    gc("-n").prints(&format!("{lines}Would remove {totals}"));
    assert_eq!(site.names("genstore/generations"), ["1", "2", "3", "4", "5"]);
    gc("").prints(&format!("{lines}Removed {totals}"));
    assert_eq!(site.names("genstore/generations"), ["4", "5"]);
    let left = "keep  5  current; last 2\nkeep  4  pinned: stable; last 2\n";
    gc("--dry-run").prints(&format!("{left}Would remove nothing: 17 B\n"));
    gc("").prints(&format!("{left}Removed nothing: 17 B\n"));
    site.run("verify").ok();
    // Numbers are never used again.
    site.write("dist/a.txt", "6");
    assert!(site.run("publish dist").ok().stdout.contains("generation 6 "));
}

#[test]
fn every_reason_is_named() {
    let site = five();
    site.run("gc -n --keep-last 0 --keep-within 2h --grace 15m").prints(
        "keep  5  current; within 2h\n\
         keep  4  pinned: stable; within 2h; was current less than 15m ago\n\
         keep  3  within 2h; was current less than 15m ago\n\
         keep  2  within 2h; was current less than 15m ago\n\
         keep  1  within 2h; was current less than 15m ago\n\
         Would remove nothing: 34 B\n",
    );
    site.run("gc -n --keep-last 0 --grace 0").ok().stdout_has("remove  2  not kept by any rule\n");
    // The defaults are five good generations and ten minutes.
    site.run("gc -n").ok().stdout_has("keep  3  was current less than 10m ago\nkeep  2  last 5; was");
}

#[test]
fn the_project_has_a_rule_and_flags_beat_it() {
    let site = five();
    site.write("genstore.toml", "[retain]\nkeep_last = 1\nkeep_within = '30m'\ngrace = '0'\n");
    let gc = |args: &str, now: &str| {
        let run = site.command(&format!("gc -n --json {args}")).env("GENSTORE_NOW", now).run();
        let doc = run.is_json("genstore.gc/1");
        doc["remove"].as_array().unwrap().len()
    };
    assert_eq!(gc("", crate::harness::NOW), 0);
    assert_eq!(gc("", LATER), 3);
    assert_eq!(gc("--keep-last 3", LATER), 2);
    assert_eq!(gc("--keep-within 2h", LATER), 0);
    assert_eq!(gc("--grace 2h", LATER), 0);
}

#[test]
fn tells_programs() {
    let site = five();
    let gc = |args: &str| {
        let args = format!("gc --keep-last 2 --json {args}");
        site.command(&args).env("GENSTORE_NOW", LATER).run().is_json("genstore.gc/1")
    };
    let mut expected = json!({
        "schema": "genstore.gc/1", "dry_run": true,
        "keep": [
            {"generation": 5, "reasons": ["current", "last 2"]},
            {"generation": 4, "reasons": ["pinned: stable", "last 2"]},
        ],
        "remove": [
            {"generation": 3, "reasons": ["marked as bad"]},
            {"generation": 2, "reasons": ["older than last 2"]},
            {"generation": 1, "reasons": ["older than last 2"]},
        ],
        "objects": 4, "bytes": 17, "before_bytes": 34, "after_bytes": 17,
    });
    assert_eq!(gc("-n"), expected);
    expected["dry_run"] = json!(false);
    assert_eq!(gc(""), expected);
}

#[test]
fn refuses_what_is_no_rule() {
    let site = five();
    site.run("gc --keep-last few").fails(2, "error: invalid value 'few' for '--keep-last <N>'");
    site.run("gc --grace 10").fails(
        2,
        "error: invalid value '10' for '--grace <DUR>': not a duration: 10 (write it like 30s, 10m, 2h or 7d)\n",
    );
    site.run("gc --keep-within -1s").fails(2, "error: ");
}

#[test]
fn removes_what_a_dead_process_left() {
    let site = five();
    site.write("dist/a.txt", "6");
    site.command("publish dist").env("GENSTORE_FAULT", "7:kill").run().exits(137);
    assert_ne!(genstore_testkit::debris(&site.path("genstore")), [""; 0]);
    site.run("gc -q").prints("");
    assert_eq!(genstore_testkit::debris(&site.path("genstore")), [""; 0]);
}

#[test]
fn a_damaged_manifest_ends_it_before_anything_goes() {
    let site = five();
    let manifest = site.path("genstore/generations/2/manifest");
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, "no").unwrap();
    site.run("gc --keep-last 1 --grace 0").fails(4, "error: generation 2 is damaged: ");
    assert_eq!(site.names("genstore/generations"), ["1", "2", "3", "4", "5"]);
}

//! `show`.

use crate::prelude::*;

#[test]
fn shows_facts_and_what_keeps_it() {
    let site = Site::published();
    site.run("show").prints(
        "generation 2 (current)\n\
         \x20 tree      [ID]\n\
         \x20 created   2026-01-02 03:04:05 UTC (just now)\n\
         \x20 files     4 (20 B)\n\
         \x20 shared    8 B with other generations\n\
         \x20 exclusive 12 B, freed by removing it\n\
         \x20 mark      good\n\
         \x20 kept by   current; last 5\n\
         \x20 path      [DIR]/genstore/generations/2/tree\n",
    );
    site.run("mark 1 bad -m broken").ok();
    site.run("pin 1 stable -m why").ok();
    site.run("pin 1 until --until 1d").ok();
    site.run("show stable").prints(
        "generation 1\n\
         \x20 tree      [ID]\n\
         \x20 created   2026-01-02 03:04:05 UTC (just now)\n\
         \x20 note      first\n\
         \x20 facts     commit=abc\n\
         \x20 files     4 (16 B)\n\
         \x20 shared    8 B with other generations\n\
         \x20 exclusive 8 B, freed by removing it\n\
         \x20 mark      bad (broken)\n\
         \x20 pins      stable: why\n\
         \x20           until (until 2026-01-03 03:04:05 UTC)\n\
         \x20 kept by   pinned: stable; pinned: until; was current less than 10m ago\n\
         \x20 path      [DIR]/genstore/generations/1/tree\n",
    );
}

#[test]
fn says_what_gc_would_remove() {
    let site = Site::published();
    site.write("genstore.toml", "[retain]\nkeep_last = 1\ngrace = '0'\n");
    site.run("show 1").ok().stdout_has("  kept by   nothing: gc removes it\n");
}

#[test]
fn lists_entries() {
    let site =
        Site::of(&[("a\nb", "=one\n"), ("empty", "="), ("link", ">a"), ("dir", "/"), ("run", "!#!")]);
    site.run("publish dist").ok();
    let text = site.run("show --tree").ok().stdout;
    let (_, entries) = text.split_once("\n\n").unwrap();
    assert_eq!(
        entries,
        "f  4 B  [ID]  a\\nb\n\
         d                 dir/\n\
         f  0 B  [ID]  empty\n\
         l                 link -> a\n\
         x  2 B  [ID]  run\n"
    );
    let doc = site.run("show --tree --json").is_json("genstore.show/1");
    let entries = doc["entries"].as_array().unwrap();
    assert_eq!(entries[0]["path_b64"], "YQpi");
    assert_eq!(entries[1], json!({"path": "dir", "kind": "directory"}));
    assert_eq!(entries[3], json!({"path": "link", "kind": "symlink", "target": "a"}));
    has(&entries[4], json!({"kind": "file", "executable": true}));
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("show 1 --json").is_json("genstore.show/1");
    let expected = json!({
        "schema": "genstore.show/1", "generation": 1, "tree": doc["tree"], "current": false,
        "time": "2026-01-02T03:04:05Z", "note": "first", "facts": {"commit": "abc"}, "files": 4,
        "entry_count": 4, "bytes": 16, "added_bytes": 16, "shared_bytes": 8, "exclusive_bytes": 8,
        "mark": "good", "mark_why": null, "pins": [], "kept_by": ["last 5", "was current less than 10m ago"],
        "path": site.path("genstore/generations/1/tree").to_str().unwrap(),
    });
    assert_eq!(doc, expected);
}

#[test]
fn unknown_names_get_near_ones() {
    let site = Site::published();
    site.run("pin 1 stable").ok();
    let check = |rev: &str, hint: &str| {
        let error = format!("error: no generation is called {rev}\nhint: {hint}\n");
        site.run(&format!("show {rev}")).is(1, "", &error);
    };
    check("7", "did you mean 2 or 1? `genstore list` shows all");
    check("stabel", "did you mean stable? `genstore list` shows all");
    check("zzz", "`genstore list` shows all generations");
    check("@-9", "did you mean 1? `genstore list` shows all");
    check("012345", "`genstore list` shows all generations");
    let error = site.run("show stabel --json").json_error();
    let facts = (&error["code"], &error["exit"], &error["near"]);
    assert_eq!(facts, (&json!("unknown-ref"), &json!(1), &json!(["stable"])));
}

#[test]
fn every_way_to_name_a_generation_works() {
    let site = Site::published();
    site.run("pin 1 stable").ok();
    let tree = site.run("show 1 --json").is_json("genstore.show/1")["tree"].as_str().unwrap().to_owned();
    for rev in ["1", "@-", "@-1", "stable", &tree[..6], &tree] {
        let doc = site.run(&format!("show {rev} --json")).is_json("genstore.show/1");
        assert_eq!(doc["generation"], 1, "{rev}");
    }
    assert_eq!(site.run("show @ --json").is_json("genstore.show/1")["generation"], 2);
}

#[test]
fn of_several_with_one_tree_the_current_one_is_meant_or_the_newest() {
    let site = Site::new();
    for content in ["a", "b", "a", "c", "a", "d"] {
        site.write("dist/file", content);
        site.run("publish dist").ok();
    }
    let tree = site.run("show 1 --json").is_json("genstore.show/1")["tree"].as_str().unwrap().to_owned();
    let named = |site: &Site| site.run(&format!("show {} --json", &tree[..8])).is_json("genstore.show/1");
    assert_eq!(named(&site)["generation"], 5);
    site.run("switch 3 -q").ok();
    assert_eq!(named(&site)["generation"], 3);
}

#[test]
fn another_s_damage_hides_nothing() {
    let site = Site::published();
    let manifest = site.path("genstore/generations/1/manifest");
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, "no").unwrap();
    let text = site.run("show").ok().stdout;
    assert!(text.contains("  shared    8 B with other generations\n"), "{text}");
    assert!(text.contains("  kept by   current; last 5\n"), "{text}");
    has(
        &site.run("show --json").is_json("genstore.show/1"),
        json!({"kept_by": ["current", "last 5"], "shared_bytes": 8}),
    );
    site.run("show 1").fails(4, "error: generation 1 is damaged: its manifest: shorter than its frame\n");
}

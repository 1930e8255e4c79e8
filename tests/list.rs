//! `list`, also called `ls`.

use crate::prelude::*;

#[test]
fn lists_newest_first() {
    let site = Site::published();
    let text = "\
\x20 2  [ID]  just now  4 files  20 B  +12 B         (current)\n\
\x20 1  [ID]  just now  4 files  16 B  +16 B  first\n\
2 generations, 28 B on disk (36 B apparent)\n";
    for name in ["list", "ls"] {
        site.run(name).prints(text);
    }
}

#[test]
fn shows_ages_marks_pins_and_long_notes() {
    let site = Site::published();
    let note = "a note that is far too long to be shown in a list as it is\nand has two lines";
    site.write("dist/a.txt", "x");
    site.run_with(&["publish", "dist", "-m", note]).ok();
    site.run("mark 1 bad -m broken").ok();
    site.run("pin 2 stable").ok();
    site.run("pin 2 other --until 1h").ok();
    site.command("list").env("GENSTORE_NOW", "2026-01-02T06:04:05Z").run().prints(
        "\x20 3  [ID]  3 h ago  4 files  13 B   +1 B  a note that is far too long to be shown in a list…  (current)\n\
         \x20 2  [ID]  3 h ago  4 files  20 B  +12 B                                                      pinned: stable\n\
         \x20 1  [ID]  3 h ago  4 files  16 B  +16 B  first                                               bad: broken\n\
         3 generations, 29 B on disk (49 B apparent)\n",
    );
}

#[test]
fn tells_programs() {
    let site = Site::published();
    site.run("pin 1 stable -m why").ok();
    site.run("mark 1 bad -m broken").ok();
    let doc = site.run("list --json").is_json("genstore.list/1");
    let tree = |nth: usize| doc["generations"][nth]["tree"].clone();
    let by = |nth: usize| doc["generations"][nth]["by"].clone();
    assert_eq!(tree(0).as_str().unwrap().len(), 64);
    let expected = json!({
        "schema": "genstore.list/1", "current": 2, "store_bytes": 28, "damaged": [],
        "generations": [
            {"generation": 2, "tree": tree(0), "time": "2026-01-02T03:04:05Z", "note": "", "facts": {},
             "pins": [], "mark": "good", "mark_why": null, "current": true, "files": 4, "bytes": 20,
             "added_bytes": 12, "by": by(0), "activated": "2026-01-02T03:04:05Z"},
            {"generation": 1, "tree": tree(1), "time": "2026-01-02T03:04:05Z", "note": "first",
             "facts": {"commit": "abc"}, "mark": "bad", "mark_why": "broken", "current": false,
             "files": 4, "bytes": 16, "added_bytes": 16, "by": by(1), "activated": "2026-01-02T03:04:05Z",
             "pins": [{"name": "stable", "made": "2026-01-02T03:04:05Z", "why": "why", "until": null}]},
        ],
    });
    assert_eq!(doc, expected);
}

#[test]
fn says_that_a_store_is_empty() {
    let site = Site::new();
    site.run("init").ok();
    let said =
        "The store [DIR]/genstore has no generations yet\nhint: publish one with `genstore publish DIR`\n";
    site.run("list").is(0, "", said);
    site.run("list -q").prints("");
    let doc = site.run("list --json").is_json("genstore.list/1");
    assert_eq!(
        doc,
        json!({"schema": "genstore.list/1", "current": null, "generations": [], "damaged": [], "store_bytes": 0})
    );
}

#[test]
fn a_damaged_generation_does_not_hide_the_others() {
    let site = Site::published();
    let manifest = site.path("genstore/generations/1/manifest");
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, "no").unwrap();
    let cause = "its manifest: shorter than its frame";
    let lines = "\x20 2  [ID]  just now  4 files  20 B  +12 B  (current)\n\
                 1 generation, 28 B on disk (20 B apparent)\n";
    let warning = format!(
        "warning: generation 1 is damaged: {cause}\nhint: run `genstore verify --repair` to repair what can be repaired\n"
    );
    site.run("list").is(4, lines, &warning);
    let doc = site.run("list --json").exits(4).json("genstore.list/1");
    assert_eq!(doc["damaged"], json!([{"generation": 1, "cause": cause}]));
    assert_eq!(doc["generations"].as_array().unwrap().len(), 1);
}

#[test]
fn a_damaged_record_hides_no_generation() {
    let site = Site::published();
    site.run("pin 1 keep").ok();
    site.write("genstore/pins/spoilt", "no");
    fs::create_dir(site.path("genstore/marks/2")).unwrap();
    let output = site.run("list").exits(4);
    assert!(output.stdout.contains("2 generations"), "{}", output.stdout);
    assert!(output.stdout.contains("keep"), "{}", output.stdout);
    assert_eq!(
        output.stderr,
        "warning: [DIR]/genstore/pins/spoilt is damaged: it is cut short\n\
         warning: [DIR]/genstore/marks/2 is damaged: it is not a regular file\n\
         hint: run `genstore verify --repair` to repair what can be repaired\n"
    );
    let doc = site.run("list --json").json("genstore.list/1");
    assert_eq!(doc["records"].as_array().unwrap().len(), 2);
    site.run("show keep").ok();
    site.run("show spoilt").fails(4, "error: [DIR]/genstore/pins/spoilt is damaged: it is cut short");
    assert_eq!(site.run("verify --repair").status, 3);
    site.run("list").ok();
}

//! `blame`: which generations brought what a generation has.

use crate::prelude::*;

fn publish(site: &Site, note: &str) {
    site.run_with(&["publish", "dist", "-m", note]).ok();
}

/// A site whose `page.txt` changed three times.
fn written() -> Site {
    let site = Site::of(&[("page.txt", "=one\ntwo\nthree\n"), ("other", "=other")]);
    publish(&site, "begin");
    site.write("dist/page.txt", "one\nTWO\nthree\n");
    publish(&site, "shout");
    site.write("dist/other", "changed");
    publish(&site, "other");
    site.write("dist/page.txt", "zero\none\nTWO\nthree\nfour");
    publish(&site, "more");
    site
}

const LINES: &str = "\
\x20 4  just now  user tester  1  zero\n\
\x20^1  just now  user tester  2  one\n\
\x20 2  just now  user tester  3  TWO\n\
\x20^1  just now  user tester  4  three\n\
\x20 4  just now  user tester  5  four\n";

#[test]
fn names_the_generation_that_brought_each_line() {
    let site = written();
    site.run("blame page.txt").prints(LINES);
    site.run("blame ./page.txt 4").prints(LINES);
    site.run("blame page.txt 3").prints(
        "\x20^1  just now  user tester  1  one\n\
         \x20 2  just now  user tester  2  TWO\n\
         \x20^1  just now  user tester  3  three\n",
    );
}

#[test]
fn tells_programs() {
    let site = written();
    let doc = site.run("blame page.txt --json").is_json("genstore.blame/1");
    has(
        &doc,
        json!({
            "generation": 4, "path": "page.txt", "kind": "text", "origin": 4, "damaged": [],
            "lines": [
                {"first": 1, "count": 1, "generation": 4}, {"first": 2, "count": 1, "generation": 1},
                {"first": 3, "count": 1, "generation": 2}, {"first": 4, "count": 1, "generation": 1},
                {"first": 5, "count": 1, "generation": 4},
            ],
        }),
    );
    let named: Vec<_> = doc["generations"].as_array().unwrap().iter().collect();
    assert_eq!(named.len(), 3);
    has(
        named[0],
        json!({"generation": 4, "note": "more", "time": "2026-01-02T03:04:05Z", "path": "page.txt", "oldest": false}),
    );
    has(named[2], json!({"generation": 1, "note": "begin", "oldest": true}));
    let doc = site.run("blame other --json").is_json("genstore.blame/1");
    has(&doc, json!({"kind": "text", "origin": 3, "lines": [{"first": 1, "count": 1, "generation": 3}]}));
}

#[test]
fn follows_renames() {
    let site = Site::of(&[("a/old.txt", "=one\ntwo\n")]);
    publish(&site, "");
    site.tree("dist", &[("b/new.txt", "=one\ntwo\n")]);
    publish(&site, "moved");
    site.write("dist/b/new.txt", "one\ntwo\nthree\n");
    publish(&site, "");
    site.run("blame b/new.txt").prints(
        "\x20^1  just now  user tester  a/old.txt  1  one\n\
         \x20^1  just now  user tester  a/old.txt  2  two\n\
         \x20 3  just now  user tester             3  three\n",
    );
    let doc = site.run("blame b/new.txt 2 --json").is_json("genstore.blame/1");
    has(
        &doc,
        json!({"origin": 1, "generations": [{
            "generation": 1, "path": "a/old.txt", "oldest": true, "note": "", "time": "2026-01-02T03:04:05Z",
            "by": doc["generations"][0]["by"],
        }]}),
    );
}

#[test]
fn binary_files_symlinks_and_empty_files_have_one_origin() {
    let site = Site::of(&[("bin", "=\0one"), ("link", ">bin"), ("empty", "="), ("was", "=\0binary")]);
    publish(&site, "first");
    site.write("dist/bin", "\0two");
    site.write("dist/was", "text\n");
    publish(&site, "second");
    // Another mode is no other content.
    fs::set_permissions(site.path("dist/bin"), fs::Permissions::from_mode(0o755)).unwrap();
    publish(&site, "third");
    site.run("blame bin").prints("\x20 2  just now  user tester  second\n");
    site.run("blame link").prints("\x20^1  just now  user tester  first\n");
    site.run("blame empty").prints("\x20^1  just now  user tester  first\n");
    site.run("blame was").prints("\x20 2  just now  user tester  1  text\n");
    let doc = site.run("blame bin --json").is_json("genstore.blame/1");
    assert_eq!((&doc["kind"], &doc["origin"], doc.get("lines")), (&json!("file"), &json!(2), None));
    assert_eq!(site.run("blame link --json").is_json("genstore.blame/1")["kind"], "symlink");
}

#[test]
fn names_the_generation_that_last_changed_each_entry_of_a_folder() {
    let site = Site::of(&[
        ("docs/a", "=a"),
        ("docs/sub/x", "=x"),
        ("docs/sub/y", "=y"),
        ("docs2", "=z"),
        ("top", "=t"),
    ]);
    publish(&site, "first");
    site.write("dist/docs/sub/x", "xx");
    publish(&site, "second");
    fs::remove_file(site.path("dist/docs/sub/y")).unwrap();
    site.write("dist/top", "tt");
    publish(&site, "third");
    site.run("blame docs").prints(
        "\x20^1  just now  user tester  docs/a     1 B  first\n\
         \x20 3  just now  user tester  docs/sub/  2 B  third\n",
    );
    site.run("blame docs 2").prints(
        "\x20^1  just now  user tester  docs/a     1 B  first\n\
         \x20 2  just now  user tester  docs/sub/  3 B  second\n",
    );
    let all = "\x20 3  just now  user tester  docs/  3 B  third\n\
               \x20^1  just now  user tester  docs2  1 B  first\n\
               \x20 3  just now  user tester  top    2 B  third\n";
    site.run("blame").prints(all);
    site.run("blame .").prints(all);
    let doc = site.run("blame docs --json").is_json("genstore.blame/1");
    has(
        &doc,
        json!({"kind": "directory", "path": "docs", "entries": [
            {"path": "docs/a", "kind": "file", "bytes": 1, "generation": 1},
            {"path": "docs/sub", "kind": "directory", "bytes": 2, "generation": 3},
        ]}),
    );
    assert_eq!(doc["generations"].as_array().unwrap().len(), 2);
}

#[test]
fn shows_lines_that_a_terminal_would_obey_escaped() {
    let site = Site::of(&[("a.txt", "=\u{1b}[31mr\tx\r\n")]);
    publish(&site, "");
    site.run("blame a.txt").prints("\x20^1  just now  user tester  1  \\u{1b}[31mr     x\n");
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    let site = written();
    site.run("blame nothing").exits(1).says(
        "error: generation 4 has no nothing\nhint: `genstore log PATH` finds the generations that had it\n",
    );
    assert_eq!(site.run("blame nothing --json").exits(1).json_error()["code"], "no-such-file");
    site.run("blame page.txt 9").fails(1, "error: no generation is called 9");
}

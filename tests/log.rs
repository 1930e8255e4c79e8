//! `log`: what each generation changed.

use crate::prelude::*;

#[test]
fn lists_how_much_each_generation_changed() {
    let site = Site::published();
    site.run("log").prints(
        "\x20 2  [ID]  just now  user tester  +1 ~1 -1, 1 renamed   +4 B         (current)\n\
         \x20^1  [ID]  just now  user tester  +4 ~0 -0             +16 B  first\n",
    );
    site.run("log -n 1")
        .prints("\x20 2  [ID]  just now  user tester  +1 ~1 -1, 1 renamed  +4 B  (current)\n");
    site.run("log -n 1 --name-status").prints(
        "\x20 2  [ID]  just now  user tester  +1 ~1 -1, 1 renamed  +4 B  (current)\n\
         \x20       M\ta.txt\n\
         \x20       R\timg/logo.svg\tlogo.svg\n\
         \x20       A\tnew.txt\n\
         \x20       D\told.txt\n",
    );
}

/// Publishes these contents of `a.txt` in turn; `None` is a tree without it.
fn versions(contents: &[Option<&str>]) -> Site {
    let site = Site::of(&[("other.txt", "=other")]);
    for (nth, content) in contents.iter().enumerate() {
        match content {
            Some(content) => site.write("dist/a.txt", content),
            None => fs::remove_file(site.path("dist/a.txt")).unwrap(),
        }
        // Each publish changes something.
        site.write("dist/other.txt", format!("other {nth}"));
        site.run_with(&["publish", "dist", "-m", &format!("number {}", nth + 1)]).ok();
    }
    site
}

#[test]
fn tells_when_a_file_was_added_changed_and_removed_and_got_another_mode() {
    let site = versions(&[Some("one"), Some("one"), Some("three"), None, Some("five")]);
    fs::set_permissions(site.path("dist/a.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    site.run("publish dist").ok();
    let text = "\
\x20 6  [ID]  just now  user tester  M  mode 0444 -> 0555     =  [ID]            (current)\n\
\x20 5  [ID]  just now  user tester  A                     +4 B  [ID]  number 5\n\
\x20 4  [ID]  just now  user tester  D                     -5 B            number 4\n\
\x20 3  [ID]  just now  user tester  M  3 B -> 5 B         +2 B  [ID]  number 3\n\
\x20^1  [ID]  just now  user tester  A                     +3 B  [ID]  number 1\n";
    site.run("log a.txt").prints(text);
    site.run("log -- a.txt").prints(text);
    site.run("log ./a.txt -n 2 --format {op}:{generation}:{size}:{growth}:{digest}")
        .prints("M:6:4:0:[ID]\nA:5:4:4:[ID]\n");
}

#[test]
fn tells_where_a_file_was_renamed_to_and_from() {
    let site = Site::published();
    site.run("log logo.svg")
        .prints("\x20 2  [ID]  just now  user tester  R  img/logo.svg -> logo.svg  =  [ID]  (current)\n");
    site.run("log img/logo.svg").prints(
        "\x20 2  [ID]  just now  user tester  R  img/logo.svg -> logo.svg     =  [ID]         (current)\n\
         \x20^1  [ID]  just now  user tester  A                            +6 B  [ID]  first\n",
    );
}

#[test]
fn counts_the_changes_of_folders_and_of_several_paths() {
    let site = Site::of(&[("docs/a", "=a"), ("docs/b", "=b"), ("docs2", "=x"), ("top", "=t")]);
    site.run("publish dist").ok();
    site.write("dist/docs/a", "more");
    site.write("dist/docs/c/d", "new");
    site.run("publish dist").ok();
    site.write("dist/docs2", "changed");
    site.run("publish dist").ok();
    site.run("log docs --format {generation}:{added}:{modified}:{removed}:{growth}:{oldest}:{op}")
        .prints("2:1:1:0:6:false:\n1:2:0:0:2:true:\n");
    site.run("log docs/ --format {generation}").prints("2\n1\n");
    site.run("log docs/a docs2 --format {generation}:{modified}").prints("3:1\n2:1\n1:0\n");
}

#[test]
fn compares_with_the_next_older_generation_that_is_kept() {
    let site = versions(&[Some("1"), Some("22"), Some("333"), Some("4444")]);
    // The oldest one is gone, and one between the others.
    site.run("pin 2 two").ok();
    site.run("gc --keep-last 1 --grace 0s").ok();
    site.run("log a.txt").prints(
        "\x20 4  [ID]  just now  user tester  M  2 B -> 4 B  +2 B  [ID]  number 4  (current)\n\
         \x20^2  [ID]  just now  user tester  A              +2 B  [ID]  number 2\n",
    );
}

#[test]
fn lists_only_the_newest_or_those_since_a_time() {
    let site = versions(&[Some("1"), Some("2")]);
    site.write("dist/a.txt", "3");
    site.command("publish dist").env("GENSTORE_NOW", "2026-01-05T00:00:00Z").run().ok();
    let later = |args: &str| site.command(args).env("GENSTORE_NOW", "2026-01-05T01:00:00Z").run();
    later("log a.txt --since 2h --format {generation}").prints("3\n");
    later("log --since 2026-01-02 --limit 2 --format {generation}").prints("3\n2\n");
    later("log --since soon").exits(2).says(
        "error: not a time: soon (write it like 2031-05-01, '2031-05-01 18:00' or 7d)\n\
         hint: write it like 2031-05-01, '2031-05-01 18:00' or 7d\n",
    );
}

#[test]
fn tells_programs() {
    let site = versions(&[Some("one"), Some("three")]);
    let doc = site.run("log a.txt --json").is_json("genstore.log/1");
    let row = |nth: usize| doc["generations"][nth].clone();
    let digest = |text: &str| genstore::tree::Digest::of(text.as_bytes()).to_string();
    let file = |text: &str| json!({"kind": "file", "digest": digest(text), "size": text.len(), "executable": false});
    assert_eq!(doc["paths"], json!([{"path": "a.txt"}]));
    assert_eq!(doc["damaged"], json!([]));
    has(
        &row(0),
        json!({
            "generation": 2, "time": "2026-01-02T03:04:05Z", "note": "number 2", "current": true, "oldest": false,
            "summary": {"added": 0, "removed": 0, "modified": 1, "renamed": 0, "bytes": 2},
            "entries": [{"op": "modified", "path": "a.txt", "from": file("one"), "to": file("three")}],
        }),
    );
    has(&row(1), json!({"oldest": true, "entries": [{"op": "added", "path": "a.txt", "to": file("one")}]}));
    assert!(row(0)["by"].as_str().unwrap().starts_with("user tester, process "));
    // Without paths there may be very many entries.
    let doc = site.run("log --json").is_json("genstore.log/1");
    assert_eq!((doc["paths"].clone(), doc["generations"][0].get("entries")), (json!([]), None));
    let doc = site.run("log --json --name-status -n 1").is_json("genstore.log/1");
    assert_eq!(doc["generations"][0]["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn a_path_that_no_generation_has_is_an_error() {
    let site = versions(&[Some("1"), None]);
    // It is gone from the current one only.
    site.run("log a.txt --format {op}{generation}").prints("D2\nA1\n");
    site.run("log a.txt nothing").exits(1).says(
        "error: no kept generation has nothing\n\
         hint: `genstore show REF --tree` lists the paths of a generation\n",
    );
    assert_eq!(site.run("log nothing --json").exits(1).json_error()["code"], "no-such-file");
    site.run("log ../x").fails(2, "error: not a path in a generation: ../x");
    site.run("log --format {no}")
        .fails(2, "error: invalid value '{no}' for '--format <TEXT>': there is no field no");
}

#[test]
fn a_damaged_generation_is_left_out() {
    let site = versions(&[Some("1"), Some("22"), Some("333")]);
    let manifest = site.path("genstore/generations/2/manifest");
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, "no").unwrap();
    let output = site.run("log a.txt --format {op}{generation}").exits(4);
    assert_eq!(output.stdout, "M3\nA1\n");
    assert!(
        output.stderr.starts_with("warning: generation 2 is damaged: its manifest:"),
        "{}",
        output.stderr
    );
    let doc = site.run("log a.txt --json").exits(4).json("genstore.log/1");
    assert_eq!(doc["damaged"][0]["generation"], 2);
}

#[test]
fn says_that_a_store_is_empty() {
    let site = Site::new();
    site.run("init").ok();
    site.run("log").is(
        0,
        "",
        "The store [DIR]/genstore has no generations yet\nhint: publish one with `genstore publish DIR`\n",
    );
}

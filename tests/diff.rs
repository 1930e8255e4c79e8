//! `diff`.

use crate::prelude::*;

const TABLE: &str = "\
1 [ID] -> 2 [ID]\n\
M  a.txt                     4 B -> 8 B  +4 B\n\
R  img/logo.svg -> logo.svg                 =\n\
A  new.txt                               +4 B\n\
D  old.txt                               -4 B\n\
4 paths: 1 added, 1 removed, 1 changed, 1 renamed; +4 B\n";

#[test]
fn compares_the_last_two_unless_told() {
    let site = Site::published();
    site.run("diff").prints(TABLE);
    site.run("diff 1").prints(TABLE);
    site.run("diff 1 2").prints(TABLE);
    site.run("diff 2 @").prints("2 [ID] -> 2 [ID]\nno differences\n");
    site.run("diff 2 1").ok().stdout_starts("2 [ID] -> 1 [ID]\nM  a.txt  ");
}

#[test]
fn counts_lines() {
    let site = Site::published();
    site.run("diff --stat").prints(
        "1 [ID] -> 2 [ID]\n\
         M  a.txt                     +1  -0\n\
         R  img/logo.svg -> logo.svg\n\
         A  new.txt                   +1  -0\n\
         D  old.txt                   +0  -1\n\
         4 paths: 1 added, 1 removed, 1 changed, 1 renamed; +4 B; 2 lines added, 1 removed\n",
    );
}

#[test]
fn lists_names_for_programs() {
    let site = Site::published();
    site.run("diff --name-status").prints("M\ta.txt\nR\timg/logo.svg\tlogo.svg\nA\tnew.txt\nD\told.txt\n");
}

#[test]
fn shows_lines() {
    let site = Site::published();
    site.run("diff -p").prints(
        "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,2 @@\n one\n+two\n\
         diff --git a/img/logo.svg b/logo.svg\nsimilarity index 100%\nrename from img/logo.svg\nrename to logo.svg\n\
         diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n\
         diff --git a/old.txt b/old.txt\ndeleted file mode 100644\n--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n",
    );
    let of_one = "diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n";
    site.run("diff -p new.txt").prints(of_one);
    site.run("diff 1 2 --patch ./new.txt run").prints(of_one);
    site.run("diff -p img").prints(
        "diff --git a/img/logo.svg b/logo.svg\nsimilarity index 100%\nrename from img/logo.svg\nrename to logo.svg\n",
    );
    site.run("diff -p run").prints("");
    site.run("diff -p 1 2").exits(1).says(
        "error: neither side has 1\n\
         hint: generations come before -p: `genstore diff 41 42 -p PATH`; `genstore show --tree` lists paths\n",
    );
    site.run("diff -p ../x").fails(2, "error: not a path in a generation: ../x: the path contains `..`\n");
}

#[test]
fn colours_a_patch_on_demand() {
    let site = Site::published();
    site.run("diff -p new.txt --color always")
        .ok()
        .stdout_ends("\x1b[38;5;31m@@ -0,0 +1 @@\x1b[0m\n\x1b[38;5;28m+new\x1b[0m\n");
}

#[test]
fn a_patch_makes_of_the_old_tree_the_new_one() {
    let site = Site::new();
    site.tree(
        "old",
        &[
            ("cr", "=x\r\ny\rz"),
            ("gone", "=g\n"),
            ("kind", "=k\n"),
            ("mode", "=m\n"),
            ("move", "=mm\n"),
            ("q\"\n", "=q\n"),
        ],
    );
    site.run("publish old").ok();
    site.tree(
        "new",
        &[
            ("cr", "=x\r\nY\rz\n"),
            ("kind", ">cr"),
            ("li nk", ">cr"),
            ("mode", "!m\n"),
            ("moved", "=mm\n"),
            ("q\"\n", "=Q"),
        ],
    );
    site.run("publish new").ok();
    let patch = site.run("diff -p").ok().bytes;
    let git = |args: &[&str], input: &[u8]| {
        let mut git = Command::new("git");
        git.args(args).current_dir(site.path("old")).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            git.env("GIT_CEILING_DIRECTORIES", site.path("")).spawn().expect("git (scripts/setup)");
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(child.wait().unwrap().success(), "git {args:?}");
    };
    git(&["apply", "-"], &patch);
    let read = |name: &str| read_tree(&site.path(name)).unwrap();
    assert!(same_content(&read("old"), &read("new")), "{:?}", read("old"));
}

#[test]
fn what_is_no_text_is_only_named() {
    let site = Site::of(&[("bin", "=a\0b"), ("kind", "/"), ("x", "=1"), ("e", "=")]);
    site.run("publish dist").ok();
    site.tree("dist", &[("bin", "=a\0c"), ("kind", ">x"), ("x", "!1"), ("dir", "/")]);
    site.run("publish dist").ok();
    site.run("diff -p bin dir")
        .prints("diff --git a/bin b/bin\nBinary files a/bin and b/bin differ\nOnly in b: dir/ (empty)\n");
    site.run("diff").prints(
        "1 [ID] -> 2 [ID]\n\
         M  bin                    3 B  =\n\
         A  dir              directory\n\
         D  e                    empty\n\
         M  kind  directory -> symlink  =\n\
         M  x        mode 0444 -> 0555  =\n\
         5 paths: 1 added, 1 removed, 3 changed; =\n",
    );
    site.run("diff --stat").ok().stdout_has("M  bin   binary   =\n");
}

#[test]
fn exits_by_what_it_found() {
    let site = Site::published();
    site.run("diff --exit-code").is(1, TABLE, "");
    site.run("diff 2 2 --exit-code").prints("2 [ID] -> 2 [ID]\nno differences\n");
    assert_eq!(site.run("diff --exit-code --json").status, 1);
    assert_eq!(site.run("diff --exit-code -p run").status, 0);
    assert_eq!(site.run("diff --exit-code --name-status 1 2").status, 1);
}

#[test]
fn compares_with_a_directory() {
    let site = Site::published();
    site.run("diff @ dist").prints("2 [ID] -> dist\nno differences\n");
    site.write("dist/new.txt", "newer\n");
    let table = "2 [ID] -> dist\nM  new.txt  4 B -> 6 B  +2 B\n1 path: 1 changed; +2 B\n";
    site.run("diff @ dist").prints(table);
    site.run("diff @ ./dist").prints(&table.replace("-> dist", "-> ./dist"));
    site.run("diff @ dist -p").prints(
        "diff --git a/new.txt b/new.txt\n--- a/new.txt\n+++ b/new.txt\n@@ -1 +1 @@\n-new\n+newer\n",
    );
    has(
        &site.run("diff @ dist --json").is_json("genstore.diff/1"),
        json!({"to": null, "directory": {"path": "dist"}}),
    );
    // A name that both a pin and a directory have means the pin; a path always means the directory.
    site.run("pin 1 dist").ok();
    site.run("diff 1 dist").ok().stdout_starts("1 [ID] -> 1 [ID]\n");
    site.run("diff 1 ./dist").ok().stdout_starts("1 [ID] -> ./dist\n");
    site.run("diff 1 nowhere").fails(1, "error: no generation is called nowhere\n");
    site.run("diff 1 ./nowhere").fails(1, "error: cannot publish ./nowhere: there is no such directory\n");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("diff --json").is_json("genstore.diff/1");
    let file = |entry: &str, side: &str| doc["entries"][entry.parse::<usize>().unwrap()][side].clone();
    let summary = json!({"added": 1, "removed": 1, "modified": 1, "renamed": 1, "bytes": 4});
    has(&doc, json!({"from": 1, "to": 2, "summary": summary}));
    let digest = &file("0", "to")["digest"];
    assert_eq!(digest.as_str().unwrap().len(), 64);
    assert_eq!(file("0", "to"), json!({"kind": "file", "digest": digest, "size": 8, "executable": false}));
    let ops: Vec<(&str, &str)> = doc["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["op"].as_str().unwrap(), entry["path"].as_str().unwrap()))
        .collect();
    let expected =
        [("modified", "a.txt"), ("renamed", "logo.svg"), ("added", "new.txt"), ("removed", "old.txt")];
    assert_eq!(ops, expected);
    assert_eq!(doc["entries"][1]["from_path"], "img/logo.svg");
    let stat = site.run("diff --json --stat").is_json("genstore.diff/1");
    has(&stat["entries"][0], json!({"lines_added": 1, "lines_removed": 0}));
    let patch = site.run("diff --json -p new.txt").is_json("genstore.diff/1");
    assert_eq!(patch["entries"].as_array().unwrap().len(), 1);
    assert!(patch["entries"][0]["patch"].as_str().unwrap().ends_with("\n+new\n"));
    assert_eq!(patch["summary"]["bytes"], 4);
}

#[test]
fn there_must_be_two() {
    let site = Site::of(&[("a", "=1")]);
    site.run("publish dist").ok();
    site.run("diff").exits(1).says(
        "error: there is no generation older than 1 to compare with\n\
         hint: `genstore show 1 --tree` lists its files\n",
    );
    site.run("diff --stat --name-status").fails(2, "error: the argument '--stat' cannot be used with");
}

#[test]
fn wrong_bytes_are_not_shown() {
    let site = Site::published();
    let path = site.path("genstore/current/new.txt");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "evil").unwrap();
    let output = site.run("diff -p new.txt");
    assert_eq!((output.status, output.stdout.as_str()), (4, ""));
    let error = "error: object [ID] is damaged: its hash differs\n  in generation 2 at new.txt\n\
                 hint: run `genstore verify --repair`, or publish the right bytes again\n";
    assert_eq!(output.stderr, error);
}

//! `export`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::harness::Site;

#[test]
fn copies_a_generation_out() {
    let site = Site::published();
    site.run("export 1 out").prints("Exported generation 1 [ID] to out: 4 files, 16 B\n");
    assert_eq!(site.read("out/img/logo.svg"), "<svg/>");
    let meta = |path: &str| fs::metadata(site.path(path)).unwrap();
    let (copy, own) = (meta("out/a.txt"), meta("genstore/generations/1/tree/a.txt"));
    assert_ne!(copy.ino(), own.ino());
    assert_eq!((copy.nlink(), copy.mode() & 0o777, copy.mtime()), (1, 0o644, own.mtime()));
    assert_eq!(meta("out/run").mode() & 0o777, 0o755);
    fs::create_dir(site.path("empty")).unwrap();
    site.run("export @ empty -q").prints("");
    assert_eq!(site.names("empty"), ["a.txt", "logo.svg", "new.txt", "run"]);
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("export 1 out --json").is_json("genstore.export/1");
    let expected = json!({
        "schema": "genstore.export/1", "generation": 1, "tree": doc["tree"], "files": 4, "bytes": 16,
        "path": "out",
    });
    assert_eq!(doc, expected);
}

#[test]
fn leaves_what_is_there_alone() {
    let site = Site::published();
    site.run("export 1 dist").is(
        1,
        "",
        "error: dist is there already, and not empty\nhint: name a directory that is absent or empty\n",
    );
    assert_eq!(site.run("export 1 dist --json").json_error()["code"], "not-empty");
    site.run("export 1 no/where").fails(1, "error: cannot open ");
    site.run("export 9 out").fails(1, "error: no generation is called 9\n");
    assert_eq!(site.names(""), ["dist", "genstore"]);
}

#[test]
fn a_damaged_file_is_not_copied() {
    let site = Site::published();
    let path = site.path("genstore/current/new.txt");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "evil").unwrap();
    site.run("export @ out")
        .fails(4, "error: object [ID] is damaged: its hash differs\n  in generation 2 at new.txt\n");
    assert_eq!(site.names(""), ["dist", "genstore"]);
}

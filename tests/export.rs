//! `export`.

use crate::prelude::*;

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
fn all_that_readers_are_shown_is_copied() {
    let site = Site::new();
    for content in ["=one", "=two"] {
        site.tree("dist", &[("a", content), ("d/empty", "/"), ("l", ">a"), ("none", "=")]);
        site.run("publish dist").ok();
    }
    // The file is shown with another mtime than its object has.
    site.run("rollback -q").ok();
    site.run("export @ out -q").prints("");
    assert_eq!(read_tree(&site.path("out")).unwrap(), read_tree(&site.path("genstore/current")).unwrap());
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
    site.run("export 1 dist").exits(1).says(
        "error: dist already exists and is not empty\nhint: name a directory that does not exist or is empty\n",
    );
    assert_eq!(site.run("export 1 dist --json").json_error()["code"], "not-empty");
    site.run("export 1 no/where").fails(1, "error: cannot open ");
    site.run("export 9 out").fails(1, "error: no generation is called 9\n");
    assert_eq!(site.names(""), ["dist", "genstore"]);
}

#[test]
fn nothing_is_put_into_the_store_or_a_view() {
    let site = Site::published();
    for args in ["view add link", "view add mirror --as mirror"] {
        site.run(args).ok();
    }
    site.write("aside/file", "");
    for (name, target) in [("inside", "genstore/generations"), ("round", "link"), ("shown", "mirror")] {
        symlink(site.path(target), site.path("aside").join(name)).unwrap();
    }
    let before = read_tree(&site.path("")).unwrap();
    for target in [
        "genstore/out",
        "genstore/generations/3",
        "genstore/generations/1/tree/out",
        "genstore/staging/../objects/out",
        "aside/inside/out",
        "link/out",
        "aside/round/out",
    ] {
        site.run(&format!("export 1 {target}")).is(
            1,
            "",
            &format!(
                "error: {target} lies in the store, or in a view of it\nhint: name a directory outside of it\n"
            ),
        );
        assert_eq!(site.run(&format!("export 1 {target} --json")).json_error()["code"], "target-in-store");
    }
    for target in ["link", "mirror", "mirror/out", "aside/shown/out"] {
        let told = format!("error: {target} is, or lies in, the view [DIR]/");
        site.run(&format!("export 1 {target}")).fails(1, &told);
        assert_eq!(site.run(&format!("export 1 {target} --json")).json_error()["code"], "target-in-view");
    }
    assert!(read_tree(&site.path("")).unwrap() == before);
    // Nor at the path of a missing view, which will be created again.
    fs::remove_file(site.path("link")).unwrap();
    site.run("export 1 link").fails(1, "error: link is, or lies in, the view ");
    site.run("export 1 aside/out").ok();
}

/// Runs commands with parts of the store mounted elsewhere.
#[test]
fn a_part_of_the_store_is_known_where_it_is_mounted() {
    let site = Site::published();
    site.write("site/file", "");
    let parts = ["genstore", "genstore/objects", "genstore/generations/1", "genstore/generations/1/tree"];
    for part in parts {
        let script = format!(
            "mount --bind {part} site || exit 77
             for args in 'export 1 site/out' 'view add site/v'; do
                 $0 $args 2>> told && exit 1
             done; exit 0"
        );
        let output = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", &script])
            .arg(env!("CARGO_BIN_EXE_genstore"))
            .current_dir(site.path(""))
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) if output.status.code() == Some(1) && output.stderr.is_empty() => {
                panic!("{part}: {}", site.read("told"))
            }
            output => {
                skip_on_this_machine(format!("no bind mount can be made: {output:?}"));
                return;
            }
        }
    }
    let told = site.read("told");
    assert_eq!(
        told.matches("site/out lies in the store, or in a view of it").count(),
        parts.len(),
        "{told}"
    );
    assert_eq!(told.matches("site/v lies in the store").count(), parts.len(), "{told}");
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

//! `begin --batch`, `put`, `commit`: several writers fill one stage, each with roots of its own.

use crate::prelude::*;

/// Begins a batch that lasts an hour of the fixed clock, and returns its id.
fn begin(site: &Site) -> String {
    let doc = site.run("begin --batch --ttl 1h --json").is_json("genstore.begin/1");
    assert!(doc.get("path").is_none(), "a batch has no directory: {doc}");
    doc["stage"].as_str().unwrap().to_owned()
}

/// A site with the outputs of two libraries and an application.
fn monorepo() -> Site {
    let site = Site::new();
    site.tree("ui", &[("index.js", "=ui 1"), ("deep/icons.js", "=icons")]);
    site.tree("api", &[("index.js", "=api 1")]);
    site.write("version", "1");
    site.run("init").ok();
    site
}

#[test]
fn roots_of_several_writers_are_one_generation() {
    let site = monorepo();
    let id = begin(&site);
    site.run(&format!("put {id} libs/ui=ui version=version"))
        .prints("Put libs/ui: 2 files, 9 B\nPut version: 1 file, 1 B\n");
    // Another writing command in between leaves the batch alone, and readers see nothing of it.
    site.run("publish api").ok();
    site.run("gc --keep-last 1").ok();
    site.run(&format!("put {id} libs/api=api")).ok();
    // The source may change afterwards.
    site.write("api/index.js", "half written");
    site.run(&format!("commit {id} -m all")).ok();
    assert_eq!(site.read("genstore/current/libs/ui/deep/icons.js"), "icons");
    assert_eq!(site.read("genstore/current/libs/api/index.js"), "api 1");
    assert_eq!(site.read("genstore/current/version"), "1");
    assert_eq!(site.names("genstore/current"), ["libs", "version"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    site.run("verify").ok();
}

#[test]
fn writers_put_at_the_same_time() {
    let site = monorepo();
    let id = begin(&site);
    for lib in 0..8 {
        site.tree(&format!("out{lib}"), &[("index.js", &format!("=lib {lib}"))]);
    }
    let writers: Vec<_> =
        (0..8).map(|lib| site.command(&format!("put {id} libs/lib{lib}=out{lib}")).spawn()).collect();
    writers.into_iter().for_each(|writer| drop(writer.end(&site).ok()));
    site.run(&format!("commit {id}")).ok();
    for lib in 0..8 {
        assert_eq!(site.read(&format!("genstore/current/libs/lib{lib}/index.js")), format!("lib {lib}"));
    }
}

#[test]
fn the_base_keeps_all_other_paths() {
    let site = monorepo();
    let id = begin(&site);
    site.run(&format!("put {id} ui=ui api=api version=version")).ok();
    site.run(&format!("commit {id}")).ok();
    let id = begin(&site);
    site.tree("ui2", &[("index.js", "=ui 2")]);
    site.run(&format!("put {id} ui=ui")).ok();
    // The same root again: the last one counts, whole.
    site.run(&format!("put {id} ui=ui2")).ok();
    site.run(&format!("commit {id} --base @ --json")).is_json("genstore.publish/1");
    assert_eq!(site.read("genstore/current/ui/index.js"), "ui 2");
    assert_eq!(site.names("genstore/current/ui"), ["index.js"]);
    assert_eq!(site.names("genstore/current"), ["api", "ui", "version"]);
}

#[test]
fn a_commit_that_fails_keeps_the_roots() {
    let site = monorepo();
    let id = begin(&site);
    site.run(&format!("put {id} ui=ui")).ok();
    site.run(&format!("commit {id} --expect 7 --json")).json_error();
    site.run(&format!("put {id} version=version")).ok();
    site.run(&format!("commit {id}")).ok();
    assert_eq!(site.names("genstore/current"), ["ui", "version"]);
}

#[test]
fn what_a_writer_leaves_out_stays_out() {
    let site = monorepo();
    let id = begin(&site);
    site.run(&format!("put {id} ui=ui --exclude deep")).ok();
    site.run(&format!("put {id} more=ui --include *.js")).ok();
    site.run(&format!("commit {id}")).ok();
    assert_eq!(site.names("genstore/current/ui"), ["index.js"]);
    assert_eq!(site.names("genstore/current/more"), ["deep", "index.js"]);
}

#[test]
fn tells_programs() {
    let site = monorepo();
    let id = begin(&site);
    let doc = site.run(&format!("put {id} ui=ui version=version --json")).is_json("genstore.put/1");
    let roots =
        json!([{"path": "ui", "files": 2, "bytes": 9}, {"path": "version", "files": 1, "bytes": 1}]);
    has(&doc, json!({"stage": id, "roots": roots, "warnings": []}));
    let doc = site.run(&format!("abort {id} --json")).is_json("genstore.abort/1");
    assert_eq!(doc["stage"], id);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

/// A root that cannot be put leaves the batch as it was.
#[test]
fn refuses_bad_roots() {
    let site = monorepo();
    let id = begin(&site);
    site.run(&format!("put {id} libs/ui=ui")).ok();
    symlink("../../outside", site.path("api/out")).unwrap();
    for (root, words) in [
        ("libs=api", "it lies in the root libs"),
        ("libs/ui/api=api", "it lies in the root libs/ui"),
        ("api=nowhere", "there is no such file or directory"),
        ("../api=api", "not the name of a root: ../api: the path contains `..`"),
        ("api=.", "the store lies in it"),
        ("api=api", "out"),
        ("api", "expected NAME=PATH"),
    ] {
        let output = site.run(&format!("put {id} {root}"));
        assert_ne!(output.status, 0, "{root}");
        assert!(output.stderr.contains(words), "{root}: {}", output.stderr);
        let left = site.names(&format!("genstore/staging/s-{id}/roots"));
        assert_eq!(left, ["0"], "{root}");
    }
}

#[test]
fn says_why_a_stage_takes_no_roots() {
    let site = monorepo();
    let doc = site.run("begin --ttl 1h --json").is_json("genstore.begin/1");
    let id = doc["stage"].as_str().unwrap();
    site.run(&format!("put {id} ui=ui")).is(
        1,
        "",
        &format!(
            "error: the stage {id} was not begun as a batch\n\
             hint: begin it with `genstore begin --batch`, or write to the directory that `begin` printed\n"
        ),
    );
    let error = site.run("put nope ui=ui --json").json_error();
    has(&error, json!({"code": "stage-unknown"}));
    let id = begin(&site);
    site.run(&format!("put {id} ui=ui")).ok();
    site.run(&format!("commit {id}")).ok();
    let error = site.run(&format!("put {id} ui=ui --json")).json_error();
    has(&error, json!({"code": "stage-committed"}));
}

/// Private files become readable to all: that is said when they are put, and refused if the project says so.
#[test]
fn losses_are_said() {
    let site = monorepo();
    let id = begin(&site);
    fs::set_permissions(site.path("version"), fs::Permissions::from_mode(0o600)).unwrap();
    let output = site.run(&format!("put {id} version=version"));
    assert!(output.stderr.contains("becomes readable to all: version"), "{}", output.stderr);
    site.write("genstore.toml", "[publish]\nlossy = \"refuse\"\n");
    let error = site.run(&format!("put {id} version=version --json")).json_error();
    has(&error, json!({"code": "lossy"}));
}

//! Stale outputs: files that a build with its own output folder did not write are listed, or removed.

use crate::prelude::*;
use crate::watch::Loop;

/// A compiler that does not clean its output.
const COPY: &str = "mkdir -p out/sub && for f in src/*; do cp $f out/sub/$(basename $f).js; done";

fn project(more: &str) -> Site {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.write(&format!("src/{name}"), name);
    }
    let watch = "[watch]\npaths = ['src']\ndebounce = '100ms'\n";
    site.write("genstore.toml", format!("[build]\ncommand = '{COPY}'\noutput = 'out'\n{more}{watch}"));
    site
}

#[test]
fn what_a_full_run_did_not_write_is_named() {
    let site = project("");
    let first = site.run("build").ok();
    assert!(!first.stderr.contains("did not write"), "{}", first.stderr);
    fs::rename(site.path("src/b"), site.path("src/d")).unwrap();
    let second = site.run("build").ok();
    let named = "warning: the build did not write 1 file of [DIR]/out: sub/b.js\nhint: remove them";
    assert!(second.stderr.contains(named), "{}", second.stderr);
    assert!(site.has("genstore/current/sub/b.js"), "it is only named");
    let json = site.run("build --json").ok().json("genstore.publish/1");
    let message = json["warnings"][0]["message"].as_str().unwrap();
    assert!(message.ends_with("/out: sub/b.js"), "{message}");
}

#[test]
fn a_run_that_writes_little_says_nothing_of_the_rest() {
    let site = project("prune = true\n");
    site.run("build").ok();
    // Like an incremental compiler: it writes one of three files.
    let one = "cp src/a out/sub/a.js";
    let out = site.command("build").args(&["--", "sh", "-c", one]).run().ok();
    assert!(!out.stderr.contains("the build did not write"), "{}", out.stderr);
    assert_eq!(site.names("out/sub"), ["a.js", "b.js", "c.js"]);
}

#[test]
fn prune_removes_it_and_leaves_alone_what_is_not_published() {
    let site = project("prune = true\n[publish]\nexclude = ['cache/**', 'cache']\n");
    site.write("out/cache/x", "a builder's own");
    site.write("src/e", "e");
    site.run("build").ok();
    site.write("out/old/deep/gone.js", "of an earlier build");
    fs::remove_file(site.path("src/b")).unwrap();
    let out = site.run("build").ok();
    let line =
        "warning: removed 2 files of [DIR]/out that the build did not write: old/deep/gone.js, sub/b.js\n";
    // The clock of files is coarse: a file that was written right before a build may count as written by
    // it.
    let line_later = "warning: removed 1 file of [DIR]/out that the build did not write: sub/b.js\n";
    assert!(out.stderr.contains(line) || out.stderr.contains(line_later), "{}", out.stderr);
    site.run("build").ok();
    assert_eq!(site.names("out"), ["cache", "sub"], "folders that became empty went too");
    assert_eq!(site.names("genstore/current/sub"), ["a.js", "c.js", "e.js"]);
    site.run("verify").ok();
}

#[test]
fn prune_does_not_touch_a_project() {
    let site = project("prune = true\n");
    for (output, shown, why) in
        [(".", "[DIR]/.", "contains the project"), ("/nowhere/x", "/nowhere/x", "is outside the project")]
    {
        site.command("build").args(&["--output", output]).run().is(
            2,
            "",
            &format!(
                "error: `prune` under [build] cannot remove files of {shown}: it {why}\nhint: name a folder of the \
                 project as `output` that only the build writes to\n"
            ),
        );
    }
    assert!(site.has("src/a"));
}

#[test]
fn a_watch_names_each_once_and_prunes() {
    for (prune, removed) in [("", false), ("prune = true\n", true)] {
        let site = project(prune);
        let mut watch = Loop::published(&site);
        fs::rename(site.path("src/b"), site.path("src/d")).unwrap();
        let stale = watch.event("stale");
        let paths = (&stale["paths"], &stale["count"], &stale["removed"], &stale["build"]);
        assert_eq!(paths, (&json!(["out/sub/b.js"]), &json!(1), &json!(removed), &json!(2)));
        watch.event("published");
        assert_eq!(site.has("genstore/current/sub/b.js"), !removed);
        site.write("src/a", "other");
        watch.event("published");
        let said = watch.events.iter().filter(|event| event["event"] == "stale").count();
        assert_eq!(said, 1);
        watch.end(&site);
    }
    // And nothing is listed if that is not wanted.
    let site = project("prune = false\n");
    let mut watch = Loop::published(&site);
    fs::rename(site.path("src/b"), site.path("src/d")).unwrap();
    watch.event("published");
    assert!(!watch.events.iter().any(|event| event["event"] == "stale"));
    watch.end(&site);
}

#[test]
fn the_output_of_an_incremental_compiler_is_never_judged() {
    let site = project("prune = true\n");
    site.run("build").ok();
    site.write("out/tsconfig.tsbuildinfo", "{}");
    // It writes two of three files, and the third one is right.
    let two = "cp src/a out/sub/a.js; cp src/b out/sub/b.js; touch out/tsconfig.tsbuildinfo";
    let out = site.command("build").args(&["--", "sh", "-c", two]).run().ok();
    assert!(!out.stderr.contains("the build did not write"), "{}", out.stderr);
    assert_eq!(site.names("genstore/current/sub"), ["a.js", "b.js", "c.js"]);
}

//! `publish --root`.

use crate::prelude::*;

fn site() -> Site {
    let site = Site::new();
    site.tree(
        "build/site",
        &[("index.html", "=<h1>"), ("css/a.css", "=body"), ("a.map", "=map"), ("v", "/")],
    );
    site.tree("build/app", &[("main.js", "=let a;"), ("main.map", "=map")]);
    site.tree("target", &[("server", "!\x7fELF"), ("other", "=no")]);
    site
}

fn mtime(site: &Site, path: &str) -> std::time::SystemTime {
    site.path(path).symlink_metadata().unwrap().modified().unwrap()
}

const ALL: &str = "publish --root static=build/site --root app=build/app --root bin/server=target/server";

#[test]
fn several_roots_become_one_generation() {
    let site = site();
    site.run(&format!("{ALL} -n")).is(
        0,
        "   Scanned 6 files, 24 B in [TIME]\n\
         nothing -> 3 roots [ID]\n\
         A  app/main.js                   +6 B\n\
         A  app/main.map                  +3 B\n\
         A  bin/server                    +4 B\n\
         A  static/a.map                  +3 B\n\
         A  static/css/a.css              +4 B\n\
         A  static/index.html             +4 B\n\
         A  static/v           directory\n\
         7 paths: 7 added; +24 B\n\
         Would publish it; nothing was written\n",
        "",
    );
    site.run(ALL).ok();
    let modes = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        site.path("genstore/current").join(path).metadata().unwrap().mode() & 0o777
    };
    assert_eq!((modes("bin/server"), modes("app/main.js")), (0o555, 0o444));
    assert_eq!(mtime(&site, "genstore/current/bin/server"), mtime(&site, "target/server"));
    assert_eq!(mtime(&site, "genstore/current/static/css/a.css"), mtime(&site, "build/site/css/a.css"));
    // The result equals one directory with the same content.
    let whole = site.path("whole");
    fs::create_dir_all(whole.join("bin")).unwrap();
    genstore_testkit::copy_exactly(&site.path("build/site"), &whole.join("static"));
    genstore_testkit::copy_exactly(&site.path("build/app"), &whole.join("app"));
    genstore_testkit::copy_exactly(&site.path("target/server"), &whole.join("bin/server"));
    site.run("publish whole")
        .prints("   Scanned 6 files, 24 B in [TIME]\nUnchanged: generation 1 [ID] is already current\n");
    site.run(ALL)
        .prints("   Scanned 6 files, 24 B in [TIME]\nUnchanged: generation 1 [ID] is already current\n");
}

#[test]
fn globs_are_matched_below_each_root() {
    let site = site();
    site.write("genstore.toml", "[publish]\nexclude = ['*.map', 'server']\n");
    site.run(ALL).ok();
    assert_eq!(site.names("genstore/current/static"), ["css", "index.html", "v"]);
    assert_eq!(site.names("genstore/current/app"), ["main.js"]);
    // A file that is named as a root is never excluded.
    assert_eq!(site.names("genstore/current/bin"), ["server"]);
}

#[test]
fn all_bad_roots_are_named_together() {
    let site = site();
    assert!(Command::new("mkfifo").arg(site.path("build/app/pipe")).status().unwrap().success());
    symlink("/etc", site.path("build/site/etc")).unwrap();
    let args = [
        "publish",
        "--root=a=build/site",
        "--root=a/b=build/app",
        "--root=a=target",
        "--root=../x=target",
        "--root=/abs=target",
        "--root==target",
        "--root=gone=build/none",
        "--root=pipe=build/app/pipe",
        "--root=store=genstore/current",
        "--root=all=.",
        "--root=fine=target/server",
        "--root=app=build/app",
    ];
    for published in [false, true] {
        if published {
            site.run("publish target").ok();
        }
        let store = match published {
            true => "it lies in the store, or is a view of it",
            false => "there is no such file or directory",
        };
        let output = site.run_with(&args);
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert_eq!(
            lines,
            [
                "error: 11 paths cannot be kept in a generation",
                "  cannot be a root: the path is empty",
                "  /abs cannot be a root: the path is absolute",
                "  ../x cannot be a root: the path contains `..`",
                "  a cannot be a root: another root has this name",
                "  a/b cannot be a root: it lies in the root a",
                "  a/etc is an absolute symlink (to /etc)",
                "  all cannot be a root: .: the store lies in it",
                "  app/pipe is a FIFO",
                "  gone cannot be a root: build/none: there is no such file or directory",
                "  pipe cannot be a root: build/app/pipe: it is a FIFO",
                &format!("  store cannot be a root: genstore/current: {store}"),
                "hint: give each --root a different name, and an existing path outside the store",
            ]
        );
        assert_eq!((output.status, output.stdout.as_str()), (1, ""));
        assert_eq!(site.has("genstore"), published);
    }
    site.run("current").prints("1\n");
    let error = site.run("publish --json --root a=target --root a=x").json_error();
    let problems = json!([
        {"path": "a", "what": "cannot be a root: another root has this name"},
        {"path": "a", "what": "cannot be a root: x: there is no such file or directory"},
    ]);
    has(&error, json!({"code": "bad-plan", "exit": 1, "problems": problems}));
}

#[test]
fn one_way_in_at_a_time() {
    let site = site();
    for args in [
        "publish build --root a=target",
        "publish build --plan x",
        "publish --plan x --from-tar y",
        "publish --root a=target --from-tar y",
        "publish --plan x --consume",
        "publish --from-tar x --consume",
    ] {
        site.run(args).fails(2, "error: the argument '").stderr_has("' cannot be used with '");
    }
    site.run("publish --root a")
        .fails(2, "error: invalid value 'a' for '--root <NAME=PATH>': expected NAME=PATH\n");
    site.run("publish build --max-total 1M")
        .fails(2, "error: the argument '[DIR]' cannot be used with '--max-total <SIZE>'\n");
    assert_eq!(site.names(""), ["build", "target"]);
}

#[test]
fn roots_can_be_consumed_unless_they_overlap() {
    let site = site();
    let overlap =
        "publish --consume --root a=build --root b=build/app --root c=target/server --root d=target";
    site.run(overlap).exits(1).says(
        "error: 2 paths cannot be kept in a generation\n\
         \x20 b cannot be moved in: its files ([DIR]/build/app) are also files of a\n\
         \x20 c cannot be moved in: its files ([DIR]/target/server) are also files of d\n\
         hint: publish without --consume, to copy the files\n",
    );
    assert!(!site.has("genstore"));
    let inode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        site.path(path).metadata().unwrap().ino()
    };
    let before = (inode("target/server"), inode("build/app/main.js"));
    site.run(&format!("{ALL} --consume")).ok();
    let after = (inode("genstore/current/bin/server"), inode("genstore/current/app/main.js"));
    assert_eq!(before, after, "moved, not copied");
    assert_eq!(site.names("target"), ["other"]);
    assert_eq!(site.names("build/app"), [""; 0]);
    site.run("verify").ok();
}

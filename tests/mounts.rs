//! Messages and exit statuses if something is mounted inside a store or a stage, or took the place of a
//! build's output.

use genstore_testkit::{Bystanders, bind, unmount};

use crate::prelude::*;

/// A time after the grace time.
const LATER: &str = "2026-01-02T04:04:05Z";

#[test]
fn gc_names_the_mount_and_ends_with_3() {
    needs!(in_own_mounts(gc_names_the_mount_and_ends_with_3));
    let site = Site::published();
    let outside = Bystanders::make(&site.path("outside"));
    let uploads = site.path("genstore/generations/1/tree/uploads");
    fs::create_dir(&uploads).unwrap();
    bind(outside.path(), &uploads);
    site.write("dist/a.txt", "3");
    site.run("publish dist").ok();
    let gc =
        |args: &str| site.command(&format!("gc --keep-last 1 {args}")).env("GENSTORE_NOW", LATER).run();
    let out = gc("");
    let mount = "[DIR]/genstore/staging/s-gone-1/tree/uploads";
    let warning = format!("warning: could not remove {mount}: something is mounted there\n");
    assert_eq!((out.status, out.stderr.contains(&warning)), (3, true), "{}{}", out.stdout, out.stderr);
    assert!(out.stderr.contains("hint: everything around it was removed"), "{}", out.stderr);
    let at = site.path("genstore/staging/s-gone-1/tree/uploads");
    let doc = gc("--json").json("genstore.gc/1");
    assert_eq!(doc["left"], json!([{ "path": at, "why": "something is mounted there" }]));
    outside.check("gc");
    site.write("dist/a.txt", "4");
    site.run("publish dist").ok();
    unmount(&site.path("genstore/staging/s-gone-1/tree/uploads"));
    assert_eq!(gc("").status, 0);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn builds_and_stages_name_what_they_leave_mounted() {
    needs!(in_own_mounts(builds_and_stages_name_what_they_leave_mounted));
    let site = Site::published();
    let outside = Bystanders::make(&site.path("outside"));
    let build = |end: &str| {
        let script =
            format!("mkdir \"$GENSTORE_OUT/dev\"; mount --bind outside \"$GENSTORE_OUT/dev\"; {end}");
        site.command("build").args(&["--", "sh", "-ec", &script]).run()
    };
    let failed = build("exit 7");
    assert_eq!(failed.status, 7, "the command's own status");
    let line =
        failed.stderr.lines().find(|line| line.starts_with("  could not remove ")).expect("it is named");
    assert!(line.ends_with("/out/dev: something is mounted there"), "{line}");
    let refused = build("echo 1 > \"$GENSTORE_OUT/a\"");
    assert_eq!(refused.status, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("  dev is a mount point\n"), "{}", refused.stderr);
    outside.check("build");
    let stage = site.run("begin --ttl 1h").ok().stdout;
    let (id, path) = stage.trim().split_once(' ').expect("an id and a path");
    let at = Path::new(path.trim()).join("dev");
    let at = site.path(at.strip_prefix("[DIR]").unwrap_or(&at));
    fs::create_dir(&at).unwrap();
    bind(outside.path(), &at);
    let aborted = site.run(&format!("abort {id}")).exits(3);
    assert!(aborted.stderr.contains("error: could not remove "), "{}", aborted.stderr);
    assert!(aborted.stderr.contains("/out/dev: something is mounted there"), "{}", aborted.stderr);
    outside.check("abort");
    site.write("dist/a.txt", "next");
    site.run("publish dist").ok();
}

#[test]
fn a_build_whose_output_is_a_link_fails_and_touches_nothing() {
    let site = Site::published();
    let outside = Bystanders::make(&site.path("outside"));
    let current = site.path("genstore/current").read_link().unwrap();
    for target in ["outside", "genstore", "genstore/objects"] {
        let script = format!("rmdir \"$GENSTORE_OUT\"; ln -s \"$PWD/{target}\" \"$GENSTORE_OUT\"");
        let failed = site.command("build --json").args(&["--", "sh", "-ec", &script]).run();
        let error = failed.json_error();
        assert_eq!((failed.status, &error["code"]), (1, &json!("build-failed")), "{target}");
        let message = error["message"].as_str().unwrap();
        assert!(message.ends_with("is not the directory that the stage was begun with: it is a symlink"));
        outside.check(target);
        assert_eq!(site.path("genstore/current").read_link().unwrap(), current);
    }
    site.run("verify").ok();
}

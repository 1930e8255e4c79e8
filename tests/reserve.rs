//! `[store] min_free`.

use crate::prelude::*;

#[test]
fn nothing_is_written_below_the_reserve() {
    let site = Site::published();
    site.write("genstore.toml", "[store]\nmin_free = '1048576TiB'\n");
    site.write("dist/new", "new");
    let before = site.names("genstore/objects");
    let hint = "hint: `genstore gc` would free nothing: keep fewer generations (--keep-last), or free other space\n";
    for args in ["publish dist", "build -- true", "begin --ttl 1h"] {
        let output = site.run(args);
        assert_eq!(output.status, 1, "{args}");
        assert!(
            output.stderr.starts_with("error: the filesystem of [DIR]/genstore has "),
            "{args}: {}",
            output.stderr
        );
        assert!(
            output.stderr.ends_with(&format!(" free, less than the reserve of 1.0 EiB\n{hint}")),
            "{args}: {}",
            output.stderr
        );
    }
    assert_eq!((site.names("genstore/objects"), site.names("genstore/staging")), (before, vec![]));
    // The hint says how much gc would free. Going back and collecting need no reserve.
    site.write(
        "genstore.toml",
        "[store]\nmin_free = '1048576TiB'\n[retain]\nkeep_last = 1\ngrace = '0s'\n",
    );
    let output = site.run("publish dist");
    assert!(output.stderr.ends_with("hint: `genstore gc` would free 8 B\n"), "{}", output.stderr);
    assert_eq!(site.run("publish dist --json").json_error()["code"], "reserve");
    for args in ["rollback", "switch 2", "gc", "verify"] {
        site.run(args).ok();
    }
    site.write("genstore.toml", "[store]\nmin_free = '1K'\n");
    site.run("publish dist").ok();
}

#[test]
fn what_a_failed_publish_left_is_removed_at_once() {
    let site = Site::published();
    let objects = site.run("verify").ok().stdout;
    for nth in [10, 20, 30, 40] {
        site.tree("dist", &[("big", &format!("={}", "x".repeat(100 + nth)))]);
        let output = site.command("publish dist").env("GENSTORE_FAULT", format!("{nth}:enospc")).run();
        assert_eq!(output.status, 1, "{nth}: {}{}", output.stdout, output.stderr);
        assert_eq!(site.names("genstore/staging"), [""; 0], "{nth}");
        assert_eq!(
            site.run("gc -n --keep-last 9").ok().stdout.lines().last().unwrap().split(':').next(),
            Some("Would remove nothing"),
            "{nth}"
        );
    }
    assert_eq!(site.run("verify").ok().stdout, objects);
}

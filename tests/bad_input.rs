//! Bad input, case by case: each gives its message and its exit code, and changes nothing.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use genstore_testkit::target_dir;

use crate::harness::Site;

/// Returns the state that must not change: everything in the store that a reader or a later writer sees.
fn state(site: &Site) -> Vec<(u64, PathBuf)> {
    // A folder that held a stage for a while has another mtime.
    let store = site.path("genstore");
    let all = if store.exists() { genstore_testkit::below(&store) } else { vec![] };
    all.into_iter().map(|path| (path.symlink_metadata().unwrap().ino(), path)).collect()
}

#[track_caller]
fn refuses(site: &Site, args: &str, status: i32, message: &str) -> String {
    let before = state(site);
    let output = site.run(args).fails(status, message);
    assert_eq!(state(site), before, "{args}: something changed");
    output.stderr
}

#[test]
fn sources_that_cannot_be_published() {
    let site = Site::published();
    site.write("file", "x");
    for (source, why) in [
        ("nowhere", "there is no such directory"),
        ("file", "it is not a directory"),
        ("genstore", "it is the store itself"),
        ("genstore/generations", "it lies in the store, or is a view of it"),
        ("genstore/current", "it lies in the store, or is a view of it"),
        (".", "the store lies in it"),
    ] {
        let message = format!("error: cannot publish {source}: {why}\nhint: ");
        refuses(&site, &format!("publish {source}"), 1, &message);
    }
    symlink("genstore/current", site.path("view")).unwrap();
    refuses(
        &site,
        "publish view",
        1,
        "error: cannot publish view: it lies in the store, or is a view of it\n",
    );
    // The check is by device and inode, not by the text of a path.
    symlink(".", site.path("alias")).unwrap();
    refuses(&site, "publish alias/genstore/current/img/..", 1, "error: cannot publish");
}

#[test]
fn everything_that_cannot_be_kept_is_named_at_once() {
    let site = Site::published();
    let dir = site.path("dist");
    assert!(Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    symlink("/etc/passwd", dir.join("absolute")).unwrap();
    symlink("../../up", dir.join("img/escaping")).unwrap_or_else(|_| {
        fs::create_dir(dir.join("img")).unwrap();
        symlink("../../up", dir.join("img/escaping")).unwrap();
    });
    let root = rustix::process::geteuid().is_root();
    if root {
        assert!(
            Command::new("mknod").arg(dir.join("null")).args(["c", "1", "3"]).status().unwrap().success()
        );
    }
    let stderr = refuses(&site, "publish dist", 1, "error: ");
    for line in [
        "absolute is an absolute symlink (to /etc/passwd)",
        "fifo is a FIFO",
        "img/escaping is a symlink that leaves the tree (to ../../up)",
        "socket is a socket",
    ] {
        assert!(squeezed(&stderr).contains(line), "{line}\n{stderr}");
    }
    assert_eq!(squeezed(&stderr).contains("null is a device"), root, "{stderr}");
}

/// Collapses runs of blanks, so that a table reads as sentences.
fn squeezed(text: &str) -> String {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").replace(": ", " "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_may_not_be_read_is_named_at_once() {
    if !genstore_testkit::is_root() {
        return;
    }
    let site = Site::new();
    site.tree("dist", &[("a", "=1"), ("b", "=2"), ("d/c", "=3"), ("fine", "=4")]);
    for (path, mode) in [("dist/a", 0o000), ("dist/b", 0o200), ("dist/d", 0o000), ("", 0o777)] {
        fs::set_permissions(site.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    // The user nobody owns none of it. The program may be in a folder closed to nobody, so a copy is run.
    fs::copy(env!("CARGO_BIN_EXE_genstore"), site.path("genstore-program")).unwrap();
    let output = Command::new(site.path("genstore-program"))
        .env_clear()
        .args(["publish", "dist"])
        .current_dir(site.path(""))
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let stderr = squeezed(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for path in ["a", "b", "d"] {
        let line = format!("{path} cannot be read Permission denied (os error 13)");
        assert!(stderr.contains(&line), "{line}\n{stderr}");
    }
    assert!(!stderr.contains("fine"), "{stderr}");
}

#[test]
fn a_file_that_changes_while_it_is_read() {
    let site = Site::published();
    site.write("dist/growing", "x");
    let file = fs::File::options().append(true).open(site.path("dist/growing")).unwrap();
    // The file is large enough that reading it takes many turns of the thread below. It is a hole, so it
    // takes no space.
    file.set_len(96 << 20).unwrap();
    let done = AtomicBool::new(false);
    let ended = &done;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The mtime changes continuously: the file never looks the same twice.
            let mut now = std::time::UNIX_EPOCH;
            while !ended.load(Ordering::Relaxed) {
                now += std::time::Duration::from_secs(1);
                file.set_modified(now).unwrap();
            }
        });
        let before = site.run("current").stdout;
        let output = site.run("publish dist");
        done.store(true, Ordering::Relaxed);
        output.fails(1, "error: [DIR]/dist/growing changed each time it was read\nhint: ");
        assert_eq!(site.run("current").stdout, before);
    });
    fs::remove_file(site.path("dist/growing")).unwrap();
    site.run("publish dist").ok();
}

#[test]
fn source_and_store_on_two_filesystems() {
    let site = Site::new();
    let other = tempfile::tempdir_in(target_dir()).unwrap();
    genstore_testkit::write_tree(
        other.path(),
        &genstore_testkit::things(1_000, &[("a", "=1"), ("d/b", "!2")]),
    );
    let dev = |path: &std::path::Path| path.metadata().unwrap().dev();
    if dev(other.path()) == dev(&site.path("")) {
        genstore_testkit::skip_on_this_machine("the test's folders are on one filesystem");
        return;
    }
    site.run("init").ok();
    site.run_with(&[OsStr::new("publish"), other.path().as_os_str(), OsStr::new("--consume")]).ok();
    assert_eq!(site.read("genstore/current/a"), "1");
    site.run("verify").ok();
}

#[test]
fn stores_that_are_none_or_newer_or_locked() {
    let site = Site::published();
    fs::create_dir(site.path("plain")).unwrap();
    let message = "error: plain is not a genstore store\nhint: ";
    site.run("--store plain list").fails(10, message);
    site.run("--store nowhere list").fails(10, "error: ");
    site.write("plain/file", "mine");
    site.run("--store plain publish dist").fails(1, "error: plain is not empty");
    assert_eq!(site.names("plain"), ["file"]);

    site.write("newer/format", "genstore 2\n");
    let message = "error: the store [DIR]/newer needs a newer genstore (format 2)\nhint: ";
    for verb in ["list", "publish dist", "gc", "verify", "current"] {
        site.run(&format!("--store newer {verb}")).fails(12, message);
    }
    assert_eq!(site.names("newer"), ["format"]);

    // A gc that never ends holds the lock.
    let lock = fs::File::open(site.path("genstore/locks/store")).unwrap();
    lock.lock().unwrap();
    let stderr =
        refuses(&site, "--lock-timeout 0s publish dist", 11, "error: [DIR]/genstore/locks/store is locked");
    let holder = format!("held by process {}", std::process::id());
    let stderr = stderr.replace("[PID]", &std::process::id().to_string());
    assert!(stderr.contains(&holder), "{stderr}");
    drop(lock);
    site.run("--lock-timeout 0s publish dist").ok();
}

#[test]
fn a_full_disk_at_every_step() {
    let site = Site::published();
    site.tree("dist", &[("a", "=other"), ("b/c", "=more")]);
    let mut failed = 0;
    for step in 1.. {
        let output = site.command("publish dist").env("GENSTORE_FAULT", format!("{step}:enospc")).run();
        if output.status == 0 && !output.stderr.contains("warning") {
            break;
        }
        if output.status == 1 {
            failed += 1;
            assert!(output.stderr.contains("No space left on device"), "{}", output.stderr);
            assert!(output.stderr.contains("hint: "), "{}", output.stderr);
            assert_eq!(site.run("current").stdout, "2\n", "step {step}");
        } else {
            // After the commit a failure is a warning, and never "publish failed".
            assert_eq!(output.status, 0, "step {step}: {}", output.stderr);
            assert!(output.stdout.contains("Published generation"), "{}", output.stdout);
            break;
        }
    }
    assert!(failed > 20, "{failed}");
    site.run("verify").ok();
}

#[test]
fn names_of_every_kind() {
    let site = Site::new();
    fs::create_dir(site.path("dist")).unwrap();
    let long = [b'n'; 255];
    for name in [&b"-rf"[..], b"a\nb", b"\x1b[31mred", b"\xff", &long] {
        fs::write(site.path("dist").join(OsStr::from_bytes(name)), name).unwrap();
    }
    site.run("publish dist").ok();
    let tree = site.run("show --tree").ok().stdout;
    for shown in ["-rf", "a\\nb", "\\u{1b}[31mred", "\\xff"] {
        assert!(tree.contains(shown), "{shown}\n{tree}");
    }
    assert!(!tree.contains('\x1b'), "{tree}");
    let doc = site.run("show --tree --json").ok().stdout;
    assert!(doc.contains("\"path_b64\":\"/w==\""), "{doc}");
    site.run_with(&[&b"cat"[..], b"@", b"--", b"-rf"].map(OsStr::from_bytes)).prints("-rf");
    site.run("verify").ok();
}

#[test]
fn whatever_the_umask_others_may_read() {
    let site = Site::new();
    site.tree("dist", &[("d/a", "=1"), ("run", "!2"), ("v", "/"), ("e", "=")]);
    let script = "umask 077; exec \"$0\" publish dist";
    let status = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_genstore")])
        .current_dir(site.path(""))
        .status()
        .unwrap();
    assert!(status.success());
    let mode = |path: &str| site.path("genstore").join(path).metadata().unwrap().mode() & 0o7777;
    for folder in
        [".", "objects", "generations", "generations/1", "generations/1/tree", "current/d", "current/v"]
    {
        assert_eq!(mode(folder), 0o755, "{folder}");
    }
    for file in ["current/d/a", "current/e", "generations/1/manifest"] {
        assert_eq!(mode(file), 0o444, "{file}");
    }
    assert_eq!(mode("current/run"), 0o555);
    for file in ["format", "notice", "log", "sequence"] {
        assert_eq!(mode(file), 0o644, "{file}");
    }
    // A user who can open these files can block writers.
    for file in ["locks/store", "locks/commit"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    site.run("verify").ok();
}

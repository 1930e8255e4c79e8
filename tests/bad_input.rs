//! Bad input, case by case: each gives its message and its exit code, and changes nothing.

use genstore_testkit::target_dir;

use crate::prelude::*;

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
    let spelling = "check the spelling; the build may have written elsewhere";
    let directory = "name the directory that holds the build's output";
    let own = "name the build's own output, not a directory of genstore";
    let around = "publish only the build's output directory, or put the store elsewhere with --store";
    let within = "it lies in the store, or is a view of it";
    let check = |site: &Site, args: &str, why: &str, hint: &str| {
        let message = format!("error: cannot publish {why}\nhint: {hint}\n");
        assert_eq!(refuses(site, args, 1, &message), message);
    };
    let site = Site::of(&[("a", "=1")]);
    check(&site, "publish .", ".: the store lies in it", around);
    check(&site, "publish dist --store dist/s/st", "dist: the store lies in it", around);
    assert_eq!(site.names(""), ["dist"]);
    let site = Site::published();
    for (source, why, hint) in [
        ("nowhere", "there is no such directory", spelling),
        ("dist/a.txt", "it is not a directory", directory),
        ("genstore", "it is the store itself", own),
        ("genstore/generations", within, own),
        ("genstore/current", within, own),
        (".", "the store lies in it", around),
    ] {
        check(&site, &format!("publish {source}"), &format!("{source}: {why}"), hint);
    }
    symlink("genstore/current", site.path("view")).unwrap();
    check(&site, "publish view", &format!("view: {within}"), own);
    // The check is by device and inode, not by the text of a path.
    symlink(".", site.path("alias")).unwrap();
    refuses(&site, "publish alias/genstore/current/img/..", 1, "error: cannot publish");
    site.write("full/x", "");
    for args in ["publish dist --store full", "publish dist --store full -n"] {
        site.run(args).fails(1, "error: full is not empty and cannot become a store\n");
    }
    assert_eq!(site.names("full"), ["x"]);
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
    needs!(is_root());
    let site = Site::of(&[("a", "=1"), ("b", "=2"), ("d/c", "=3"), ("fine", "=4")]);
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
    genstore_testkit::write_tree(other.path(), &things(1_000, &[("a", "=1"), ("d/b", "!2")]));
    let dev = |path: &Path| path.metadata().unwrap().dev();
    if dev(other.path()) == dev(&site.path("")) {
        skip_on_this_machine("the test's folders are on one filesystem");
        return;
    }
    site.run("init").ok();
    site.run_with(&[OsStr::new("publish"), other.path().as_os_str(), OsStr::new("--consume")]).ok();
    assert_eq!(site.read("genstore/current/a"), "1");
    site.run("verify").ok();
}

#[test]
fn a_store_whose_lock_is_held() {
    let site = Site::published();
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
    site.run("show --tree --json").ok().stdout_has("\"path_b64\":\"/w==\"");
    site.run_with(&[&b"cat"[..], b"@", b"--", b"-rf"].map(OsStr::from_bytes)).prints("-rf");
    site.run("verify").ok();
}

#[test]
fn whatever_the_umask_others_may_read() {
    let site = Site::of(&[("d/a", "=1"), ("run", "!2"), ("v", "/"), ("e", "=")]);
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

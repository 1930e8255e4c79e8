//! `publish`.

use std::os::unix::net::UnixListener;

use crate::prelude::*;

fn site() -> Site {
    Site::of(&[("a", "=one\n"), ("s/b", "=two\n"), ("s/c", "=two\n")])
}

#[test]
fn makes_the_store_and_publishes() {
    let site = site();
    site.run("publish dist -m first").prints(
        "   Created the store [DIR]/genstore\n\
         \x20  Scanned 3 files, 12 B in [TIME]\n\
         \x20   Stored 2 new objects, 8 B (1 shared)\n\
         \x20Published generation 1 [ID] (the first): +3 ~0 -0 in [TIME]\n",
    );
    assert_eq!(site.read("genstore/current/s/c"), "two\n");
    site.tree("dist", &[("a", "=three\n"), ("t/b", "=two\n"), ("n", "=new\n")]);
    site.run("publish dist").prints(
        "   Scanned 3 files, 14 B in [TIME]\n\
         \x20   Stored 2 new objects, 10 B (1 shared)\n\
         \x20Published generation 2 [ID] (was 1): +1 ~1 -1, 1 renamed in [TIME]\n",
    );
    site.run("publish dist")
        .prints("   Scanned 3 files, 14 B in [TIME]\nUnchanged: generation 2 [ID] is already current\n");
    assert_eq!(site.names("genstore/generations"), ["1", "2"]);
}

#[test]
fn tells_programs() {
    let site = site();
    site.run("publish dist").ok();
    site.tree("dist", &[("a", "=three\n"), ("t/b", "=two\n"), ("n", "=new\n")]);
    let mut doc = site.run("publish dist --json").is_json("genstore.publish/1");
    let tree = doc["tree"].as_str().unwrap().to_owned();
    assert_eq!(tree.len(), 64);
    let ms = doc["ms"].as_object_mut().unwrap();
    for part in ["scan", "store", "assemble", "audit", "sync", "commit"] {
        assert!(ms.remove(part).unwrap().is_u64(), "{part}");
    }
    let expected = json!({
        "schema": "genstore.publish/1", "dry_run": false, "generation": 2, "tree": tree,
        "previous": 1, "changed": true, "current": true, "durable": true, "files": 3, "bytes": 14,
        "written": 2, "unchanged": 0, "new_objects": 2,
        "new_bytes": 10, "added": 1, "modified": 1, "removed": 1, "renamed": 1, "refreshed": 0,
        "healed": 0, "store_created": false, "ms": {}, "warnings": [],
        "path": site.path("genstore/generations/2/tree").to_str().unwrap(),
    });
    let refreshed = doc["refreshed"].take();
    assert!(refreshed.as_u64().unwrap() <= 1, "{refreshed}");
    doc["refreshed"] = json!(0);
    assert_eq!(doc, expected);
    has(
        &site.run("publish dist --json").is_json("genstore.publish/1"),
        json!({"generation": 2, "changed": false, "new_objects": 0}),
    );
}

#[test]
fn keeps_note_and_facts() {
    let site = site();
    let args = ["publish", "dist", "-m", "two\nlines", "--fact", "commit=abc", "--fact", "url=a=b"];
    site.run_with(&args).ok();
    has(
        &site.run("show --json").is_json("genstore.show/1"),
        json!({"note": "two\nlines", "facts": {"commit": "abc", "url": "a=b"}}),
    );
}

#[test]
fn refuses_malformed_values() {
    let site = site();
    for fact in ["x", "=1"] {
        let message = format!("error: invalid value '{fact}' for '--fact <K=V>': expected KEY=VALUE\n");
        site.run(&format!("publish dist --fact {fact}")).fails(2, &message);
    }
    site.run("publish dist --fact a=1 --fact a=2")
        .exits(2)
        .says("error: the fact a is given twice\nhint: give each key only once\n");
    site.run("publish dist --durability some")
        .fails(2, "error: invalid value 'some' for '--durability <full|none>'");
    site.run("publish").fails(2, "error: the following required arguments were not provided:\n  <DIR|");
    assert!(!site.has("genstore"));
}

#[test]
fn expects_what_is_current() {
    let site = site();
    // No store is created for an expectation that cannot be met.
    site.run("publish dist --expect 1").exits(6).says(
        "error: expected current generation 1, found none\n\
         hint: check the current generation with `genstore show`, then publish again and expect that one\n",
    );
    site.run("publish dist --expect stable").fails(1, "error: no generation is called stable\n");
    assert!(!site.has("genstore"));
    site.run("publish dist --expect none").ok();
    site.write("dist/a", "2");
    site.run("publish dist --expect none").exits(6).says(
        "error: expected current generation none, found 1 \
         (made current at 2026-01-02 03:04:05 UTC by user tester, process [PID], genstore publish)\n\
         hint: check the current generation with `genstore show`, then publish again and expect that one\n",
    );
    site.run("publish dist --expect 1").ok();
    site.write("dist/a", "3");
    site.run("publish dist --expect @").ok();
    let error = site.run("publish dist --expect 2 --json").exits(6).json_error();
    has(&error, json!({"code": "lost-compare-and-set", "exit": 6}));
    let lost = json!({
        "expected": 2, "found": 3, "by": "user tester, process [PID], genstore publish",
        "at": "2026-01-02T03:04:05Z",
    });
    assert_eq!(error["lost"], lost);
    // Generation 2 is gone, but can still be expected.
    site.run("gc --keep-last 1 --grace 0").ok();
    site.run("publish dist --expect 2").fails(6, "error: expected current generation 2, found 3");
    site.run("publish dist --expect nothing").fails(1, "error: no generation is called nothing\n");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn keeps_without_activating() {
    let site = site();
    site.run("publish dist --no-activate")
        .ok()
        .stdout_ends("Published generation 1 [ID] (kept, nothing is current): +3 ~0 -0 in [TIME]\n");
    assert!(!site.has("genstore/current"));
    site.run("publish dist").ok();
    site.write("dist/a", "other");
    site.run("publish dist --no-activate")
        .ok()
        .stdout_ends("Published generation 3 [ID] (kept, current is 2): +0 ~1 -0 in [TIME]\n");
    site.run("current").prints("2\n");
}

#[test]
fn publishes_again_when_told_always() {
    let site = site();
    site.run("publish dist").ok();
    site.run("publish dist --always")
        .ok()
        .stdout_ends("Published generation 2 [ID] (was 1): +0 ~0 -0 in [TIME]\n");
}

#[test]
fn consumes_the_source() {
    let site = site();
    let inode = fs::metadata(site.path("dist/a")).unwrap().ino();
    site.run("publish dist --consume").ok();
    assert_eq!(fs::metadata(site.path("genstore/current/a")).unwrap().ino(), inode);
    assert!(!site.has("dist/a"));
    site.run("verify").ok();
}

#[test]
fn durability_is_chosen_by_flag_then_project() {
    let site = site();
    let flushes = |args: &str| {
        let trace = site.path("trace");
        let variable = format!("trace:{}", trace.display());
        site.command(args).env("GENSTORE_FAULT", variable).run().ok();
        site.read("trace").lines().filter(|line| line.contains("sync")).count()
    };
    assert!(flushes("publish dist") > 0);
    assert!(flushes("publish dist --always --durability full") > 0);
    let none = flushes("publish dist --always --durability none");
    site.write("genstore.toml", "[store]\ndurability = 'none'\n");
    assert_eq!(flushes("publish dist --always"), none);
    assert!(flushes("publish dist --always --durability full") > none);
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let site = site();
    site.run("publish dist -n").prints(
        "   Scanned 3 files, 12 B in [TIME]\n\
         nothing -> dist [ID]\n\
         A  a    +4 B\nA  s/b  +4 B\nA  s/c  +4 B\n\
         3 paths: 3 added; +12 B\n\
         Would publish it; nothing was written\n",
    );
    assert_eq!(site.names(""), ["dist"]);
    let temp = site.path("tmp");
    fs::create_dir(&temp).unwrap();
    site.command("publish dist --dry-run -q").env("TMPDIR", &temp).run().ok();
    assert_eq!(site.names("tmp"), [""; 0]);
    site.run("publish dist").ok();
    site.write("dist/a", "1");
    let trace = format!("trace:{}", site.path("trace").display());
    site.command("publish dist -n").env("GENSTORE_FAULT", trace).run().prints(
        "   Scanned 3 files, 9 B in [TIME]\n\
         1 [ID] -> dist [ID]\n\
         M  a  4 B -> 1 B  -3 B\n\
         1 path: 1 changed; -3 B\n\
         Would publish it; nothing was written\n",
    );
    assert_eq!(site.read("trace"), "");
    site.run("current").prints("1\n");
    site.write("dist/a", "one\n");
    site.run("publish dist -n")
        .prints("   Scanned 3 files, 12 B in [TIME]\nUnchanged: generation 1 [ID] is already current\n");
    site.run("publish dist -n --always").prints(
        "   Scanned 3 files, 12 B in [TIME]\n1 [ID] -> dist [ID]\nno differences\n\
         Would publish it; nothing was written\n",
    );
    site.run("publish dist -n --expect none")
        .fails(6, "error: expected current generation none, found 1\n");
}

#[test]
fn a_dry_run_tells_programs() {
    let site = site();
    site.run("publish dist").ok();
    site.write("dist/a", "1");
    let mut doc = site.run("publish dist -n --json").is_json("genstore.publish/1");
    let entries = doc["entries"].take();
    assert_eq!(entries.as_array().unwrap().len(), 1);
    has(&entries[0], json!({"op": "modified", "path": "a"}));
    assert_eq!((&entries[0]["from"]["size"], &entries[0]["to"]["size"]), (&json!(4), &json!(1)));
    let facts = (&doc["dry_run"], &doc["generation"], &doc["previous"], &doc["changed"], &doc["modified"]);
    assert_eq!(facts, (&json!(true), &json!(null), &json!(1), &json!(true), &json!(1)));
    let done = site.run("publish dist --json").is_json("genstore.publish/1");
    assert_eq!(done["tree"], doc["tree"]);
}

#[test]
fn names_everything_that_cannot_be_kept() {
    let site = site();
    let _socket = UnixListener::bind(site.path("dist/sock")).unwrap();
    symlink("/etc", site.path("dist/ab\ns")).unwrap();
    symlink("../../x", site.path("dist/s/up")).unwrap();
    assert!(Command::new("mkfifo").arg(site.path("dist/fifo")).status().unwrap().success());
    // Only root can make a device.
    let null = site.path("dist/null");
    let null =
        Command::new("mknod").arg(null).args(["c", "1", "3"]).stderr(Stdio::null()).status().unwrap();
    let (count, device) = if null.success() { (5, "  null is a device\n") } else { (4, "") };
    site.run("publish dist").exits(1).says(&format!(
        "error: {count} paths cannot be kept in a generation\n\
         \x20 ab\\ns is an absolute symlink (to /etc)\n\
         \x20 fifo is a FIFO\n{device}\
         \x20 s/up is a symlink that leaves the tree (to ../../x)\n\
         \x20 sock is a socket\n\
         hint: exclude them with `exclude` under [publish] in genstore.toml, \
         or allow such links with `symlinks = \"any\"` there\n",
    ));
    fs::remove_file(site.path("dist/fifo")).unwrap();
    fs::remove_file(site.path("dist/null")).ok();
    let error = site.run("publish dist --json").json_error();
    assert_eq!(error["code"], "bad-plan");
    let path_b64 = "YWIKcw==";
    let expected = json!([
        {"path_b64": path_b64, "what": "is an absolute symlink (to /etc)"},
        {"path": "s/up", "what": "is a symlink that leaves the tree (to ../../x)"},
        {"path": "sock", "what": "is a socket"},
    ]);
    assert_eq!(error["problems"], expected);
    assert!(!site.has("genstore"));
    // Entries that the project excludes or allows are no problem.
    site.write("genstore.toml", "[publish]\nexclude = ['sock']\nsymlinks = 'any'\n");
    site.run("publish dist").ok();
    assert_eq!(fs::read_link(site.path("genstore/current/s/up")).unwrap().to_str(), Some("../../x"));
    fs::remove_file(site.path("dist/s/up")).unwrap();
    fs::remove_file(site.path("dist/ab\ns")).unwrap();
    site.write("genstore.toml", "");
    site.run("publish dist").exits(1).says(
        "error: 1 path cannot be kept in a generation\n  sock is a socket\n\
         hint: remove these entries, or exclude them with `exclude` under [publish] in genstore.toml\n",
    );
}

#[test]
fn takes_in_what_the_project_says() {
    let site =
        Site::of(&[("a.js", "=1"), ("a.map", "=2"), ("s/b.js", "=3"), ("s/b.map", "=4"), ("x/c.js", "=5")]);
    site.write("genstore.toml", "[publish]\ninclude = ['**/*.js']\nexclude = ['x']\n");
    site.run("publish dist").ok();
    let names = site.run("show --tree --json").is_json("genstore.show/1");
    let paths: Vec<&str> =
        names["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a.js", "s/b.js"]);
}

#[test]
fn a_lost_report_is_no_failure() {
    let site = site();
    site.command("publish dist").stdout_to("/dev/full").run().exits(3).says(
        "warning: generation 1 was published, but the report could not be written\n\
         \x20 No space left on device (os error 28)\n\
         hint: the change is done; check it with `genstore list`\n",
    );
    site.write("dist/a", "2");
    let lost = site.command("publish dist --json").stdout_to("/dev/full").run().exits(3);
    has(&lost.json_error(), json!({"code": "output", "exit": 3}));
    site.run("current").prints("2\n");
}

#[test]
fn a_flush_that_fails_after_the_commit_is_partly_done() {
    let site = site();
    site.run("publish dist").ok();
    site.write("dist/a", "2");
    // The calls of a publication are the same on two copies, once the sources are old enough for the index:
    // without an index there are four calls less. This finds the flush of the commit.
    let written = Instant::now();
    eventually("the sources are settled", || written.elapsed() > Duration::from_millis(200));
    let trace = format!("trace:{}", site.path("trace").display());
    let copy = |name: &str| genstore_testkit::copy_exactly(&site.path("genstore"), &site.path(name));
    copy("copy");
    site.command("publish dist --store copy").env("GENSTORE_FAULT", trace).run().ok();
    let text = site.read("trace");
    let calls: Vec<&str> = text.lines().collect();
    let moved =
        calls.iter().position(|call| call.starts_with("rename") && call.ends_with("/current")).unwrap();
    // The flush of `current`, and the flushes of the log and the store's folder after it.
    let flushes = (moved..calls.len()).filter(|at| calls[*at].contains("sync"));
    let flushes: Vec<usize> = flushes.map(|at| at + 1).collect();
    assert_eq!(flushes.len(), 3, "{calls:#?}");
    for flush in flushes {
        let run = |store: &str, flag: &str| {
            copy(store);
            let args = format!("publish dist --store {store} {flag}");
            let warned = site.command(&args).env("GENSTORE_FAULT", format!("{flush}:eio")).run();
            assert_eq!(warned.status, 3, "{}{}", warned.stdout, warned.stderr);
            site.run(&format!("current --store {store}")).prints("2\n");
            warned
        };
        let text = run(&format!("text-{flush}"), "");
        assert!(text.stdout.contains(" Published generation 2 [ID] (was 1)"), "{}", text.stdout);
        assert!(text.stderr.starts_with("warning: "), "{}", text.stderr);
        assert!(
            text.stderr.contains("\nhint: the change is done, and the next command"),
            "{}",
            text.stderr
        );
        let store = format!("json-{flush}");
        let doc: serde_json::Value = serde_json::from_str(&run(&store, "--json").stdout).unwrap();
        has(&doc, json!({"durable": false, "changed": true}));
        assert!(doc["warnings"][0]["message"].to_string().contains("the next writer"), "{doc}");
        // The next command finishes it.
        site.run(&format!("mark 2 good --store {store}")).ok();
        let log = site.read(&format!("{store}/log"));
        for event in ["publish", "activate"] {
            let line = format!("\"generation\":2,\"event\":\"{event}\"");
            assert_eq!(log.matches(&line).count(), 1, "{log}");
        }
    }
}

#[test]
fn is_quiet_or_talkative_when_asked() {
    let site = site();
    site.run("publish dist -q").prints("");
    site.write("dist/a", "2");
    let talk = site.run("publish dist -v").ok().stderr;
    let mut lines = talk.lines();
    assert_eq!(lines.next(), Some("store [DIR]/genstore, found as a genstore folder here or above"));
    assert!(lines.next_back().is_some_and(|line| line.starts_with("store 0.")), "{talk}");
}

#[test]
fn recycles_what_retention_gives_up() {
    let site = site();
    site.write("genstore.toml", "[retain]\nauto = true\nkeep_last = 1\ngrace = '0s'\n");
    let publish = |text: &str, args: &str| {
        site.write("dist/a", text);
        site.run(args).ok()
    };
    for text in ["first", "second"] {
        let doc = publish(text, "publish dist --json").is_json("genstore.publish/1");
        assert_eq!(doc.get("recycled"), None, "{doc}");
    }
    let doc = publish("third", "publish dist --json").is_json("genstore.publish/1");
    has(&doc, json!({"generation": 3, "recycled": 1}));
    assert_eq!(site.names("genstore/generations"), ["2", "3"]);
    let talk = publish("fourth", "publish dist -v").stderr;
    let line = "generation 2 was no longer kept; its tree was recycled for the new one\n";
    assert!(talk.contains(line), "{talk}");
    // The same holds for builds and stages.
    site.write("dist/a", "fifth");
    let script = "cp -r dist/. \"$GENSTORE_OUT\"";
    let doc = site.command("--json build -- sh").args(&["-c", script]).run().ok();
    assert_eq!(doc.json("genstore.publish/1")["recycled"], json!(3));
    let stage = site.run("begin --ttl 1h --json").ok().json("genstore.begin/1");
    let (id, out) = (stage["stage"].as_str().unwrap(), stage["path"].as_str().unwrap());
    fs::create_dir(format!("{out}/s")).unwrap();
    for name in ["s/b", "s/c"] {
        fs::copy(site.path("dist").join(name), format!("{out}/{name}")).unwrap();
    }
    fs::write(format!("{out}/a"), "sixth").unwrap();
    let doc = site.run(&format!("commit {id} --json")).ok().json("genstore.publish/1");
    assert_eq!(doc["recycled"], json!(4));
    site.run("verify").ok();
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    // Objects that only recycled generations had are left to gc.
    let doc = site.run("gc --json").ok().json("genstore.gc/1");
    assert!(doc["objects"].as_u64().unwrap() >= 3, "{doc}");
}

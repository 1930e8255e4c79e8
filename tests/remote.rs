//! `remote`, `push` and `pull`, through a directory.

use crate::harness::Site;
use crate::output::Output;

/// A site whose state is kept below it, so that each machine has its own.
fn remote_site() -> Site {
    let site = Site::published();
    site.write("genstore.toml", "[remote.backup]\nurl = \"REMOTE\"\n");
    let text = site.read("genstore.toml").replace("REMOTE", &url(&site));
    site.write("genstore.toml", text);
    site
}

fn url(site: &Site) -> String {
    format!("file://{}", site.path("remote").display())
}

fn run(site: &Site, machine: &str, args: &str) -> Output {
    site.command(args).env("XDG_STATE_HOME", site.path(machine)).run()
}

#[test]
fn what_is_pushed_is_pulled_elsewhere() {
    let site = remote_site();
    let text = "Pushed generation 2 [ID] to backup main (record 1): 4 objects, 20 B\n";
    run(&site, "a", "push backup").prints(text);
    let text = "Unchanged: generation 2 [ID] is the head of backup main already\n";
    run(&site, "a", "push backup").prints(text);
    run(&site, "b", "--store other init").ok();
    run(&site, "b", "--store other pull backup --activate")
        .prints("Pulled backup main [ID] (record 1) as generation 1: 4 objects, 20 B\n");
    assert_eq!(site.read("other/current/a.txt"), "one\ntwo\n");
    run(&site, "b", "--store other verify").ok();
    let text = "Pushed generation 1 [ID] to backup old (record 2): 2 objects, 8 B\n";
    run(&site, "a", "push 1 backup old").prints(text);
    run(&site, "b", "--store other pull backup old")
        .prints("Pulled backup old [ID] (record 2) as generation 2: 2 objects, 8 B\n");
    let doc = run(&site, "b", "--store other list --json").is_json("genstore.list/1");
    assert_eq!((&doc["current"], &doc["generations"][0]["note"]), (&1.into(), &"first".into()));
    assert_eq!(doc["generations"][0]["facts"]["commit"], "abc");
    run(&site, "b", "--store other pull backup old")
        .prints("Unchanged: backup old [ID] (record 2) is generation 2\n");
    let log = run(&site, "b", "remote log backup").ok().stdout;
    assert!(log.contains("push  old") && log.contains("first") && log.contains("(head of main)"), "{log}");
}

#[test]
fn a_small_push_is_four_requests_and_a_follower_needs_three() {
    let site = remote_site();
    run(&site, "a", "push backup").ok();
    run(&site, "b", "--store other pull backup --activate").ok();
    site.tree("dist", &[("a.txt", "=three\n"), ("logo.svg", "=<svg/>"), ("new.txt", "=new\n")]);
    site.run("publish dist").ok();
    let would = run(&site, "a", "push -n backup --json").is_json("genstore.push/1");
    assert_eq!((&would["objects"], &would["traffic"]["puts"]), (&1.into(), &0.into()));
    let pushed = run(&site, "a", "push backup --json").is_json("genstore.push/1");
    assert_eq!((&pushed["record"], &pushed["changed"]), (&2.into(), &true.into()));
    assert_eq!((&pushed["traffic"]["requests"], &pushed["traffic"]["lists"]), (&4.into(), &0.into()));
    let would = run(&site, "b", "--store other pull -n backup --json").is_json("genstore.pull/1");
    assert_eq!((&would["objects"], &would["generation"]), (&1.into(), &serde_json::Value::Null));
    let pulled = run(&site, "b", "--store other pull backup --activate --json").is_json("genstore.pull/1");
    assert!(pulled["traffic"]["requests"].as_u64().unwrap() <= 3, "{pulled}");
    assert_eq!((&pulled["current"], &pulled["generation"]), (&true.into(), &2.into()));
    assert_eq!(site.read("other/current/a.txt"), "three\n");
}

#[test]
fn remotes_are_named_in_the_project_or_by_the_user() {
    let site = Site::published();
    let own = |args: &str| site.command(args).env("XDG_CONFIG_HOME", site.path("config")).run();
    let url = url(&site);
    own(&format!("remote add backup {url}"))
        .prints("Added the remote backup to [DIR]/config/genstore/config.toml\n");
    site.write("genstore.toml", "[retain]\nkeep_last = 3");
    own(&format!("remote add ours {url}/x --channel beta")).ok();
    let text = site.read("genstore.toml");
    assert_eq!(
        text,
        format!("[retain]\nkeep_last = 3\n\n[remote.\"ours\"]\nurl = \"{url}/x\"\nchannel = \"beta\"\n")
    );
    let rows = "backup  file://[DIR]/remote    main\nours    file://[DIR]/remote/x  beta\n";
    own("remote ls").prints(rows);
    own(&format!("remote add ours {url}")).fails(1, "error: there is a remote ours already");
    own("push ous").fails(1, "error: there is no remote ous\nhint: did you mean ours?");
    own("remote rm ours").prints("Removed the remote ours from [DIR]/genstore.toml\n");
    own("remote rm backup").prints("Removed the remote backup from [DIR]/config/genstore/config.toml\n");
    assert_eq!(site.read("genstore.toml"), "[retain]\nkeep_last = 3\n\n");
    own("remote ls").prints("");
}

#[test]
fn bad_input_is_a_clear_error_and_changes_nothing() {
    let site = remote_site();
    run(&site, "a", "pull backup").fails(1, "error: there is no remote at file://[DIR]/remote\nhint: ");
    run(&site, "a", "push backup").ok();
    run(&site, "b", "--store other init").ok();
    run(&site, "b", "--store other pull backup mian")
        .fails(1, "error: the remote has no channel or generation mian\nhint: it has main");
    run(&site, "a", "push backup a/b").fails(2, "error: channel a/b: ");
    run(&site, "a", "push ftp://x/y").fails(2, "error: there is no transport for ftp://\nhint: ");
    run(&site, "a", "push file://x").fails(2, "error: file://x is no absolute path\nhint: ");
    // A log that went back, another program's folder, and a newer format.
    std::fs::remove_file(site.path("remote/log/00000000000000000001")).unwrap();
    run(&site, "a", "push 1 backup").fails(13, "error: the remote cannot be trusted (went-back): ");
    site.write("remote/format", "genstore-remote 2\n");
    run(&site, "c", "push backup").fails(12, "error: format on the remote needs a newer genstore");
    site.write("remote/format", "<html>");
    run(&site, "c", "push backup").fails(4, "error: format on the remote is damaged: ");
    assert!(!site.has("other/current"));
}

#[test]
fn gc_keeps_heads_and_pins_and_followers_go_on() {
    let site = remote_site();
    for (number, text) in ["=1\n", "=22\n", "=333\n", "=4444\n"].iter().enumerate() {
        site.tree("dist", &[("a.txt", text)]);
        site.run("publish dist").ok();
        run(&site, "a", &format!("push backup {}", if number == 1 { "beta" } else { "main" })).ok();
    }
    run(&site, "a", "remote pin backup 1 first").prints("Pinned record 1 of backup as first\n");
    run(&site, "a", "promote backup beta stable").prints("Promoted beta to stable of backup (record 6)\n");
    run(&site, "a", "promote backup beta stable")
        .prints("Unchanged: stable of backup has the head of beta already\n");
    let rows = "keep    6  stable  head of beta; head of stable; last 1\n\
                keep    4  main    head of main; last 1\n\
                keep    2  beta    head of beta; head of stable; last 1\n\
                keep    1  main    pinned: first\n\
                remove  3  main    older than last 1\n";
    let would = run(&site, "a", "remote gc backup --keep-last 1 -n").ok().stdout;
    assert!(would.starts_with(&format!("{rows}Would remove 1 file, ")), "{would}");
    let done = run(&site, "a", "remote gc backup --keep-last 1 --json").is_json("genstore.remote-gc/1");
    assert_eq!((&done["barrier"], &done["files"]), (&7.into(), &1.into()));
    for (wanted, text) in [("main", "4444\n"), ("stable", "22\n"), ("first", "1\n")] {
        run(&site, "b", &format!("--store other pull backup {wanted} --activate")).ok();
        assert_eq!(site.read("other/current/a.txt"), text);
    }
    run(&site, "b", "--store other verify").ok();
    run(&site, "b", "--store new pull backup 3").fails(1, "   Created the store");
    run(&site, "a", "remote unpin backup first").prints("Removed the pin first of backup\n");
    run(&site, "a", "remote unpin backup first").fails(1, "error: the remote has no channel");
    run(&site, "a", "remote pin backup 3 late").fails(1, "error: the remote has no channel");
    run(&site, "a", "remote test backup").prints("backup does what a remote needs\n");
}

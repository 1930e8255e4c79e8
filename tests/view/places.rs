//! The allowed places of views, and the things that they replace.

use super::{link, two_parts, warnings};
use crate::prelude::*;

#[test]
fn refuses_what_is_no_place_for_a_view() {
    let site = two_parts();
    site.run("view add shown").ok();
    site.write("file", "mine");
    site.write("folder/mine", "mine");
    symlink("folder", site.path("other")).unwrap();
    let outside = "hint: name a path outside the store\n";
    let beside = "hint: name a path that does not contain the store\n";
    let keep = "hint: `--replace` puts the view in its place, and keeps the old one beside it\n";
    let move_it = "hint: move it away first, or name another path\n";
    let name = "hint: name the link itself, as in `genstore view add site`\n";
    let make = "hint: create it with --parents, or check the spelling\n";
    for (args, message, hint) in [
        ("genstore", "genstore is the store itself", outside),
        ("genstore/site", "genstore/site lies in the store", outside),
        ("genstore/current", "genstore/current lies in the store", outside),
        ("genstore/current/app", "genstore/current/app lies in the store", outside),
        ("shown/app", "shown/app lies in the store", outside),
        ("shown/app/new", "shown/app/new lies in the store", outside),
        ("[DIR]", "[DIR] contains the store", beside),
        ("..", ".. does not end with a name", name),
        ("/", "/ does not end with a name", name),
        ("none/site", "cannot create none/site: there is no directory none", make),
        ("file/site", "cannot create file/site: there is no directory file", make),
        ("file", "[DIR]/file is a file, and a view does not replace a file", move_it),
        ("file --replace", "[DIR]/file is a file, and a view does not replace a file", move_it),
        ("folder", "[DIR]/folder is a directory", keep),
        ("other", "[DIR]/other is a symlink to folder", keep),
    ] {
        let args = args.replace("[DIR]", site.path("").to_str().unwrap().trim_end_matches('/'));
        let output = site.run(&format!("view add {args}"));
        output.is(1, "", &format!("error: {message}\n{hint}"));
    }
    let codes = [("genstore", "view-in-store"), ("folder", "view-taken"), ("file", "view-file")];
    for (path, code) in codes {
        let error = site.run(&format!("view add {path} --json")).json_error();
        has(&error, json!({"code": code, "exit": 1}));
    }
    for (from, why) in [
        ("../x", "the path contains `..`"),
        ("/x", "the path is absolute"),
        ("a//b", "the path contains an empty name or `.`"),
    ] {
        let message = format!("error: not a path in a generation: {from}: {why}\n");
        site.run(&format!("view add new --from {from}")).fails(2, &message);
    }
    site.run("view add new --as copy")
        .fails(2, "error: invalid value 'copy' for '--as <KIND>'\n  [possible values: link, mirror]\n");
    site.run("view add new --copy").fails(2, "error: a link has no files to copy\n");
    // Nothing was done.
    assert_eq!(site.names(""), ["dist", "file", "folder", "genstore", "other", "shown"]);
    assert_eq!((site.names("genstore/views").len(), link(&site, "other")), (1, "folder".into()));
}

#[test]
fn the_store_is_known_by_its_inode() {
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
        }
    }
    let site = two_parts();
    let alias = site.path("alias");
    fs::create_dir(&alias).unwrap();
    let mount =
        Command::new("mount").args(["--bind", "genstore", "alias"]).current_dir(site.path("")).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        skip_on_this_machine("no bind mount can be made");
        return;
    }
    let mounted = Mounted(alias);
    site.run("view add alias/site").fails(1, "error: alias/site lies in the store\n");
    site.run("view add alias --replace").fails(1, "error: alias is the store itself\n");
    drop(mounted);
    site.run("view add alias --replace").ok();
}

#[test]
fn replace_keeps_what_was_there() {
    let site = two_parts();
    site.write("site/deep/mine", "mine");
    let kept = "View [DIR]/site shows current/app\nThe former content is now [DIR]/site.before-genstore\n";
    site.run("view add site --from app --replace").prints(kept);
    assert_eq!(
        (site.read("site/file"), site.read("site.before-genstore/deep/mine")),
        ("one".into(), "mine".into())
    );
    // A folder is there again.
    fs::remove_file(site.path("site")).unwrap();
    site.write("site/again", "again");
    let doc = site.run("view add site --from app --replace --json").is_json("genstore.view-add/1");
    let expected = json!({
        "schema": "genstore.view-add/1", "change": "replaced", "path": site.path("site"), "as": "link",
        "from": "app", "target": "genstore/current/app", "made": "2026-01-02T03:04:05Z", "state": "ok",
        "kept": site.path("site.before-genstore-2"), "warnings": [],
    });
    assert_eq!(doc, expected);
    assert_eq!(site.read("site.before-genstore-2/again"), "again");
    // A link of another program, whose target is kept, too.
    fs::remove_file(site.path("site")).unwrap();
    symlink("/nowhere", site.path("site")).unwrap();
    let warning = "warning: the view [DIR]/site was replaced by a symlink to /nowhere; \
                   `genstore view add [DIR]/site --from app --replace` repairs it\n";
    assert_eq!(warnings(&site), warning);
    let doc = site.run("view ls --json").is_json("genstore.view-list/1");
    let view = &doc["views"][0];
    has(view, json!({"state": "elsewhere", "leads_to": "/nowhere"}));
    site.run("view add site --from app --replace").ok();
    assert_eq!(link(&site, "site.before-genstore-3"), "/nowhere");
    assert_eq!(warnings(&site), "");
}

#[test]
fn there_is_no_gap_while_a_folder_is_replaced() {
    let site = two_parts();
    let (path, rounds) = (site.path("site/file"), 40);
    site.tree("site", &[("file", "=mine")]);
    let (reads, done) = (AtomicU64::new(0), AtomicBool::new(false));
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    std::thread::scope(|scope| {
        // The reader ends with this block, even if the block panics.
        let _stop = Stop(&done);
        let reader = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let mut text = String::new();
                let mut file = fs::File::open(&path).unwrap_or_else(|e| panic!("a gap: {e}"));
                file.read_to_string(&mut text).unwrap();
                assert!(text == "mine" || text == "one", "{text}");
                reads.fetch_add(1, Ordering::SeqCst);
            }
        });
        for round in 0..rounds {
            let before = reads.load(Ordering::SeqCst);
            eventually("the reader reads", || {
                reader.is_finished() || reads.load(Ordering::SeqCst) > before
            });
            site.run("view add site --from app --replace").ok();
            // The folder returns without a gap, too.
            let temp = site.path(format!("folder-{round}"));
            site.tree(&format!("folder-{round}"), &[("file", "=mine")]);
            let (at, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
            rustix::fs::renameat_with(at, &temp, at, site.path("site"), flags).unwrap();
        }
    });
    let kept = site.names("").iter().filter(|name| name.starts_with("site.before-genstore")).count();
    assert_eq!(kept, rounds);
    assert!(reads.load(Ordering::SeqCst) >= rounds as u64);
}

#[test]
fn where_names_cannot_be_exchanged_the_folder_stays() {
    let site = two_parts();
    site.write("site/mine", "mine");
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=renameat2",
            "-e",
            "inject=renameat2:error=EINVAL",
        ])
        .arg(env!("CARGO_BIN_EXE_genstore"))
        .args(["view", "add", "site", "--replace"])
        .current_dir(site.path(""))
        .output();
    let Ok(output) = output else {
        skip_without_package("strace");
        return;
    };
    let expected = "error: the filesystem of [DIR]/site cannot exchange two names\n\
                    hint: move the directory away first, then add the view\n";
    assert_eq!(site.replace(&String::from_utf8_lossy(&output.stderr)), expected);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(site.read("site/mine"), "mine");
    assert_eq!(site.names(""), ["dist", "genstore", "site"]);
    assert!(site.names("genstore/views").is_empty());
}

#[test]
fn a_view_that_is_only_half_in_place_is_finished_by_the_next_writer() {
    let site = two_parts();
    site.write("site/mine", "mine");
    let trace = site.path("trace");
    let args = "view add site --replace";
    let copy = Command::new("cp").args(["-a", "genstore", "copy"]).current_dir(site.path("")).status();
    assert!(copy.unwrap().success());
    let fault = |fault: String| site.command(args).env("GENSTORE_FAULT", fault).run();
    let traced = site
        .command("--store copy view add other --replace")
        .env("GENSTORE_FAULT", format!("trace:{}", trace.display()));
    fs::create_dir(site.path("other")).unwrap();
    traced.run().ok();
    let calls = site.read("trace");
    let steps = calls.lines().position(|line| line.contains("other.before-genstore")).expect(&calls) + 1;
    let step = calls.lines().nth(steps - 1).unwrap();
    assert!(step.contains("rename"), "{step}");
    let output = fault(format!("{steps}:eio"));
    let kept = fs::read_dir(site.path("")).unwrap().map(|e| e.unwrap().file_name());
    let temp = kept.filter(|name| name.as_bytes().starts_with(b".genstore-view-")).collect::<Vec<_>>();
    assert_eq!(temp.len(), 1, "the folder waits for its name");
    let temp = temp[0].to_str().unwrap();
    let stdout = format!("View [DIR]/site shows current\nThe former content is now [DIR]/{temp}\n");
    let stderr = "warning: the view [DIR]/site is in place, but not durable yet: cannot rename \
                  [DIR]/site.before-genstore: Input/output error (os error 5)\n\
                  hint: fix the cause; the next publish finishes the view\n";
    output.is(3, &site.replace(&stdout), stderr);
    assert_eq!(warnings(&site), "");
    assert_eq!(site.read("site.before-genstore/mine"), "mine");
    assert!(!site.has(temp));
    site.run("view ls").prints("[DIR]/site  current  link  ok\n");
}

#[test]
fn a_view_that_cannot_be_finished_can_be_given_up() {
    let site = two_parts();
    site.write("www/site/mine", "mine");
    let add =
        |fault: String| site.command("view add www/site --replace").env("GENSTORE_FAULT", fault).run();
    // The first step after the link is in place.
    let step = (1..).find(|step| {
        let status = add(format!("{step}:eio")).status;
        assert!([1, 3].contains(&status), "{status}");
        status == 3
    });
    let kept = site.names("www").into_iter().find(|name| name.starts_with(".genstore-view-")).unwrap();
    assert!(step > Some(3), "{step:?}");
    fs::rename(site.path("www"), site.path("web")).unwrap();
    let warning = "warning: the view [DIR]/www/site is not fully installed yet; \
                   `genstore view rm [DIR]/www/site` cancels it\n";
    assert_eq!(warnings(&site), warning);
    site.run("view rm www/site").prints("Removed the view [DIR]/www/site; its link was already gone\n");
    assert_eq!(warnings(&site), "");
    assert!(site.names("genstore/views").is_empty());
    assert_eq!(site.read(&format!("web/{kept}/mine")), "mine");
}

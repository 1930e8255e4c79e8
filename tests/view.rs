//! `view`: paths outside the store that show what is current.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use genstore_testkit::LoopFs;
use serde_json::json;

use crate::harness::{Site, eventually};

const MEND: &str = "`genstore verify --repair` mends it";

/// A site whose generations have two parts.
fn two_parts() -> Site {
    let site = Site::new();
    parts(&site, "one");
    site.run("publish dist").ok();
    site
}

fn parts(site: &Site, text: &str) {
    let content = format!("={text}");
    site.tree("dist", &[("app/file", &content), ("site/file", &content)]);
}

fn link(site: &Site, path: &str) -> String {
    fs::read_link(site.path(path)).unwrap().to_str().unwrap().to_owned()
}

/// The publish line, with what it warns of.
fn warnings(site: &Site) -> String {
    let output = site.run("publish dist");
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stderr
}

#[test]
fn a_view_is_made_once_and_shows_what_is_current() {
    let site = two_parts();
    site.run("view add site").prints("View [DIR]/site shows current\n");
    assert_eq!(link(&site, "site"), "genstore/current");
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::symlink_metadata(site.path("site")).unwrap());
    let first = inode();
    parts(&site, "two");
    assert_eq!(warnings(&site), "");
    assert_eq!((site.read("site/app/file"), inode()), ("two".to_owned(), first));
    site.run("rollback").ok();
    assert_eq!((site.read("site/app/file"), inode()), ("one".to_owned(), first));
    site.run("view add site").prints("Unchanged: the view [DIR]/site shows current already\n");
    // Another part: the link alone is another one.
    site.run("view add site --from ./app/").prints("View [DIR]/site shows current/app\n");
    assert_eq!(
        (link(&site, "site"), site.read("site/file")),
        ("genstore/current/app".into(), "one".into())
    );
    site.run("-q view add site").prints("");
    assert_eq!(link(&site, "site"), "genstore/current");
    site.run("view rm site").prints("Removed the view [DIR]/site\n");
    assert!(!site.has("site"));
    assert!(site.names("genstore/views").is_empty());
    assert_eq!(site.names(""), ["dist", "genstore"]);
}

#[test]
fn a_link_that_is_ours_already_gets_its_record_back() {
    let site = two_parts();
    symlink("genstore/current/app", site.path("site")).unwrap();
    site.run("view add site --from app")
        .prints("Unchanged: the view [DIR]/site shows current/app already\n");
    site.run("view ls").prints("[DIR]/site  current/app  link  ok\n");
}

#[test]
fn two_views_of_one_generation_move_at_once() {
    let site = two_parts();
    site.run("view add www --from site").ok();
    fs::create_dir(site.path("deep")).unwrap();
    site.run("view add deep/app --from app").prints("View [DIR]/deep/app shows current/app\n");
    assert_eq!(link(&site, "deep/app"), "../genstore/current/app");
    site.run("view ls")
        .prints("[DIR]/deep/app  current/app   link  ok\n[DIR]/www       current/site  link  ok\n");
    for text in ["two", "three"] {
        parts(&site, text);
        assert_eq!(warnings(&site), "");
        assert_eq!((site.read("www/file"), site.read("deep/app/file")), (text.into(), text.into()));
    }
}

#[test]
fn a_view_may_come_before_what_it_shows() {
    let site = Site::new();
    site.run("init").ok();
    let nothing = "warning: the view [DIR]/site shows nothing until something is published\n";
    site.run("view add site").is(0, "View [DIR]/site shows current\n", nothing);
    site.run("view ls").prints("[DIR]/site  current  link  shows nothing yet\n");
    parts(&site, "one");
    assert_eq!(warnings(&site), "");
    let nothing = "warning: the view [DIR]/later shows nothing until a generation has docs/api\n";
    site.run("view add later --from docs/api").is(0, "View [DIR]/later shows current/docs/api\n", nothing);
    let doc = site.run("view add later --from docs/api --json").is_json("genstore.view-add/1");
    assert_eq!((&doc["state"], &doc["change"]), (&json!("dangling"), &json!("unchanged")));
    let still = "warning: the view [DIR]/later shows nothing: what is current has no docs/api\n";
    assert_eq!(warnings(&site), still);
    // A file where a folder is to be.
    site.tree("dist", &[("docs", "=no folder")]);
    assert_eq!(warnings(&site), still);
    site.tree("dist", &[("docs/api/index", "=x")]);
    assert_eq!(warnings(&site), "");
    assert_eq!(site.read("later/index"), "x");
}

#[test]
fn refuses_what_is_no_place_for_a_view() {
    let site = two_parts();
    site.run("view add shown").ok();
    site.write("file", "mine");
    site.write("folder/mine", "mine");
    symlink("folder", site.path("other")).unwrap();
    let outside = "hint: a view is a path outside the store; name one beside it\n";
    let beside = "hint: a view shows what is in the store; name a path beside it\n";
    let keep = "hint: `--replace` puts the view in its place, and keeps what is there beside it\n";
    let move_it = "hint: move it away first, or name another path\n";
    let name = "hint: name the link itself, as in `genstore view add site`\n";
    let make = "hint: make it with --parents, or check the spelling\n";
    for (args, message, hint) in [
        ("genstore", "genstore is the store itself", outside),
        ("genstore/site", "genstore/site lies in the store", outside),
        ("genstore/current", "genstore/current lies in the store", outside),
        ("genstore/current/app", "genstore/current/app lies in the store", outside),
        ("shown/app", "shown/app lies in the store", outside),
        ("shown/app/new", "shown/app/new lies in the store", outside),
        ("[DIR]", "[DIR] holds the store", beside),
        ("..", ".. does not end with a name", name),
        ("/", "/ does not end with a name", name),
        ("none/site", "there is no directory none to make none/site in", make),
        ("file/site", "there is no directory file to make file/site in", make),
        ("file", "[DIR]/file is a file, and no view takes a file's place", move_it),
        ("file --replace", "[DIR]/file is a file, and no view takes a file's place", move_it),
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
        assert_eq!((&error["code"], &error["exit"]), (&json!(code), &json!(1)));
    }
    for (from, why) in [
        ("../x", "the path holds `..`"),
        ("/x", "the path is absolute"),
        ("a//b", "the path holds an empty name or `.`"),
    ] {
        let message = format!("error: not a path in a generation: {from}: {why}\n");
        site.run(&format!("view add new --from {from}")).fails(2, &message);
    }
    site.run("view add new --as copy")
        .fails(2, "error: invalid value 'copy' for '--as <KIND>'\n  [possible values: link, mirror]\n");
    site.run("view add new --copy").fails(2, "error: a link has no files to copy\n");
    // Nothing of it was done.
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
        println!("skipped: no bind mounts here");
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
    let kept = "View [DIR]/site shows current/app\nWhat was there is [DIR]/site.before-genstore now\n";
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
    // And somebody else's link, whose target is kept too.
    fs::remove_file(site.path("site")).unwrap();
    symlink("/nowhere", site.path("site")).unwrap();
    let warning = "warning: the view [DIR]/site was replaced by a symlink to /nowhere; \
                   `genstore view add [DIR]/site --from app --replace` mends it\n";
    assert_eq!(warnings(&site), warning);
    let doc = site.run("view ls --json").is_json("genstore.view-list/1");
    let view = &doc["views"][0];
    assert_eq!((&view["state"], &view["leads_to"]), (&json!("elsewhere"), &json!("/nowhere")));
    site.run("view add site --from app --replace").ok();
    assert_eq!(link(&site, "site.before-genstore-3"), "/nowhere");
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_link_that_a_build_tool_made_a_folder_comes_back() {
    let site = two_parts();
    site.run("view add libs --from app").ok();
    let take_place = || fs::remove_file(site.path("libs")).unwrap();
    take_place();
    site.write("libs/built", "built");
    let hint = "hint: the next publish makes views again that are gone, and keeps what is there now\n";
    site.run("view ls").is(0, "[DIR]/libs  current/app  link  is a directory\n", hint);
    let kept = |name: &str| {
        format!(
            "warning: the view [DIR]/libs was replaced by a directory, which is [DIR]/{name} now; it was made again\n"
        )
    };
    assert_eq!(warnings(&site), kept("libs.before-genstore"));
    assert_eq!(
        (link(&site, "libs"), site.read("libs/file")),
        ("genstore/current/app".into(), "one".into())
    );
    assert_eq!(site.read("libs.before-genstore/built"), "built");
    take_place();
    site.write("libs/built", "again");
    assert_eq!(site.run("mark @ good").ok().stderr, "");
    assert_eq!(site.read("libs/built"), "again");
    parts(&site, "two");
    assert_eq!(warnings(&site), kept("libs.before-genstore-2"));
    // An empty one is not worth keeping.
    take_place();
    fs::create_dir(site.path("libs")).unwrap();
    let made = "warning: the view [DIR]/libs was replaced by a directory; it was made again\n";
    assert_eq!(site.run("rollback -q").ok().stderr, made);
    assert_eq!(site.read("libs/file"), "one");
    let names = ["dist", "genstore", "libs", "libs.before-genstore", "libs.before-genstore-2"];
    assert_eq!(site.names(""), names);
    assert_eq!(site.names("genstore/views").len(), 1);
}

#[test]
fn what_became_of_a_view_is_told_by_every_commit() {
    let site = two_parts();
    fs::create_dir(site.path("www")).unwrap();
    site.run("view add www/site").ok();
    let remove = || fs::remove_file(site.path("www/site")).unwrap();
    remove();
    let hint = "hint: the next publish makes views again that are gone, and keeps what is there now\n";
    site.run("view ls").is(0, "[DIR]/www/site  current  link  is missing\n", hint);
    let again = "warning: the view [DIR]/www/site was removed; it was made again\n";
    // Nothing to publish, something to publish, a way back, and where one is already.
    assert_eq!(warnings(&site), again);
    remove();
    parts(&site, "two");
    let output = site.run("publish dist --json");
    let message =
        json!([{"message": again.trim_start_matches("warning: ").trim_end(), "not_durable": false}]);
    let doc = output.is_json("genstore.publish/1");
    assert_eq!(site.replace(&doc["warnings"].to_string()), message.to_string());
    remove();
    assert_eq!(site.run("rollback -q").ok().stderr, again);
    remove();
    assert_eq!(site.run("switch 1").ok().stderr, again);
    assert_eq!(site.read("www/site/app/file"), "one");
    remove();
    site.write("www/site", "mine");
    let file = "warning: the view [DIR]/www/site was replaced by a file; \
                move it away, then `genstore view add [DIR]/www/site` mends it\n";
    assert_eq!((site.run("switch 2").ok().stderr, site.read("www/site")), (file.into(), "mine".into()));
    site.run("view ls").prints("[DIR]/www/site  current  link  is a file\n");
    fs::rename(site.path("www"), site.path("web")).unwrap();
    // A project that was cleaned: what was in it comes back, with the directory.
    site.run("view ls").prints("[DIR]/www/site  current  link  has no directory to be in\n");
    assert_eq!(warnings(&site), again);
    site.run("view ls").prints("[DIR]/www/site  current  link  ok\n");
}

#[test]
fn a_directory_far_from_the_store_is_not_made_again() {
    let site = Site::new();
    site.tree("dist", &[("a", "=1")]);
    fs::create_dir(site.path("www")).unwrap();
    fs::create_dir(site.path("in")).unwrap();
    site.run("publish dist --store in/genstore").ok();
    site.run("view add www/site --store in/genstore").ok();
    // As a disk that is not mounted at the moment.
    fs::rename(site.path("www"), site.path("web")).unwrap();
    let gone = "warning: the view [DIR]/www/site cannot be there, for the directory it was in is gone; \
                `genstore view rm [DIR]/www/site` forgets it\n";
    site.write("dist/a", "2");
    assert_eq!(site.run("publish dist -q --store in/genstore").ok().stderr, gone);
    site.run("view ls --store in/genstore")
        .prints("[DIR]/www/site  current  link  has no directory to be in\n");
    site.run("view rm www/site --store in/genstore")
        .prints("Removed the view [DIR]/www/site; its link was gone already\n");
    site.write("dist/a", "3");
    assert_eq!(site.run("publish dist -q --store in/genstore").ok().stderr, "");
}

#[test]
fn makes_the_directories_above_a_view_when_told_or_declared() {
    let site = two_parts();
    site.run("view add dist/libs/deep")
        .fails(1, "error: there is no directory dist/libs to make dist/libs/deep in\n");
    assert!(!site.has("dist/libs"));
    site.run("view add dist/libs/deep --parents").prints("View [DIR]/dist/libs/deep shows current\n");
    assert_eq!(site.read("dist/libs/deep/app/file"), site.read("genstore/current/app/file"));
    site.run("view add genstore/new/deep -p").fails(1, "error: there is no directory genstore/new");
    assert!(!site.has("genstore/new"));
    site.write("genstore.toml", "[[view]]\npath = 'out/of/libs'\n");
    site.write("other/b", "1");
    site.run("publish other").ok();
    assert_eq!(site.read("out/of/libs/b"), "1");
}

#[test]
fn rm_leaves_alone_what_is_not_ours() {
    let site = two_parts();
    site.run("view add site").ok();
    site.run("view add docs").ok();
    fs::remove_file(site.path("site")).unwrap();
    site.write("site/mine", "mine");
    let near = "error: there is no view doc\nhint: did you mean [DIR]/docs or [DIR]/site? `genstore view ls` shows all\n";
    site.run("view rm doc").is(1, "", near);
    let error = site.run("view rm doc --json").json_error();
    assert_eq!((&error["code"], &error["near"][0]), (&json!("no-such-view"), &json!("[DIR]/docs")));
    site.run("view rm site")
        .prints("Removed the view [DIR]/site; what is there now is a directory and was left alone\n");
    assert_eq!(site.read("site/mine"), "mine");
    let doc = site.run("view rm docs --json").is_json("genstore.view-remove/1");
    let expected = json!({
        "schema": "genstore.view-remove/1", "unlinked": true, "path": site.path("docs"), "as": "link",
        "target": "genstore/current", "made": "2026-01-02T03:04:05Z", "state": "ok",
    });
    assert_eq!(doc, expected);
    site.run("view rm docs")
        .fails(1, "error: there is no view docs\nhint: `genstore view ls` shows all views\n");
    let none = "The store [DIR]/genstore has no views\nhint: make one: `genstore view add PATH`\n";
    site.run("view ls").is(0, "", none);
    assert_eq!(site.run("view ls --json").is_json("genstore.view-list/1")["views"], json!([]));
}

#[test]
fn any_name_will_do() {
    let site = two_parts();
    let name = OsString::from_vec(b"a\n%\xff b".to_vec());
    let add = [OsStr::new("view"), OsStr::new("add"), &name];
    site.run_with(&add).prints("View [DIR]/a\\n%\\xff b shows current\n");
    assert!(fs::read(site.path("").join(&name).join("app/file")).is_ok());
    let doc = site.run("view ls --json").is_json("genstore.view-list/1");
    assert!(doc["views"][0]["path_b64"].is_string(), "{doc}");
    fs::remove_file(site.path("").join(&name)).unwrap();
    assert_eq!(warnings(&site), "warning: the view [DIR]/a\\n%\\xff b was removed; it was made again\n");
    site.run_with(&[OsStr::new("view"), OsStr::new("rm"), &name]).ok();
    assert_eq!(site.names(""), ["dist", "genstore"]);
    site.run("verify").ok();
}

#[test]
fn a_project_that_is_moved_keeps_its_views() {
    let site = Site::new();
    site.tree("p/dist", &[("file", "=one")]);
    let run = |dir: &str, args: &str| site.command(args).dir(dir).run();
    run("p", "publish dist").ok();
    run("p", "view add site").ok();
    fs::create_dir(site.path("elsewhere")).unwrap();
    fs::rename(site.path("p"), site.path("elsewhere/q")).unwrap();
    assert_eq!(site.read("elsewhere/q/site/file"), "one");
    run("elsewhere/q", "view ls").prints("[DIR]/elsewhere/q/site  current  link  ok\n");
    site.write("elsewhere/q/dist/file", "two");
    assert_eq!(run("elsewhere/q", "publish dist").ok().stderr, "");
    assert_eq!(site.read("elsewhere/q/site/file"), "two");
    run("elsewhere/q", "view rm site").prints("Removed the view [DIR]/elsewhere/q/site\n");
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
        // The reader ends with this block, however that ends.
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
            // The folder comes back as it went, without a gap either.
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
        println!("skipped: no strace");
        return;
    };
    let expected = "error: the filesystem of [DIR]/site cannot exchange two names\n\
                    hint: move what is there away first, then add the view\n";
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
    let stdout = format!("View [DIR]/site shows current\nWhat was there is [DIR]/{temp} now\n");
    let stderr = "warning: the view [DIR]/site is in place, but not for good yet: cannot rename \
                  [DIR]/site.before-genstore: Input/output error (os error 5)\n\
                  hint: mend the cause: the next publish finishes it\n";
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
    // At the first step that is met after the link is in place.
    let step = (1..).find(|step| {
        let status = add(format!("{step}:eio")).status;
        assert!([1, 3].contains(&status), "{status}");
        status == 3
    });
    let kept = site.names("www").into_iter().find(|name| name.starts_with(".genstore-view-")).unwrap();
    assert!(step > Some(3), "{step:?}");
    fs::rename(site.path("www"), site.path("web")).unwrap();
    let warning = "warning: the view [DIR]/www/site could not be put in place for good yet; \
                   `genstore view rm [DIR]/www/site` gives it up\n";
    assert_eq!(warnings(&site), warning);
    site.run("view rm www/site").prints("Removed the view [DIR]/www/site; its link was gone already\n");
    assert_eq!(warnings(&site), "");
    assert!(site.names("genstore/views").is_empty());
    assert_eq!(site.read(&format!("web/{kept}/mine")), "mine");
}

#[test]
fn a_write_through_a_view_is_told_and_mended() {
    let site = two_parts();
    site.run("view add www").ok();
    let spoil = |path: &str, bytes: &str| {
        fs::set_permissions(site.path(path), fs::Permissions::from_mode(0o644)).unwrap();
        site.write(path, bytes);
    };
    // The same bytes serve two paths. To publish the right ones again mends both.
    spoil("www/app/file", "bad, and longer");
    let output = site.run("publish dist");
    let warning = format!("warning: generation 1 was written to: changed app/file, site/file; {MEND}\n");
    assert_eq!((output.status, output.stderr), (0, warning));
    assert!(
        output.stdout.contains("    Mended 1 damaged object or generation in passing\n"),
        "{}",
        output.stdout
    );
    assert_eq!((site.read("www/app/file"), site.read("www/site/file")), ("one".into(), "one".into()));
    site.run("verify").ok();
    assert_eq!(warnings(&site), "");
    // Of the same size this time, and the next generation still needs the right ones.
    spoil("www/app/file", "two");
    site.write("dist/new", "new");
    let warning = format!("warning: generation 1 was written to: changed app/file, site/file; {MEND}\n");
    assert_eq!(warnings(&site), warning);
    assert_eq!(site.read("www/app/file"), "one");
    assert_eq!(site.read("genstore/generations/1/tree/app/file"), "one");
    site.run("verify").ok();
    // What came, what went, and too many to name.
    site.write("www/stranger", "x");
    fs::remove_file(site.path("www/new")).unwrap();
    let warning = format!("warning: generation 2 was written to: added stranger; removed new; {MEND}\n");
    assert_eq!(warnings(&site), warning);
    for nth in 0..20 {
        site.write(&format!("www/more/{nth:02}"), "x");
    }
    let output = warnings(&site);
    // The folder is one stranger, whatever is in it.
    assert_eq!(
        output,
        format!("warning: generation 2 was written to: added more, stranger; removed new; {MEND}\n")
    );
    for nth in 0..12 {
        site.write(&format!("www/site/{nth:02}"), "x");
    }
    let names: Vec<String> = (0..7).map(|nth| format!("site/{nth:02}")).collect();
    let added = format!("added more, {}", names.join(", "));
    let output = warnings(&site);
    assert!(output.contains("; and 5 more paths; `genstore verify"), "{output}");
    assert!(output.contains(&added), "{output}");
    assert_eq!(site.run("verify --repair").status, 0);
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_store_without_views_is_not_looked_through() {
    let site = two_parts();
    fs::remove_file(site.path("genstore/current/app/file")).unwrap();
    assert_eq!(warnings(&site), "");
    // As a store of an older program, which has no such directory.
    fs::remove_dir(site.path("genstore/views")).unwrap();
    site.run("view ls").ok();
    site.run("verify --repair").ok();
    parts(&site, "two");
    assert_eq!(warnings(&site), "");
    assert!(!site.has("genstore/views"));
    site.run("view add site").ok();
    assert_eq!(site.names("genstore/views").len(), 1);
}

#[test]
fn verify_knows_records_and_their_damage() {
    let site = two_parts();
    site.run("view add site").ok();
    site.run("verify").ok();
    let name = site.names("genstore/views").remove(0);
    let path = format!("genstore/views/{name}");
    let bytes = site.read(&path);
    // A record under another's name says nothing, nor does a torn one.
    site.write("genstore/views/0123", &bytes);
    site.write(&path, &bytes[..bytes.len() - 2]);
    site.write("genstore/views/0123.pending", "no");
    let (own, all) = (format!("[DIR]/{path}"), "Verified 1 generation, 1 object, 3 B: 3 faults\n");
    let found = [
        ("[DIR]/genstore/views/0123", "it is no view's record"),
        (&*own, "the hash differs"),
        ("[DIR]/genstore/views/0123.pending", "it is cut short"),
    ];
    let lines = |fate: &str| -> String {
        let line = |(path, why): &(&str, &str)| format!("error: {path} is damaged: {why}\n{fate}");
        found.iter().map(line).collect()
    };
    let hint = "hint: `genstore verify --repair`, or publish the right bytes again\n";
    site.run("verify").is(4, &(lines("") + all), hint);
    // It keeps nobody out.
    let output = warnings(&site);
    assert!(output.contains("views/0123 is damaged: it is no view's record\n"), "{output}");
    let unfinished = "warning: a view could not be put in place for good yet: \
                      [DIR]/genstore/views/0123.pending is damaged: it is cut short\n";
    assert!(output.contains(unfinished), "{output}");
    let fate = "  not mended: it is in quarantine now\n";
    site.run("verify --repair").is(
        3,
        &(lines(fate) + "Repaired 1 generation, 1 object, 3 B: 0 of 3 faults mended\n"),
        "hint: what is in quarantine is lost to the store: publish, pin, mark or view it again\n",
    );
    site.run("verify").ok();
    site.run("view add site").prints("Unchanged: the view [DIR]/site shows current already\n");
    site.run("view ls").prints("[DIR]/site  current  link  ok\n");
}

#[test]
fn a_read_only_store_lists_its_views() {
    let Some(mut disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let site = Site::new();
    parts(&site, "one");
    let store = disk.path().join("store");
    let store = store.to_str().unwrap();
    site.run(&format!("--store {store} publish dist")).ok();
    site.run(&format!("--store {store} view add site")).ok();
    disk.unmount();
    disk.mount(&["ro"]).unwrap();
    site.run(&format!("--store {store} view ls")).prints("[DIR]/site  current  link  ok\n");
    assert_eq!(site.read("site/app/file"), "one");
    site.run(&format!("--store {store} view rm site")).fails(1, "error: cannot ");
    assert!(site.has("site"));
}

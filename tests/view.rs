//! `view`: paths outside the store that show the current generation.

mod commits;
mod places;

use crate::prelude::*;

/// Creates a site whose generations have two parts.
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

/// Publishes, and returns the warnings.
fn warnings(site: &Site) -> String {
    let output = site.run("publish dist").ok();
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
    site.run("view add site").prints("Unchanged: the view [DIR]/site already shows current\n");
    // Another part: only the link changes.
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
        .prints("Unchanged: the view [DIR]/site already shows current/app\n");
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
    has(
        &site.run("view add later --from docs/api --json").is_json("genstore.view-add/1"),
        json!({"state": "dangling", "change": "unchanged"}),
    );
    let still = "warning: the view [DIR]/later shows nothing: the current generation has no docs/api\n";
    assert_eq!(warnings(&site), still);
    // A file at the path of a folder.
    site.tree("dist", &[("docs", "=no folder")]);
    assert_eq!(warnings(&site), still);
    site.tree("dist", &[("docs/api/index", "=x")]);
    assert_eq!(warnings(&site), "");
    assert_eq!(site.read("later/index"), "x");
}

#[test]
fn makes_the_directories_above_a_view_when_told_or_declared() {
    let site = two_parts();
    site.run("view add dist/libs/deep")
        .fails(1, "error: cannot create dist/libs/deep: there is no directory dist/libs\n");
    assert!(!site.has("dist/libs"));
    site.run("view add dist/libs/deep --parents").prints("View [DIR]/dist/libs/deep shows current\n");
    assert_eq!(site.read("dist/libs/deep/app/file"), site.read("genstore/current/app/file"));
    site.run("view add genstore/new/deep -p")
        .fails(1, "error: cannot create genstore/new/deep: there is no directory genstore/new");
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
        .prints("Removed the view [DIR]/site; the path now is a directory and was left alone\n");
    assert_eq!(site.read("site/mine"), "mine");
    let doc = site.run("view rm docs --json").is_json("genstore.view-remove/1");
    let expected = json!({
        "schema": "genstore.view-remove/1", "unlinked": true, "path": site.path("docs"), "as": "link",
        "target": "genstore/current", "made": "2026-01-02T03:04:05Z", "state": "ok",
    });
    assert_eq!(doc, expected);
    site.run("view rm docs")
        .fails(1, "error: there is no view docs\nhint: `genstore view ls` shows all views\n");
    let none = "The store [DIR]/genstore has no views\nhint: add one with `genstore view add PATH`\n";
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
    assert_eq!(warnings(&site), "warning: the view [DIR]/a\\n%\\xff b was removed; it was restored\n");
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

//! `doctor`: checks of the system and the filesystem.

use crate::prelude::*;

#[test]
fn tells_what_holds_and_leaves_nothing() {
    let site = Site::new();
    site.run("doctor").ok().stdout_starts("No store yet; a new one would be [DIR]/genstore\n");
    assert_eq!(site.names("."), [""; 0]);
    site.tree("dist", &[("img/a", "=1")]);
    site.run("publish dist").ok();
    site.run("view add images --from img").ok();
    site.run("view add mirror --as mirror").ok();
    let output = site.run("doctor").ok();
    for line in [
        "Store [DIR]/genstore\n",
        "ok    file locks           work\n",
        "ok    hard links           work\n",
        "ok    rename exchange      works: `view add --replace` is atomic\n",
        "ok    case                 README and readme are different names\n",
        "ok    view [DIR]/images: a link\n      good for programs that resolve it once",
        "      not for watchers that do not see a link retargeted (node --watch,",
        "ok    view [DIR]/mirror: a mirror\n      good for watchers of files (tsx watch, nodemon,",
        "      not for readers that open several files",
    ] {
        assert!(output.stdout.contains(line), "{line} is not in {}", output.stdout);
    }
    assert_eq!(site.names("."), ["dist", "genstore", "images", "mirror"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn tells_programs() {
    let site = Site::published();
    site.run("view add here").ok();
    fs::remove_file(site.path("here")).unwrap();
    let doc = site.run("doctor --json").is_json("genstore.doctor/1");
    assert_eq!((&doc["ok"], &doc["views"][0]["ok"]), (&json!(true), &json!(false)));
    assert_eq!(doc["views"][0]["as"], json!("link"));
    let checks = doc["checks"].as_array().unwrap();
    has(
        checks.iter().find(|check| check["name"] == "file locks").unwrap(),
        json!({"standing": "good", "text": "work"}),
    );
    let inotify = checks.iter().find(|check| check["name"] == "inotify").unwrap();
    assert!(inotify["text"].as_str().unwrap().contains(" watches left"), "{inotify}");
}

#[test]
fn a_project_elsewhere_is_told() {
    let site = Site::new();
    // Tests run in memory if possible; the machine's disk is another filesystem then.
    let other = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dev = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if dev(other.path()) == dev(&site.path("")) {
        skip_on_this_machine("the test's folders are on one filesystem");
        return;
    }
    site.write("genstore.toml", format!("[store]\npath = '{}/store'\n", other.path().display()));
    let output = site.run("doctor").ok();
    let line = "care  same filesystem      [DIR] is on another filesystem: files are copied, not moved\n";
    assert!(output.stdout.contains(line), "{}", output.stdout);
}

#[test]
fn looks_without_writing_and_tries_where_that_is_wished_for() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::published();
    let stamp = || {
        ["", "genstore", "genstore/staging", "genstore/locks"].map(|name| {
            let meta = site.path(name).metadata().unwrap();
            (meta.ctime(), meta.ctime_nsec())
        })
    };
    let before = stamp();
    genstore_testkit::settle(&site.path("dist"));
    let looked = site.run("doctor").ok().stdout;
    assert!(looked.contains("ok    file locks           work\n"), "{looked}");
    assert!(
        looked.contains("ok    case                 README and readme are different names\n"),
        "{looked}"
    );
    assert_eq!(stamp(), before, "something was made in the store, or beside it");
    site.run("doctor --probe").ok().stdout_has("ok    hard links           work\n");
    assert_ne!(stamp(), before, "something is made and removed");
    assert_eq!(site.names("."), ["dist", "genstore"]);
}

#[test]
fn what_belongs_to_others_is_told_and_given_back() {
    use std::os::unix::fs::{MetadataExt, lchown};
    needs!(is_root());
    const OTHER: u32 = 61_001;
    let site = Site::published();
    let owner = |below: &str| site.path(below).symlink_metadata().unwrap().uid();
    let take = |names: &[&str]| {
        for name in names {
            lchown(site.path(format!("genstore/{name}")), Some(OTHER), None).unwrap();
        }
    };
    let all = ["log", "current", "objects", "generations/1", "generations/2/tree/a.txt"];
    for mend in ["doctor --fix", "verify --repair"] {
        take(&all);
        // An object has several names, and all of them belong to the store.
        let object = owner("genstore/generations/2/tree/a.txt");
        assert_eq!(object, OTHER);
        let told = site.run("doctor").ok().stdout;
        assert!(told.contains("care  owners"), "{told}");
        assert!(
            told.contains(" names in the store not owned by the store's owner; the first is"),
            "{told}"
        );
        let warned = site.run("publish dist --always").ok().stderr;
        assert!(warned.contains("3 of the topmost names do not belong to the owner"), "{warned}");
        assert!(warned.contains("`sudo genstore doctor --fix --store [DIR]/genstore`"), "{warned}");
        assert!(site.run("verify").ok().stderr.contains("not owned by"));
        site.run(mend).ok();
        for name in all {
            assert_eq!(owner(&format!("genstore/{name}")), 0, "{mend}: {name}");
        }
        site.run("doctor")
            .ok()
            .stdout_has("ok    owners               the whole store belongs to its owner\n");
        site.run("publish dist --always").ok();
        assert_eq!(site.run("verify").ok().stderr, "");
    }
}

//! `wait`.

use crate::prelude::*;

#[test]
fn returns_when_something_else_is_current() {
    let site = Site::published();
    for (number, way) in (3..).zip(Way::ALL) {
        let waiting = site.command("wait").spawn();
        waiting.wait_for_watch();
        site.tree("dist", &[("a.txt", &format!("={number}"))]);
        site.publish_in(way, "").ok();
        waiting.end(&site).prints(&format!("{number}\n"));
    }
    let waiting = site.command("wait").spawn();
    waiting.wait_for_watch();
    site.run("switch 1").ok();
    waiting.end(&site).prints("1\n");
}

#[test]
fn waits_for_the_first() {
    let site = Site::new();
    site.run("init").ok();
    let waiting = site.command("wait").spawn();
    waiting.wait_for_watch();
    site.tree("dist", &[("a", "=1")]);
    site.run("publish dist").ok();
    waiting.end(&site).prints("1\n");
}

#[test]
fn a_change_that_is_no_change_of_current_does_not_end_it() {
    let site = Site::published();
    let waiting = site.command("wait").spawn();
    waiting.wait_for_watch();
    site.run("publish dist").ok();
    site.write("dist/a.txt", "3");
    site.run("publish dist --no-activate").ok();
    site.run("switch 3").ok();
    waiting.end(&site).prints("3\n");
}

#[test]
fn returns_at_once_when_it_is_another_already() {
    let site = Site::published();
    site.run("wait --after 1").prints("2\n");
    // Generation 77 is gone, but counts as seen.
    site.run("wait --after 77").prints("2\n");
    site.run("wait --after nobody").fails(1, "error: no generation is called nobody\n");
}

#[test]
fn gives_up_in_time() {
    let site = Site::published();
    let hint = "hint: no watch of yours runs on this store; use a longer --timeout for another publisher\n";
    site.run("wait --timeout 10ms").is(1, "", &format!("error: waited 10ms: 2 is still current\n{hint}"));
    site.run("wait --timeout 0 --after @")
        .exits(1)
        .says(&format!("error: waited 0s: 2 is still current\n{hint}"));
    assert_eq!(site.run("wait --timeout 1ms --json").json_error()["code"], "timeout");
    site.run("wait --timeout soon").fails(2, "error: invalid value 'soon' for '--timeout <DUR>'");
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("wait --after 1 --json").is_json("genstore.wait/1");
    let expected = json!({
        "schema": "genstore.wait/1", "generation": 2, "tree": doc["tree"],
        "path": site.path("genstore/generations/2/tree").to_str().unwrap(),
    });
    assert_eq!(doc, expected);
}

#[test]
fn ends_when_the_store_goes_away() {
    let site = Site::published();
    let waiting = site.command("wait").spawn();
    waiting.wait_for_watch();
    // The rename is one step: a half-removed store would be a folder that is no store.
    fs::rename(site.path("genstore"), site.path("gone")).unwrap();
    fs::remove_dir_all(site.path("gone")).unwrap();
    waiting.end(&site).fails(10, "error: [DIR]/genstore is not a genstore store\n");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_only_kept_wakes_those_who_watch_files_and_not_those_who_watch_the_notice() {
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    let site = Site::published();
    let woken = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let watch = |path: &str| inotify::add_watch(&woken, site.path(path), WatchFlags::ALL_EVENTS).unwrap();
    let names = [(watch("genstore/notice"), "notice"), (watch("genstore/current/run"), "file")];
    let events = || -> Vec<(&str, ReadFlags)> {
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&woken, &mut space);
        let event = || {
            let event = reader.next().ok()?;
            let named = names.iter().find(|(watch, _)| *watch == event.wd())?;
            // A reader of the file is no change.
            Some((named.1, event.events()))
        };
        let read = ReadFlags::OPEN | ReadFlags::ACCESS | ReadFlags::CLOSE_NOWRITE;
        std::iter::from_fn(event).filter(|(_, events)| !read.contains(*events)).collect()
    };
    site.tree("dist", &[("a.txt", "=new"), ("run", "!#!")]);
    site.run("publish dist --no-activate").ok();
    let kept = events();
    assert!(kept.contains(&("file", ReadFlags::ATTRIB)), "a new link is a change of it: {kept:?}");
    assert!(kept.iter().all(|(name, _)| *name == "file"), "nothing became current: {kept:?}");
    site.run("switch 3").ok();
    assert!(events().iter().any(|(name, _)| *name == "notice"));
}

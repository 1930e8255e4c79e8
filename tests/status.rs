//! `status`.

use crate::prelude::*;

#[test]
fn shows_what_is_current_held_viewed_and_open() {
    let site = Site::published();
    site.run("view add public").ok();
    site.run("rollback").ok();
    let begun = site.run("begin --ttl 1h --json").is_json("genstore.begin/1");
    let id = begun["stage"].as_str().unwrap();
    let shown = site.run("status").ok().stdout;
    for line in [
        "Store    [DIR]/genstore\n".to_owned(),
        "Current  1 [ID], created just now: first\n".to_owned(),
        "2 was rolled back, by user tester, process ".to_owned(),
        "View     [DIR]/public ok\n".to_owned(),
        format!("Stage    {id} begun just now by "),
    ] {
        assert!(shown.contains(&line), "{line:?}: {shown}");
    }
    let doc = site.run("status --json").is_json("genstore.status/1");
    has(&doc, json!({ "current": 1, "watch": null }));
    has(&doc["hold"], json!({ "generation": 1, "left": 2 }));
    has(&doc["stages"][0], json!({ "stage": id, "expires": "2026-01-02T04:04:05Z" }));
    site.run(&format!("abort {id}")).ok();
    site.run("resume").ok();
    let doc = site.run("status --json").is_json("genstore.status/1");
    has(&doc, json!({ "current": 1, "stages": [], "hold": null }));
}

#[test]
fn an_empty_store_has_nothing_current() {
    let site = Site::new();
    site.run("init").ok();
    let doc = site.run("status --json").is_json("genstore.status/1");
    has(&doc, json!({ "current": null, "tree": null, "views": [], "stages": [] }));
    site.run("status")
        .prints("Store    [DIR]/genstore\nCurrent  none: nothing has been published to this store yet\n");
}

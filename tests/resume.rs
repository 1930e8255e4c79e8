//! `resume`. `watch.rs` tests the effect of a hold on `watch`.

use crate::prelude::*;

#[test]
fn shows_what_was_built_since_the_rollback() {
    let site = Site::published();
    site.run("resume").prints("There is no hold\n");
    site.run("rollback").ok();
    // A third generation that is only kept, like a watch would.
    site.write("dist/a.txt", "three");
    site.run("publish dist --no-activate").ok();
    site.run("resume").prints("Resumed: 1 [ID] -> 3 [ID]\n");
    assert_eq!(site.read("genstore/current/a.txt"), "three");
    let doc = site.run("resume --json").is_json("genstore.resume/1");
    let expected = json!({
        "schema": "genstore.resume/1", "held": false, "generation": 3, "previous": 3, "changed": false,
        "refreshed": 0, "durable": true, "current": true, "warnings": [],
    });
    assert_eq!(doc, expected);
}

#[test]
fn what_a_rollback_left_as_bad_stays_left() {
    let site = Site::published();
    site.run("rollback").ok();
    site.run("resume").prints("Resumed: there is no newer build, 1 stays current\n");
    site.run("current").prints("1\n");
    site.run("resume").prints("There is no hold\n");
}

//! `du`.

use crate::prelude::*;

#[test]
fn tells_who_uses_how_much() {
    let site = Site::published();
    site.run("du").prints(
        "generation  apparent  shared  exclusive (freed by removing it)\n\
         \x20        2      20 B     8 B                              12 B  (current)\n\
         \x20        1      16 B     8 B                               8 B\n\
         2 generations, 28 B on disk\n",
    );
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("du --json").is_json("genstore.du/1");
    let expected = json!({
        "schema": "genstore.du/1", "store_bytes": 28,
        "generations": [
            {"generation": 2, "current": true, "apparent_bytes": 20, "exclusive_bytes": 12, "shared_bytes": 8,
             "freed_bytes": 12},
            {"generation": 1, "current": false, "apparent_bytes": 16, "exclusive_bytes": 8, "shared_bytes": 8,
             "freed_bytes": 8},
        ],
    });
    assert_eq!(doc, expected);
}

#[test]
fn says_that_a_store_is_empty() {
    let site = Site::new();
    site.run("init").ok();
    site.run("du").ok().says(
        "The store [DIR]/genstore has no generations yet\nhint: publish one with `genstore publish DIR`\n",
    );
    let doc = site.run("du --json").is_json("genstore.du/1");
    assert_eq!(doc, json!({"schema": "genstore.du/1", "generations": [], "store_bytes": 0}));
}

#[test]
fn logs_of_builds_count() {
    let site = Site::published();
    let total = || {
        let du = site.run("du --json").json("genstore.du/1")["store_bytes"].as_u64().unwrap();
        assert_eq!(site.run("list --json").json("genstore.list/1")["store_bytes"], du);
        assert_eq!(site.run("gc -n --json").json("genstore.gc/1")["before_bytes"], du);
        du
    };
    assert_eq!(total(), 28);
    let script = "echo 12345678; cp -a dist/. $GENSTORE_OUT";
    site.command("build --always -- sh -c").args(&[script]).run().ok();
    assert_eq!(total(), 28 + 9);
    has(
        &site.run("du --json").json("genstore.du/1")["generations"][0].clone(),
        json!({"generation": 3, "exclusive_bytes": 9, "freed_bytes": 9}),
    );
    // The log and the report of a failed build.
    site.command("build -- sh -c").args(&["echo 1234; exit 1"]).run();
    let report = site.path("genstore/failed/1/report.json").metadata().unwrap().len();
    assert_eq!(total(), 28 + 9 + 5 + report);
    // Removing a generation frees its log, too.
    site.run("switch 2").ok();
    site.run("mark 3 bad").ok();
    let gc = site.run("gc --keep-last 0 --grace 0s --json").json("genstore.gc/1");
    assert_eq!(gc["after_bytes"], total());
    assert_eq!(total(), 20 + 5 + report);
}

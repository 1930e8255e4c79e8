//! `du`.

use serde_json::json;

use crate::harness::Site;

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
    site.run("du").is(
        0,
        "",
        "The store [DIR]/genstore holds no generation yet\nhint: publish something: `genstore publish DIR`\n",
    );
    let doc = site.run("du --json").is_json("genstore.du/1");
    assert_eq!(doc, json!({"schema": "genstore.du/1", "generations": [], "store_bytes": 0}));
}

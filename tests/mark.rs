//! `mark`.

use crate::prelude::*;

#[test]
fn marks_good_and_bad() {
    let site = Site::published();
    site.run_with(&["mark", "1", "bad", "-m", "breaks login"])
        .prints("Marked generation 1 as bad: breaks login\n");
    has(
        &site.run("show 1 --json").is_json("genstore.show/1"),
        json!({"mark": "bad", "mark_why": "breaks login"}),
    );
    site.run("rollback").fails(1, "error: there is no good generation older than 2\n");
    site.run("mark @- good").prints("Marked generation 1 as good\n");
    site.run("rollback -q").prints("");
    site.run("mark 1 bad -q").prints("");
}

#[test]
fn tells_programs() {
    let site = Site::published();
    let doc = site.run("mark 1 bad -m why --json").is_json("genstore.mark/1");
    assert_eq!(doc, json!({"schema": "genstore.mark/1", "generation": 1, "mark": "bad", "why": "why"}));
}

#[test]
fn refuses_other_words() {
    let site = Site::published();
    site.run("mark 1 ugly").fails(2, "error: invalid value 'ugly' for '<good|bad>'");
    site.run("mark 1")
        .fails(2, "error: the following required arguments were not provided:\n  <good|bad>\n");
    site.run("mark 9 good").fails(1, "error: no generation is called 9\n");
}

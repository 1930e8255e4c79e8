//! `pin` and `unpin`.

use crate::prelude::*;

#[test]
fn a_pin_names_and_keeps() {
    let site = Site::published();
    site.run("pin 1 stable -m why").prints("Pinned generation 1 as stable\n");
    site.run("path stable").prints("[DIR]/genstore/generations/1/tree\n");
    let kept = "keep  2  current; last 1\nkeep  1  pinned: stable\nRemoved nothing: 28 B\n";
    site.run("gc --keep-last 1 --grace 0").prints(kept);
    site.run("unpin stable").prints("Removed the pin stable\n");
    site.run("gc --keep-last 1 --grace 0").ok().stdout_has("remove  1  older than last 1\n");
}

#[test]
fn a_pin_ends_when_it_was_to_end() {
    let site = Site::published();
    let pinned = |until: &str, shown: &str| {
        let text = format!("Pinned generation 1 as p until {shown}\n");
        site.run(&format!("pin 1 p --until {until}")).prints(&text);
    };
    pinned("2026-02-01", "2026-02-01 00:00:00 UTC");
    pinned("2026-02-01T12:00:00+02:00", "2026-02-01 10:00:00 UTC");
    pinned("1h", "2026-01-02 04:04:05 UTC");
    let doc = site.run("list --json").is_json("genstore.list/1");
    assert_eq!(doc["generations"][1]["pins"][0]["until"], "2026-01-02T04:04:05Z");
    let later = site.command("list --json").env("GENSTORE_NOW", "2026-01-02T05:00:00Z").run();
    assert_eq!(later.is_json("genstore.list/1")["generations"][1]["pins"], json!([]));
    let later =
        site.command("gc --keep-last 1 --grace 0").env("GENSTORE_NOW", "2026-01-02T05:00:00Z").run();
    assert!(later.ok().stdout.contains("remove  1  older than last 1\n"));
}

#[test]
fn refuses_what_is_no_time_or_no_name() {
    let site = Site::published();
    let hint = "hint: omit --until to pin without expiry\n";
    let check = |until: &str, error: &str| {
        site.run(&format!("pin 1 p --until {until}")).is(2, "", &format!("error: {error}\n{hint}"));
    };
    check("soon", "not a time: soon (write it like 2031-05-01, '2031-05-01 18:00' or 7d)");
    check("2026-01-01", "--until 2026-01-01 00:00:00 UTC is in the past");
    check("0", "--until 2026-01-02 03:04:05 UTC is in the past");
    for name in ["9a", "a/b", "@"] {
        let error = format!(
            "error: invalid value '{name}' for '<NAME>': \
             a pin's name is 1 to 100 of A-Z a-z 0-9 . _ - and starts with a letter\n"
        );
        site.run(&format!("pin 1 {name}")).fails(2, &error);
        site.run(&format!("unpin {name}")).fails(2, &error);
    }
    site.run("pin 9 p").fails(1, "error: no generation is called 9\n");
    assert_eq!(site.names("genstore/pins"), [""; 0]);
}

#[test]
fn a_name_holds_one_generation() {
    let site = Site::published();
    site.run("pin 1 p").ok();
    site.run("pin 1 p -m again").ok();
    site.run("pin 2 p").exits(1).says(
        "error: the pin p is used for generation 1 already\n\
         hint: choose another name, or remove that pin first with `genstore unpin`\n",
    );
    site.run("unpin q").is(1, "", "error: there is no pin q\nhint: `genstore list` shows the pins\n");
    assert_eq!(site.run("pin 2 p --json").json_error()["code"], "pin-taken");
    assert_eq!(site.run("unpin q --json").json_error()["code"], "no-such-pin");
}

#[test]
fn tell_programs() {
    let site = Site::published();
    let doc = site.run("pin 1 p -m why --until 1d --json").is_json("genstore.pin/1");
    let expected = json!({
        "schema": "genstore.pin/1", "name": "p", "generation": 1, "why": "why", "until": "2026-01-03T03:04:05Z",
    });
    assert_eq!(doc, expected);
    let doc = site.run("unpin p --json").is_json("genstore.unpin/1");
    assert_eq!(doc, json!({"schema": "genstore.unpin/1", "name": "p", "generation": 1}));
    site.run("pin 1 p -q").prints("");
    site.run("unpin p -q").prints("");
}

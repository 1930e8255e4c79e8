//! Hosts that pull: their own audit, their hold, their retention and their shared paths count.

use crate::prelude::*;

/// A publisher in `ci` that pushed one generation, and a host in `host` that has it.
fn places(config: &str) -> Site {
    let site = Site::new();
    let url = format!("[remote.there]\nurl = \"file://{}\"\n", site.path("remote").display());
    site.write("ci/genstore.toml", &url);
    site.write("host/genstore.toml", format!("{url}{config}"));
    push(&site, "one");
    run(&site, "host", "pull there --activate").ok();
    site
}

fn run(site: &Site, place: &str, args: &str) -> Output {
    site.command(args).dir(place).env("XDG_STATE_HOME", site.path("state").join(place)).run()
}

fn push(site: &Site, text: &str) {
    // Most files stay the same, as in releases.
    (0..9).for_each(|number| site.write(&format!("ci/dist/same/{number}"), number.to_string()));
    site.write("ci/dist/a.txt", text);
    run(site, "ci", "publish dist --push there").ok();
}

fn current(site: &Site) -> String {
    site.read("host/genstore/current/a.txt")
}

#[test]
fn a_pull_is_audited_by_the_rules_of_the_host() {
    let site = places("[audit]\nforbid = ['*.map']\n");
    site.write("ci/dist/a.map", "");
    push(&site, "two");
    for args in ["pull there --activate", "pull there"] {
        run(&site, "host", args).exits(5).stderr_has("a.map");
    }
    assert_eq!(
        (current(&site), site.names("host/genstore/generations")),
        ("one".to_owned(), vec!["1".to_owned()])
    );
    fs::remove_file(site.path("ci/dist/a.map")).unwrap();
    push(&site, "three");
    run(&site, "host", "pull there --activate").ok();
    assert_eq!(current(&site), "three");
}

#[test]
fn a_rollback_holds_against_pulls_and_what_is_bad_stays_off() {
    let site = places("");
    push(&site, "two");
    run(&site, "host", "pull there --activate").ok();
    run(&site, "host", "rollback").ok();
    // The same generation again, which the rollback has marked, and then a new one.
    let again = run(&site, "host", "pull there --activate").ok();
    again.stderr_has("warning: generation 2 was not activated: it is marked as bad");
    push(&site, "three");
    let held = run(&site, "host", "pull there --activate").ok();
    held.stderr_has("warning: generation 3 was not activated: a rollback holds the current one")
        .stderr_has("`genstore switch 3`");
    assert_eq!(current(&site), "one");
    let document = run(&site, "host", "pull there --activate --json").json("genstore.pull/1");
    assert_eq!((&document["current"], &document["generation"]), (&json!(false), &json!(3)));
    run(&site, "host", "resume").ok();
    assert_eq!(current(&site), "three");
    push(&site, "four");
    run(&site, "host", "pull there --activate").ok();
    assert_eq!(current(&site), "four");
}

#[test]
fn a_host_keeps_as_many_generations_as_its_rule_says() {
    let site = places("[retain]\nkeep_last = 2\ngrace = '0s'\nauto = true\n");
    for text in ["two", "three", "four", "five", "six"] {
        push(&site, text);
        run(&site, "host", "pull there --activate").ok();
    }
    assert!(site.names("host/genstore/generations").len() <= 3);
    assert_eq!(current(&site), "six");
}

#[test]
fn shared_paths_that_the_host_lacks_are_named() {
    let site = places("");
    let config = site.read("ci/genstore.toml");
    site.write("ci/genstore.toml", format!("{config}[shared]\n\"storage\" = {{}}\n"));
    push(&site, "two");
    let refused = run(&site, "host", "pull there --activate").exits(1);
    refused
        .stderr_has("the generation has shared paths that this project has not: storage")
        .stderr_has("add them under [shared]");
    assert_eq!(current(&site), "one");
    let config = site.read("host/genstore.toml");
    site.write("host/genstore.toml", format!("{config}[shared]\n\"storage\" = {{}}\n"));
    run(&site, "host", "pull there --activate").ok();
    assert!(site.path("host/genstore/current/storage").is_dir());
}

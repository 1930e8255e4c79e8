//! `remote forget`: a leaked file leaves a remote.

use crate::prelude::*;

/// A site whose first generation has a secret, pushed to the remote `there`.
fn leaked() -> Site {
    let site = Site::of(&[("index.html", "=one"), ("config/.env", "=PASSWORD=hunter2-and-some-more")]);
    let url = format!("file://{}", site.path("remote").display());
    site.write("genstore.toml", format!("[remote.there]\nurl = \"{url}\"\n"));
    site.run("publish dist").ok();
    run(&site, "a", "push there").ok();
    site
}

fn run(site: &Site, machine: &str, args: &str) -> Output {
    site.command(args).env("XDG_STATE_HOME", site.path(machine)).run()
}

#[test]
fn a_leaked_file_leaves_the_store_and_then_the_remote() {
    let site = leaked();
    run(&site, "b", "--store other pull there --activate").ok();
    // Nothing was forgotten here yet, and the head of the remote has it.
    run(&site, "a", "remote forget there").exits(2).stderr_has("this store has forgotten nothing");
    let refused = run(&site, "a", "remote forget there config/.env").exits(1);
    refused.stderr_has("channel main still needs the content").stderr_has("push a generation without it");
    run(&site, "a", "remote forget there no/such/file")
        .exits(1)
        .stderr_has("no generation on the remote has a file at");
    run(&site, "a", "forget config/.env").ok();
    run(&site, "a", "push there").ok();
    let would = run(&site, "a", "remote forget there -n").ok().stdout;
    assert!(
        would.contains("Would push again: main") && would.contains("Would forget 1 content"),
        "{would}"
    );
    let done = run(&site, "a", "remote forget there --json").is_json("genstore.remote-forget/1");
    assert_eq!((&done["pushed"], done["digests"].as_array().unwrap().len()), (&json!(["main"]), 1));
    let removed: Vec<u64> =
        done["removed"].as_array().unwrap().iter().map(|kept| kept["record"].as_u64().unwrap()).collect();
    assert_eq!(removed, [1, 2]);
    run(&site, "a", "remote verify there").stdout_has("Verified 1 generation").stdout_has("all intact");
    run(&site, "a", "remote log there").stdout_has("forget");
    // A pull on a machine that has it warns, until it is forgotten there, too.
    let digest = done["digests"][0].as_str().unwrap();
    let pulled = run(&site, "b", "--store other pull there --activate").ok();
    pulled
        .stderr_has("there has forgotten 1 content that this store still has")
        .stderr_has("`genstore forget [ID]`");
    run(&site, "b", "--store other push there beta").ok();
    run(&site, "b", "--store other switch 1").ok();
    run(&site, "b", "--store other push there beta")
        .exits(1)
        .stderr_has("the remote has forgotten the content of config/.env");
    run(&site, "b", &format!("--store other forget {digest}")).ok();
    let pulled = run(&site, "b", "--store other pull there --json").is_json("genstore.pull/1");
    assert_eq!(pulled["forgotten"], json!([]));
}

#[test]
fn a_pin_that_needs_it_is_named() {
    let site = leaked();
    run(&site, "a", "remote pin there main v1").ok();
    run(&site, "a", "forget config/.env").ok();
    run(&site, "a", "push there").ok();
    run(&site, "a", "remote forget there").exits(1).stderr_has("pin v1 still needs the content");
    run(&site, "a", "remote unpin there v1").ok();
    run(&site, "a", "remote forget there").stdout_has("Forgot 1 content");
    run(&site, "b", "--store other pull there --activate").ok();
    assert!(!site.path("other/current/config").exists());
}

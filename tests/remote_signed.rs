//! Signed records: with keys of ssh, by the real ssh-keygen and ssh-agent.

use crate::prelude::*;

/// A site with a remote that is signed: by `ci` on machine `a`, and checked on machine `b`.
fn site() -> Option<Site> {
    if !has_program("ssh-keygen") {
        return None;
    }
    let site = Site::published();
    for name in ["ci", "lead", "stranger"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(site.path(name));
        assert!(keygen.status().unwrap().success());
    }
    let key = |name: &str| {
        let text = site.read(&format!("{name}.pub"));
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    let (ci, lead) = (key("ci"), key("lead"));
    site.write(
        "signers",
        format!(
            "ci@example.org namespaces=\"genstore-push\" {ci}\n\
             lead@example.org namespaces=\"genstore-push,genstore-promote,genstore-gc\" {lead}\n"
        ),
    );
    Some(site)
}

/// Runs with a project's file whose remote has these keys.
fn run(site: &Site, machine: &str, keys: &str, args: &str) -> Output {
    let url = format!("file://{}", site.path("remote").display());
    site.write("genstore.toml", format!("[remote.there]\nurl = \"{url}\"\n{keys}"));
    let run = site.command(args).env("XDG_STATE_HOME", site.path(machine));
    run.env("XDG_CONFIG_HOME", site.path("config")).run()
}

const CI: &str = "sign = 'ci'\n";
const TRUST: &str = "trust = 'signers'\n";

#[test]
fn records_by_trusted_signers_are_followed_and_others_are_refused() {
    let Some(site) = site() else { return };
    run(&site, "a", CI, "push there").ok();
    run(&site, "b", TRUST, "--store other pull there --activate").ok();
    let log = run(&site, "a", CI, "remote log there --json").json("genstore.remote-log/1");
    assert_eq!(log["records"][0]["signed"], true);
    // The key may push, and nothing else.
    run(&site, "a", CI, "promote there main stable").ok();
    let refused = run(&site, "b", TRUST, "--store other pull there stable").exits(13);
    refused.stderr_has("(signature): record 2 (promote): its signature is not valid for genstore-promote");
    let lead = "sign = 'lead'\ntrust = 'signers'\n";
    run(&site, "c", lead, "promote there main other").exits(13).stderr_has("record 2 (promote)");
    assert_eq!(site.read("other/current/a.txt"), "one\ntwo\n");
}

#[test]
fn writers_without_a_trusted_key_are_refused() {
    let Some(site) = site() else { return };
    run(&site, "a", CI, "push 1 there").ok();
    run(&site, "b", TRUST, "--store other pull there --activate").ok();
    for (keys, said) in [("", "record 2 is not signed"), ("sign = 'stranger'\n", "its signer is not in")] {
        run(&site, "a", keys, "push there").ok();
        run(&site, "b", TRUST, "--store other pull there --activate").exits(13).stderr_has(said);
        // A machine that never saw the remote refuses it as well.
        let fresh = run(&site, "fresh", TRUST, "--store fresh pull there --activate").exits(13);
        fresh.stderr_has(said);
        run(&site, "c", &format!("{CI}{TRUST}"), "push there").exits(13).stderr_has(said);
        fs::remove_file(site.path("remote/log/00000000000000000002")).unwrap();
        fs::remove_dir_all(site.path("a")).unwrap();
    }
    assert_eq!(site.read("other/current/a.txt"), "one\n");
    assert!(!site.has("fresh/current"));
    // A lead does all of it.
    let lead = "sign = 'lead'\ntrust = 'signers'\n";
    run(&site, "a", lead, "push there").ok();
    run(&site, "a", lead, "promote there main stable").ok();
    run(&site, "a", lead, "remote pin there stable v1").ok();
    run(&site, "a", lead, "remote gc there --keep-last 1").ok();
    run(&site, "a", lead, &format!("remote forget there {}", "ab".repeat(32))).ok();
    for name in ["main", "stable", "v1"] {
        run(&site, "b", TRUST, &format!("--store other pull there {name} --activate")).ok();
    }
    run(&site, "fresh", TRUST, "--store fresh pull there v1 --activate").ok();
    assert_eq!(site.read("fresh/current/a.txt"), "one\ntwo\n");
}

#[test]
fn a_record_that_is_replayed_or_frozen_is_refused() {
    let Some(site) = site() else { return };
    let fresh = format!("{CI}best_before = '1h'\n");
    run(&site, "a", &fresh, "push 1 there").ok();
    let record = fs::read(site.path("remote/log/00000000000000000001")).unwrap();
    run(&site, "a", &fresh, "push there").ok();
    site.write("remote/log/00000000000000000003", &record);
    let refused = run(&site, "b", TRUST, "--store other pull there --activate").exits(13);
    refused.stderr_has("(forked)");
    fs::remove_file(site.path("remote/log/00000000000000000003")).unwrap();
    run(&site, "b", TRUST, "--store other pull there --activate").ok();
    let later = site.command("--store other pull there").env("XDG_STATE_HOME", site.path("b"));
    let later = later.env("GENSTORE_NOW", "2026-01-02T04:04:06Z").run().exits(13);
    later.stderr_has("(frozen)");
    // The log of this machine went back.
    fs::remove_file(site.path("remote/log/00000000000000000002")).unwrap();
    run(&site, "a", &fresh, "push 1 there").exits(13).stderr_has("(went-back)");
}

#[test]
fn a_key_in_an_agent_signs_and_a_key_that_is_nowhere_is_an_error() {
    let Some(site) = site() else { return };
    if !has_program("ssh-agent") {
        return;
    }
    let socket = site.path("agent");
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
    let mut agent = agent.spawn().unwrap();
    eventually("the agent listens", || site.has("agent"));
    let mut add = Command::new("ssh-add");
    add.arg("-q").arg(site.path("ci")).env("SSH_AUTH_SOCK", &socket).stderr(Stdio::null());
    assert!(add.status().unwrap().success());
    fs::remove_file(site.path("ci")).unwrap();
    let public = "sign = 'ci.pub'\n";
    let refused = run(&site, "a", public, "push there").exits(1);
    refused.stderr_has("error: cannot sign the record: ");
    assert!(!site.has("remote/log"), "nothing was appended");
    let pushed =
        site.command("push there").env("XDG_STATE_HOME", site.path("a")).env("SSH_AUTH_SOCK", &socket);
    pushed.run().ok();
    run(&site, "b", TRUST, "--store other pull there --activate").ok();
    agent.kill().and_then(|()| agent.wait()).unwrap();
    run(&site, "b", "trust = 'nowhere'\n", "--store other pull there").exits(13).stderr_has("nowhere");
}

#[test]
fn the_users_own_signers_count_more_than_the_projects() {
    let Some(site) = site() else { return };
    run(&site, "a", "sign = 'stranger'\n", "push there").ok();
    run(&site, "b", "", "--store other pull there").ok();
    let url = format!("file://{}", site.path("remote").display());
    let user = format!("[remote.there]\nurl = \"{url}\"\ntrust = \"{}\"\n", site.path("signers").display());
    site.write("config/genstore/config.toml", user);
    run(&site, "b", "", "--store other pull there").exits(13).stderr_has("its signer is not in");
}

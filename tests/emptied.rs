//! An empty tree does not replace one that is not empty, whatever its input is, unless that is allowed.

use crate::prelude::*;
use crate::watch::{Loop, project};

/// An archive without members: two blocks of zeros.
const NO_MEMBERS: [u8; 1024] = [0; 1024];

#[track_caller]
fn is_refused(site: &Site, output: &Output, why: &str) {
    let text = format!(
        "error: {why}\nhint: check that the input was created and its disk is mounted; `--allow-empty` publishes it anyway\n"
    );
    assert!(output.stderr.ends_with(&text), "{}\nexpected:\n{text}", output.stderr);
    assert_eq!(output.status, 1);
    site.run("current").prints("2\n");
    assert_eq!(site.names("genstore/generations"), ["1", "2"]);
}

const NOTHING: &str = "the input is empty, where generation 2 has 4 entries";

#[test]
fn an_empty_input_is_refused_in_every_way() {
    let site = Site::published();
    fs::create_dir_all(site.path("none/folders/only")).unwrap();
    fs::create_dir(site.path("nothing")).unwrap();
    is_refused(&site, &site.run("publish none"), NOTHING);
    is_refused(&site, &site.run("publish nothing --always --consume"), NOTHING);
    assert!(site.has("nothing"));
    is_refused(&site, &site.run("publish none -n"), NOTHING);
    is_refused(&site, &site.command("publish --plan -").run_on(b""), NOTHING);
    is_refused(
        &site,
        &site.command("publish --plan -").run_on(b"{\"path\":\"d\",\"dir\":true}\n"),
        NOTHING,
    );
    is_refused(&site, &site.command("publish --from-tar -").run_on(&NO_MEMBERS), NOTHING);
    is_refused(&site, &site.run("publish --root a=none --root b=nothing"), NOTHING);
    let stage = site.run("begin --ttl 1h").ok().stdout;
    let stage = stage.split_whitespace().next().unwrap();
    is_refused(&site, &site.run(&format!("commit {stage}")), NOTHING);
    // A refused stage still exists.
    site.run(&format!("commit {stage} --allow-empty")).ok();
    site.run("current").prints("3\n");
}

#[test]
fn the_error_has_a_code_of_its_own() {
    let site = Site::published();
    fs::create_dir(site.path("none")).unwrap();
    assert_eq!(site.run("publish none --json").json_error()["code"], json!("empty-input"));
}

#[test]
fn each_root_counts_by_itself() {
    let site = Site::new();
    site.tree("docs", &[("a", "=a"), ("b/c", "=c")]);
    site.tree("app", &[("x", "=x")]);
    site.run("publish --root docs=docs --root app=app").ok();
    site.tree("app", &[("x", "=y")]);
    site.run("publish --root docs=docs --root app=app").ok();
    fs::create_dir(site.path("none")).unwrap();
    let refused = site.run("publish --root docs=none --root app=app");
    is_refused(&site, &refused, "the input is empty at docs, where generation 2 has 2 entries");
    // A path that is in no root is removed, as requested. A root may be empty if it was empty before.
    site.run("publish --root docs=docs --root more=none").ok();
    site.run("publish --root docs=none --root more=none --allow-empty").ok();
}

#[test]
fn nothing_in_the_place_of_nothing_is_no_loss() {
    let site = Site::new();
    fs::create_dir(site.path("none")).unwrap();
    site.run("publish none").ok();
    site.run("publish none --always").ok();
    site.tree("dist", &[("a", "=a")]);
    site.run("publish dist").ok();
    // A generation that is only kept replaces nothing.
    site.run("publish none --no-activate").ok();
    site.run("publish none -n --no-activate").ok();
    site.run("current").prints("3\n");
}

#[test]
fn it_can_be_asked_for() {
    let site = Site::published();
    fs::create_dir(site.path("none")).unwrap();
    site.run("publish none --allow-empty").ok();
    assert_eq!(site.names("genstore/current"), [""; 0]);
    site.run("publish dist").ok();
    site.write("genstore.toml", "[publish]\nallow_empty = true\n");
    site.run("publish none").ok();
    assert_eq!(site.names("genstore/current"), [""; 0]);
}

#[test]
fn a_build_that_wrote_nothing_is_refused_unless_that_is_asked_for() {
    let site = Site::published();
    let refused = site.run("build -- true").exits(1);
    assert!(refused.stderr.starts_with("error: the build failed: it wrote nothing to GENSTORE_OUT\n"));
    site.run("current").prints("2\n");
    is_refused(&site, &site.command("build -- sh -c").args(&["mkdir $GENSTORE_OUT/d"]).run(), NOTHING);
    site.run("build --allow-empty -- true").ok();
    site.run("current").prints("3\n");
    assert_eq!(site.names("genstore/current"), [""; 0]);
}

#[test]
fn a_watch_refuses_it_too() {
    let site = project("");
    site.run("build").ok();
    let mut watch = Loop::start(&site, "", "mkdir $GENSTORE_OUT/folder");
    assert_eq!(watch.event("error")["code"], "empty-input");
    drop(watch);
    let mut watch = Loop::start(&site, "--allow-empty", "mkdir $GENSTORE_OUT/folder");
    assert_eq!(watch.event("published")["generation"], 2);
}

#[test]
fn a_plan_that_promised_its_end_and_has_none_is_refused() {
    let site = Site::published();
    let cut = b"{\"begin\":true}\n{\"path\":\"a\",\"text\":\"x\"}\n";
    let refused = site.command("publish --plan - --allow-empty").run_on(cut);
    refused.fails(1, "error: cannot publish standard input: 1 problem\n  line 3: the plan is cut off: ");
    site.run("current").prints("2\n");
    let whole = [cut.as_slice(), b"{\"end\":true}\n"].concat();
    site.command("publish --plan -").run_on(&whole).ok();
    site.run("current").prints("3\n");
}

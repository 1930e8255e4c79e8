//! Reports and repairs of views at each commit.

use super::{link, parts, two_parts, warnings};
use crate::prelude::*;

const HINT: &str =
    "hint: `genstore verify` lists all damage, `genstore verify --repair` repairs what it can\n";
const SHARED: &str = "hint: keep paths that a program writes with [shared] in genstore.toml; \
                      `genstore verify --repair` moves what was added to quarantine\n";
const MEND: &str = "`genstore verify --repair` repairs it";

#[test]
fn a_link_that_a_build_tool_made_a_folder_comes_back() {
    let site = two_parts();
    site.run("view add libs --from app").ok();
    let take_place = || fs::remove_file(site.path("libs")).unwrap();
    take_place();
    site.write("libs/built", "built");
    let hint = "hint: the next publish creates missing views again, and keeps what is at their paths now\n";
    site.run("view ls").is(0, "[DIR]/libs  current/app  link  is a directory\n", hint);
    let kept = |name: &str| {
        format!(
            "warning: the view [DIR]/libs was replaced by a directory, which is [DIR]/{name} now; it was restored\n"
        )
    };
    assert_eq!(warnings(&site), kept("libs.before-genstore"));
    assert_eq!(
        (link(&site, "libs"), site.read("libs/file")),
        ("genstore/current/app".into(), "one".into())
    );
    assert_eq!(site.read("libs.before-genstore/built"), "built");
    take_place();
    site.write("libs/built", "again");
    assert_eq!(site.run("mark @ good").ok().stderr, "");
    assert_eq!(site.read("libs/built"), "again");
    parts(&site, "two");
    assert_eq!(warnings(&site), kept("libs.before-genstore-2"));
    // An empty folder is removed.
    take_place();
    fs::create_dir(site.path("libs")).unwrap();
    let made = "warning: the view [DIR]/libs was replaced by a directory; it was restored\n";
    assert_eq!(site.run("rollback -q").ok().stderr, made);
    assert_eq!(site.read("libs/file"), "one");
    let names = ["dist", "genstore", "libs", "libs.before-genstore", "libs.before-genstore-2"];
    assert_eq!(site.names(""), names);
    assert_eq!(site.names("genstore/views").len(), 1);
}

#[test]
fn what_became_of_a_view_is_told_by_every_commit() {
    let site = two_parts();
    fs::create_dir(site.path("www")).unwrap();
    site.run("view add www/site").ok();
    let remove = || fs::remove_file(site.path("www/site")).unwrap();
    remove();
    let hint = "hint: the next publish creates missing views again, and keeps what is at their paths now\n";
    site.run("view ls").is(0, "[DIR]/www/site  current  link  is missing\n", hint);
    let again = "warning: the view [DIR]/www/site was removed; it was restored\n";
    // Publishing nothing, publishing something, a rollback, and a switch to the current generation.
    assert_eq!(warnings(&site), again);
    remove();
    parts(&site, "two");
    let output = site.run("publish dist --json");
    let message =
        json!([{"message": again.trim_start_matches("warning: ").trim_end(), "not_durable": false}]);
    let doc = output.is_json("genstore.publish/1");
    assert_eq!(site.replace(&doc["warnings"].to_string()), message.to_string());
    remove();
    assert_eq!(site.run("rollback -q").ok().stderr, again);
    remove();
    assert_eq!(site.run("switch 1").ok().stderr, again);
    assert_eq!(site.read("www/site/app/file"), "one");
    remove();
    site.write("www/site", "mine");
    let file = "warning: the view [DIR]/www/site was replaced by a file; \
                move it away, then `genstore view add [DIR]/www/site` repairs it\n";
    assert_eq!((site.run("switch 2").ok().stderr, site.read("www/site")), (file.into(), "mine".into()));
    site.run("view ls").prints("[DIR]/www/site  current  link  is a file\n");
    fs::rename(site.path("www"), site.path("web")).unwrap();
    // A cleaned project: the view returns, with its directory.
    site.run("view ls").prints("[DIR]/www/site  current  link  has no parent directory\n");
    assert_eq!(warnings(&site), again);
    site.run("view ls").prints("[DIR]/www/site  current  link  ok\n");
}

#[test]
fn a_directory_far_from_the_store_is_not_made_again() {
    let site = Site::of(&[("a", "=1")]);
    fs::create_dir(site.path("www")).unwrap();
    fs::create_dir(site.path("in")).unwrap();
    site.run("publish dist --store in/genstore").ok();
    site.run("view add www/site --store in/genstore").ok();
    // Like a disk that is not mounted now.
    fs::rename(site.path("www"), site.path("web")).unwrap();
    let gone = "warning: the view [DIR]/www/site cannot be restored, as its parent directory is missing; \
                `genstore view rm [DIR]/www/site` removes its record\n";
    site.write("dist/a", "2");
    assert_eq!(site.run("publish dist -q --store in/genstore").ok().stderr, gone);
    site.run("view ls --store in/genstore")
        .prints("[DIR]/www/site  current  link  has no parent directory\n");
    site.run("view rm www/site --store in/genstore")
        .prints("Removed the view [DIR]/www/site; its link was already gone\n");
    site.write("dist/a", "3");
    assert_eq!(site.run("publish dist -q --store in/genstore").ok().stderr, "");
}

/// Overwrites a file of the store through its view.
fn spoil(site: &Site, path: &str, bytes: &str) {
    fs::set_permissions(site.path(path), fs::Permissions::from_mode(0o644)).unwrap();
    site.write(path, bytes);
}

#[test]
fn a_write_through_a_view_is_told_and_mended() {
    for way in Way::ALL {
        let site = Site::new();
        let publish = |more: &[(&str, &str)]| {
            if way.consume || !more.is_empty() {
                site.tree("dist", &[&[("app/file", "=one"), ("site/file", "=one")], more].concat());
            }
            site.publish_in(way, "").ok()
        };
        parts(&site, "one");
        publish(&[]);
        site.run("view add www").ok();
        // The same bytes serve two paths. Publishing the right ones again repairs both.
        spoil(&site, "www/app/file", "bad, and longer");
        let output = publish(&[]);
        let warning =
            format!("warning: generation 1 was written to: changed app/file, site/file; {MEND}\n");
        assert_eq!(output.stderr, warning, "{way}");
        let mended = "  Repaired 1 damaged object or generation\n";
        assert!(output.stdout.contains(mended), "{way}: {}", output.stdout);
        assert_eq!((site.read("www/app/file"), site.read("www/site/file")), ("one".into(), "one".into()));
        site.run("verify").ok();
        assert_eq!(publish(&[]).stderr, "");
        // The size is unchanged this time, and the next generation still needs the right bytes.
        spoil(&site, "www/app/file", "two");
        assert_eq!(publish(&[("new", "=new")]).stderr, warning, "{way}");
        assert_eq!(site.read("www/app/file"), "one");
        assert_eq!(site.read("genstore/generations/1/tree/app/file"), "one");
        site.run("verify").ok();
        // So does the one after it, for which the first would have been recycled.
        assert_eq!(publish(&[("newer", "=newer")]).stderr, "", "{way}");
        assert_eq!(site.names("www"), ["app", "newer", "site"]);
        assert_eq!(site.read("www/site/file"), "one");
        site.run("verify").ok();
    }
}

#[test]
fn what_came_and_went_through_a_view_is_told() {
    let site = two_parts();
    site.write("dist/new", "new");
    site.run("publish dist").ok();
    site.run("view add www").ok();
    // Added names, removed names, and more than are listed.
    site.write("www/stranger", "x");
    fs::remove_file(site.path("www/new")).unwrap();
    let told =
        |what: &str| format!("error: generation 2 is damaged: its tree was written to: {what}\n{SHARED}");
    assert_eq!(damaged(&site), told("added stranger; removed new"));
    for nth in 0..20 {
        site.write(&format!("www/more/{nth:02}"), "x");
    }
    // The folder counts as one foreign entry, whatever is in it.
    assert_eq!(damaged(&site), told("added more, stranger; removed new"));
    for nth in 0..12 {
        site.write(&format!("www/site/{nth:02}"), "x");
    }
    let names: Vec<String> = (0..7).map(|nth| format!("site/{nth:02}")).collect();
    let added = format!("added more, {}", names.join(", "));
    let output = damaged(&site);
    assert!(output.contains("; and 5 more paths\n"), "{output}");
    assert!(output.contains(&added), "{output}");
    // A new generation has none of them, and the message names those of the old one.
    site.write("dist/newer", "newer");
    let output = warnings(&site);
    let told = format!(
        "warning: generation 2 was written to: removed new; {MEND}\nwarning: 33 files were written"
    );
    assert!(output.starts_with(&told), "{output}");
    assert_eq!(site.names("www"), ["app", "new", "newer", "site"]);
    assert_eq!(site.run("verify --repair").status, 0);
    assert_eq!(warnings(&site), "");
}

/// Publishes the current content over a damaged tree, and returns the report.
fn damaged(site: &Site) -> String {
    let output = site.run("publish dist");
    assert_eq!((output.status, output.stdout.contains("Unchanged")), (4, false), "{}", output.stderr);
    output.stderr
}

#[test]
fn what_is_current_is_looked_at_without_views_too() {
    let site = two_parts();
    fs::remove_file(site.path("genstore/current/app/file")).unwrap();
    let told = "error: generation 1 is damaged: its tree was written to: removed app/file\n";
    assert_eq!(damaged(&site), format!("{told}{HINT}"));
    assert_eq!(site.run("verify --repair").status, 0);
    assert_eq!(warnings(&site), "");
    // Like a store of an older program, which has no such directory.
    fs::remove_dir(site.path("genstore/views")).unwrap();
    site.run("view ls").ok();
    parts(&site, "two");
    assert_eq!(warnings(&site), "");
    assert_eq!(site.names("genstore/views"), [""; 0], "a writer completes the layout");
    site.run("view add site").ok();
    assert_eq!(site.names("genstore/views").len(), 1);
}

#[test]
fn verify_knows_records_and_their_damage() {
    let site = two_parts();
    site.run("view add site").ok();
    site.run("verify").ok();
    let name = site.names("genstore/views").remove(0);
    let path = format!("genstore/views/{name}");
    let bytes = site.read(&path);
    // A record under another name has no effect, and neither has a torn one.
    site.write("genstore/views/0123", &bytes);
    site.write(&path, &bytes[..bytes.len() - 2]);
    site.write("genstore/views/0123.pending", "no");
    let (own, all) = (format!("[DIR]/{path}"), "Verified 1 generation, 1 object, 3 B: 3 faults\n");
    let found = [
        ("[DIR]/genstore/views/0123", "it is not a view's record"),
        (&*own, "the hash differs"),
        ("[DIR]/genstore/views/0123.pending", "it is cut short"),
    ];
    let lines = |fate: &str| -> String {
        let line = |(path, why): &(&str, &str)| format!("error: {path} is damaged: {why}\n{fate}");
        found.iter().map(line).collect()
    };
    let hint = "hint: run `genstore verify --repair`, or publish the right bytes again\n";
    site.run("verify").is(4, &(lines("") + all), hint);
    // It blocks no writer.
    let output = warnings(&site);
    assert!(output.contains("views/0123 is damaged: it is not a view's record\n"), "{output}");
    let unfinished = "warning: a view is not fully installed yet: \
                      [DIR]/genstore/views/0123.pending is damaged: it is cut short\n";
    assert!(output.contains(unfinished), "{output}");
    let fate = "  not repaired: moved to quarantine\n";
    site.run("verify --repair").is(
        3,
        &(lines(fate) + "Repaired 1 generation, 1 object, 3 B: 0 of 3 faults repaired\n"),
        "hint: the store no longer uses files in quarantine: publish, pin, mark or view them again\n",
    );
    site.run("verify").ok();
    site.run("view add site").prints("Unchanged: the view [DIR]/site already shows current\n");
    site.run("view ls").prints("[DIR]/site  current  link  ok\n");
}

//! `publish --base`: what a generation has beside the input stays, and is not read.

use crate::prelude::*;

/// Creates a site whose generation 1 has `site`, `app` and `run`.
fn site() -> Site {
    let site = Site::new();
    site.tree("site", &[("index.html", "=one"), ("old", "=old"), ("l", ">old")]);
    site.tree("app", &[("main.js", "=let a;"), ("none", "=")]);
    site.tree("run", &[("x", "!#!")]);
    site.run("publish --root site=site --root app=app --root bin/run=run/x -m one").ok();
    site
}

fn tree(site: &Site, generation: &str) -> Vec<String> {
    let shown = site.run(&format!("show {generation} --tree")).ok().stdout;
    shown.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

#[test]
fn roots_that_are_not_named_come_from_the_base() {
    let site = site();
    let inode = |path: &str| site.path(path).metadata().unwrap().ino();
    let before = inode("genstore/current/app/main.js");
    // Their sources are gone, so they cannot be read.
    fs::remove_dir_all(site.path("app")).unwrap();
    fs::remove_dir_all(site.path("run")).unwrap();
    site.tree("site", &[("index.html", "=two")]);
    let done = site.run("publish --base @ --root site=site --json").is_json("genstore.publish/1");
    assert_eq!(
        (&done["new_objects"], &done["added"], &done["modified"], &done["removed"]),
        (&1.into(), &0.into(), &1.into(), &2.into())
    );
    assert_eq!(inode("genstore/current/app/main.js"), before);
    assert_eq!(
        (site.names("genstore/current"), site.names("genstore/current/site")),
        (vec!["app".into(), "bin".into(), "site".into()], vec!["index.html".into()])
    );
    assert_eq!(site.path("genstore/current/bin/run").metadata().unwrap().mode() & 0o777, 0o555);
    // The same again changes nothing, and an older base brings its own entries back.
    let same = site.run("publish --base @ --root site=site").ok();
    assert!(same.stdout.contains("Unchanged"), "{}", same.stdout);
    site.run("publish --base 1 --root app/main.js=site/index.html").ok();
    assert_eq!(
        (site.read("genstore/current/site/old"), site.read("genstore/current/app/main.js")),
        ("old".into(), "two".into())
    );
    site.run("verify").ok();
}

#[test]
fn paths_of_the_base_are_kept_and_removed() {
    for (args, expected) in [
        ("--remove site/old --remove site/l", "app/main.js app/none bin/run site/index.html"),
        ("--keep app --keep site/index.html", "app/main.js app/none site/index.html"),
        ("--base 1 --keep app/ --remove app/none --root app/x=run", "app/main.js app/x/x"),
        ("--keep app --plan plan", "app/main.js app/none"),
    ] {
        let site = site();
        site.write("plan", "{\"path\":\"app/none\",\"text\":\"now\"}\n");
        site.run(&format!("publish {args}")).ok();
        let paths: Vec<String> = site
            .run("show --tree --json")
            .ok()
            .stdout
            .split("\"path\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|path| !path.starts_with('['))
            .map(str::to_owned)
            .collect();
        assert_eq!(paths.join(" "), expected, "{args}: {:?}", tree(&site, "@"));
    }
}

#[test]
fn an_entry_of_the_plan_replaces_what_is_in_its_way() {
    let site = site();
    // A file becomes a folder, and a folder a file.
    site.write("plan", "{\"path\":\"bin/run/a\",\"text\":\"a\"}\n{\"path\":\"site\",\"text\":\"s\"}\n");
    site.run("publish --base @ --plan plan").ok();
    assert_eq!(
        (site.read("genstore/current/bin/run/a"), site.read("genstore/current/site")),
        ("a".into(), "s".into())
    );
    assert_eq!(site.read("genstore/current/app/main.js"), "let a;");
}

#[test]
fn a_base_that_is_not_current_any_more_loses() {
    let site = site();
    site.run("publish --base @ --root new=run --expect 1").ok();
    site.run("publish --base @ --root newer=run --expect 1").fails(6, "error: ");
    // The publisher does not say what it expects: its base is what is current.
    let done = site.run("publish --base @ --root newest=run --json").is_json("genstore.publish/1");
    assert_eq!((&done["generation"], &done["previous"]), (&3.into(), &2.into()));
}

#[test]
fn bad_bases_are_refused() {
    let site = site();
    let hint = "hint: `genstore show REF --tree` lists the paths of the base\n";
    for (args, told) in [
        ("--remove nothing", "error: the path nothing is not in generation 1\n"),
        ("--keep nothing --root a=app", "error: the path nothing is not in generation 1\n"),
    ] {
        let output = site.run(&format!("publish {args}"));
        assert_eq!((output.status, output.stderr.ends_with(hint)), (1, true), "{args}: {}", output.stderr);
        assert!(output.stderr.contains("is not in generation 1"), "{told}{}", output.stderr);
    }
    for args in ["--base 7 --root a=app", "--base stable --remove app"] {
        site.run(&format!("publish {args}")).fails(1, "error: ");
    }
    for args in [
        "app --base @",
        "app --remove app",
        "--base @",
        "--keep ../x",
        "--root a=app --plan x",
        "--root a=app --from-tar x",
    ] {
        assert_eq!(site.run(&format!("publish {args}")).status, 2, "{args}");
    }
    site.run("--store other publish --base @ --root a=app").fails(10, "error: ");
    assert!(!site.has("other"));
    assert_eq!(
        site.run("list --json").is_json("genstore.list/1")["generations"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn damage_of_a_kept_entry_is_found() {
    let site = site();
    fs::remove_dir_all(site.path("app")).unwrap();
    let object = site.path("genstore/current/app/main.js");
    fs::set_permissions(&object, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&object, "other bytes").unwrap();
    let output = site.run("publish --base @ --root new=run");
    assert_eq!(output.status, 4, "{}", output.stderr);
    assert!(
        output.stderr.contains("generation 1 at app/main.js") || output.stderr.contains("app/main.js"),
        "{}",
        output.stderr
    );
}

#[test]
fn the_tree_of_a_generation_that_is_given_up_is_recycled() {
    let site = site();
    site.write("genstore.toml", "[retain]\nauto = true\nkeep_last = 1\ngrace = \"0s\"\n");
    let publish = |content: &str| {
        site.tree("site", &[("index.html", content)]);
        site.run("publish --base @ --root site=site --json").is_json("genstore.publish/1")
    };
    for content in ["=two", "=three"] {
        publish(content);
    }
    // Nothing is linked anew: the folder of a root that is not named is the same one.
    let folder = |path: &str| site.path(path).metadata().unwrap().ino();
    let before = folder("genstore/generations/2/tree/app");
    let done = publish("=four");
    assert_eq!((&done["recycled"], &done["modified"]), (&2.into(), &1.into()), "{done}");
    assert_eq!(folder("genstore/current/app"), before);
    site.run("verify").ok();
}

//! The search for the store and the project's file.

use crate::prelude::*;

/// Creates stores `a`, `b`, `c` and `genstore`, which differ in the number of their current generation.
fn stores() -> Site {
    let site = Site::of(&[("f", "=1")]);
    for (count, store) in ["genstore", "a", "b", "c"].into_iter().enumerate() {
        for _ in 0..=count {
            site.run(&format!("publish dist --always --store {store} -q")).ok();
        }
    }
    fs::create_dir_all(site.path("sub/deep")).unwrap();
    site
}

#[test]
fn flag_beats_environment_beats_project_beats_folder() {
    let site = stores();
    let current = |args: &str, variable: &str| {
        let run = site.command(&format!("{args} current")).dir("sub/deep").env("GENSTORE_STORE", variable);
        run.run().ok().stdout
    };
    let c = site.path("c").to_string_lossy().into_owned();
    assert_eq!(current("", ""), "1\n");
    site.write("genstore.toml", "[store]\npath = 'a'\n");
    assert_eq!(current("", ""), "2\n");
    assert_eq!(current("", "../../b"), "3\n");
    assert_eq!(current("", &c), "4\n");
    assert_eq!(current("--store ../../a", &c), "2\n");
    // The nearest file counts, and only its own keys.
    site.write("sub/genstore.toml", "[store]\npath = '../b'\n");
    assert_eq!(current("", ""), "3\n");
    // The file makes a project of its own, which does not include the stores above.
    site.write("sub/genstore.toml", "");
    let none = site.command("current").dir("sub/deep").run();
    none.fails(10, "error: there is no store in the project of [DIR]/sub/deep; [DIR]/genstore belongs to");
    site.run("publish dist -q --store sub/genstore").ok();
    assert_eq!(current("", ""), "1\n");
}

#[test]
fn flags_stand_before_and_after_the_verb() {
    let site = stores();
    site.run("--store a current").prints("2\n");
    site.run("current --store a").prints("2\n");
    site.run("-C sub/deep current").prints("1\n");
    site.run("current -C sub --store ../b").prints("3\n");
    site.run("-C no current").exits(1).says(
        "error: cannot go to no\n  No such file or directory (os error 2)\n\
         hint: check the spelling; the parent directory must exist\n",
    );
}

#[test]
fn says_where_it_found_the_store() {
    let site = stores();
    let talk = |args: &str| site.run(&format!("{args} -v current")).ok().stderr;
    assert_eq!(talk(""), "store [DIR]/genstore, found as a genstore folder here or above\n");
    assert_eq!(talk("--store a"), "store a, found by --store\n");
    site.write("genstore.toml", "[store]\npath = 'a'\n");
    assert_eq!(
        talk(""),
        "project file [DIR]/genstore.toml\nstore [DIR]/a, found by store.path of [DIR]/genstore.toml\n"
    );
}

#[test]
fn there_may_be_none() {
    let site = Site::new();
    site.write("plain/file", "");
    site.write("genstore/no-format", "");
    site.run("list").exits(10).says(
        "error: there is no store in [DIR] or above it\n\
         hint: `genstore publish DIR` creates one and publishes DIR; or name one with --store\n",
    );
    let error = "error: plain is not a genstore store\n\
                 hint: create one with `genstore init`, or name another with --store or GENSTORE_STORE\n";
    site.run("list --store plain").is(10, "", error);
    site.run("list --store plain/file").fails(10, "error: plain/file is not a genstore store\n");
    site.command("list")
        .env("GENSTORE_STORE", "absent")
        .run()
        .fails(10, "error: absent is not a genstore store\n");
    let error = site.run("list --json").exits(10).json_error();
    has(&error, json!({"code": "not-a-store", "exit": 10}));
    site.run("list --store=").fails(2, "error: invalid value '' for '--store <DIR>': it is empty");
}

#[test]
fn a_newer_store_is_left_alone() {
    let site = stores();
    site.write("a/format", "genstore 2\n");
    let before = site.names("a");
    for args in ["list", "publish dist", "gc", "init", "verify", "current"] {
        site.run(&format!("{args} --store a")).exits(12).says(
            "error: the store [DIR]/a needs a newer genstore (format 2)\n\
             hint: use the version of genstore that wrote it, or a newer one; nothing was changed\n",
        );
    }
    assert_eq!(site.names("a"), before);
    assert_eq!(site.run("list --store a --json").json_error()["code"], "newer-format");
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    let site = stores();
    let check = |text: &str, error: &str, hint: &str| {
        site.write("genstore.toml", text);
        site.run("gc -n").is(2, "", &format!("error: [DIR]/genstore.toml:{error}\nhint: {hint}\n"));
    };
    check("[retain]\nkeep_lst = 1\n", "2: unknown key `keep_lst`", "did you mean `keep_last`?");
    check("[publsh]\n", "1: unknown key `publsh`", "did you mean `publish`?");
    let known =
        "known here: store, publish, shared, retain, build, audit, watch, hooks, view, remote, serve";
    check("[nothing]\n", "1: unknown key `nothing`", known);
    let correct = "correct the file";
    check("[retain]\ngrace = '5'\n", "2: not a duration: 5 (write it like 30s, 10m, 2h or 7d)", correct);
    check("[store]\ndurability = 'some'\n", "2: \"some\" is neither \"full\" nor \"none\"", correct);
    check("[publish]\nsymlinks = 'x'\n", "2: \"x\" is neither \"inside\" nor \"any\"", correct);
    check(
        "[publish]\n\nexclude = ['[a']\n",
        "3: error parsing glob '[a': unclosed character class; missing ']'",
        correct,
    );
    assert_eq!(site.run("list --json").json_error()["code"], "bad-configuration");
    fs::remove_file(site.path("genstore.toml")).unwrap();
    fs::create_dir(site.path("genstore.toml")).unwrap();
    site.run("list").fails(1, "error: cannot read [DIR]/genstore.toml\n  Is a directory");
}

//! `current` and `path`.

use crate::prelude::*;

#[test]
fn print_one_line() {
    let site = Site::published();
    site.run("current").prints("2\n");
    site.run("path").prints("[DIR]/genstore/generations/2/tree\n");
    site.run("path @").prints("[DIR]/genstore/generations/2/tree\n");
    site.run("path @-").prints("[DIR]/genstore/generations/1/tree\n");
    site.run("path 1").prints("[DIR]/genstore/generations/1/tree\n");
}

#[test]
fn tell_programs() {
    let site = Site::published();
    for (args, schema, generation) in [
        ("current", "genstore.current/1", 2),
        ("path", "genstore.path/1", 2),
        ("path 1", "genstore.path/1", 1),
    ] {
        let doc = site.run(&format!("{args} --json")).is_json(schema);
        let path = site.path(format!("genstore/generations/{generation}/tree"));
        let tree = &doc["tree"];
        assert_eq!(tree.as_str().unwrap().len(), 64);
        let expected = json!({"schema": schema, "generation": generation, "tree": tree, "path": path.to_str().unwrap()});
        assert_eq!(doc, expected);
    }
}

#[test]
fn fail_while_nothing_is_current() {
    let site = Site::new();
    site.run("init").ok();
    let error = "error: nothing has been published to this store yet\n\
                 hint: publish something first: `genstore publish DIR`\n";
    for args in ["current", "path", "path @", "show", "cat @ x", "diff", "rollback", "switch @", "verify @"]
    {
        site.run(args).is(1, "", error);
    }
    assert_eq!(site.run("current --json").json_error()["code"], "no-current");
}

#[test]
fn path_knows_names() {
    let site = Site::published();
    site.run("path 9").fails(1, "error: no generation is called 9\n");
}

#[test]
fn what_is_named_needs_no_other_generation() {
    let site = Site::published();
    for content in ["three", "four"] {
        site.write("dist/a.txt", content);
        site.run("publish dist").ok();
    }
    for other in ["1", "2"] {
        let manifest = site.path(format!("genstore/generations/{other}/manifest"));
        fs::remove_file(&manifest).unwrap();
        fs::write(&manifest, "no").unwrap();
    }
    site.run("current").prints("4\n");
    site.run("path 3").prints("[DIR]/genstore/generations/3/tree\n");
    site.run("cat 3 a.txt").prints("three");
    site.run("diff 3 4 --name-status").prints("M\ta.txt\n");
    site.run("rollback -q").prints("");
    site.run("current").prints("3\n");
    site.run("switch 4 -q").prints("");
    has(&site.run("show 3 --json").is_json("genstore.show/1"), json!({"generation": 3, "mark": "good"}));
}

#[test]
fn something_else_in_its_place_is_damage() {
    let site = Site::published();
    fs::remove_file(site.path("genstore/current")).unwrap();
    fs::create_dir(site.path("genstore/current")).unwrap();
    site.run("current").fails(4, "error: [DIR]/genstore/current is damaged: it is not a symlink\n");
}

#[test]
fn says_that_it_is_lost() {
    let site = Site::published();
    fs::remove_file(site.path("genstore/current")).unwrap();
    let error = "[DIR]/genstore/current is damaged: it is missing, and generation 2 was current last\n";
    let hint = "hint: `genstore verify` lists all damage, `genstore verify --repair` repairs what it can\n";
    for verb in ["current", "path", "show", "rollback", "gc", "cat @ a.txt"] {
        site.run(verb).is(4, "", &format!("error: {error}{hint}"));
    }
    let warning =
        format!("warning: {error}hint: run `genstore verify --repair` to repair what can be repaired\n");
    for verb in ["list", "du"] {
        let output = site.run(verb);
        assert_eq!((output.status, &output.stderr), (4, &warning), "{verb}");
        assert!(output.stdout.contains("2 generations"), "{verb}: {}", output.stdout);
    }
    site.run("show 1").ok();
    site.run("verify --repair").ok();
    site.run("current").prints("2\n");
}

#[test]
fn says_that_all_is_only_kept() {
    let site = Site::of(&[("a", "=1")]);
    site.run("publish dist --no-activate").ok();
    let error = "error: no generation is current: the only one was kept, not activated\n\
                 hint: `genstore switch N` activates one; `genstore list` shows all\n";
    site.run("current").is(1, "", error);
    site.run("list").ok();
    site.run("gc").ok();
}

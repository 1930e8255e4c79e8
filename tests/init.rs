//! `init`.

use crate::harness::Site;

#[test]
fn makes_a_store_once() {
    let site = Site::new();
    site.run("init").prints("Created the store [DIR]/genstore\n");
    assert_eq!(site.read("genstore/format"), "genstore 1\n");
    assert_eq!(site.read("genstore/.gitignore"), "*\n");
    site.run("init").prints("The store [DIR]/genstore already exists\n");
}

#[test]
fn tells_programs() {
    let site = Site::new();
    let path = site.path("x/st").to_string_lossy().into_owned();
    site.write("x/other", "");
    for created in [true, false] {
        let doc = site.run("init --store x/st --json").is_json("genstore.init/1");
        assert_eq!(doc, serde_json::json!({"schema": "genstore.init/1", "created": created, "path": path}));
    }
}

#[test]
fn is_quiet_when_asked() {
    let site = Site::new();
    site.run("-q init").prints("");
    assert!(site.has("genstore/format"));
}

#[test]
fn makes_a_store_here_even_below_another() {
    let site = Site::new();
    site.run("init").ok();
    site.write("sub/file", "");
    site.command("init").dir("sub").run().prints("Created the store [DIR]/sub/genstore\n");
}

#[test]
fn makes_none_in_the_folders_of_another() {
    let site = Site::published();
    std::os::unix::fs::symlink("genstore/objects", site.path("link")).unwrap();
    for place in ["genstore/inner", "genstore/generations/1/tree/inner", "link/inner"] {
        for args in ["init", "publish dist"] {
            site.run(&format!("{args} --store {place}")).is(
                1,
                "",
                &format!(
                    "error: [DIR]/{place} lies in the store [DIR]/genstore\n\
                     hint: name a directory outside of it with --store\n"
                ),
            );
        }
        assert!(!site.has(place));
    }
    site.run("verify").ok();
}

#[test]
fn takes_the_project_s_place() {
    let site = Site::new();
    site.write("genstore.toml", "[store]\npath = 'var/out'\n");
    site.write("sub/file", "");
    site.write("var/file", "");
    site.command("init").dir("sub").run().prints("Created the store [DIR]/var/out\n");
    site.write("genstore.toml", "");
    site.command("init").dir("sub").run().prints("Created the store [DIR]/genstore\n");
}

#[test]
fn leaves_what_is_no_store_alone() {
    let site = Site::new();
    site.write("full/file", "");
    site.run("init --store full").is(
        1,
        "",
        "error: [DIR]/full is not empty and cannot become a store\n\
         hint: name a directory that does not exist or is empty\n",
    );
    assert_eq!(site.names("full"), ["file"]);
    site.run("init --store absent/st").is(
        1,
        "",
        "error: cannot open [DIR]/absent\n  No such file or directory (os error 2)\n\
         hint: check the spelling; the parent directory must exist\n",
    );
    site.write("file", "");
    site.run("init --store file").fails(1, "error: ");
    assert_eq!(site.read("file"), "");
}

#[test]
fn completes_what_a_crash_cut_short() {
    let site = Site::new();
    site.write("st/format", "");
    site.run("init --store st").prints("Created the store [DIR]/st\n");
    site.run("init --store st").prints("The store [DIR]/st already exists\n");
}

#[test]
fn takes_no_arguments() {
    Site::new().run("init here").fails(2, "error: unexpected argument 'here' found");
}

#[test]
fn a_store_may_be_for_a_group_or_for_its_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    let mode = |below: &str| site.path(below).metadata().unwrap().mode() & 0o7777;
    site.run("init --shared --store group")
        .prints("Created the store [DIR]/group, shared with its group\n");
    assert_eq!((mode("group"), mode("group/objects"), mode("group/notice")), (0o2775, 0o2775, 0o664));
    site.run("init --shared --store group").prints("The store [DIR]/group already exists\n");
    site.run("init --private --store own")
        .prints("Created the store [DIR]/own, readable by its owner only, also through views\n");
    assert_eq!(mode("own"), 0o700);
    site.run("init --shared --store own")
        .fails(1, "error: [DIR]/own exists already and is not shared with a group");
    site.run("init --private --store group")
        .fails(1, "error: the store [DIR]/group is shared with a group");
    site.run("init --private --shared --store other").fails(2, "error: ");
    site.tree("dist", &[("a/b", "=1")]);
    for store in ["group", "own"] {
        site.run(&format!("publish dist --store {store}")).ok();
        site.run(&format!("verify --store {store}")).ok();
    }
}

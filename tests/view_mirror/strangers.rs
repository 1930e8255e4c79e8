//! Foreign changes of a mirror: they are left alone, reverted, or reported.

use super::{ONE, TWO, all, inode, left_alone, mirrored, stat, warnings};
use crate::prelude::*;

fn put_back(paths: &str) -> String {
    format!("warning: in the view [DIR]/m removed files were restored: {paths}\n")
}

#[test]
fn strangers_are_never_touched() {
    let site = mirrored("");
    fs::create_dir(site.path("elsewhere")).unwrap();
    site.write("elsewhere/x", "theirs");
    let mine = ["m/mine", "m/gone/deep/mine", "m/new"];
    for path in mine {
        site.write(path, "mine");
    }
    // Another program replaced it by an equal file: the inode differs.
    let file = stat(&site, "m/app/file");
    fs::remove_file(site.path("m/app/file")).unwrap();
    fs::write(site.path("m/app/file"), "own").unwrap();
    let handle = fs::File::options().append(true).open(site.path("m/app/file")).unwrap();
    handle.set_modified(file.modified().unwrap()).unwrap();
    // A symlink replaced a folder: nothing beyond it is changed.
    fs::remove_dir(site.path("m/hollow")).unwrap();
    symlink("../elsewhere", site.path("m/hollow")).unwrap();
    let told = "app/file, gone/deep/mine, hollow, mine, new";
    let listed = "[DIR]/m  current  mirror  ok, with 5 strangers: app/file, gone/deep/mine, hollow, …\n";
    site.run("view ls").prints(listed);
    let doc = site.run("view ls --json").is_json("genstore.view-list/1");
    assert_eq!(
        (&doc["views"][0]["state"], &doc["views"][0]["strangers"][1]),
        (&json!("strangers"), &json!({"path": "gone/deep/mine"}))
    );
    assert_eq!(warnings(&site), left_alone(told));
    site.tree("dist", &[TWO, &[("hollow/x", "=ours"), ("hollow/z", "=z")]].concat());
    assert_eq!(warnings(&site), left_alone(told));
    assert_eq!(site.read("elsewhere/x"), "theirs");
    assert_eq!(site.names("elsewhere"), ["x"]);
    for path in mine {
        assert_eq!(site.read(path), "mine");
    }
    assert_eq!(
        (site.read("m/app/file"), inode(&site, "m/run")),
        ("own".into(), inode(&site, "genstore/current/run"))
    );
    assert!(!site.has("m/gone/deep/x"));
    // Moving the foreign entries away makes room.
    for path in ["m/new", "m/hollow", "m/app/file", "m/gone/deep/mine"] {
        fs::remove_file(site.path(path)).unwrap();
    }
    assert_eq!(warnings(&site), left_alone("mine"));
    assert_eq!(
        (site.read("m/new/y"), site.read("m/hollow/z"), site.read("m/app/file")),
        ("y".into(), "z".into(), "two".into())
    );
    assert!(!site.has("m/gone"));
    let left = "Removed the view [DIR]/m; left in place, because genstore did not put it there: mine\n";
    site.run("view rm m").prints(left);
    assert_eq!(all(&site, "m"), ["m/mine"]);
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_copy_of_the_same_bytes_in_place_of_a_link_is_ours() {
    let site = mirrored("");
    let file = stat(&site, "m/app/file");
    fs::copy(site.path("m/app/file"), site.path("m/app/copy")).unwrap();
    fs::set_permissions(site.path("m/app/copy"), PermissionsExt::from_mode(0o644)).unwrap();
    let handle = fs::File::options().append(true).open(site.path("m/app/copy")).unwrap();
    handle.set_modified(file.modified().unwrap()).unwrap();
    fs::rename(site.path("m/app/copy"), site.path("m/app/file")).unwrap();
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!(inode(&site, "m/app/file"), inode(&site, "genstore/current/app/file"));
}

#[test]
fn many_strangers_are_counted() {
    let site = mirrored("");
    for nth in 0..13 {
        site.write(&format!("m/mine-{nth:02}"), "mine");
    }
    let names: Vec<String> = (0..10).map(|nth| format!("mine-{nth:02}")).collect();
    assert_eq!(warnings(&site), left_alone(&format!("{}, and 3 more paths", names.join(", "))));
    let doc = site.run("view rm m --json").is_json("genstore.view-remove/1");
    assert_eq!((&doc["unlinked"], doc["left"].as_array().map(Vec::len)), (&json!(true), Some(13)));
}

#[test]
fn what_was_removed_is_put_back() {
    let site = mirrored("");
    fs::remove_file(site.path("m/app/file")).unwrap();
    fs::remove_dir_all(site.path("m/gone")).unwrap();
    let hint = "hint: the next publish updates the mirrors\n";
    site.run("view ls").is(0, "[DIR]/m  current  mirror  is out of date\n", hint);
    assert_eq!(warnings(&site), put_back("app/file, gone/deep/x"));
    assert_eq!((site.read("m/app/file"), site.read("m/gone/deep/x")), ("one".into(), "x".into()));
    // The whole mirror.
    fs::remove_dir_all(site.path("m")).unwrap();
    let hint = "hint: the next publish creates missing views again, and keeps what is at their paths now\n";
    site.run("view ls").is(0, "[DIR]/m  current  mirror  is missing\n", hint);
    let again = "warning: the view [DIR]/m was removed; it was restored\n";
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), again);
    assert_eq!(site.read("m/new/y"), "y");
    // Another folder in its place is not the store's own.
    fs::remove_dir_all(site.path("m")).unwrap();
    site.write("m", "mine");
    let file = "warning: the view [DIR]/m was replaced by a file; \
                move it away, then `genstore view add [DIR]/m --as mirror` repairs it\n";
    assert_eq!((warnings(&site), site.read("m")), (file.into(), "mine".into()));
    fs::remove_file(site.path("m")).unwrap();
    symlink("dist", site.path("m")).unwrap();
    let link = "warning: the view [DIR]/m was replaced by a symlink to dist; \
                `genstore view add [DIR]/m --as mirror --replace` repairs it\n";
    assert_eq!((warnings(&site), site.read("dist/new/y")), (link.into(), "y".into()));
    site.run("view rm m")
        .prints("Removed the view [DIR]/m; the path now is a symlink to dist and was left alone\n");
    assert!(site.names("genstore/views").is_empty());
}

#[test]
fn it_knows_its_files_when_their_generation_is_gone() {
    let site = mirrored("");
    // No other command updates the mirror meanwhile.
    fs::rename(site.path("m"), site.path("away")).unwrap();
    site.run("-q view rm m").ok();
    fs::rename(site.path("away"), site.path("m")).unwrap();
    site.run("view add m --as mirror").fails(1, "error: [DIR]/m is a directory\n");
    site.run("view add m --as mirror --replace").ok();
    let fault = site.command("publish dist").env("GENSTORE_FAULT", "view:eio");
    site.tree("dist", TWO);
    fault.run().ok();
    let old = inode(&site, "m/app/file");
    site.run("mark 1 bad").ok();
    // The next writing command updated it to the current generation.
    assert_ne!(inode(&site, "m/app/file"), old);
    assert_eq!(site.read("m/app/file"), "two");
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    site.run("gc --keep-last 0 --grace 0s").ok();
    assert_eq!(site.read("m/app/file"), "one");
    assert_eq!(warnings(&site), "");
    site.run("view ls").prints("[DIR]/m  current  mirror  ok\n");
}

#[test]
fn a_write_through_a_mirror_is_told_and_mended() {
    for way in Way::ALL {
        let site = Site::new();
        let publish = || {
            if way.consume {
                site.tree("dist", ONE);
            }
            site.publish_in(way, "").ok().stderr
        };
        site.tree("dist", ONE);
        publish();
        site.run("view add m --as mirror").ok();
        let spoil = |path: &str, bytes: &str| {
            fs::set_permissions(site.path(path), fs::Permissions::from_mode(0o644)).unwrap();
            site.write(path, bytes);
        };
        spoil("m/app/file", "bad, and longer");
        let told = "warning: generation 1 was written to: changed app/file; \
                    `genstore verify --repair` repairs it\n";
        assert_eq!(publish(), told, "{way}");
        assert_eq!(site.read("genstore/current/app/file"), "one");
        assert_eq!(site.read("m/app/file"), "one");
        site.run("verify").ok();
        // After a repair, the mirror is updated by the next command that commits.
        spoil("m/app/same", "bad!");
        site.write("genstore/quarantine/good", "same");
        site.run("verify --repair");
        publish();
        assert_eq!(
            (site.read("m/app/same"), site.read("genstore/current/app/same")),
            ("same".into(), "same".into()),
            "{way}"
        );
    }
}

#[test]
fn a_damaged_inventory_keeps_nobody_out() {
    let site = mirrored("");
    let name = site.names("genstore/views").into_iter().find(|name| name.ends_with(".mirror")).unwrap();
    let path = format!("genstore/views/{name}");
    let bytes = fs::read(site.path(&path)).unwrap();
    site.write(&path, &bytes[..bytes.len() - 1]);
    site.tree("dist", TWO);
    let told = format!(
        "warning: the view [DIR]/m could not be updated: \
         [DIR]/{path} is damaged: the length differs\n"
    );
    assert_eq!(warnings(&site), told);
    assert_eq!(site.read("m/app/file"), "one");
    assert_eq!(site.run("verify").status, 4);
    assert_eq!(site.run("verify --repair").status, 3);
    // Without the inventory, files that are as wanted are recognised, and all others are foreign.
    assert_eq!(warnings(&site), left_alone("app/file, gone, hollow, latest"));
    assert_eq!((site.read("m/new/y"), site.read("m/app/file")), ("y".into(), "one".into()));
    site.run("view add m --as mirror --replace").ok();
    assert_eq!(site.read("m/app/file"), "two");
    assert_eq!(warnings(&site), "");
}

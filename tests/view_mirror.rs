//! `view add --as mirror`: directories of real files that show the current generation.

mod places;
mod strangers;

use crate::prelude::*;

const ONE: &[(&str, &str)] = &[
    ("app/file", "=one"),
    ("app/same", "=same"),
    ("gone/deep/x", "=x"),
    ("hollow", "/"),
    ("latest", ">app/file"),
    ("run", "!#!"),
];
const TWO: &[(&str, &str)] =
    &[("app/file", "=two"), ("app/same", "=same"), ("latest", ">run"), ("new/y", "=y"), ("run", "!#!")];

fn mirrored(args: &str) -> Site {
    let site = Site::of(ONE);
    site.run("publish dist").ok();
    site.run(&format!("view add m --as mirror{args}")).ok();
    site
}

/// Publishes, and returns the warnings.
fn warnings(site: &Site) -> String {
    let output = site.run("publish dist").ok();
    output.stderr
}

fn left_alone(paths: &str) -> String {
    format!("warning: in the view [DIR]/m files that are not genstore's were left alone: {paths}\n")
}

/// Lists everything below a folder.
fn all(site: &Site, folder: &str) -> Vec<String> {
    let name = |path: &PathBuf| path.strip_prefix(site.path("")).unwrap().display().to_string();
    genstore_testkit::below(&site.path(folder)).iter().map(name).collect()
}

fn stat(site: &Site, path: &str) -> fs::Metadata {
    fs::symlink_metadata(site.path(path)).unwrap()
}

fn inode(site: &Site, path: &str) -> u64 {
    stat(site, path).ino()
}

#[test]
fn a_mirror_is_a_folder_of_the_same_files() {
    let site = mirrored("");
    let paths = "app app/file app/same gone gone/deep gone/deep/x hollow latest run";
    let in_mirror: Vec<String> = paths.split(' ').map(|path| format!("m/{path}")).collect();
    assert_eq!(all(&site, "m"), in_mirror);
    assert!(stat(&site, "m").is_dir() && stat(&site, "m/latest").is_symlink());
    let tree = "genstore/generations/1/tree";
    assert_eq!(inode(&site, "m/app/file"), inode(&site, &format!("{tree}/app/file")));
    let (same, run) = (inode(&site, "m/app/same"), stat(&site, "m/run"));
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    let paths = "app app/file app/same latest new new/y run";
    let in_mirror: Vec<String> = paths.split(' ').map(|path| format!("m/{path}")).collect();
    assert_eq!(all(&site, "m"), in_mirror);
    assert_eq!((site.read("m/app/file"), inode(&site, "m/app/same")), ("two".into(), same));
    assert_eq!(fs::read_link(site.path("m/latest")).unwrap(), Path::new("run"));
    let now = stat(&site, "m/run");
    assert_eq!((now.ino(), now.mtime_nsec(), now.mode()), (run.ino(), run.mtime_nsec(), run.mode()));
    let two = stat(&site, "m/app/file").mtime();
    // After a rollback the mtime moves forward, as in the generation.
    site.run("rollback -q").prints("");
    assert_eq!(site.read("m/app/file"), "one");
    assert!(stat(&site, "m/app/file").mtime() > two);
    assert_eq!(inode(&site, "m/app/file"), inode(&site, &format!("{tree}/app/file")));
    assert_eq!(site.names(""), ["dist", "genstore", "m"]);
    site.run("view add m --as mirror").prints("Unchanged: the view [DIR]/m already mirrors current\n");
    site.run("view add m --as mirror --from app").prints("View [DIR]/m mirrors current/app\n");
    assert_eq!(all(&site, "m"), ["m/file", "m/same"]);
    site.run("view ls").prints("[DIR]/m  current/app  mirror  ok\n");
    site.run("view rm m").prints("Removed the view [DIR]/m\n");
    assert_eq!(site.names(""), ["dist", "genstore"]);
    assert!(site.names("genstore/views").is_empty());
    site.run("verify").ok();
}

#[test]
fn copies_are_private() {
    let site = mirrored(" --copy");
    let tree = "genstore/generations/1/tree";
    let (copy, file) = (stat(&site, "m/app/file"), stat(&site, &format!("{tree}/app/file")));
    assert_ne!(copy.ino(), file.ino());
    assert_eq!((copy.mtime(), copy.mtime_nsec()), (file.mtime(), file.mtime_nsec()));
    let mode = |path: &str| stat(&site, path).mode() & 0o7777;
    assert_eq!((mode("m/app/file"), mode("m/run")), (0o644, 0o755));
    let same = inode(&site, "m/app/same");
    site.run("view ls").prints("[DIR]/m  current  mirror of copies  ok\n");
    let doc = site.run("view ls --json").is_json("genstore.view-list/1");
    let view = json!({
        "path": site.path("m"), "as": "mirror", "copy": true, "made": "2026-01-02T03:04:05Z", "state": "ok",
    });
    assert_eq!(doc["views"], json!([view]));
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!((site.read("m/app/file"), inode(&site, "m/app/same")), ("two".into(), same));
    // A change of a copy stays, and the generation does not change.
    site.write("m/app/same", "mine");
    assert_eq!(warnings(&site), left_alone("app/same"));
    assert_eq!(
        (site.read("m/app/same"), site.read("genstore/current/app/same")),
        ("mine".into(), "same".into())
    );
    // Links replace the copies, except that one.
    site.run("view add m --as mirror").is(0, "View [DIR]/m mirrors current\n", &left_alone("app/same"));
    assert_eq!(inode(&site, "m/app/file"), inode(&site, "genstore/generations/2/tree/app/file"));
    site.run("verify").ok();
}

#[test]
fn a_view_may_change_its_kind() {
    let site = Site::of(ONE);
    site.run("publish dist").ok();
    site.run("view add v").ok();
    site.run("view add v --as mirror").prints("View [DIR]/v mirrors current\n");
    assert!(stat(&site, "v").is_dir());
    site.run("view ls").prints("[DIR]/v  current  mirror  ok\n");
    site.run("view add v --from app").prints("View [DIR]/v shows current/app\n");
    assert_eq!(fs::read_link(site.path("v")).unwrap(), Path::new("genstore/current/app"));
    site.run("view add v --as mirror").ok();
    site.write("v/mine", "mine");
    let taken = "error: [DIR]/v is a mirror that contains files that are not genstore's\n";
    site.run("view add v").fails(1, taken);
    assert!(stat(&site, "v").is_dir());
    let kept = "View [DIR]/v shows current\nThe former content is now [DIR]/v.before-genstore\n";
    site.run("view add v --replace").prints(kept);
    assert_eq!(site.read("v.before-genstore/mine"), "mine");
    assert_eq!(site.names("genstore/views").len(), 1);
    // Another mirror replaces a mirror.
    site.run("view add v --as mirror").ok();
    site.write("v/mine", "too");
    let kept = "View [DIR]/v mirrors current\nThe former content is now [DIR]/v.before-genstore-2\n";
    site.run("view add v --as mirror --replace").prints(kept);
    assert_eq!((site.read("v.before-genstore-2/mine"), site.has("v/mine")), ("too".into(), false));
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_folder_is_replaced_only_when_asked() {
    let site = Site::of(ONE);
    site.run("publish dist").ok();
    site.write("m/mine", "mine");
    let keep = "hint: `--replace` puts the view in its place, and keeps the old one beside it\n";
    site.run("view add m --as mirror").is(1, "", &format!("error: [DIR]/m is a directory\n{keep}"));
    assert_eq!(all(&site, "m"), ["m/mine"]);
    let kept = "View [DIR]/m mirrors current\nThe former content is now [DIR]/m.before-genstore\n";
    site.run("view add m --as mirror --replace").prints(kept);
    assert_eq!(
        (site.read("m.before-genstore/mine"), site.read("m/app/file")),
        ("mine".into(), "one".into())
    );
    fs::create_dir(site.path("empty")).unwrap();
    site.run("view add empty --as mirror --from app").prints("View [DIR]/empty mirrors current/app\n");
    assert_eq!(site.names("empty"), ["file", "same"]);
    let nothing = "warning: the view [DIR]/later shows nothing until a generation has docs\n";
    site.run("view add later --as mirror --from docs").is(
        0,
        "View [DIR]/later mirrors current/docs\n",
        nothing,
    );
    site.run("view ls").ok();
    let still = "warning: the view [DIR]/later shows nothing: the current generation has no docs\n";
    assert_eq!(warnings(&site), still);
    site.tree("dist", &[ONE, &[("docs/a", "=a")]].concat());
    assert_eq!(warnings(&site), "");
    assert_eq!(site.read("later/a"), "a");
}

#[test]
fn additions_come_first_and_deletions_last() {
    let site = mirrored("");
    site.tree("dist", TWO);
    let trace = site.path("trace");
    let run = site.command("publish dist").env("GENSTORE_FAULT", format!("trace:{}", trace.display()));
    run.run().ok();
    let calls = site.read("trace");
    let below = format!("{}/", site.path("m").display());
    let calls: Vec<&str> = calls.lines().filter(|call| call.contains(&below)).collect();
    let at = |what: &str| {
        let found = calls.iter().position(|call| call.contains(what));
        found.unwrap_or_else(|| panic!("{what} is not among {calls:#?}"))
    };
    let order = [
        at("mkdir"),
        at("/m/new/y"),
        at("/m/app/file").min(at("/m/latest")),
        at("/m/app/file").max(at("/m/latest")),
        at("/m/gone/deep/x"),
        calls.iter().rposition(|call| call.contains("unlink") && call.ends_with("/m/gone")).unwrap(),
    ];
    assert!(order.is_sorted(), "{order:?} {calls:#?}");
    let kinds = ["link", "rename", "unlink"];
    for (path, kind) in ["/m/new/y", "/m/app/file", "/m/gone/deep/x"].iter().zip(kinds) {
        assert!(calls[at(path)].contains(&format!("{kind} ")), "{}", calls[at(path)]);
    }
}

#[test]
fn declared_views_are_made_by_publishing() {
    let site = Site::new();
    let declared = "[[view]]\npath = 'www'\nfrom = 'app'\n[[view]]\npath = 'libs'\nas = 'mirror'\ncopy = true\n\
                    [[view]]\npath = 'taken'\n";
    site.write("genstore.toml", declared);
    site.write("taken/mine", "mine");
    site.tree("dist", ONE);
    let output = site.run("publish dist").ok();
    let made = "   Created the view [DIR]/www\n   Created the view [DIR]/libs\n";
    let taken = "warning: cannot create the view [DIR]/taken: [DIR]/taken is a directory\n";
    assert_eq!(output.stderr, format!("{made}{taken}"));
    let ls =
        "[DIR]/libs  current      mirror of copies  ok\n[DIR]/www   current/app  link              ok\n";
    site.run("view ls").prints(ls);
    // They are left as they are from then on.
    site.run("view add www --from gone").ok();
    fs::remove_dir_all(site.path("taken")).unwrap();
    site.tree("dist", TWO);
    let doc = site.run("publish dist --json");
    let warnings = &doc.json("genstore.publish/1")["warnings"];
    let message = "the view [DIR]/www shows nothing: the current generation has no gone";
    assert_eq!(
        site.replace(&warnings.to_string()),
        json!([{"message": message, "not_durable": false}]).to_string()
    );
    assert_eq!(site.read("libs/app/file"), "two");
    assert_eq!(site.read("taken/app/file"), "two");
    let typo = "error: [DIR]/genstore.toml:3: unknown key `form`\nhint: did you mean `from`?\n";
    site.write("genstore.toml", "[[view]]\npath = 'www'\nform = 'app'\n");
    site.run("publish dist").is(2, "", typo);
}

#[test]
fn declared_views_come_with_the_directories_that_they_are_in() {
    let site = Site::new();
    let declared = "[[view]]\npath = 'out/deep/www'\n[[view]]\npath = 'out/libs'\nas = 'mirror'\n\
                    [[view]]\npath = 'genstore/objects/no/www'\n[[view]]\npath = 'file/www'\n";
    site.write("genstore.toml", declared);
    site.write("file", "mine");
    site.tree("dist", ONE);
    let refused = ["genstore/objects/no", "file"].map(|parent| {
        format!(
            "warning: cannot create the view [DIR]/{parent}/www: \
             cannot create [DIR]/{parent}/www: there is no directory [DIR]/{parent}\n"
        )
    });
    let made = "   Created the view [DIR]/out/deep/www\n   Created the view [DIR]/out/libs\n";
    assert_eq!(site.run("publish dist").ok().stderr, format!("{made}{}", refused.concat()));
    assert_eq!(site.read("out/deep/www/app/file"), "one");
    assert!(!site.has("genstore/objects/no"));
    // Like `rm -rf dist`, before a build from scratch.
    fs::remove_dir_all(site.path("out")).unwrap();
    site.tree("dist", TWO);
    let told = site.run("publish dist").ok().stderr;
    for view in ["out/libs", "out/deep/www"] {
        let again = format!("warning: the view [DIR]/{view} was removed; it was restored\n");
        assert!(told.contains(&again), "{told}");
    }
    assert_eq!(
        (site.read("out/deep/www/app/file"), site.read("out/libs/app/file")),
        ("two".into(), "two".into())
    );
    site.run("view ls")
        .prints("[DIR]/out/deep/www  current  link    ok\n[DIR]/out/libs      current  mirror  ok\n");
}

//! `view add --as mirror`: directories of real files that show what is current.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use genstore_testkit::LoopFs;
use serde_json::json;

use crate::harness::Site;

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
    let site = Site::new();
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    site.run(&format!("view add m --as mirror{args}")).ok();
    site
}

/// The publish line, with what it warns of.
fn warnings(site: &Site) -> String {
    let output = site.run("publish dist");
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stderr
}

fn left_alone(paths: &str) -> String {
    format!("warning: in the view [DIR]/m is left alone what genstore did not put there: {paths}\n")
}

fn put_back(paths: &str) -> String {
    format!("warning: in the view [DIR]/m was removed and is put back: {paths}\n")
}

/// Lists all that is below a folder.
fn all(site: &Site, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in site.names(folder) {
        let path = format!("{folder}/{name}");
        let is_folder = fs::symlink_metadata(site.path(&path)).unwrap().is_dir();
        found.push(path.clone());
        if is_folder {
            found.extend(all(site, &path));
        }
    }
    found
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
    assert_eq!(fs::read_link(site.path("m/latest")).unwrap(), std::path::Path::new("run"));
    let now = stat(&site, "m/run");
    assert_eq!((now.ino(), now.mtime_nsec(), now.mode()), (run.ino(), run.mtime_nsec(), run.mode()));
    let two = stat(&site, "m/app/file").mtime();
    // Going back, the mtime goes forward, as in the generation.
    site.run("rollback -q").prints("");
    assert_eq!(site.read("m/app/file"), "one");
    assert!(stat(&site, "m/app/file").mtime() > two);
    assert_eq!(inode(&site, "m/app/file"), inode(&site, &format!("{tree}/app/file")));
    assert_eq!(site.names(""), ["dist", "genstore", "m"]);
    site.run("view add m --as mirror").prints("Unchanged: the view [DIR]/m mirrors current already\n");
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
    // What is written to a copy is its writer's, and the generation is as it was.
    site.write("m/app/same", "mine");
    assert_eq!(warnings(&site), left_alone("app/same"));
    assert_eq!(
        (site.read("m/app/same"), site.read("genstore/current/app/same")),
        ("mine".into(), "same".into())
    );
    // Links in place of copies: all but that.
    site.run("view add m --as mirror").is(0, "View [DIR]/m mirrors current\n", &left_alone("app/same"));
    assert_eq!(inode(&site, "m/app/file"), inode(&site, "genstore/generations/2/tree/app/file"));
    site.run("verify").ok();
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
    // Replaced by somebody, though it looks the same: another inode.
    let file = stat(&site, "m/app/file");
    fs::remove_file(site.path("m/app/file")).unwrap();
    fs::write(site.path("m/app/file"), "own").unwrap();
    let handle = fs::File::options().append(true).open(site.path("m/app/file")).unwrap();
    handle.set_modified(file.modified().unwrap()).unwrap();
    // A symlink where a folder was: nothing is done beyond it.
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
    // What is moved out of the way makes room.
    for path in ["m/new", "m/hollow", "m/app/file", "m/gone/deep/mine"] {
        fs::remove_file(site.path(path)).unwrap();
    }
    assert_eq!(warnings(&site), left_alone("mine"));
    assert_eq!(
        (site.read("m/new/y"), site.read("m/hollow/z"), site.read("m/app/file")),
        ("y".into(), "z".into(), "two".into())
    );
    assert!(!site.has("m/gone"));
    let left = "Removed the view [DIR]/m; left in it, as it is not ours: mine\n";
    site.run("view rm m").prints(left);
    assert_eq!(all(&site, "m"), ["m/mine"]);
    assert_eq!(warnings(&site), "");
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
    let hint = "hint: the next publish brings mirrors to what is current\n";
    site.run("view ls").is(0, "[DIR]/m  current  mirror  is behind\n", hint);
    assert_eq!(warnings(&site), put_back("app/file, gone/deep/x"));
    assert_eq!((site.read("m/app/file"), site.read("m/gone/deep/x")), ("one".into(), "x".into()));
    // All of it.
    fs::remove_dir_all(site.path("m")).unwrap();
    let hint = "hint: the next publish makes views again that are gone, and keeps what is there now\n";
    site.run("view ls").is(0, "[DIR]/m  current  mirror  is missing\n", hint);
    let again = "warning: the view [DIR]/m was removed; it was made again\n";
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), again);
    assert_eq!(site.read("m/new/y"), "y");
    // Something else in its place is not ours.
    fs::remove_dir_all(site.path("m")).unwrap();
    site.write("m", "mine");
    let file = "warning: the view [DIR]/m was replaced by a file; \
                move it away, then `genstore view add [DIR]/m --as mirror` mends it\n";
    assert_eq!((warnings(&site), site.read("m")), (file.into(), "mine".into()));
    fs::remove_file(site.path("m")).unwrap();
    symlink("dist", site.path("m")).unwrap();
    let link = "warning: the view [DIR]/m was replaced by a symlink to dist; \
                `genstore view add [DIR]/m --as mirror --replace` mends it\n";
    assert_eq!((warnings(&site), site.read("dist/new/y")), (link.into(), "y".into()));
    site.run("view rm m")
        .prints("Removed the view [DIR]/m; what is there now is a symlink to dist and was left alone\n");
    assert!(site.names("genstore/views").is_empty());
}

#[test]
fn it_knows_its_files_when_their_generation_is_gone() {
    let site = mirrored("");
    // Nobody brings the mirror up to date meanwhile.
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
    // The next command that writes brought it to what is current.
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
    let site = mirrored("");
    fs::set_permissions(site.path("m/app/file"), fs::Permissions::from_mode(0o644)).unwrap();
    site.write("m/app/file", "bad, and longer");
    let told =
        "warning: generation 1 was written to: changed app/file; `genstore verify --repair` mends it\n";
    assert_eq!(warnings(&site), told);
    assert_eq!(site.read("genstore/current/app/file"), "one");
    assert_eq!(site.read("m/app/file"), "one");
    site.run("verify").ok();
    // By repair, the mirror waits for the next command that commits.
    fs::set_permissions(site.path("m/app/file"), fs::Permissions::from_mode(0o644)).unwrap();
    site.write("m/app/same", "bad!");
    fs::copy(site.path("dist/app/same"), site.path("genstore/quarantine/good")).unwrap();
    site.run("verify --repair");
    site.run("publish dist").ok();
    assert_eq!(
        (site.read("m/app/same"), site.read("genstore/current/app/same")),
        ("same".into(), "same".into())
    );
}

#[test]
fn a_view_may_change_its_kind() {
    let site = Site::new();
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    site.run("view add v").ok();
    site.run("view add v --as mirror").prints("View [DIR]/v mirrors current\n");
    assert!(stat(&site, "v").is_dir());
    site.run("view ls").prints("[DIR]/v  current  mirror  ok\n");
    site.run("view add v --from app").prints("View [DIR]/v shows current/app\n");
    assert_eq!(fs::read_link(site.path("v")).unwrap(), std::path::Path::new("genstore/current/app"));
    site.run("view add v --as mirror").ok();
    site.write("v/mine", "mine");
    let taken = "error: [DIR]/v is a mirror that holds what genstore did not put there\n";
    site.run("view add v").fails(1, taken);
    assert!(stat(&site, "v").is_dir());
    let kept = "View [DIR]/v shows current\nWhat was there is [DIR]/v.before-genstore now\n";
    site.run("view add v --replace").prints(kept);
    assert_eq!(site.read("v.before-genstore/mine"), "mine");
    assert_eq!(site.names("genstore/views").len(), 1);
    // In a mirror's place another one.
    site.run("view add v --as mirror").ok();
    site.write("v/mine", "too");
    let kept = "View [DIR]/v mirrors current\nWhat was there is [DIR]/v.before-genstore-2 now\n";
    site.run("view add v --as mirror --replace").prints(kept);
    assert_eq!((site.read("v.before-genstore-2/mine"), site.has("v/mine")), ("too".into(), false));
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_folder_is_replaced_only_when_asked() {
    let site = Site::new();
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    site.write("m/mine", "mine");
    let keep = "hint: `--replace` puts the view in its place, and keeps what is there beside it\n";
    site.run("view add m --as mirror").is(1, "", &format!("error: [DIR]/m is a directory\n{keep}"));
    assert_eq!(all(&site, "m"), ["m/mine"]);
    let kept = "View [DIR]/m mirrors current\nWhat was there is [DIR]/m.before-genstore now\n";
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
    let still = "warning: the view [DIR]/later shows nothing: what is current has no docs\n";
    assert_eq!(warnings(&site), still);
    site.tree("dist", &[ONE, &[("docs/a", "=a")]].concat());
    assert_eq!(warnings(&site), "");
    assert_eq!(site.read("later/a"), "a");
}

#[test]
fn on_another_filesystem_there_are_copies_only() {
    let Some(mut disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let site = Site::new();
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    let other = disk.path().canonicalize().unwrap();
    let path = other.join("m").display().to_string();
    let refused =
        format!("error: {path} is on another filesystem than the store, where no hard link leads\n");
    let hint = "hint: `--copy` makes copies instead of links\n";
    site.run(&format!("view add {path} --as mirror")).is(1, "", &format!("{refused}{hint}"));
    let names = || {
        let names =
            fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lost+found").collect::<Vec<_>>()
    };
    assert_eq!(names(), [""; 0]);
    assert!(site.names("genstore/views").is_empty());
    site.run(&format!("view add {path} --as mirror --copy")).ok();
    assert_eq!(fs::read_to_string(other.join("m/app/file")).unwrap(), "one");
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!(fs::read_to_string(other.join("m/app/file")).unwrap(), "two");
    assert_eq!(names(), ["m"]);
    disk.unmount();
}

#[test]
fn a_read_only_store_lists_its_mirrors() {
    let Some(mut disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let site = Site::new();
    site.tree("dist", ONE);
    let store = disk.path().join("store").display().to_string();
    site.run(&format!("--store {store} publish dist")).ok();
    site.run(&format!("--store {store} view add m --as mirror --copy")).ok();
    disk.unmount();
    disk.mount(&["ro"]).unwrap();
    site.run(&format!("--store {store} view ls")).prints("[DIR]/m  current  mirror of copies  ok\n");
    site.run(&format!("--store {store} view rm m")).fails(1, "error: cannot ");
    assert_eq!(site.read("m/app/file"), "one");
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
    let made = "      Made the view [DIR]/www\n      Made the view [DIR]/libs\n";
    let taken = "warning: the view [DIR]/taken could not be made: [DIR]/taken is a directory\n";
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
    let message = "the view [DIR]/www shows nothing: what is current has no gone";
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
            "warning: the view [DIR]/{parent}/www could not be made: \
             there is no directory [DIR]/{parent} to make [DIR]/{parent}/www in\n"
        )
    });
    let made = "      Made the view [DIR]/out/deep/www\n      Made the view [DIR]/out/libs\n";
    assert_eq!(site.run("publish dist").ok().stderr, format!("{made}{}", refused.concat()));
    assert_eq!(site.read("out/deep/www/app/file"), "one");
    assert!(!site.has("genstore/objects/no"));
    // As `rm -rf dist` does, before a build from nothing.
    fs::remove_dir_all(site.path("out")).unwrap();
    site.tree("dist", TWO);
    let told = site.run("publish dist").ok().stderr;
    for view in ["out/libs", "out/deep/www"] {
        let again = format!("warning: the view [DIR]/{view} was removed; it was made again\n");
        assert!(told.contains(&again), "{told}");
    }
    assert_eq!(
        (site.read("out/deep/www/app/file"), site.read("out/libs/app/file")),
        ("two".into(), "two".into())
    );
    site.run("view ls")
        .prints("[DIR]/out/deep/www  current  link    ok\n[DIR]/out/libs      current  mirror  ok\n");
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
        "warning: the view [DIR]/m could not be brought to what is current: \
         [DIR]/{path} is damaged: the length differs\n"
    );
    assert_eq!(warnings(&site), told);
    assert_eq!(site.read("m/app/file"), "one");
    assert_eq!(site.run("verify").status, 4);
    assert_eq!(site.run("verify --repair").status, 3);
    // Without it, what is as it is to be is known, and the rest is not ours.
    assert_eq!(warnings(&site), left_alone("app/file, gone, hollow, latest"));
    assert_eq!((site.read("m/new/y"), site.read("m/app/file")), ("y".into(), "one".into()));
    site.run("view add m --as mirror --replace").ok();
    assert_eq!(site.read("m/app/file"), "two");
    assert_eq!(warnings(&site), "");
}

#[test]
fn a_project_that_is_copied_keeps_its_mirrors() {
    let site = Site::new();
    site.tree("p/dist", ONE);
    let run = |dir: &str, args: &str| site.command(args).dir(dir).run();
    run("p", "publish dist").ok();
    run("p", "view add m --as mirror").ok();
    site.write("p/m/mine", "mine");
    genstore_testkit::copy_exactly(&site.path("p"), &site.path("q"));
    fs::rename(site.path("p"), site.path("moved")).unwrap();
    for dir in ["q", "moved"] {
        let listed = format!("[DIR]/{dir}/m  current  mirror  ok, with 1 stranger: mine\n");
        run(dir, "view ls").prints(&listed);
        site.tree(&format!("{dir}/dist"), TWO);
        let told = format!(
            "warning: in the view [DIR]/{dir}/m is left alone what genstore did not put there: mine\n"
        );
        assert_eq!(run(dir, "publish dist").ok().stderr, told);
        assert_eq!((site.read(&format!("{dir}/m/app/file")), site.has("q/m/gone")), ("two".into(), false));
    }
}

#[test]
fn where_no_link_can_be_made_there_is_a_copy() {
    let site = Site::new();
    site.tree("dist", ONE);
    site.run("publish dist").ok();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat", "-e", "inject=linkat:error=EMLINK"])
        .arg(env!("CARGO_BIN_EXE_genstore"))
        .args(["view", "add", "m", "--as", "mirror"])
        .current_dir(site.path(""))
        .output();
    let Ok(output) = output else {
        println!("skipped: no strace");
        return;
    };
    let said = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(said, (Some(0), String::new()));
    let copy = |path: &str| (stat(&site, path).nlink(), stat(&site, path).mode() & 0o7777);
    assert_eq!((copy("m/app/file"), copy("m/run")), ((1, 0o444), (1, 0o555)));
    let inodes = [inode(&site, "m/app/file"), inode(&site, "m/app/same")];
    site.run("view ls").prints("[DIR]/m  current  mirror  ok\n");
    assert_eq!(warnings(&site), "");
    assert_eq!([inode(&site, "m/app/file"), inode(&site, "m/app/same")], inodes);
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!((site.read("m/app/file"), inode(&site, "m/app/same")), ("two".into(), inodes[1]));
    assert_eq!(inode(&site, "m/app/file"), inode(&site, "genstore/current/app/file"));
    site.run("view rm m").prints("Removed the view [DIR]/m\n");
}

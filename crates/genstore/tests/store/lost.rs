//! A store that lost parts: by a copy that drops empty folders, by hand, by a disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use genstore::{Damaged, Depth, Error, Expect, Mark, Retention, Rev, StageOptions, Store, VerifyReport};
use genstore_testkit::{copy_exactly, read_tree, same_content, scratch, things};

use super::{collect, commit, id, memory, open, publish_things};

/// A store of three generations, with the second one current after a rollback that marked nothing.
fn three(dir: &Path) -> Store {
    let store = open(dir);
    for n in 1..=3 {
        let n = n.to_string();
        drop(commit(&store, &memory(&[("n", &n), ("same", "same"), ("d/deep", &n)])).unwrap());
    }
    drop(store.rollback(1, true).unwrap());
    store
}

/// Removes the empty folders, as `find -type d -empty -delete` does.
fn drop_empty_folders(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            drop_empty_folders(&path);
            drop(fs::remove_dir(&path));
        }
    }
}

/// Every path below a folder, with what it is.
fn everything(dir: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        all.insert(format!("{} {kind:?}", path.display()));
        if kind.is_dir() {
            all.append(&mut everything(&path));
        }
    }
    all
}

fn verify(store: &Store) -> VerifyReport {
    store.verify(None, Depth::Full).unwrap()
}

/// Names of the files that a report tells of, from the store on.
fn files(store: &Store, report: &VerifyReport) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(store.path()).unwrap().display().to_string();
    report.files.iter().map(|(path, _)| name(path)).collect()
}

/// Repairs in one run, and tells what was found.
fn repair(store: &Store) -> VerifyReport {
    let (before, after) = store.repair().unwrap();
    assert!(after.is_clean(), "{after:#?}");
    assert!(verify(store).is_clean());
    before
}

#[test]
fn every_writer_completes_a_store_that_lost_its_empty_folders() {
    type Verb = fn(&Store) -> genstore::Result<()>;
    let verbs: [(&str, Verb); 8] = [
        ("publish", |store| commit(store, &memory(&[("n", "4")])).map(drop)),
        ("rollback", |store| store.rollback(1, false).map(drop)),
        ("switch", |store| store.activate(&"3".parse().unwrap(), Expect::Any).map(drop)),
        ("pin", |store| store.pin(&"1".parse().unwrap(), &"p".parse().unwrap(), None, None).map(drop)),
        ("mark", |store| store.mark(&"1".parse().unwrap(), Mark::Bad, None).map(drop)),
        ("begin", |store| store.begin().map(drop)),
        ("gc", |store| {
            let rule = Retention { keep_last: 1, keep_within: None, grace: std::time::Duration::ZERO };
            store.collect(&store.plan_gc(&rule)?).map(drop)
        }),
        ("repair", |store| store.repair().map(drop)),
    ];
    let dir = scratch();
    drop(three(dir.path()));
    drop_empty_folders(&dir.path().join("store"));
    for (name, verb) in verbs {
        for lost in ["", "locks", "notice", "staging"] {
            let place = dir.path().join(format!("{name}-{lost}"));
            fs::create_dir(&place).unwrap();
            copy_exactly(&dir.path().join("store"), &place.join("store"));
            match place.join("store").join(lost) {
                path if lost.is_empty() || !path.exists() => {}
                path if path.is_dir() => fs::remove_dir_all(path).unwrap(),
                path => fs::remove_file(path).unwrap(),
            }
            let store = Store::open(&place.join("store"), super::ticking(2_000_000)).unwrap();
            verb(&store).unwrap_or_else(|e| panic!("{name} without {lost}: {e}"));
            let report = verify(&store);
            assert!(report.is_clean(), "{name} without {lost}: {report:#?}");
            let notice = fs::read_to_string(store.path().join("notice")).unwrap();
            let current = store.current().unwrap().unwrap().to_string();
            assert_eq!(notice.split_whitespace().next(), Some(current.as_str()), "{name} without {lost}");
        }
    }
}

#[test]
fn what_is_missing_is_named_and_looking_creates_nothing() {
    let dir = scratch();
    let store = three(dir.path());
    drop_empty_folders(store.path());
    fs::remove_dir_all(store.path().join("objects")).unwrap();
    fs::remove_dir_all(store.path().join("locks")).unwrap();
    fs::remove_file(store.path().join("notice")).unwrap();
    let before = everything(store.path());
    let report = verify(&store);
    assert_eq!(report.objects.len(), 4, "{report:#?}");
    let expected = [
        "objects",
        "staging",
        "pins",
        "marks",
        "suspects",
        "quarantine",
        "locks",
        "notice",
        "locks/store",
        "locks/commit",
    ];
    assert_eq!(files(&store, &report), expected);
    assert_eq!(store.list().unwrap().generations.len(), 3);
    assert_eq!(store.usage().unwrap().generations.len(), 3);
    drop(store.plan_gc(&Retention::default()).unwrap());
    drop(store.open_generation(&"@".parse().unwrap()).unwrap());
    assert_eq!(store.views().unwrap().len(), 0);
    assert_eq!(everything(store.path()), before, "nothing was created");
    let found = repair(&store);
    assert_eq!(files(&store, &found), expected);
    assert_eq!(store.current().unwrap(), Some(id(2)));
}

#[test]
fn a_store_that_was_just_made_has_lost_nothing() {
    let dir = scratch();
    let store = open(dir.path());
    drop_empty_folders(store.path());
    assert!(verify(&store).is_clean());
    assert_eq!(store.required_current().unwrap_err().code(), "no-current");
    // Kept, and never current.
    let kept = genstore::CommitOptions { activate: genstore::Activate::Never, ..Default::default() };
    let staged = store.stage(&memory(&[("a", "1")]), StageOptions::default()).unwrap();
    drop(staged.unaudited().commit(&kept).unwrap());
    assert!(verify(&store).is_clean());
    assert_eq!(store.checked_current().unwrap(), None);
    assert_eq!(store.required_current().unwrap_err().code(), "not-activated");
}

#[test]
fn a_lost_pointer_is_put_back_and_nothing_is_collected_meanwhile() {
    type Harm = fn(&Path);
    let harms: [Harm; 6] = [
        |_| {},
        |current| fs::create_dir(current).unwrap(),
        |current| fs::write(current, "2").unwrap(),
        |current| symlink("generations/9/tree", current).unwrap(),
        |current| symlink(current.with_file_name("generations/2/tree"), current).unwrap(),
        |current| copy_exactly(&current.with_file_name("generations/2/tree"), current),
    ];
    for (nth, harm) in harms.into_iter().enumerate() {
        let dir = scratch();
        let store = three(dir.path());
        let current = store.path().join("current");
        fs::remove_file(&current).unwrap();
        harm(&current);
        let is_lost = |error: &Error| matches!(error, Error::Damaged { what: Damaged::File(path), .. } if *path == current);
        let error = store.checked_current().unwrap_err();
        assert!(is_lost(&error), "{nth}: {error}");
        let error = store.plan_gc(&Retention::default()).map(drop).unwrap_err();
        assert!(is_lost(&error), "{nth}: {error}");
        assert!(is_lost(&store.resolve(&"@".parse().unwrap()).unwrap_err()), "{nth}");
        assert_eq!(store.list().unwrap().generations.len(), 3, "{nth}: it hides no generation");
        assert_eq!(files(&store, &verify(&store)), ["current"], "{nth}");
        assert_eq!(files(&store, &repair(&store)), ["current"], "{nth}");
        assert_eq!(store.current().unwrap(), Some(id(2)), "{nth}: what was activated last");
        assert_eq!(collect(&store, 0).generations, [id(3), id(1)], "{nth}");
    }
}

#[test]
fn without_log_and_pointer_the_hold_or_the_notice_tells_what_was_current() {
    for lost in
        [&["log", "current"][..], &["log", "current", "hold"], &["log", "current", "notice", "hold"]]
    {
        let dir = scratch();
        let store = three(dir.path());
        for name in lost {
            fs::remove_file(store.path().join(name)).unwrap();
        }
        assert!(store.checked_current().is_err());
        assert!(store.plan_gc(&Retention::default()).is_err());
        let found = files(&store, &repair(&store));
        assert!(found.iter().all(|name| lost.contains(&name.as_str())), "{found:?}");
        let expected = if lost.contains(&"notice") { id(3) } else { id(2) };
        assert_eq!(store.current().unwrap(), Some(expected), "{lost:?}");
    }
}

#[test]
fn a_rebuilt_log_heals_manifests_again() {
    let dir = scratch();
    let store = three(dir.path());
    fs::remove_file(store.path().join("log")).unwrap();
    assert_eq!(files(&store, &verify(&store)), ["log"]);
    assert_eq!(files(&store, &repair(&store)), ["log"]);
    fs::remove_file(store.path().join("generations/1/manifest")).unwrap();
    assert_eq!(verify(&store).generations, [(id(1), "its manifest is missing".to_owned())]);
    assert_eq!(repair(&store).generations.len(), 1);
    assert_eq!(store.list().unwrap().generations.len(), 3);
}

#[test]
fn numbers_are_not_used_again_although_the_sequence_is_lost_or_old() {
    for is_old in [false, true] {
        let dir = scratch();
        let store = open(dir.path());
        drop(commit(&store, &memory(&[("n", "1")])).unwrap());
        let old = fs::read(store.path().join("sequence")).unwrap();
        for n in 2..=4 {
            drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
        }
        drop(store.activate(&"3".parse::<Rev>().unwrap(), Expect::Any).unwrap());
        // Only the log knows of the fourth one then.
        assert_eq!(collect(&store, 0).generations, [id(4), id(2), id(1)]);
        match is_old {
            true => fs::write(store.path().join("sequence"), &old).unwrap(),
            false => fs::remove_file(store.path().join("sequence")).unwrap(),
        }
        assert_eq!(files(&store, &verify(&store)), ["sequence"]);
        assert_eq!(files(&store, &repair(&store)), ["sequence"]);
        let record = fs::read_to_string(store.path().join("sequence")).unwrap();
        assert!(record.starts_with("{\"high\":4,"), "{record}");
        assert_eq!(commit(&store, &memory(&[("n", "5")])).unwrap().generation, id(5));
    }
}

#[test]
fn what_took_the_place_of_a_part_is_put_aside_in_one_run() {
    let parts = [
        "sequence",
        "hold",
        "log",
        "notice",
        "rotations",
        "pins/a",
        "pins/b",
        "marks/1",
        "marks/2",
        "views/0123",
        "objects/xx",
        "generations/x",
        "generations/1/shown",
        "generations/1/index",
        "generations/1/delta",
        "generations/1/sealed",
        "generations/1/build.log",
        "generations/3/manifest",
        "staging",
        "pins",
        "marks",
        "views",
        "suspects",
        "quarantine",
        "locks",
        "locks/store",
        "locks/commit",
        "objects",
    ];
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("folder", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), "").unwrap();
        }),
        ("symlink", |path| symlink("/etc/passwd", path).unwrap()),
        ("fifo", |path| {
            let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(status.success());
        }),
    ];
    let dir = scratch();
    drop(three(dir.path()));
    let shown = read_tree(&dir.path().join("store/generations/2/tree")).unwrap();
    for (kind, harm) in harms {
        for part in parts {
            let is_folder = !part.contains('/') && dir.path().join("store").join(part).is_dir();
            if is_folder && kind == "folder" {
                continue;
            }
            let what = format!("{kind} for {part}");
            let place = dir.path().join("place");
            fs::create_dir(&place).unwrap();
            copy_exactly(&dir.path().join("store"), &place.join("store"));
            let path = place.join("store").join(part);
            if let Ok(meta) = path.symlink_metadata() {
                if meta.is_dir() {
                    fs::remove_dir_all(&path).unwrap()
                } else {
                    fs::remove_file(&path).unwrap()
                }
            }
            harm(&path);
            let store = Store::open(&place.join("store"), super::ticking(2_000_000)).unwrap();
            assert!(!verify(&store).is_clean(), "{what}");
            let (before, after) = store.repair().unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(!before.is_clean(), "{what}");
            assert!(after.is_clean(), "{what}: {after:#?}");
            assert!(same_content(&read_tree(&place.join("store/current")).unwrap(), &shown), "{what}");
            drop(commit(&store, &memory(&[("n", "4")])).unwrap_or_else(|e| panic!("{what}: {e}")));
            assert_eq!(store.list().unwrap().generations.len(), 4, "{what}");
            assert!(fs::metadata("/etc/passwd").unwrap().len() > 0);
            fs::remove_dir_all(&place).unwrap();
        }
    }
}

#[test]
fn generations_are_not_put_aside_with_all_that_is_in_them() {
    let dir = scratch();
    let store = three(dir.path());
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(store.path().join("generations"), &elsewhere).unwrap();
    symlink(&elsewhere, store.path().join("generations")).unwrap();
    for error in [
        store.repair().map(drop).unwrap_err(),
        store.plan_gc(&Retention::default()).map(drop).unwrap_err(),
        commit(&store, &memory(&[("n", "4")])).map(drop).unwrap_err(),
    ] {
        let is_it = |path: &Path| path == store.path().join("generations");
        assert!(
            matches!(&error, Error::Damaged { what: Damaged::File(path), .. } if is_it(path)),
            "{error}"
        );
    }
    fs::remove_file(store.path().join("generations")).unwrap();
    fs::rename(&elsewhere, store.path().join("generations")).unwrap();
    assert!(verify(&store).is_clean());
}

#[test]
fn the_folders_of_a_tree_are_put_back() {
    let dir = scratch();
    let store = open(dir.path());
    drop(commit(&store, &memory(&[])).unwrap());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("a", "=1"), ("v", "/"), ("w/x", "/")])));
    drop_empty_folders(&store.path().join("generations"));
    let report = verify(&store);
    let missing: Vec<_> = report.faults.iter().map(|(id, fault)| (*id, fault.path.as_slice())).collect();
    assert_eq!(missing, [(id(1), &b""[..]), (id(2), b"v"), (id(2), b"w/x")], "{report:?}");
    drop(repair(&store));
    assert!(store.path().join("generations/1/tree").is_dir());
    // A whole tree that is gone is made of the objects.
    fs::remove_dir_all(store.path().join("generations/2/tree")).unwrap();
    drop(repair(&store));
    assert_eq!(fs::read(store.path().join("current/a")).unwrap(), b"1");
}

#[test]
fn what_was_shown_is_read_off_the_files() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("a", "=old"), ("b", "=b")])));
    drop(publish_things(&store, dir.path(), &things(2_000, &[("a", "=new"), ("b", "=b")])));
    drop(store.rollback(1, true).unwrap());
    let a = store.path().join("current/a");
    let (mtime, inode) = (a.metadata().unwrap().mtime(), a.metadata().unwrap().ino());
    assert!(mtime > 2_000);
    fs::set_permissions(store.path().join("generations/1/shown"), fs::Permissions::from_mode(0o644))
        .unwrap();
    fs::write(store.path().join("generations/1/shown"), "no").unwrap();
    assert_eq!(verify(&store).generations.len(), 1);
    assert_eq!(repair(&store).generations.len(), 1);
    let after = a.metadata().unwrap();
    assert_eq!((after.mtime(), after.ino()), (mtime, inode), "what is current shows the same");
    drop(store.activate(&"2".parse::<Rev>().unwrap(), Expect::Any).unwrap());
    assert!(a.metadata().unwrap().mtime() > mtime);
}

#[test]
fn marks_that_a_cut_collection_left_are_swept() {
    let dir = scratch();
    let store = three(dir.path());
    store.mark(&"1".parse::<Rev>().unwrap(), Mark::Bad, None).unwrap();
    let mark = fs::read(store.path().join("marks/1")).unwrap();
    assert_eq!(collect(&store, 1).generations, [id(1)]);
    // As if it had been killed right after the generation was taken off the list.
    fs::write(store.path().join("marks/1"), mark).unwrap();
    fs::write(store.path().join("suspects/generation-1"), "").unwrap();
    assert_eq!(collect(&store, 1).generations, []);
    assert_eq!(fs::read_dir(store.path().join("marks")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.path().join("suspects")).unwrap().count(), 0);
}

/// Copies a store with `cp`, by these flags.
fn copied(store: &Store, dir: &Path, flags: &[&str]) -> Store {
    let to = dir.join("copied");
    let status =
        std::process::Command::new("cp").arg("-r").args(flags).arg(store.path()).arg(&to).status().unwrap();
    assert!(status.success());
    Store::open(&to, super::ticking(2_000_000)).unwrap()
}

/// The bytes of all inodes below a folder that are files.
fn inode_bytes(dir: &Path, seen: &mut BTreeSet<u64>) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            bytes += inode_bytes(&path, seen);
        } else if meta.is_file() && seen.insert(meta.ino()) {
            bytes += meta.len();
        }
    }
    bytes
}

fn real_bytes(store: &Store) -> u64 {
    let mut seen = BTreeSet::new();
    let objects = store.path().join("objects");
    let mut bytes = if objects.exists() { inode_bytes(&objects, &mut seen) } else { 0 };
    for generation in fs::read_dir(store.path().join("generations")).unwrap() {
        bytes += inode_bytes(&generation.unwrap().path().join("tree"), &mut seen);
    }
    bytes
}

/// A store whose current generation has fresh inodes, and which shares much.
fn shared(dir: &Path) -> Store {
    let store = open(dir);
    let big = "=".to_owned() + &"0123456789".repeat(100);
    let tree =
        |a: &str| things(1_000, &[("a", a), ("big", &big), ("d/big", &big), ("e", "="), ("x", "!run")]);
    drop(publish_things(&store, dir, &tree("=one")));
    drop(publish_things(&store, dir, &tree("=two")));
    drop(publish_things(&store, dir, &things(1_000, &[("a", "=one"), ("big", &big), ("v", "/")])));
    drop(store.rollback(1, true).unwrap());
    assert!(verify(&store).is_clean());
    store
}

#[test]
fn a_copy_is_given_back_its_links_times_and_modes() {
    let dir = scratch();
    let store = shared(dir.path());
    assert_eq!((verify(&store).unshared.files, real_bytes(&store)), (0, store.stored_bytes().unwrap()));
    let expected = read_tree(&store.path().join("current")).unwrap();
    for flags in [
        &["--preserve=timestamps,mode"][..],
        &["--preserve=links"],
        &["--preserve=mode", "--no-preserve=links"],
        &[],
    ] {
        let copy = copied(&store, dir.path(), flags);
        if flags == ["--preserve=links"] {
            let chmod = ["-R", "u+w", copy.path().to_str().unwrap()];
            assert!(std::process::Command::new("chmod").args(chmod).status().unwrap().success());
        }
        let report = verify(&copy);
        assert!(!report.is_clean(), "{flags:?}: the loss is named");
        assert_eq!(copy.stored_bytes().unwrap(), real_bytes(&copy), "{flags:?}");
        assert_eq!(copy.usage().unwrap().store_bytes, real_bytes(&copy), "{flags:?}");
        drop(repair(&copy));
        assert_eq!(verify(&copy).unshared.files, 0, "{flags:?}");
        assert_eq!(real_bytes(&copy), real_bytes(&store), "{flags:?}");
        // Mtimes, too.
        assert_eq!(read_tree(&copy.path().join("current")).unwrap(), expected, "{flags:?}");
        fs::remove_dir_all(copy.path()).unwrap();
    }
}

#[test]
fn objects_that_are_gone_are_the_files_of_generations_again() {
    for is_copied in [false, true] {
        let dir = scratch();
        let original = shared(dir.path());
        let store = if is_copied { copied(&original, dir.path(), &[]) } else { original };
        let bytes = real_bytes(&open(dir.path()));
        fs::remove_dir_all(store.path().join("objects")).unwrap();
        assert_eq!(verify(&store).objects.len(), 4);
        assert_eq!(store.usage().unwrap().store_bytes, real_bytes(&store));
        assert_eq!(repair(&store).objects.len(), 4);
        if is_copied {
            assert_eq!(real_bytes(&store), real_bytes(&open(dir.path())));
        } else {
            assert!(real_bytes(&store) <= bytes, "links, not copies");
        }
        drop(collect(&store, 0));
        assert!(verify(&store).is_clean());
    }
}

#[test]
fn everything_at_once_takes_one_run() {
    let dir = scratch();
    let store = copied(&shared(dir.path()), dir.path(), &[]);
    drop_empty_folders(store.path());
    fs::remove_dir_all(store.path().join("objects")).unwrap();
    fs::remove_dir_all(store.path().join("locks")).unwrap();
    for name in ["current", "log", "sequence", "notice"] {
        fs::remove_file(store.path().join(name)).unwrap();
    }
    let found = repair(&store);
    for name in ["current", "log", "sequence", "notice", "objects", "pins", "locks"] {
        assert!(files(&store, &found).contains(&name.to_owned()), "{name}: {found:#?}");
    }
    assert_eq!(store.current().unwrap(), Some(id(2)), "the hold tells");
    assert_eq!(commit(&store, &memory(&[("n", "4")])).unwrap().generation, id(4));
}

#[test]
fn an_object_that_ran_out_of_links_is_no_loss() {
    let dir = scratch();
    let store = shared(dir.path());
    // As a rotation does it: the name passes to a copy, and the old inode keeps its links.
    let hex = genstore::Digest::of("0123456789".repeat(100).as_bytes()).to_string();
    let object = store.path().join("objects").join(&hex[..2]).join(&hex[2..]);
    let copy = dir.path().join("copy");
    copy_exactly(&object, &copy);
    fs::rename(&copy, &object).unwrap();
    drop(commit(&store, &memory(&[("n", "4")])).unwrap());
    fs::hard_link(&object, dir.path().join("another")).unwrap();
    assert_eq!(verify(&store).unshared.files, 0);
    assert_eq!(store.usage().unwrap().store_bytes, real_bytes(&store));
    let inode = object.metadata().unwrap().ino();
    assert!(repair(&store).is_clean());
    assert_eq!(object.metadata().unwrap().ino(), inode);
    let path = store.path().join("generations/1/tree/big");
    assert_ne!(path.metadata().unwrap().ino(), inode, "left as it is");
}

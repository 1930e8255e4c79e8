//! A store that lost parts: by a copy that drops empty folders, by hand, by a disk.

use genstore::verify::VerifyReport;

use super::*;

/// A store of three generations, with the second one current after a rollback that set no mark.
fn three(dir: &Path) -> Store {
    let store = open(dir);
    for n in 1..=3 {
        let n = n.to_string();
        drop(
            commit(
                &store,
                &plan_of(&[("n", &format!("={n}")), ("same", "=same"), ("d/deep", &format!("={n}"))]),
            )
            .unwrap(),
        );
    }
    drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
    store
}

/// Removes the empty folders, as `find -type d -empty -delete` does.
pub(super) fn drop_empty_folders(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            drop_empty_folders(&path);
            drop(fs::remove_dir(&path));
        }
    }
}

/// Every path below a folder, with its kind.
fn everything(dir: &Path) -> BTreeSet<String> {
    let kind = |path: &PathBuf| path.symlink_metadata().unwrap().file_type();
    below(dir).iter().map(|path| format!("{} {:?}", path.display(), kind(path))).collect()
}

pub(super) fn verify(store: &Store) -> VerifyReport {
    store.verify(None, Depth::Full).unwrap()
}

/// Names of the files in a report, relative to the store.
pub(super) fn files(store: &Store, report: &VerifyReport) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(store.path()).unwrap().display().to_string();
    report.files.iter().map(|file| name(&file.path)).collect()
}

/// Repairs in one run, and returns the findings.
pub(super) fn repair(store: &Store) -> VerifyReport {
    let Repaired { before, after, .. } = store.repair().unwrap();
    assert!(after.is_clean(), "{after:#?}");
    assert!(verify(store).is_clean());
    before
}

#[test]
fn every_writer_completes_a_store_that_lost_its_empty_folders() {
    type Verb = fn(&Store) -> genstore::Result<()>;
    let verbs: [(&str, Verb); 8] = [
        ("publish", |store| commit(store, &plan_of(&[("n", "=4")])).map(drop)),
        ("rollback", |store| store.rollback(1, MarkLeft::Bad).map(drop)),
        ("switch", |store| store.activate(&"3".parse().unwrap(), Expect::Any).map(drop)),
        ("pin", |store| store.pin(&"1".parse().unwrap(), &"p".parse().unwrap(), None, None).map(drop)),
        ("mark", |store| store.mark(&"1".parse().unwrap(), Mark::Bad, None).map(drop)),
        ("begin", |store| store.begin().map(drop)),
        ("gc", |store| {
            let rule = Retention::only_last(1);
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
    drop(keep(&store, &plan_of(&[("a", "=1")])).unwrap());
    assert!(verify(&store).is_clean());
    assert_eq!(store.checked_current().unwrap(), None);
    assert_eq!(store.required_current().unwrap_err().code(), "not-activated");
}

#[test]
fn a_lost_pointer_is_put_back_and_nothing_is_collected_meanwhile() {
    type Harm = fn(&Path);
    let harms: [Harm; 7] = [
        |_| {},
        |current| symlink("/tmp", current).unwrap(),
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
        assert_eq!(store.current().unwrap(), Some(id(2)), "{nth}: the last activated generation");
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
    let [damaged] = &verify(&store).generations[..] else { panic!("one is damaged") };
    assert_eq!((damaged.id, damaged.cause.as_str()), (id(1), "its manifest is missing"));
    assert_eq!(repair(&store).generations.len(), 1);
    assert_eq!(store.list().unwrap().generations.len(), 3);
}

/// INV-7.
#[test]
fn numbers_are_not_used_again_although_the_sequence_is_lost_or_old() {
    for harm in ["lost", "old", "damaged"] {
        let dir = scratch();
        let store = open(dir.path());
        let sequence = store.path().join("sequence");
        publish_numbers(&store, 1..=1);
        let old = fs::read(&sequence).unwrap();
        publish_numbers(&store, 2..=4);
        drop(store.activate(&"3".parse::<Rev>().unwrap(), Expect::Any).unwrap());
        // Then only the log has the number of the fourth one.
        assert_eq!(collect(&store, 0).generations, [id(4), id(2), id(1)]);
        match harm {
            "lost" => fs::remove_file(&sequence).unwrap(),
            "old" => fs::write(&sequence, &old).unwrap(),
            _ => {
                let whole = fs::read_to_string(&sequence).unwrap();
                fs::write(&sequence, whole.replacen("high", "hygh", 1)).unwrap();
                let error = commit(&store, &plan_of(&[("n", "=5")])).unwrap_err();
                assert_eq!(error.code(), "damaged");
            }
        }
        assert_eq!(files(&store, &verify(&store)), ["sequence"], "{harm}");
        assert_eq!(files(&store, &repair(&store)), ["sequence"], "{harm}");
        let record = fs::read_to_string(&sequence).unwrap();
        assert!(record.starts_with("{\"high\":4,"), "{harm}: {record}");
        assert_eq!(commit(&store, &plan_of(&[("n", "=5")])).unwrap().generation, id(5));
    }
}

#[test]
fn what_took_the_place_of_a_part_is_put_aside_in_one_run() {
    let parts = "sequence hold log notice rotations pins/a pins/b marks/1 marks/2 views/0123 objects/xx \
        generations/x generations/1/shown generations/1/index generations/1/delta generations/1/sealed \
        generations/1/build.log generations/3/manifest staging pins marks views suspects quarantine \
        locks locks/store locks/commit objects";
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("folder", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), "").unwrap();
        }),
        ("symlink", |path| symlink("/etc/passwd", path).unwrap()),
        ("fifo", |path| {
            let status = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(status.success());
        }),
    ];
    let dir = scratch();
    drop(three(dir.path()));
    let shown = read_tree(&dir.path().join("store/generations/2/tree")).unwrap();
    for (kind, harm) in harms {
        for part in parts.split(' ') {
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
            let Repaired { before, after, .. } = store.repair().unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(!before.is_clean(), "{what}");
            assert!(after.is_clean(), "{what}: {after:#?}");
            assert!(same_content(&read_tree(&place.join("store/current")).unwrap(), &shown), "{what}");
            drop(commit(&store, &plan_of(&[("n", "=4")])).unwrap_or_else(|e| panic!("{what}: {e}")));
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
        commit(&store, &plan_of(&[("n", "=4")])).map(drop).unwrap_err(),
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
    drop(commit(&store, &plan_of(&[])).unwrap());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("a", "=1"), ("v", "/"), ("w/x", "/")])));
    drop_empty_folders(&store.path().join("generations"));
    let report = verify(&store);
    let missing: Vec<_> =
        report.faults.iter().map(|found| (found.generation, found.fault.path.as_slice())).collect();
    assert_eq!(missing, [(id(1), &b""[..]), (id(2), b"v"), (id(2), b"w/x")], "{report:?}");
    drop(repair(&store));
    assert!(store.path().join("generations/1/tree").is_dir());
    // A whole missing tree is recreated from the objects.
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
    drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
    let a = store.path().join("current/a");
    let (mtime, inode) = (a.metadata().unwrap().mtime(), a.metadata().unwrap().ino());
    assert!(mtime > 2_000);
    fs::set_permissions(store.path().join("generations/1/shown"), fs::Permissions::from_mode(0o644))
        .unwrap();
    fs::write(store.path().join("generations/1/shown"), "no").unwrap();
    assert_eq!(verify(&store).generations.len(), 1);
    assert_eq!(repair(&store).generations.len(), 1);
    let after = a.metadata().unwrap();
    assert_eq!((after.mtime(), after.ino()), (mtime, inode), "the current generation is unchanged");
    drop(store.activate(&"2".parse::<Rev>().unwrap(), Expect::Any).unwrap());
    assert!(a.metadata().unwrap().mtime() > mtime);
}

#[test]
fn what_took_the_place_of_the_log_keeps_no_publisher_out() {
    let dir = scratch();
    let store = three(dir.path());
    fs::remove_file(store.path().join("log")).unwrap();
    fs::create_dir(store.path().join("log")).unwrap();
    for number in 4..=6 {
        let done = commit(&store, &plan_of(&[("n", &format!("={number}"))])).unwrap();
        assert_eq!((done.generation, done.durable), (id(number), false));
        let told = done.warnings.iter().map(|warning| warning.message.as_str()).collect::<String>();
        assert!(told.contains("could not write the log: "), "{told}");
        assert_eq!(store.current().unwrap(), Some(id(number)));
    }
    assert_eq!(files(&store, &verify(&store)), ["log"]);
    assert_eq!(files(&store, &repair(&store)), ["log"]);
    assert!(commit(&store, &plan_of(&[("n", "=7")])).unwrap().durable);
}

#[test]
fn what_took_the_place_of_the_log_keeps_no_rollback_and_no_keeping_out() {
    let folder: fn(&Path) = |log| fs::create_dir(log).unwrap();
    let link: fn(&Path) = |log| symlink("nowhere", log).unwrap();
    for replace in [folder, link] {
        let dir = scratch();
        let store = open(dir.path());
        publish_numbers(&store, 1..=3);
        fs::remove_file(store.path().join("log")).unwrap();
        replace(&store.path().join("log"));
        let kept = keep(&store, &plan_of(&[("n", "=4")])).unwrap();
        assert_eq!((kept.generation, kept.current, kept.durable), (id(4), false, true));
        let told: Vec<&str> = kept.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(told, ["the log has no line about this generation: another entry has replaced the log"]);
        drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
        assert_eq!(store.current().unwrap(), Some(id(2)));
        // The kept generation stays after the next writer.
        drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
        assert_eq!(store.list().unwrap().generations.len(), 4);
        assert_eq!(files(&store, &repair(&store)), ["log"]);
        assert_eq!(store.current().unwrap(), Some(id(1)));
        assert!(verify(&store).is_clean());
        assert_eq!(store.list().unwrap().generations.len(), 4);
    }
}

#[test]
fn what_is_shown_after_a_lost_pointer_is_newer_than_before() {
    type Verb = fn(&Store, &Path);
    let verbs: [(&str, Verb); 2] = [
        ("publish", |store, dir| {
            drop(publish_things(store, dir, &things(1_000, &[("a", "=other"), ("b", "=b")])));
        }),
        ("switch", |store, _| drop(store.activate(&"1".parse().unwrap(), Expect::Any).unwrap())),
    ];
    for (name, verb) in verbs {
        let dir = scratch();
        let store = open(dir.path());
        for content in ["=old", "=new"] {
            drop(publish_things(&store, dir.path(), &things(1_000, &[("a", content), ("b", "=b")])));
        }
        let current = store.path().join("current");
        let mtime = |file: &str| current.join(file).metadata().unwrap().mtime();
        let (a, b) = (mtime("a"), mtime("b"));
        fs::remove_file(&current).unwrap();
        verb(&store, dir.path());
        assert!(mtime("a") > a, "{name}");
        assert_eq!(mtime("b"), b, "{name}: it has not changed");
        assert!(verify(&store).is_clean(), "{name}");
    }
}

#[test]
fn marks_that_a_cut_collection_left_are_swept() {
    let dir = scratch();
    let store = three(dir.path());
    store.mark(&"1".parse::<Rev>().unwrap(), Mark::Bad, None).unwrap();
    let mark = fs::read(store.path().join("marks/1")).unwrap();
    assert_eq!(collect(&store, 1).generations, [id(1)]);
    // As if it had been killed right after the generation was unlisted.
    fs::write(store.path().join("marks/1"), mark).unwrap();
    fs::write(store.path().join("suspects/generation-1"), "").unwrap();
    assert_eq!(collect(&store, 1).generations, []);
    assert_eq!(fs::read_dir(store.path().join("marks")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.path().join("suspects")).unwrap().count(), 0);
}

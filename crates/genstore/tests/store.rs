//! What the store promises to those who use the library.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read clocks, break files, and talk"
)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use genstore::{
    CommitOptions, Damaged, Depth, Error, Expect, GenerationId, Options, Plan, Publication, Retention,
    ScanRules, Source, StageOptions, Store, Symlinks,
};
use genstore_testkit::{
    Thing, Things, Way, at, give, object_inodes, read_tree, same_content, scratch, settle, things,
    write_tree,
};

/// A clock that moves a second each time it is read.
fn ticking(start: u64) -> Options {
    let ticks = AtomicU64::new(start);
    Options::new(Arc::new(move || at(ticks.fetch_add(1, Ordering::Relaxed))))
}

fn open(dir: &Path) -> Store {
    Store::init(&dir.join("store"), ticking(1_000_000)).unwrap().0
}

fn commit(store: &Store, plan: &Plan) -> genstore::Result<Publication> {
    store.stage(plan, StageOptions::default())?.unaudited().commit(&CommitOptions::default())
}

fn publish(store: &Store, source: &Path) -> Publication {
    let rules = ScanRules { store: Some(store.identity().unwrap()), ..ScanRules::default() };
    commit(store, &Plan::scan(source, &rules).unwrap()).unwrap()
}

fn publish_things(store: &Store, dir: &Path, things: &Things) -> Publication {
    write_tree(&dir.join("source"), things);
    publish(store, &dir.join("source"))
}

/// Gives a source, settled where it stays, and publishes it in some way. What the source holds
/// already is not written again.
fn publish_in(way: Way, store: &Store, dir: &Path, things: &Things) -> Publication {
    let source = dir.join("source");
    if give(&source, things) && !way.consume {
        settle(dir);
    }
    let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
    let staged = store.stage(&plan, way.staging()).unwrap();
    let done = staged.unaudited().commit(&CommitOptions::default()).unwrap();
    assert_eq!(done.warnings, [], "{way}");
    let left = read_tree(&source).unwrap();
    let has_files = left.values().any(|thing| matches!(thing, Thing::File(..)));
    assert_eq!(has_files, !way.consume, "{way}: {left:?}");
    done
}

fn memory(files: &[(&str, &str)]) -> Plan {
    let mut plan = Plan::builder();
    for (path, content) in files {
        plan = plan.file(*path, false, Source::Bytes(content.as_bytes().to_vec()));
    }
    plan.build().unwrap()
}

fn collect(store: &Store, keep_last: usize) -> genstore::Collected {
    let rule = Retention { keep_last, keep_within: None, grace: Duration::ZERO };
    store.collect(&store.plan_gc(&rule).unwrap()).unwrap()
}

fn id(number: u64) -> GenerationId {
    GenerationId::new(number).unwrap()
}

#[test]
fn memory_disk_and_stream_give_one_tree() {
    let dir = scratch();
    let big = "x".repeat(3 << 20);
    let source = things(
        1_000,
        &[
            ("a", "=one"),
            ("bin/tool", "!two"),
            ("big", &format!("={big}")),
            ("empty", "="),
            ("l", ">a"),
            ("void", "/"),
        ],
    );
    let on_disk = publish_things(&open(dir.path()), dir.path(), &source).tree;
    let build = |wrap: fn(&[u8]) -> Source| {
        let plan = Plan::builder()
            .file("big", false, wrap(big.as_bytes()))
            .file("a", false, wrap(b"one"))
            .file("bin/tool", true, wrap(b"two"))
            .file("empty", false, wrap(b""))
            .symlink("l", "a")
            .dir("void");
        plan.build().unwrap()
    };
    for (name, plan) in [
        ("memory", build(|bytes| Source::Bytes(bytes.to_vec()))),
        ("stream", build(|bytes| Source::Reader(Box::new(std::io::Cursor::new(bytes.to_vec()))))),
    ] {
        let store = Store::init(&dir.path().join(name), ticking(5_000)).unwrap().0;
        assert_eq!(store.preview(&build(|b| Source::Bytes(b.to_vec()))).unwrap().id(), on_disk);
        let published = commit(&store, &plan).unwrap();
        assert_eq!(published.tree, on_disk, "{name}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &source), "{name}");
        assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{name}");
    }
}

#[test]
fn files_are_copied_and_never_linked_from_the_source() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("a", "=one")])));
    fs::write(dir.path().join("source/a"), "ONE").unwrap();
    assert_eq!(fs::read(store.path().join("current/a")).unwrap(), b"one");
}

#[test]
fn consume_moves_what_is_ours_alone_and_removes_the_rest() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("known", "=k")])));
    let source = dir.path().join("source");
    write_tree(&source, &things(1_000, &[("known", "=k"), ("mine", "=m"), ("shared", "=s"), ("d/e", "=")]));
    fs::hard_link(source.join("shared"), dir.path().join("other")).unwrap();
    let inode = |path: &Path| path.metadata().unwrap().ino();
    let (mine, shared) = (inode(&source.join("mine")), inode(&source.join("shared")));
    let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
    let options = StageOptions { consume: true, ..StageOptions::default() };
    let done = store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap();
    assert_eq!(done.warnings, []);
    assert_eq!(inode(&store.path().join("current/mine")), mine, "moved");
    assert_ne!(inode(&store.path().join("current/shared")), shared, "another name leads to it: copied");
    assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"s");
    let left: Vec<_> = read_tree(&source)
        .unwrap()
        .into_iter()
        .filter(|(_, t)| *t != genstore_testkit::Thing::Dir)
        .collect();
    assert_eq!(left, [], "no file is left");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn an_unchanged_path_keeps_inode_and_mtime_and_a_changed_one_moves_forward() {
    let dir = scratch();
    let store = open(dir.path());
    let stat = |path: &str| {
        let meta = store.path().join("current").join(path).metadata().unwrap();
        (meta.ino(), meta.mtime())
    };
    drop(publish_things(
        &store,
        dir.path(),
        &things(5_000, &[("same", "=1"), ("older", "=1"), ("newer", "=1"), ("empty", "=")]),
    ));
    let (same, older, newer, empty) = (stat("same"), stat("older"), stat("newer"), stat("empty"));
    let mut next = things(4_000, &[("older", "=2 older"), ("same", "=1"), ("empty", "=")]);
    next.extend(things(6_000, &[("newer", "=2 newer")]));
    let published = publish_things(&store, dir.path(), &next);
    assert_eq!(published.refreshed, 1);
    assert_eq!(stat("same"), same);
    assert!(stat("older").1 > older.1, "older bytes are shown with a newer mtime");
    assert_eq!(stat("newer").1, 6_000, "a newer source keeps its mtime");
    assert!(newer.1 < 6_000);
    assert_eq!(stat("empty").1, empty.1);
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
    // Back and forth: at every path the mtime only ever grows.
    let mut last = stat("older").1;
    for _ in 0..3 {
        for rev in ["1", "2"] {
            drop(store.activate(&rev.parse().unwrap(), Expect::Any).unwrap());
            let now = stat("older").1;
            assert!(now > last, "generation {rev}");
            last = now;
            assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "generation {rev}");
        }
    }
}

#[test]
fn rollback_passes_over_what_is_marked_and_gc_keeps_what_it_must() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 1..=5 {
        drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
    }
    store.mark(&"4".parse().unwrap(), genstore::Mark::Bad, None).unwrap();
    let back = store.rollback(1, false).unwrap();
    assert_eq!((back.generation, back.previous), (id(3), Some(id(5))));
    store.pin(&"1".parse().unwrap(), &"first".parse().unwrap(), None, None).unwrap();
    let lease = store.open_generation(&"4".parse().unwrap()).unwrap();
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    let done = store.collect(&plan).unwrap();
    assert_eq!(plan.removed(), done.generations);
    assert_eq!(done.generations, [id(5), id(2)], "4 is leased, 3 is current, 1 is pinned");
    assert_eq!((plan.objects(), plan.freed_bytes), (done.objects, done.freed_bytes));
    assert_eq!(object_inodes(store.path()).len(), 3);
    drop(lease);
    assert_eq!(collect(&store, 0).generations, [id(4)]);
    // Numbers are never used again.
    assert_eq!(commit(&store, &memory(&[("n", "6")])).unwrap().generation, id(6));
    assert!(matches!(store.rollback(9, false), Err(Error::Refused { code: "nothing-older", .. })));
}

#[test]
fn gc_does_no_more_than_its_plan_and_less_if_it_must() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 1..=3 {
        drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
    }
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!(plan.removed(), [id(2), id(1)]);
    store.pin(&"2".parse().unwrap(), &"late".parse().unwrap(), None, None).unwrap();
    drop(commit(&store, &memory(&[("n", "4")])).unwrap());
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.spared), (vec![id(1)], vec![id(2)]));
    assert_eq!(store.list().unwrap().generations.len(), 3, "3 was in no plan");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn gc_leaves_the_objects_of_generations_that_are_in_no_plan() {
    let dir = scratch();
    let store = open(dir.path());
    for text in ["old", "new"] {
        drop(commit(&store, &memory(&[("n", text)])).unwrap());
    }
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!((plan.removed(), plan.objects()), (vec![id(1)], 1));
    // The bytes come back, and are given up once more: by a generation that the plan knows nothing of.
    for text in ["old", "newest"] {
        drop(commit(&store, &memory(&[("n", text)])).unwrap());
    }
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.objects), (vec![id(1)], 0));
    let report = store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(collect(&store, 1).generations, [id(3), id(2)]);
    assert_eq!(object_inodes(store.path()).len(), 1);
}

#[test]
fn a_lost_race_says_who_and_when() {
    let dir = scratch();
    let store = open(dir.path());
    drop(commit(&store, &memory(&[("a", "1")])).unwrap());
    let staged = store.stage(&memory(&[("a", "mine")]), StageOptions::default()).unwrap();
    let mut options = ticking(2_000_000);
    options.actor = "somebody else".to_owned();
    let other = Store::open(store.path(), options).unwrap();
    drop(commit(&other, &memory(&[("a", "theirs")])).unwrap());
    let expect = Expect::Current(id(1));
    let lost =
        staged.unaudited().commit(&CommitOptions { expect, ..CommitOptions::default() }).unwrap_err();
    match lost {
        Error::Lost { expected, found, by, at } => {
            assert_eq!((expected, found), (Some(id(1)), Some(id(2))));
            assert_eq!(by.as_deref(), Some("somebody else"));
            assert!(at.unwrap() >= genstore_testkit::at(2_000_000));
        }
        other => panic!("{other}"),
    }
    assert_eq!(genstore_testkit::debris(store.path()), [""; 0]);
    assert_eq!(store.current().unwrap(), Some(id(2)));
}

#[test]
fn of_publishers_that_expect_the_same_exactly_one_wins() {
    let dir = scratch();
    let path = dir.path().join("store");
    let rounds = 12;
    let barrier = Barrier::new(4);
    drop(commit(&open(dir.path()), &memory(&[("n", "start")])).unwrap());
    let (wins, losses): (u64, u64) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (path, barrier) = (&path, &barrier);
                let source = dir.path().join(format!("source-{worker}"));
                scope.spawn(move || {
                    let store = Store::open(path, ticking(1_000_000)).unwrap();
                    // Nothing may panic before the last round: the others wait.
                    let (mut wins, mut losses) = (0, 0);
                    for (round, way) in (0..rounds).zip(Way::ALL.into_iter().cycle().skip(worker)) {
                        barrier.wait();
                        let expect = Expect::Current(store.current().unwrap().unwrap());
                        barrier.wait();
                        let text = format!("={worker} {round}");
                        let tree = things(1_000, &[("n", &text), ("same", "=s"), ("too", "=s")]);
                        write_tree(&source, &tree);
                        let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
                        let options = CommitOptions { expect, ..CommitOptions::default() };
                        let staged = store.stage(&plan, way.staging()).unwrap();
                        match staged.unaudited().commit(&options) {
                            Ok(_) => wins += 1,
                            // Who lost has all that was to be consumed.
                            Err(Error::Lost { .. }) => {
                                let left = read_tree(&source).unwrap();
                                losses += u64::from(same_content(&left, &tree));
                            }
                            Err(e) => panic!("{way}: {e}"),
                        }
                    }
                    (wins, losses)
                })
            })
            .collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap());
        ends.fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1))
    });
    assert_eq!((wins, losses), (rounds, 3 * rounds));
    let store = open(dir.path());
    assert_eq!(store.current().unwrap(), Some(id(1 + rounds)));
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn publishers_readers_and_gc_do_not_harm_each_other() {
    let dir = scratch();
    let path = dir.path().join("store");
    drop(commit(&open(dir.path()), &memory(&[("a", "0"), ("b", "0")])).unwrap());
    let working = AtomicU64::new(2);
    let busy = || working.load(Ordering::Relaxed) > 0;
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (path, working) = (&path, &working);
            let dir = dir.path().join(format!("publisher-{worker}"));
            fs::create_dir(&dir).unwrap();
            scope.spawn(move || {
                let store = Store::open(path, ticking(1_000_000)).unwrap();
                for (round, way) in (0..40).zip(Way::ALL.into_iter().cycle()) {
                    // Few contents, so that objects come, go, and come back.
                    let text = format!("={}", (worker + round) % 5);
                    drop(publish_in(way, &store, &dir, &things(1_000, &[("a", &text), ("b", &text)])));
                }
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let store = Store::open(&path, ticking(1_000_000)).unwrap();
            while busy() {
                drop(collect(&store, 1));
            }
        });
        scope.spawn(|| {
            let store = Store::open(&path, ticking(1_000_000)).unwrap();
            while busy() {
                // What is leased stays whole, although gc is after everything.
                let Ok(generation) = store.open_generation(&"@".parse().unwrap()) else {
                    continue;
                };
                let read = |name: &str| fs::read(generation.path().join(name)).unwrap();
                assert_eq!(read("a"), read("b"), "one generation, one build");
            }
        });
    });
    let store = open(dir.path());
    drop(collect(&store, 1));
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

/// Flips one bit of a file; the mtime stays, as when a disk rots.
fn flip(path: &Path, at: u64) {
    let meta = path.metadata().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    fs::set_permissions(path, meta.permissions()).unwrap();
}

#[test]
fn every_damaged_byte_is_named_and_healed_by_the_next_publish() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        drop(publish_in(way, &store, dir.path(), &things(900, &[("x/a", "=old"), ("gone", "!tool")])));
        let content = things(1_000, &[("x/a", "=hello"), ("y", "=hello"), ("e", "="), ("t", "!tool")]);
        drop(publish_in(way, &store, dir.path(), &content));
        let mut damaged: Vec<std::path::PathBuf> = vec![];
        for folder in fs::read_dir(store.path().join("objects")).unwrap() {
            damaged.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|o| o.unwrap().path()));
        }
        damaged.push(store.path().join("generations/1/manifest"));
        damaged.push(store.path().join("generations/2/manifest"));
        // All of them in one way is enough: where the byte is has nothing to do with the way.
        let stride = if way == Way::PLAIN { 1 } else { 9 };
        for path in damaged {
            let old = path.ends_with("manifest") || !content_of(&path).starts_with(b"old");
            if !old {
                continue; // Its right bytes are in no source any more.
            }
            for byte in (0..path.metadata().unwrap().len()).step_by(stride) {
                let what = format!("{way}, {} byte {byte}", path.display());
                flip(&path, byte);
                let report = store.verify(None, Depth::Full).unwrap();
                assert!(!report.is_clean(), "{what}");
                if path.ends_with("manifest") {
                    assert_eq!(report.generations.len(), 1, "{what}: {report:?}");
                } else {
                    assert_eq!(report.objects.len(), 1, "{what}: {report:?}");
                    assert!(!report.objects[0].uses.is_empty(), "{what}");
                }
                let healed = publish_in(way, &store, dir.path(), &content);
                assert_eq!((healed.changed, healed.healed), (false, 1), "{what}");
                let report = store.verify(None, Depth::Full).unwrap();
                assert!(report.is_clean(), "{what}: {report:#?}");
            }
        }
    }
}

fn content_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_write_through_a_link_is_noticed_by_the_next_publish_alone() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        let content = things(1_000, &[("a", "=hello"), ("b", "=hello")]);
        drop(publish_in(way, &store, dir.path(), &content));
        // As root, or after chmod: through the path that readers use. The mtime tells.
        let path = store.path().join("current/a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "HELLO").unwrap();
        let healed = publish_in(way, &store, dir.path(), &content);
        assert_eq!((healed.changed, healed.healed), (false, 1), "{way}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &content));
        assert!(store.verify(None, Depth::Full).unwrap().is_clean());
        assert_eq!(fs::read_dir(store.path().join("quarantine")).unwrap().count(), 1, "the bytes are kept");
    }
}

#[test]
fn what_has_no_intact_copy_is_put_aside_and_named_until_it_is_published_again() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        let content = things(1_000, &[("a", "=precious"), ("b", "=other")]);
        drop(publish_in(way, &store, dir.path(), &content));
        let object = genstore::ObjectId { digest: genstore::Digest::of(b"precious"), executable: false };
        let hex = object.digest.to_string();
        flip(&store.path().join("objects").join(&hex[..2]).join(&hex[2..]), 0);
        let (before, after) = store.repair().unwrap();
        assert_eq!(before.objects[0].cause, "its hash differs");
        assert_eq!(after.objects[0].cause, "it is missing");
        assert_eq!(after.objects[0].uses, [(id(1), b"a".to_vec())]);
        let error =
            store.open_generation(&"@".parse().unwrap()).unwrap().cat(b"a", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Damaged { what: Damaged::Object(found), .. } if found == object));
        assert_eq!(publish_in(way, &store, dir.path(), &content).healed, 1, "{way}");
        assert!(store.verify(None, Depth::Full).unwrap().is_clean());
    }
}

#[test]
fn repair_mends_what_people_do_to_a_generation() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        let content = things(
            1_000,
            &[("a", "=1"), ("d/b", "=2"), ("d/c", "!3"), ("e", "="), ("l", ">a"), ("v", "/")],
        );
        drop(publish_in(way, &store, dir.path(), &content));
        let tree = store.path().join("generations/1/tree");
        fs::remove_file(tree.join("a")).unwrap();
        fs::remove_dir_all(tree.join("d")).unwrap();
        fs::write(tree.join("d"), "in the way").unwrap();
        fs::write(tree.join("stranger"), "?").unwrap();
        fs::write(tree.join("v/stranger"), "?").unwrap();
        fs::remove_file(tree.join("l")).unwrap();
        std::os::unix::fs::symlink("b", tree.join("l")).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o700)).unwrap();
        let (before, after) = store.repair().unwrap();
        assert!(before.faults.len() >= 7, "{before:#?}");
        assert!(after.is_clean(), "{after:#?}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &content), "{shown:#?}");
    }
}

#[test]
fn healing_does_not_take_a_fresh_inode_for_the_object() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        let object = |content: &str| {
            let hex = genstore::Digest::of(content.as_bytes()).to_string();
            store.path().join("objects").join(&hex[..2]).join(&hex[2..])
        };
        drop(publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old"), ("b", "=b")])));
        drop(publish_in(way, &store, dir.path(), &things(2_000, &[("a", "=new"), ("b", "=b")])));
        flip(&object("old"), 0);
        assert!(!store.verify(None, Depth::Full).unwrap().is_clean());
        // The older bytes come back: they are healed, and shown with a newer mtime.
        let back = publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old"), ("b", "=b")]));
        assert_eq!((back.healed, back.refreshed), (1, 1));
        assert_eq!(object("old").metadata().unwrap().mtime(), 1_000);
        assert!(store.path().join("current/a").metadata().unwrap().mtime() > 2_000);
        let report = store.verify(None, Depth::Full).unwrap();
        assert!(report.is_clean(), "{report:#?}");
    }
}

#[test]
fn a_number_is_not_used_again_although_the_sequence_is_lost() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 1..=3 {
        drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
    }
    drop(store.rollback(1, false).unwrap());
    assert_eq!(collect(&store, 0).generations, [id(3), id(1)]);
    flip(&store.path().join("sequence"), 3);
    let stage = store.stage(&memory(&[("n", "4")]), StageOptions::default()).map(drop).unwrap_err();
    assert_eq!(stage.code(), "damaged");
    assert!(!store.verify(None, Depth::Full).unwrap().is_clean());
    let (before, after) = store.repair().unwrap();
    assert_eq!(before.files.len(), 1, "{before:?}");
    assert!(after.is_clean(), "{after:?}");
    assert_eq!(commit(&store, &memory(&[("n", "4")])).unwrap().generation, id(4));
}

#[test]
fn a_damaged_current_generation_does_not_bar_the_way_back() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        drop(publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old")])));
        drop(publish_in(way, &store, dir.path(), &things(2_000, &[("a", "=new")])));
        // Not to be made anew: the log is gone, too.
        fs::remove_file(store.path().join("log")).unwrap();
        flip(&store.path().join("generations/2/manifest"), 100);
        assert_eq!(store.rollback(1, false).unwrap().generation, id(1));
        let meta = store.path().join("current/a").metadata().unwrap();
        assert!(meta.mtime() > 2_000, "what was shown is read off the files");
        let (before, after) = store.repair().unwrap();
        assert_eq!(before.generations.len(), 1);
        assert!(after.is_clean(), "put aside: {after:?}");
    }
}

#[test]
fn an_unfinished_activation_of_a_damaged_generation_keeps_nobody_out() {
    let dir = scratch();
    let store = open(dir.path());
    drop(commit(&store, &memory(&[("a", "1")])).unwrap());
    drop(commit(&store, &memory(&[("a", "2")])).unwrap());
    // As if a rollback had been cut after its intent, and the disk then harmed the manifest.
    let intent =
        "{\"high\":2,\"heals\":0,\"intent\":{\"kind\":\"activate\",\"generation\":1,\"marks\":[]}}";
    let record = format!("{intent}\n{}\n", genstore::Digest::of(intent.as_bytes()));
    fs::write(store.path().join("sequence"), record).unwrap();
    flip(&store.path().join("generations/1/manifest"), 100);
    assert_eq!(commit(&store, &memory(&[("a", "3")])).unwrap().generation, id(3));
    let report = store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "the publish healed it: {report:?}");
}

#[test]
fn whatever_took_the_place_of_current_is_put_aside() {
    let dir = scratch();
    let store = open(dir.path());
    drop(commit(&store, &memory(&[("a", "1")])).unwrap());
    drop(commit(&store, &memory(&[("a", "2")])).unwrap());
    drop(store.rollback(1, true).unwrap());
    let current = store.path().join("current");
    for harm in [
        |current: &Path| fs::create_dir(current).unwrap(),
        |current: &Path| std::os::unix::fs::symlink("generations/9/tree", current).unwrap(),
        |current: &Path| std::os::unix::fs::symlink("/tmp", current).unwrap(),
    ] {
        fs::remove_file(&current).unwrap();
        harm(&current);
        assert!(!store.verify(None, Depth::Full).unwrap().is_clean());
        let (_, after) = store.repair().unwrap();
        assert!(after.is_clean(), "{after:?}");
        assert_eq!(store.current().unwrap(), Some(id(1)), "what was activated last");
    }
}

#[test]
fn seventy_thousand_equal_files_need_more_than_one_inode() {
    // The limit of 65,000 links is ext4's, so this goes where the build is, not into memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut plan = Plan::builder();
    let names: Vec<String> = (0..70_000).map(|n| format!("{}/{n}", n % 100)).collect();
    for name in &names {
        plan = plan.file(name.as_str(), false, Source::Bytes(b"all the same".to_vec()));
    }
    let mut options = ticking(1_000);
    options.durability = genstore::Durability::None;
    let store = Store::init(&dir.path().join("store"), options).unwrap().0;
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    let inodes: std::collections::BTreeSet<u64> = names
        .iter()
        .map(|name| store.path().join("current").join(name).metadata().unwrap().ino())
        .collect();
    println!("{} inodes", inodes.len());
    assert!(inodes.len() <= 2, "the files share as few inodes as the filesystem allows");
    assert_eq!(object_inodes(store.path()).len(), 1);
    // The next generation links to the object until that has no link left either.
    let mut plan = Plan::builder();
    for name in &names {
        plan = plan.file(format!("again/{name}"), false, Source::Bytes(b"all the same".to_vec()));
    }
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
    drop(collect(&store, 0));
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn ten_thousand_folders_deep() {
    let dir = scratch();
    let store = open(dir.path());
    // Names of one letter: 20,000 bytes of path, five times PATH_MAX.
    let deep = "d/".repeat(10_000);
    let plan = Plan::builder()
        .file(format!("{deep}file"), false, Source::Bytes(b"down here".to_vec()))
        .symlink(format!("{deep}link"), "file")
        .build()
        .unwrap();
    drop(commit(&store, &plan).unwrap());
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    let copy = dir.path().join("copy");
    assert_eq!(store.export(&generation, &copy).unwrap(), (1, 9));
    drop(generation);
    // From the disk, too: the copy is scanned and found to be the same.
    let again = commit(&store, &Plan::scan(&copy, &ScanRules::default()).unwrap()).unwrap();
    assert!(!again.changed);
    drop(commit(&store, &memory(&[("flat", "1")])).unwrap());
    assert_eq!(collect(&store, 1).generations, [id(1)]);
    // The standard library's removal is recursive, and this is deep; rm is not.
    assert!(std::process::Command::new("rm").arg("-rf").arg(&copy).status().unwrap().success());
}

/// Wide enough to be shared out to threads, and with something at every level.
#[test]
fn gc_removes_a_wide_tree_and_nothing_that_its_symlinks_lead_to() {
    let dir = scratch();
    let store = open(dir.path());
    let outside = dir.path().join("outside");
    write_tree(&outside, &things(1_000, &[("kept", "=1"), ("below/kept", "=2")]));
    let mut plan =
        Plan::builder().symlinks(Symlinks::Any).file("file", false, Source::Bytes(b"0".to_vec()));
    for folder in (0..12).flat_map(|a| (0..12).map(move |b| format!("{a}/{b}"))) {
        let bytes = Source::Bytes(folder.clone().into_bytes());
        plan = plan.file(format!("{folder}/c/file"), false, bytes).dir(format!("{folder}/c/empty"));
        for level in [folder.clone(), format!("{folder}/c")] {
            plan = plan.symlink(format!("{level}/link"), outside.to_str().unwrap());
        }
    }
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    // Folders that nobody may list or change do not keep gc from it.
    let tree = store.path().join("generations/1/tree");
    for folder in ["3", "3/3", "3/3/c"] {
        fs::set_permissions(tree.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
    }
    drop(commit(&store, &memory(&[("flat", "1")])).unwrap());
    let done = collect(&store, 1);
    assert_eq!((done.generations, done.objects), (vec![id(1)], 145));
    assert_eq!(genstore_testkit::debris(store.path()), [""; 0]);
    assert_eq!(read_tree(&outside).unwrap().len(), 2);
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn names_are_bytes() {
    let dir = scratch();
    let store = open(dir.path());
    let long = [b'n'; 255];
    let names: [&[u8]; 7] = [b"-rf", b"a\nb", b"\x1b[31m", b"\xff\xfe", "grüße".as_bytes(), b" ", &long];
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in names {
        fs::write(source.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name)), name)
            .unwrap();
    }
    drop(publish(&store, &source));
    let mut found: Vec<Vec<u8>> = fs::read_dir(store.path().join("current"))
        .unwrap()
        .map(|e| std::os::unix::ffi::OsStringExt::into_vec(e.unwrap().file_name()))
        .collect();
    let mut expected: Vec<Vec<u8>> = names.iter().map(|n| n.to_vec()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    for name in names {
        let mut bytes = Vec::new();
        generation.cat(name, &mut bytes).unwrap();
        assert_eq!(bytes, name);
    }
}

#[test]
fn a_stage_that_is_dropped_leaves_nothing() {
    let dir = scratch();
    let store = open(dir.path());
    let staged = store.stage(&memory(&[("a", "1")]), StageOptions::default()).unwrap();
    let path = staged.path().expect("a new tree has a directory");
    assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
    assert_eq!(genstore_testkit::debris(store.path()).len(), 2, "the stage and its lock");
    // Another writer leaves a living stage alone.
    drop(commit(&store, &memory(&[("b", "2")])).unwrap());
    assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
    drop(staged);
    assert_eq!(genstore_testkit::debris(store.path()), [""; 0]);
    assert_eq!(store.current().unwrap(), Some(id(1)));
}

#[test]
fn links_that_leave_the_tree_are_refused_unless_asked_for() {
    let dir = scratch();
    let store = open(dir.path());
    write_tree(
        &dir.path().join("source"),
        &things(1, &[("a", ">/etc/passwd"), ("b", ">../x"), ("c", "=c")]),
    );
    let refused = Plan::scan(&dir.path().join("source"), &ScanRules::default()).unwrap_err();
    assert!(matches!(&refused, Error::BadPlan { problems } if problems.len() == 2), "{refused:?}");
    let rules = ScanRules { symlinks: Symlinks::Any, ..ScanRules::default() };
    drop(commit(&store, &Plan::scan(&dir.path().join("source"), &rules).unwrap()).unwrap());
    assert_eq!(fs::read_link(store.path().join("current/a")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn a_newer_store_and_a_stranger_are_told_apart() {
    let dir = scratch();
    let store = open(dir.path());
    let path = store.path().to_owned();
    drop(store);
    let open = || Store::open(&path, ticking(1)).map(drop).map_err(|e| e.code());
    assert_eq!(open(), Ok(()));
    for (marker, expected) in [
        ("genstore 2\n", "newer-format"),
        ("genstore 1\nneeds shards\n", "newer-format"),
        ("genstore x\n", "damaged"),
        ("something else\n", "not-a-store"),
        ("", "not-a-store"),
    ] {
        fs::write(path.join("format"), marker).unwrap();
        assert_eq!(open(), Err(expected), "{marker:?}");
    }
    fs::remove_file(path.join("format")).unwrap();
    let init = Store::init(&path, ticking(1)).map(drop).map_err(|e| e.code());
    assert_eq!(init, Err("not-empty"), "it is never written to");
}

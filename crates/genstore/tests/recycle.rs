//! Recycling: a tree that was made of another is, inode by inode, what assembly makes.
#![allow(clippy::disallowed_methods, reason = "tests read clocks and write files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use genstore::{
    AuditRules, CommitOptions, Depth, Digest, Durability, Error, Faults, GenerationId, Judged, Options,
    Plan, Publication, Retention, Rev, ScanRules, StageOptions, Store,
};
use genstore_testkit::{
    Thing, Things, Way, at, change_tree, copy_exactly, debris, read_tree, scratch, settle, things,
    write_tree,
};
use proptest::prelude::*;
use tempfile::TempDir;

const LAST: Retention = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(scratch())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn tree(&self, generation: u64) -> PathBuf {
        self.store().join(format!("generations/{generation}/tree"))
    }

    fn publish(&self, things: &Things) -> Publication {
        self.publish_by(things, Some(LAST))
    }

    fn publish_by(&self, things: &Things, recycle: Option<Retention>) -> Publication {
        write_tree(&self.0.path().join("source"), things);
        publish(&self.store(), &self.0.path().join("source"), recycle)
    }

    fn open(&self) -> Store {
        open(&self.store(), Faults::default())
    }

    /// Publishes, and the same in a copy of the store without recycling; gives the generation that
    /// was recycled. When gc was there, too, the two must be the same.
    fn publish_and_compare(&self, things: &Things) -> Option<u64> {
        let other = self.0.path().join("other");
        if self.store().exists() {
            copy_exactly(&self.store(), &other);
        }
        let done = self.publish(things);
        let fresh = publish(&other, &self.0.path().join("source"), None);
        assert_eq!((done.tree, done.diff, done.refreshed), (fresh.tree, fresh.diff, fresh.refreshed));
        assert_eq!((done.written, done.new_objects), (fresh.written, fresh.new_objects));
        for store in [&self.store(), &other] {
            let store = open(store, Faults::default());
            let rule = Retention { keep_last: 2, ..LAST };
            let plan = store.plan_gc(&rule).unwrap();
            drop(store.collect(&plan).unwrap());
            let report = store.verify(None, Depth::Full).unwrap();
            assert!(report.is_clean(), "{report:#?}");
            assert_eq!(debris(store.path()), [""; 0]);
        }
        let (mut recycled, mut assembled) = (inodes(&self.store()), inodes(&other));
        let same: Vec<String> = recycled
            .iter()
            .filter(|(path, what)| assembled.get(*path) == Some(what))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &same {
            recycled.remove(path);
            assembled.remove(path);
        }
        assert_eq!(recycled, assembled, "on the left what was recycled");
        fs::remove_dir_all(other).unwrap();
        done.recycled.map(GenerationId::get)
    }
}

fn open(store: &Path, faults: Faults) -> Store {
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults;
    Store::init(store, options).unwrap().0
}

fn publish(store: &Path, source: &Path, recycle: Option<Retention>) -> Publication {
    publish_with(&open(store, Faults::default()), source, recycle, || ()).unwrap()
}

/// Publishes what a source holds by now.
fn publish_in(store: &Store, source: &Path, way: Way) -> Publication {
    let plan = Plan::scan(source, &ScanRules::default()).unwrap();
    let staged = store.stage(&plan, way.staging()).unwrap();
    staged.unaudited().commit(&CommitOptions::default()).unwrap()
}

/// Publishes, and does something when all is staged.
fn publish_with(
    store: &Store,
    source: &Path,
    recycle: Option<Retention>,
    meanwhile: impl FnOnce(),
) -> Result<Publication, Error> {
    let plan = Plan::scan(source, &ScanRules::default())?;
    let staged = store.stage(&plan, StageOptions { recycle, ..StageOptions::default() })?;
    let judged = staged.audit_with(&AuditRules::default(), |_| {
        meanwhile();
        Ok::<_, Error>(vec![])
    })?;
    match judged {
        Judged::Accepted(audited) => audited.commit(&CommitOptions::default()),
        Judged::Rejected(_) => panic!("there are no rules"),
    }
}

/// What a store's objects and trees are: kind, mode, bytes, mtime, and all names of the inode.
fn inodes(store: &Path) -> BTreeMap<String, String> {
    let mut names: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut seen: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    let mut folders = vec![PathBuf::from("objects"), PathBuf::from("generations")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(store.join(&folder)).unwrap() {
            let below = folder.join(entry.unwrap().file_name());
            let name = below.to_string_lossy().into_owned();
            let path = store.join(&below);
            let meta = path.symlink_metadata().unwrap();
            let in_tree = name.starts_with("objects") || name.contains("/tree");
            if meta.is_dir() {
                folders.push(below);
                // Which folders of objects there are is left to what was published before.
                if name.contains("/tree") {
                    seen.insert(name, (0, 0, format!("{:o}", meta.mode())));
                }
            } else if meta.is_symlink() {
                seen.insert(name, (0, 0, fs::read_link(path).unwrap().display().to_string()));
            } else if in_tree {
                let bytes = fs::read(&path).unwrap();
                let what = format!("{:o} {}.{:09} {bytes:?}", meta.mode(), meta.mtime(), meta.mtime_nsec());
                names.entry(meta.ino()).or_default().insert(name.clone());
                seen.insert(name, (meta.ino(), meta.nlink(), what));
            }
        }
    }
    let line = |(ino, links, what): (u64, u64, String)| {
        let names = names.get(&ino).cloned().unwrap_or_default();
        assert_eq!(names.len() as u64, links, "links of {names:?}");
        format!("{what} {names:?}")
    };
    seen.into_iter().map(|(name, what)| (name, line(what))).collect()
}

fn tree_a() -> Things {
    things(
        1_000,
        &[
            ("a.txt", "=first"),
            ("bin/run", "!#!/bin/sh"),
            ("d/b.txt", "=second"),
            ("d/deep/er/x", "=x"),
            ("d/deep/er/y", "=y"),
            ("d/deep/z", "=z"),
            ("d/same-1", "=same"),
            ("d/same-2", "=same"),
            ("d/twin", "!second"),
            ("e/empty", "="),
            ("e/stays-empty", "="),
            ("hollow", "/"),
            ("link", ">d/b.txt"),
            ("swap-1", "=file"),
            ("swap-2/file", "=folder"),
            ("swap-3", ">link"),
            ("swap-4", "/"),
        ],
    )
}

/// Of other kinds, other modes, and with older files, so that some need a newer mtime.
fn tree_b() -> Things {
    things(
        900,
        &[
            ("a.txt", "=changed"),
            ("bin/run", "=#!/bin/sh"),
            ("d/b.txt", "=second"),
            ("d/deep/er/y", "=y"),
            ("d/same-1", "=same"),
            ("d/same-3", "=same"),
            ("d/twin", "!second"),
            ("e/empty", "=no more"),
            ("e/stays-empty", "="),
            ("hollow/no/more", "=full"),
            ("link", ">d/same-1"),
            ("new/c", "=third"),
            ("new/deep/hollow", "/"),
            ("swap-1/file", "=file"),
            ("swap-2", "=folder"),
            ("swap-3/link", ">../link"),
            ("swap-4", "=no folder"),
        ],
    )
}

/// Mostly as `tree_a`.
fn tree_c() -> Things {
    let mut tree = tree_a();
    tree.retain(|path, _| path != "d/same-2" && path != "swap-4");
    tree.extend(things(1_100, &[("a.txt", "=third"), ("d/deep/n", "=new"), ("d/deep/same", "=same")]));
    tree
}

#[test]
fn a_recycled_tree_is_what_assembly_makes() {
    let place = Place::new();
    let recycled: Vec<Option<u64>> = [tree_a(), tree_b(), tree_c(), tree_a(), tree_b(), tree_c(), tree_a()]
        .iter()
        .map(|tree| place.publish_and_compare(tree))
        .collect();
    // Each is made of the one before the last; that one shares too little where all is other.
    assert_eq!(recycled, [None, None, Some(1), None, None, Some(4), None]);
}

/// Some paths, with some bytes, mostly the same ones.
fn some_things() -> impl Strategy<Value = Things> {
    // Of several files that bring the same bytes any may be the first: so all have one mtime.
    let path = "(a|b|c)(/(a|b|c|d)){0,2}";
    let what = prop::sample::select(vec!["=", "=1", "=1", "=2", "!1", ">a", ">b", "/"]);
    (prop::collection::vec((path, what), 1..14), 1u64..4).prop_map(|(list, secs)| {
        let mut tree = Things::new();
        for (path, what) in list {
            let clashes = |other: &String| {
                other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
            };
            if !tree.keys().any(clashes) {
                tree.extend(things(secs * 1_000, &[(&path, what)]));
            }
        }
        // What makes any two trees share enough.
        let common = (0..14).map(|n| (format!("z/{}/{n}", n % 3), format!("={}", n % 5)));
        let common: Vec<(String, String)> = common.collect();
        let common: Vec<(&str, &str)> = common.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        tree.extend(things(secs * 1_000, &common));
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn any_recycled_tree_is_what_assembly_makes(trees in prop::collection::vec(some_things(), 8)) {
        let place = Place::new();
        let mut recycled = 0;
        for tree in &trees {
            recycled += usize::from(place.publish_and_compare(tree).is_some());
        }
        prop_assert!(recycled > 0 || trees.len() < 4, "nothing was recycled");
    }
}

#[test]
fn the_work_is_that_of_the_changes() {
    let place = Place::new();
    let path = |n: usize| (format!("d{}/e{}/f{n}", n % 7, n % 31), format!("={n}"));
    let list: Vec<(String, String)> = (0..2_000).map(path).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let mut tree = things(1_000, &list);
    let source = place.0.path().join("source");
    let mut calls = vec![];
    for n in 0..3 {
        tree.extend(things(2_000 + n, &[("d1/e1/f1", &format!("=changed {n}"))]));
        write_tree(&source, &tree);
        let faults = Faults::record();
        let store = open(&place.store(), faults.clone());
        let done = publish_with(&store, &source, Some(LAST), || settle(place.0.path())).unwrap();
        assert_eq!(done.recycled.is_some(), n == 2);
        calls = faults.seen();
    }
    assert!(calls.len() < 80, "{}: {calls:#?}", calls.len());
    assert!(!calls.iter().any(|call| call.starts_with("syncfs")), "{calls:#?}");
    assert!(place.open().verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn what_somebody_did_to_the_spare_is_undone() {
    // Folders that had settled when they were looked at, and folders that had not.
    for settled in [false, true] {
        let place = Place::new();
        let source = place.0.path().join("source");
        for tree in [tree_a(), tree_c()] {
            write_tree(&source, &tree);
            let wait = || {
                if settled {
                    settle(place.0.path())
                }
            };
            drop(publish_with(&place.open(), &source, Some(LAST), wait).unwrap());
        }
        let spare = place.tree(1);
        fs::write(spare.join("d/stranger"), "mine").unwrap();
        fs::create_dir_all(spare.join("hollow/of/mine")).unwrap();
        fs::write(spare.join("hollow/of/mine/x"), "mine").unwrap();
        fs::remove_file(spare.join("d/deep/z")).unwrap();
        // The same bytes and times in another inode.
        let file = spare.join("d/deep/er/x");
        let mtime = file.metadata().unwrap().modified().unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "x").unwrap();
        fs::File::options().append(true).open(&file).unwrap().set_modified(mtime).unwrap();
        fs::remove_file(spare.join("link")).unwrap();
        symlink("elsewhere", spare.join("link")).unwrap();
        // An empty file is nobody else's: who writes to it moves nothing in its folder.
        let file = spare.join("e/stays-empty");
        fs::write(&file, "mine").unwrap();
        fs::File::options().append(true).open(&file).unwrap().set_modified(at(1_000)).unwrap();
        assert_eq!(place.publish_and_compare(&tree_a()), Some(1), "settled: {settled}");
    }
}

#[test]
fn a_spare_whose_folders_are_others_is_only_removed() {
    for what in ["gone", "link", "mode"] {
        let place = Place::new();
        drop(place.publish(&tree_a()));
        drop(place.publish(&tree_b()));
        let folder = place.tree(1).join("d/deep");
        match what {
            "mode" => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(&folder, mode).unwrap();
            }
            what => {
                fs::remove_dir_all(&folder).unwrap();
                if what == "link" {
                    symlink("..", &folder).unwrap();
                }
            }
        }
        let calls = Faults::record();
        let source = place.0.path().join("source");
        write_tree(&source, &tree_c());
        let done = publish_with(&open(&place.store(), calls.clone()), &source, Some(LAST), || ()).unwrap();
        assert_eq!(done.recycled.map(GenerationId::get), Some(1), "{what}");
        assert!(!calls.seen().iter().any(|call| call.ends_with("/placed")), "{what}: assembled");
        assert!(!place.store().join("generations/1").exists());
        assert!(place.open().verify(None, Depth::Full).unwrap().is_clean(), "{what}");
        assert_eq!(debris(&place.store()), [""; 0]);
    }
}

#[test]
fn what_something_keeps_is_not_recycled() {
    let keeps = |what: &str, keep: &dyn Fn(&Place) -> Option<genstore::Generation>, rule: Retention| {
        let place = Place::new();
        drop(place.publish(&tree_a()));
        drop(place.publish(&tree_b()));
        let kept = keep(&place);
        let done = place.publish_by(&tree_c(), Some(rule));
        assert_eq!(done.recycled, None, "{what}");
        assert!(place.tree(1).exists(), "{what}");
        drop(kept);
    };
    let lease = |place: &Place| Some(place.open().open_generation(&"1".parse().unwrap()).unwrap());
    let pin = |place: &Place| {
        place.open().pin(&"1".parse().unwrap(), &"keep".parse().unwrap(), None, None).unwrap();
        None
    };
    keeps("lease", &lease, LAST);
    keeps("pin", &pin, LAST);
    keeps("last two", &|_| None, Retention { keep_last: 2, ..LAST });
    keeps("grace", &|_| None, Retention { grace: Duration::from_secs(1), ..LAST });
    keeps(
        "no record",
        &|place| fs::remove_file(place.tree(1).with_file_name("sealed")).map_or(None, |()| None),
        LAST,
    );
    let damage = |place: &Place| {
        let sealed = place.tree(1).with_file_name("sealed");
        let mut bytes = fs::read(&sealed).unwrap();
        bytes[100] ^= 1;
        fs::write(&sealed, bytes).unwrap();
        None
    };
    keeps("damaged record", &damage, LAST);
    let suspect = |place: &Place| {
        fs::write(place.store().join("suspects/generation-9"), "").unwrap();
        None
    };
    keeps("suspects", &suspect, LAST);
    let rotated = |place: &Place| {
        fs::write(place.store().join("rotations"), "..").unwrap();
        None
    };
    keeps("an object was rotated", &rotated, LAST);
}

#[test]
fn where_objects_were_healed_nothing_older_is_recycled() {
    for way in Way::ALL.into_iter().filter(|way| way.recycle) {
        let place = Place::new();
        let publish = |things: &Things| {
            let source = place.0.path().join("source");
            write_tree(&source, things);
            let done = publish_in(&place.open(), &source, way);
            assert_eq!(done.warnings, [], "{way}");
            done
        };
        drop(publish(&tree_a()));
        drop(publish(&tree_b()));
        let path = place.tree(2).join("d/b.txt");
        fs::write(&path, "damaged, through the link").unwrap();
        assert_eq!(publish(&tree_c()).healed, 1, "{way}");
        drop(publish(&tree_a()));
        assert!(place.tree(1).exists() && place.tree(2).exists() && place.tree(3).exists(), "{way}");
        assert!(place.open().verify(None, Depth::Full).unwrap().is_clean(), "{way}");
        // What was made since is good again.
        assert_eq!(place.publish_and_compare(&tree_c()), None, "{way}");
        assert_eq!(place.publish_and_compare(&tree_a()), Some(4), "{way}");
    }
}

#[test]
fn going_back_and_forth_leaves_nothing_stale() {
    let place = Place::new();
    for tree in [tree_a(), tree_b(), tree_c()] {
        drop(place.publish_by(&tree, Some(Retention { keep_last: 9, ..LAST })));
    }
    drop(place.open().rollback(2, true).unwrap());
    drop(place.open().activate(&"3".parse().unwrap(), genstore::Expect::Any).unwrap());
    // Generations 1 and 3 have inodes of their own now.
    drop(place.publish_by(&tree_a(), Some(Retention { keep_last: 9, ..LAST })));
    assert_eq!(place.publish_and_compare(&tree_c()), Some(3));
    assert_eq!(place.publish_and_compare(&tree_a()), Some(4));
}

#[test]
fn what_was_not_flushed_is_flushed_when_it_is_recycled() {
    let place = Place::new();
    let source = place.0.path().join("source");
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.durability = Durability::None;
    let (careless, _) = Store::init(&place.store(), options).unwrap();
    for tree in [tree_a(), tree_b()] {
        write_tree(&source, &tree);
        drop(publish_with(&careless, &source, Some(LAST), || ()).unwrap());
    }
    write_tree(&source, &tree_c());
    let faults = Faults::record();
    let done = publish_with(&open(&place.store(), faults.clone()), &source, Some(LAST), || ()).unwrap();
    assert_eq!(done.recycled.map(GenerationId::get), Some(1));
    assert!(faults.seen().iter().any(|call| call.starts_with("syncfs")), "{:#?}", faults.seen());
}

#[test]
fn a_refused_audit_loses_only_what_was_given_up() {
    let place = Place::new();
    drop(place.publish(&tree_a()));
    drop(place.publish(&tree_b()));
    write_tree(&place.0.path().join("source"), &tree_c());
    let plan = Plan::scan(&place.0.path().join("source"), &ScanRules::default()).unwrap();
    let store = place.open();
    let staged =
        store.stage(&plan, StageOptions { recycle: Some(LAST), ..StageOptions::default() }).unwrap();
    match staged.audit(&AuditRules { max_total: Some(1), ..AuditRules::default() }).unwrap() {
        Judged::Rejected(rejected) => drop(rejected),
        Judged::Accepted(_) => panic!("more than a byte is refused"),
    }
    assert_eq!(store.current().unwrap().map(GenerationId::get), Some(2));
    assert!(!place.tree(1).exists());
    assert_eq!(debris(&place.store()), [""; 0]);
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
    assert_eq!(place.publish(&tree_c()).generation.get(), 3);
}

/// Looks at a generation, which a lease keeps meanwhile.
fn check_whole(generation: &genstore::Generation) {
    let tree = generation.manifest().unwrap().tree;
    let shown = read_tree(&generation.path()).unwrap();
    assert_eq!(shown.len(), tree.len(), "{}", generation.id());
    for (path, file) in tree.iter_files() {
        let path = std::str::from_utf8(path).unwrap();
        match &shown[path] {
            Thing::File(bytes, _, _) => assert_eq!(Digest::of(bytes), file.digest, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// Counts one down, also where its thread panics: others wait for it.
struct AtEnd<'a>(&'a AtomicUsize);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn publishers_collectors_and_readers_get_along() {
    const ROUNDS: u64 = 25;
    let place = Place::new();
    drop(place.publish(&tree_a()));
    let recycled = AtomicUsize::new(0);
    let publishing = AtomicUsize::new(2);
    let at_work = || publishing.load(Relaxed) > 0;
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (place, recycled, publishing) = (&place, &recycled, &publishing);
            scope.spawn(move || {
                let _end = AtEnd(publishing);
                let source = place.0.path().join(format!("source-{publisher}"));
                fs::create_dir(source.with_extension("wait")).unwrap();
                let mut last = None;
                // Any way by turns; what is not consumed is built again where it stands.
                for (round, way) in (0..ROUNDS).zip(Way::ALL.into_iter().cycle()) {
                    let mut tree = if round % 3 == 0 { tree_a() } else { tree_c() };
                    let text = format!("={publisher} {round}");
                    tree.extend(things(2_000 + round, &[("mine/a", &text), ("d/mine", &text)]));
                    match &last {
                        Some(last) => change_tree(&source, last, &tree),
                        None => write_tree(&source, &tree),
                    }
                    if last.is_none() && !way.consume {
                        settle(&source.with_extension("wait"));
                    }
                    let done = publish_in(&place.open(), &source, way);
                    assert!(done.changed && done.warnings.is_empty(), "{way}: {done:?}");
                    last = (!way.consume).then_some(tree);
                    recycled.fetch_add(usize::from(done.recycled.is_some()), Relaxed);
                }
            });
        }
        for nth in 0..2 {
            let (place, at_work) = (&place, &at_work);
            scope.spawn(move || {
                let store = place.open();
                while at_work() {
                    let ids: Vec<_> = store.list().unwrap().generations.iter().map(|g| g.id).collect();
                    // One looks at what is current, the other at what is about to go.
                    let id = if nth == 0 { ids.first() } else { ids.last() };
                    match store.open_generation(&Rev::Number(*id.unwrap())) {
                        Ok(generation) => check_whole(&generation),
                        Err(Error::UnknownRev { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            let store = place.open();
            while at_work() {
                let plan = store.plan_gc(&Retention { keep_last: 3, ..LAST }).unwrap();
                drop(store.collect(&plan).unwrap());
                let report = store.verify(None, Depth::Quick).unwrap();
                assert!(report.is_clean(), "{report:#?}");
            }
        });
    });
    let store = place.open();
    assert!(recycled.load(Relaxed) > 0, "nothing was recycled");
    let plan = store.plan_gc(&LAST).unwrap();
    drop(store.collect(&plan).unwrap());
    let report = store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(debris(&place.store()), [""; 0]);
}

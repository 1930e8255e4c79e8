//! The promises of the store to users of the library.

mod copied;
mod damage;
mod gc;
mod invariants;
mod kept_removed;
mod limits;
mod locks;
mod lost;
mod own_inodes;
mod publish;
mod races;
mod usage;

use std::ops::RangeInclusive;

use crate::prelude::*;

/// A clock that advances by a second each time it is read.
fn ticking(start: u64) -> Options {
    let ticks = AtomicU64::new(start);
    Options::new(Arc::new(move || at(ticks.fetch_add(1, Ordering::Relaxed))))
}

fn open(dir: &Path) -> Store {
    Store::init(&dir.join("store"), ticking(1_000_000)).unwrap().store
}

/// A store, with a folder beside it in which nothing may change.
fn guarded() -> (TempDir, Store, Bystanders) {
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    (dir, store, outside)
}

/// A store whose clock shows what the test sets.
fn with_clock(dir: &Path, secs: u64) -> (Store, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(secs));
    let clock = Arc::clone(&now);
    let options = Options::new(Arc::new(move || at(clock.load(Ordering::Relaxed))));
    (Store::init(&dir.join("store"), options).unwrap().store, now)
}

/// Publishes one generation for each number.
fn publish_numbers(store: &Store, numbers: RangeInclusive<u64>) {
    for n in numbers {
        drop(commit(store, &plan_of(&[("n", &format!("={n}"))])).unwrap());
    }
}

fn publish(store: &Store, source: &Path) -> Publication {
    let rules = ScanRules::default().store(store.identity().unwrap());
    commit(store, &Plan::scan(source, &rules).unwrap()).unwrap()
}

fn publish_things(store: &Store, dir: &Path, things: &Things) -> Publication {
    write_tree(&dir.join("source"), things);
    publish(store, &dir.join("source"))
}

/// Prepares a source, settled if it stays, and publishes it in some way. Unchanged files of the source
/// are not written again.
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

fn collect(store: &Store, keep_last: usize) -> genstore::gc::Collected {
    genstore_testkit::collect(store, keep_last).unwrap()
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

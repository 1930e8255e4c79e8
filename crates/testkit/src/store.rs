//! Stores of tests, and what is published in them: one way for each.

use std::path::Path;
use std::sync::Arc;

use genstore::faults::Faults;
use genstore::gc::Collected;
use genstore::plan::ScanRules;
use genstore::publish::Activate;
use genstore::verify::Depth;
use genstore::{
    CommitOptions, GenerationId, Options, Plan, Publication, Retention, Source, StageOptions, Store,
};
use genstore_torture::trees::{Thing, things};

use crate::clock::at;
use crate::way::Way;

/// Returns options with a clock that stands still, so that the results of two runs are equal.
pub fn options(faults: Faults) -> Options {
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults;
    options
}

/// Opens or creates a store with a clock that stands still.
pub fn try_open(store: &Path, faults: Faults) -> genstore::Result<Store> {
    Store::init(store, options(faults)).map(|made| made.store)
}

/// Does the same where it must succeed.
pub fn open(store: &Path, faults: Faults) -> Store {
    try_open(store, faults).expect("open the store")
}

/// Returns the recorded calls that change the disk, with paths below the store.
pub fn calls(faults: &Faults, store: &Path) -> Vec<String> {
    let root = store.canonicalize().expect("the store").display().to_string();
    let below = |call: &String| call.replace(&format!("{root}/"), "").replace(&root, ".");
    faults.seen().iter().map(below).collect()
}

/// Plans a tree in the notation of [`things`]. The bytes are in memory, so they are neither in the index nor
/// consumed.
pub fn plan_of(list: &[(&str, &str)]) -> Plan {
    let mut plan = Plan::builder();
    for (path, thing) in things(0, list) {
        plan = match thing {
            Thing::File(bytes, false, _) => plan.file(path, Source::Bytes(bytes)),
            Thing::File(bytes, true, _) => plan.executable(path, Source::Bytes(bytes)),
            Thing::Link(target) => plan.symlink(path, target),
            Thing::Dir => plan.dir(path),
        };
    }
    plan.build().expect("a plan")
}

/// Publishes a plan.
pub fn commit(store: &Store, plan: &Plan) -> genstore::Result<Publication> {
    commit_in(Way::PLAIN, store, plan)
}

/// Publishes a plan in a way.
pub fn commit_in(way: Way, store: &Store, plan: &Plan) -> genstore::Result<Publication> {
    store.stage(plan, way.staging())?.unaudited().commit(&CommitOptions::default())
}

/// Publishes a plan that does not become current.
pub fn keep(store: &Store, plan: &Plan) -> genstore::Result<Publication> {
    let options = CommitOptions::default().activate(Activate::Never);
    store.stage(plan, StageOptions::default())?.unaudited().commit(&options)
}

/// Publishes a folder in a way.
pub fn publish(way: Way, store: &Store, source: &Path) -> genstore::Result<Publication> {
    commit_in(way, store, &Plan::scan(source, &ScanRules::default())?)
}

/// Collects all generations but the last ones.
pub fn collect(store: &Store, keep_last: usize) -> genstore::Result<Collected> {
    store.collect(&store.plan_gc(&Retention::only_last(keep_last))?)
}

/// Fails if `verify` finds anything.
#[track_caller]
pub fn assert_clean(store: &Store) {
    assert_clean_for(store, "the store");
}

/// Does the same, and says what was done before.
#[track_caller]
pub fn assert_clean_for(store: &Store, what: &str) {
    let report = store.verify(None, Depth::Full).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(report.is_clean(), "{what}: {report:#?}");
}

/// Returns the id of a generation.
pub fn id(number: u64) -> GenerationId {
    GenerationId::new(number).expect("not zero")
}

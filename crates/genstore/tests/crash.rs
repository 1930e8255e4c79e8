//! The fault countdown: every call that changes the disk, in every verb, is cut short or failed
//! once, and after each the promises of the store hold.
//!
//! See the testkit's `countdown` for how. What stages is tried in every way of publishing.
#![allow(clippy::disallowed_methods, reason = "tests read clocks, and make and break files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genstore::{
    Activate, AuditRules, CommitOptions, Depth, Expect, FaultKind, Faults, Judged, KeepFailed, Mark,
    Options, Owner, Plan, Publication, Retention, ScanRules, Store,
};
use genstore_testkit::{
    KINDS, Task, Things, Way, at, change_tree, child_task, copy_exactly, count_down, debris, give,
    is_nothing_lost, kill_at, object_inodes, one_at_a_time, read_tree, same_content, scratch, settle,
    things, write_sources, write_tree,
};

fn tree_a() -> Things {
    things(
        1_000,
        &[
            ("a.txt", "=first"),
            ("bin/run", "!#!/bin/sh"),
            ("dir/b.txt", "=second"),
            ("dir/same-1", "=same"),
            ("dir/same-2", "=same"),
            ("dir/twin", "!second"),
            ("empty", "="),
            ("hollow", "/"),
            ("link", ">dir/b.txt"),
        ],
    )
}

/// Older files than those of `tree_a`, so that some need a newer mtime when they replace them.
fn tree_b() -> Things {
    things(
        900,
        &[
            ("a.txt", "=changed"),
            ("bin/run", "!#!/bin/sh"),
            ("dir/same-1", "=same"),
            ("empty", "="),
            ("link", ">dir/same-1"),
            ("new/c.txt", "=third"),
            ("new/d.txt", "=second"),
        ],
    )
}

/// Mostly as `tree_a`.
fn tree_c() -> Things {
    let mut tree = tree_a();
    tree.retain(|path, _| path != "dir/same-2");
    tree.extend(things(1_100, &[("a.txt", "=fourth"), ("bin/more", "="), ("dir/new/d", "=third")]));
    tree
}

/// The trees by the names of their sources.
fn tree(name: &str) -> Things {
    match name {
        "a" => tree_a(),
        "b" => tree_b(),
        "c" => tree_c(),
        _ => panic!("no tree is called {name}"),
    }
}

/// A place to work in: `store`, and `given-a`, `given-b` and `given-c`, which are to be consumed.
struct Place {
    dir: PathBuf,
    /// The sources `a`, `b` and `c`: they stay where they are, for the index knows them by inode.
    sources: PathBuf,
    way: Way,
}

impl Place {
    /// Names another folder, of the same sources.
    fn at(&self, dir: PathBuf) -> Place {
        Place { dir, sources: self.sources.clone(), way: self.way }
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn given(&self, source: &str) -> PathBuf {
        self.dir.join(format!("given-{source}"))
    }

    fn open(&self, faults: Faults) -> genstore::Result<Store> {
        // A clock that stands: what is made in one run equals what is made in another.
        let mut options = Options::new(Arc::new(|| at(5_000)));
        options.faults = faults;
        Store::init(&self.store(), options).map(|(store, _)| store)
    }

    /// Plans to publish a source, or what is given away in its place.
    fn plan(&self, store: &Store, source: &str) -> genstore::Result<Plan> {
        let rules = ScanRules { store: Some(store.identity()?), ..ScanRules::default() };
        let dir = if self.way.consume { self.given(source) } else { self.sources.join(source) };
        Plan::scan(&dir, &rules)
    }

    fn publish_with(
        &self,
        faults: Faults,
        source: &str,
        activate: Activate,
    ) -> genstore::Result<Publication> {
        if self.way.consume {
            give(&self.given(source), &tree(source));
        }
        let store = self.open(faults)?;
        let staged = store.stage(&self.plan(&store, source)?, self.way.staging())?;
        staged.unaudited().commit(&CommitOptions { activate, ..CommitOptions::default() })
    }

    fn publish(&self, source: &str) {
        let done = self.publish_with(Faults::default(), source, Activate::Always);
        assert_eq!(done.unwrap_or_else(|e| panic!("publish {source}: {e}")).warnings, [], "{source}");
        if self.way.consume {
            std::fs::remove_dir_all(self.given(source)).expect("remove the empty folders");
        }
    }

    /// What a child is told that is to do a scenario's verb here.
    fn task(&self, scenario: &Scenario) -> Task {
        let sources = self.sources.to_str().expect("a path of letters").to_owned();
        let words = vec![scenario.name.to_owned(), self.way.to_string(), sources];
        Task { place: self.dir.clone(), words }
    }

    fn shown(&self) -> Option<Things> {
        self.store().join("current").symlink_metadata().ok()?;
        Some(read_tree(&self.store().join("current")).expect("current is complete"))
    }
}

/// A verb under test: what is there before, and what is done.
struct Scenario {
    name: &'static str,
    /// Whether what is shown before is damaged.
    mends: bool,
    prepare: fn(&Place),
    /// What is done at each copy of the place before it, since it lies in no copy.
    prepare_each: fn(&Place),
    act: fn(&Place, Faults) -> genstore::Result<()>,
}

/// The scenario that consumes what was copied before.
const KNOWN: &str = "third publish, of what the index knows";

const PLAIN: Scenario =
    Scenario { name: "", mends: false, prepare: |_| {}, prepare_each: |_| {}, act: |_, _| Ok(()) };

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first publish", act: |place, faults| act_publish(place, faults, "a"), ..PLAIN },
    Scenario {
        name: "second publish",
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "b"),
        ..PLAIN
    },
    Scenario {
        name: "publish of what is current",
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "a"),
        ..PLAIN
    },
    Scenario {
        name: "publish that is only kept",
        prepare: |place| place.publish("a"),
        act: |place, faults| place.publish_with(faults, "b", Activate::Never).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "third publish",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: KNOWN,
        prepare: |place| place.publish("a"),
        // The folder that was published before, and is to be consumed now that it is built again.
        prepare_each: |place| {
            let given = place.given("c");
            let mut built = tree_a();
            built.extend(things(1_000, &[("a.txt", "=second")]));
            write_tree(&given, &built);
            settle(&place.dir);
            let copying = Place { way: Way { consume: false, ..place.way }, ..place.at(place.dir.clone()) };
            let store = copying.open(Faults::default()).expect("open");
            let plan = Plan::scan(&given, &ScanRules::default()).expect("scan");
            let staged = store.stage(&plan, copying.way.staging()).expect("stage");
            drop(staged.unaudited().commit(&CommitOptions::default()).expect("commit"));
            change_tree(&given, &built, &tree_c());
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "third publish, over a changed spare",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            spoil(place);
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "recovery of a third publish",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            // With recycling, the generation is in the stage by then.
            let last = if place.way.recycle { "tree/a.txt" } else { "store/current" };
            cut(place, "third publish", "rename", last);
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "third build in a stage",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &tree_c());
            let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "rollback",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| place.open(faults)?.rollback(1, false).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "switch forward",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().rollback(1, false).map(drop).unwrap();
        },
        act: |place, faults| place.open(faults)?.activate(&"2".parse().unwrap(), Expect::Any).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "gc",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().mark(&"1".parse().unwrap(), Mark::Bad, None).unwrap();
        },
        act: collect_all,
        ..PLAIN
    },
    Scenario {
        name: "mark, pin and unpin",
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            store.mark(&"@".parse().unwrap(), Mark::Good, Some("looked at".to_owned()))?;
            store.pin(&"@".parse().unwrap(), &"keep".parse().unwrap(), None, None)?;
            store.unpin(&"keep".parse().unwrap())
        },
        ..PLAIN
    },
    Scenario {
        name: "recovery of a publish",
        prepare: |place| {
            place.publish("a");
            cut(place, "second publish", "rename", "store/current");
        },
        act: |place, faults| act_publish(place, faults, "b"),
        ..PLAIN
    },
    Scenario {
        name: "recovery of a rollback",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "rollback", "rename", "store/current");
        },
        act: |place, faults| place.open(faults)?.rollback(1, false).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "recovery of gc",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "gc", "unlink", "s-gone-1/manifest");
        },
        act: collect_all,
        ..PLAIN
    },
    Scenario {
        name: "publish that heals a damaged object",
        mends: true,
        prepare: |place| {
            place.publish("b");
            place.publish("a");
            damage_object(place, b"same");
        },
        act: |place, faults| act_publish(place, faults, "a"),
        ..PLAIN
    },
    Scenario {
        name: "build in a stage",
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            let mut log = stage.log()?;
            std::io::Write::write_all(&mut log, b"building\n").expect("write the log");
            write_tree(stage.path(), &tree_b());
            let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "begin, and leave to nobody",
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &tree_b());
            // Over at once, so that the next writer removes it.
            stage.leave_to(Owner::Until(at(5_000))).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "commit of a stage that was left",
        prepare: |place| {
            place.publish("a");
            let store = place.open(Faults::default()).expect("open");
            let stage = store.begin().expect("begin");
            write_tree(stage.path(), &tree_b());
            stage.leave_to(Owner::Process(std::process::id())).map(drop).expect("leave");
        },
        act: |place, faults| {
            let store = place.open(faults)?;
            if place.shown().is_some_and(|shown| same_content(&shown, &tree_b())) {
                // The commit happened before it was cut: any writer removes what is left.
                store.mark(&"@".parse().unwrap(), Mark::Good, None)?;
                assert_eq!(debris(&place.store()), [""; 0], "the stage of a commit that happened");
                return Ok(());
            }
            let left = debris(&place.store());
            let name = left.iter().find_map(|name| name.strip_prefix("s-")?.strip_suffix(".claim"));
            let id = name.expect("a stage that was left").parse().expect("an id");
            let stage = store.resume(&id)?;
            let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "refusal",
        prepare: |place| {
            place.publish("a");
            refuse(place, Faults::default()).expect("refuse");
        },
        act: refuse,
        ..PLAIN
    },
    Scenario {
        name: "repair",
        mends: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            // The same bytes are an executable's, too: a copy to heal from.
            damage_object(place, b"second");
        },
        act: |place, faults| place.open(faults)?.repair().map(drop),
        ..PLAIN
    },
];

/// Refuses `b`, and keeps it for a look in place of what was refused before.
fn refuse(place: &Place, faults: Faults) -> genstore::Result<()> {
    if place.way.consume {
        give(&place.given("b"), &tree_b());
    }
    let store = place.open(faults)?;
    let staged = store.stage(&place.plan(&store, "b")?, place.way.staging())?;
    match staged.audit(&AuditRules { max_total: Some(1), ..AuditRules::default() })? {
        Judged::Rejected(rejected) => rejected.keep(KeepFailed { count: 1, bytes: 0 }).map(drop),
        Judged::Accepted(_) => panic!("more than a byte is refused"),
    }
}

fn collect_all(place: &Place, faults: Faults) -> genstore::Result<()> {
    let store = place.open(faults)?;
    let rule = Retention { keep_last: 0, keep_within: None, grace: std::time::Duration::ZERO };
    let plan = store.plan_gc(&rule)?;
    store.collect(&plan).map(drop)
}

/// Kills a verb just before a call, so that the next one has something to recover from.
fn cut(place: &Place, verb: &str, op: &str, path: &str) {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == verb).expect("a known scenario");
    let trial = place.at(place.dir.with_extension("trial"));
    copy_exactly(&place.dir, &trial.dir);
    let faults = Faults::record();
    (scenario.act)(&trial, faults.clone()).expect("the verb itself works");
    let calls = faults.seen();
    let at = calls.iter().position(|call| call.starts_with(op) && call.ends_with(path));
    let step = at.unwrap_or_else(|| panic!("{op} {path} is not among {calls:#?}")) as u64 + 1;
    assert!(kill_at(step, &place.task(scenario)), "{verb} gets as far as {op} {path}");
    std::fs::remove_dir_all(&trial.dir).expect("clean up");
}

fn act_publish(place: &Place, faults: Faults, source: &str) -> genstore::Result<()> {
    place.publish_with(faults, source, Activate::Always).map(drop)
}

/// Somebody is at work in the oldest generation. Only what is recycled is clean afterwards.
fn spoil(place: &Place) {
    if !place.way.recycle {
        return;
    }
    let tree = place.store().join("generations/1/tree");
    std::fs::write(tree.join("dir/stranger"), "mine").expect("write");
    std::fs::write(tree.join("empty"), "mine").expect("root may write");
    std::fs::remove_file(tree.join("dir/twin")).expect("remove");
}

/// Writes through one name of an object, as root can; size and mtime stay, as with bit rot.
fn damage_object(place: &Place, content: &[u8]) {
    let hex = genstore::Digest::of(content).to_string();
    let path = place.store().join("objects").join(&hex[..2]).join(&hex[2..]);
    let mtime = path.metadata().expect("the object").modified().expect("mtime");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[0] ^= 1;
    let file = std::fs::File::options().write(true).open(&path).expect("root may write");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("write");
    file.set_modified(mtime).expect("set the mtime");
    drop(file);
    let store = place.open(Faults::default()).expect("open");
    assert!(!store.verify(None, Depth::Full).expect("verify").is_clean(), "the damage is seen");
}

fn prepare(scenario: &Scenario, dir: &Path, way: Way) -> Place {
    let place = Place { dir: dir.join("prepared"), sources: dir.join("sources"), way };
    write_sources(&place.sources, &["a", "b", "c"].map(|name| (name, tree(name))));
    settle(dir);
    std::fs::create_dir(&place.dir).expect("mkdir");
    (scenario.prepare)(&place);
    place
}

/// Copies what is prepared, and does the rest of it there.
fn copy_prepared(scenario: &Scenario, prepared: &Place, name: &str) -> Place {
    let place = prepared.at(prepared.dir.with_file_name(name));
    copy_exactly(&prepared.dir, &place.dir);
    (scenario.prepare_each)(&place);
    place
}

/// What must hold after a fault, wherever it was.
fn check_promises(scenario: &Scenario, place: &Place, before: Option<&Things>, after: &Things, what: &str) {
    let shown = place.shown();
    let is_old = match (&shown, before) {
        (Some(shown), Some(before)) => same_content(shown, before),
        (None, None) => true,
        _ => false,
    };
    let is_new = shown.as_ref().is_some_and(|shown| same_content(shown, after));
    // What is to be consumed is not touched before it is in a generation, and the commit has happened.
    for source in ["a", "b", "c"] {
        let given = place.given(source);
        if given.symlink_metadata().is_ok() {
            let is_whole = read_tree(&given).is_ok_and(|found| same_content(&found, &tree(source)));
            assert!(is_whole || is_new, "{what}: {source} is consumed, and nothing was committed");
            assert!(is_nothing_lost(&given, &tree(source), &place.store()), "{what}: {source} is lost");
        }
    }
    let is_mended = scenario.mends && shown.as_ref().is_some_and(|shown| is_between(shown, before, after));
    assert!(is_old || is_new || is_mended, "{what}: current is neither the old nor the new: {shown:#?}");

    // The next writer needs no help, and leaves the state of an unbroken run.
    let store = place.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
    (scenario.act)(place, Faults::default()).or_else(already_done).unwrap_or_else(|e| {
        panic!("{what}: the same again: {e} ({:?})", std::error::Error::source(&e));
    });
    for source in ["b", "a"] {
        let done = place.publish_with(Faults::default(), source, Activate::Always);
        assert_eq!(done.unwrap_or_else(|e| panic!("{what}: {e}")).warnings, [], "{what}");
    }
    let left = debris(&place.store());
    assert!(left.is_empty(), "{what}: debris is left: {left:?}");
    let report = store.verify(None, Depth::Full).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(report.is_clean(), "{what}: not clean: {report:#?}");
    assert!(same_content(&place.shown().expect("published"), &tree_a()), "{what}");

    // And gc finds every object that nothing names.
    let rule = Retention { keep_last: 0, keep_within: None, grace: std::time::Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap_or_else(|e| panic!("{what}: {e}"));
    store.collect(&plan).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(object_inodes(&place.store()).len(), 5, "{what}: five contents are not empty");
}

/// Damaged paths are mended one by one: each is as before or as it ought to be.
fn is_between(shown: &Things, before: Option<&Things>, after: &Things) -> bool {
    let Some(before) = before else { return false };
    shown.len() == after.len()
        && shown
            .iter()
            .all(|(path, thing)| before.get(path) == Some(thing) || after.get(path) == Some(thing))
}

/// A rollback that happened before it was cut has nothing older to go to.
fn already_done(error: genstore::Error) -> genstore::Result<()> {
    match error.code() {
        "nothing-older" | "no-such-pin" | "stage-committed" => Ok(()),
        _ => Err(error),
    }
}

fn run(name: &str, way: Way) {
    let _one = one_at_a_time();
    let scenario = find(name);
    let dir = scratch();
    let prepared = prepare(scenario, dir.path(), way);
    let unbroken = copy_prepared(scenario, &prepared, "unbroken");
    let before = unbroken.shown();
    (scenario.act)(&unbroken, Faults::default()).unwrap_or_else(|e| panic!("{name}, {way}: {e}"));
    let after = unbroken.shown().expect("something is current");
    if name.starts_with("third") {
        let generation = |id: u64| unbroken.store().join(format!("generations/{id}"));
        assert_eq!(generation(1).exists(), !way.recycle, "{name}, {way}");
        assert!(same_content(&after, &tree("c")), "{name}, {way}: {after:#?}");
        let index = generation(2).join("index");
        assert!(way.consume && name != KNOWN || index.exists(), "{name}, {way}: there is an index");
    }

    let points = count_down(&format!("{name}, {way}"), kinds(way), 1, |fault, what| {
        let place = copy_prepared(scenario, &prepared, "broken");
        let end = fault.meet(&place.task(scenario), |faults| (scenario.act)(&place, faults));
        // A fault after the commit is a warning; one before it is an error.
        if end.is_failure() && !scenario.mends {
            let shown = place.shown();
            assert_eq!(shown.is_some(), before.is_some(), "{what}: failed, and changed something");
            if let (Some(shown), Some(before)) = (&shown, &before) {
                assert!(same_content(shown, before), "{what}: failed, and changed something");
            }
        }
        check_promises(scenario, &place, before.as_ref(), &after, what);
        std::fs::remove_dir_all(&place.dir).expect("clean up");
        end
    });
    // Only publishing what is current changes nothing at all, but of a source that it consumes.
    let idle = name == "publish of what is current" && !way.consume;
    assert!(points.iter().all(|&count| (count == 0) == idle), "{name}, {way}: {points:?}");
}

/// Where sources are consumed, each step is cut and failed, and no more: that a disk that is gone for
/// good, or full, changes nothing there either is tried at each stage of a publication, by `faults.rs`.
fn kinds(way: Way) -> &'static [FaultKind] {
    if way.consume { &KINDS[..2] } else { &KINDS }
}

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario")
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Some((Task { place: dir, words }, faults)) = child_task() else {
        return;
    };
    let place = Place { dir, sources: (&words[2]).into(), way: Way::named(&words[1]) };
    (find(&words[0]).act)(&place, faults).expect("the verb itself works");
}

/// The tests of one scenario.
macro_rules! in_ways {
    // What stages a tree.
    (every, $name:literal) => {
        in_ways!(tests, $name, plain: 0, recycled_and_consumed: 1, reread_and_consumed: 2, recycled: 3);
    };
    // What meets trees of each way, and makes none.
    (copying, $name:literal) => {
        in_ways!(tests, $name, plain: 0, recycled: 3);
    };
    // What consumes a source that was copied before.
    (indexed, $name:literal) => {
        in_ways!(tests, $name, recycled_and_consumed: 1);
    };
    (tests, $name:literal, $($way:ident: $nth:literal),*) => {
        $(
            #[test]
            fn $way() {
                run($name, Way::ALL[$nth]);
            }
        )*
    };
}

/// One test for each scenario and each way in which it is run.
macro_rules! scenarios {
    ($($test:ident: $ways:ident, $name:literal;)*) => {
        $(mod $test {
            use super::*;
            in_ways!($ways, $name);
        })*

        #[test]
        fn every_scenario_is_run() {
            let names: BTreeSet<&str> = [$($name),*].into();
            assert_eq!(names, SCENARIOS.iter().map(|scenario| scenario.name).collect());
        }
    };
}

scenarios! {
    first_publish: every, "first publish";
    second_publish: every, "second publish";
    unchanged_publish: every, "publish of what is current";
    kept_publish: every, "publish that is only kept";
    third_publish: every, "third publish";
    third_publish_of_known: indexed, "third publish, of what the index knows";
    third_publish_over_spoilt: every, "third publish, over a changed spare";
    recovery_of_third_publish: every, "recovery of a third publish";
    third_build: every, "third build in a stage";
    rollback: copying, "rollback";
    switch_forward: copying, "switch forward";
    gc: copying, "gc";
    mark_pin_unpin: copying, "mark, pin and unpin";
    recovery_of_publish: every, "recovery of a publish";
    recovery_of_rollback: copying, "recovery of a rollback";
    recovery_of_gc: copying, "recovery of gc";
    healing_publish: every, "publish that heals a damaged object";
    repair: copying, "repair";
    build_in_a_stage: every, "build in a stage";
    begin_and_leave: copying, "begin, and leave to nobody";
    commit_of_a_left_stage: every, "commit of a stage that was left";
    refusal: every, "refusal";
}

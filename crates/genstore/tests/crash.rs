//! The fault countdown: every call that changes the disk, in every verb, is cut short or failed
//! once, and after each the promises of the store hold.
//!
//! A verb is run again and again with the fault at step 1, 2, 3, …, until a run gets through
//! without meeting it. Kills happen in a child process: this test program, run once more.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read clocks and the environment"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use genstore::{
    Activate, AuditRules, CommitOptions, Depth, Expect, FaultKind, FaultPlan, Faults, Judged, KeepFailed,
    Mark, Options, Owner, Plan, Retention, ScanRules, StageOptions, Store,
};
use genstore_testkit::{
    Things, at, copy_exactly, debris, object_inodes, read_tree, same_content, scratch, things, write_tree,
};

const KINDS: [FaultKind; 4] = [FaultKind::Kill, FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

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

/// Whether publishing recycles: each scenario is run both ways.
static RECYCLE: AtomicBool = AtomicBool::new(false);

fn staging() -> StageOptions {
    let rule = Retention { keep_last: 1, keep_within: None, grace: std::time::Duration::ZERO };
    StageOptions { recycle: RECYCLE.load(Relaxed).then_some(rule), ..StageOptions::default() }
}

fn options(faults: Faults) -> Options {
    // A clock that stands: what is made in one run equals what is made in another.
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults;
    options
}

fn publish(store: &Store, source: &Path, activate: bool) -> genstore::Result<genstore::Publication> {
    let rules = ScanRules { store: Some(store.identity()?), ..ScanRules::default() };
    let plan = Plan::scan(source, &rules)?;
    let activate = if activate { Activate::Always } else { Activate::Never };
    let commit = CommitOptions { activate, ..CommitOptions::default() };
    store.stage(&plan, staging())?.unaudited().commit(&commit)
}

/// A place to work in: `store`, and the sources `a`, `b` and `c`.
struct Place(PathBuf);

impl Place {
    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn open(&self, faults: Faults) -> genstore::Result<Store> {
        Store::init(&self.store(), options(faults)).map(|(store, _)| store)
    }

    fn publish(&self, source: &str) {
        let store = self.open(Faults::default()).expect("open");
        publish(&store, &self.0.join(source), true).map(drop).expect("publish");
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
    act: fn(&Place, Faults) -> genstore::Result<()>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "first publish",
        mends: false,
        prepare: |_| {},
        act: |place, faults| act_publish(place, faults, "a"),
    },
    Scenario {
        name: "second publish",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "b"),
    },
    Scenario {
        name: "publish of what is current",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "a"),
    },
    Scenario {
        name: "publish that is only kept",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            publish(&store, &place.0.join("b"), false).map(drop)
        },
    },
    Scenario {
        name: "third publish",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| act_publish(place, faults, "c"),
    },
    Scenario {
        name: "third publish, over a changed spare",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            spoil(place);
        },
        act: |place, faults| act_publish(place, faults, "c"),
    },
    Scenario {
        name: "recovery of a third publish",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            // With recycling, the generation is in the stage by then.
            let last = if RECYCLE.load(Relaxed) { "tree/a.txt" } else { "store/current" };
            cut(place, "third publish", "rename", last);
        },
        act: |place, faults| act_publish(place, faults, "c"),
    },
    Scenario {
        name: "third build in a stage",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &tree_c());
            let staged = stage.seal(&ScanRules::default(), staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
    },
    Scenario {
        name: "rollback",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| place.open(faults)?.rollback(1, false).map(drop),
    },
    Scenario {
        name: "switch forward",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().rollback(1, false).map(drop).unwrap();
        },
        act: |place, faults| place.open(faults)?.activate(&"2".parse().unwrap(), Expect::Any).map(drop),
    },
    Scenario {
        name: "gc",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().mark(&"1".parse().unwrap(), Mark::Bad, None).unwrap();
        },
        act: collect_all,
    },
    Scenario {
        name: "mark, pin and unpin",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            store.mark(&"@".parse().unwrap(), Mark::Good, Some("looked at".to_owned()))?;
            store.pin(&"@".parse().unwrap(), &"keep".parse().unwrap(), None, None)?;
            store.unpin(&"keep".parse().unwrap())
        },
    },
    Scenario {
        name: "recovery of a publish",
        mends: false,
        prepare: |place| {
            place.publish("a");
            cut(place, "second publish", "rename", "store/current");
        },
        act: |place, faults| act_publish(place, faults, "b"),
    },
    Scenario {
        name: "recovery of a rollback",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "rollback", "rename", "store/current");
        },
        act: |place, faults| place.open(faults)?.rollback(1, false).map(drop),
    },
    Scenario {
        name: "recovery of gc",
        mends: false,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "gc", "unlink", "s-gone-1/manifest");
        },
        act: collect_all,
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
    },
    Scenario {
        name: "build in a stage",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            let mut log = stage.log()?;
            std::io::Write::write_all(&mut log, b"building\n").expect("write the log");
            write_tree(stage.path(), &tree_b());
            let staged = stage.seal(&ScanRules::default(), staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
    },
    Scenario {
        name: "begin, and leave to nobody",
        mends: false,
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &tree_b());
            // Over at once, so that the next writer removes it.
            stage.leave_to(Owner::Until(at(5_000))).map(drop)
        },
    },
    Scenario {
        name: "commit of a stage that was left",
        mends: false,
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
            let staged = stage.seal(&ScanRules::default(), staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
    },
    Scenario {
        name: "refusal",
        mends: false,
        prepare: |place| {
            place.publish("a");
            refuse(place, Faults::default()).expect("refuse");
        },
        act: refuse,
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
    },
];

/// Refuses `b`, and keeps it for a look in place of what was refused before.
fn refuse(place: &Place, faults: Faults) -> genstore::Result<()> {
    let store = place.open(faults)?;
    let rules = ScanRules { store: Some(store.identity()?), ..ScanRules::default() };
    let staged = store.stage(&Plan::scan(&place.0.join("b"), &rules)?, staging())?;
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
    let trial = Place(place.0.with_extension("trial"));
    copy_exactly(&place.0, &trial.0);
    let faults = Faults::record();
    (scenario.act)(&trial, faults.clone()).expect("the verb itself works");
    let calls = faults.seen();
    let at = calls.iter().position(|call| call.starts_with(op) && call.ends_with(path));
    let step = at.unwrap_or_else(|| panic!("{op} {path} is not among {calls:#?}")) as u64 + 1;
    assert!(kill_at(scenario, place, step), "{verb} gets as far as {op} {path}");
    std::fs::remove_dir_all(&trial.0).expect("clean up");
}

fn act_publish(place: &Place, faults: Faults, source: &str) -> genstore::Result<()> {
    publish(&place.open(faults)?, &place.0.join(source), true).map(drop)
}

/// Somebody is at work in the oldest generation. Only what is recycled is clean afterwards.
fn spoil(place: &Place) {
    if !RECYCLE.load(Relaxed) {
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

fn prepare(scenario: &Scenario, dir: &Path) -> Place {
    let place = Place(dir.join("prepared"));
    write_tree(&place.0.join("a"), &tree_a());
    write_tree(&place.0.join("b"), &tree_b());
    write_tree(&place.0.join("c"), &tree_c());
    (scenario.prepare)(&place);
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
    let is_mended = scenario.mends && shown.as_ref().is_some_and(|shown| is_between(shown, before, after));
    assert!(is_old || is_new || is_mended, "{what}: current is neither the old nor the new: {shown:#?}");

    // The next writer needs no help, and leaves the state of an unbroken run.
    let store = place.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
    (scenario.act)(place, Faults::default()).or_else(already_done).unwrap_or_else(|e| {
        panic!("{what}: the same again: {e} ({:?})", std::error::Error::source(&e));
    });
    publish(&store, &place.0.join("b"), true).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
    publish(&store, &place.0.join("a"), true).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
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

/// While one test forks a child, the child has another's locks until it becomes its program: so one
/// at a time, where tests are threads of one process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(scenario: &Scenario, recycle: bool) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    RECYCLE.store(recycle, Relaxed);
    let dir = scratch();
    let prepared = prepare(scenario, dir.path());
    let before = prepared.shown();
    let unbroken = Place(dir.path().join("unbroken"));
    copy_exactly(&prepared.0, &unbroken.0);
    (scenario.act)(&unbroken, Faults::default()).unwrap_or_else(|e| panic!("{}: {e}", scenario.name));
    let after = unbroken.shown().expect("something is current");
    if scenario.name.starts_with("third") {
        assert_eq!(unbroken.store().join("generations/1").exists(), !recycle, "{}", scenario.name);
    }

    let mut points = Vec::new();
    for kind in KINDS {
        for step in 1.. {
            let what = format!("{}, recycle {recycle}, {kind:?} at step {step}", scenario.name);
            let place = Place(dir.path().join("broken"));
            copy_exactly(&prepared.0, &place.0);
            let met = if kind == FaultKind::Kill {
                kill_at(scenario, &place, step)
            } else {
                let faults = Faults::inject(FaultPlan::step(step, kind));
                let result = (scenario.act)(&place, faults.clone());
                let met = faults.count() >= step;
                // A fault after the commit is a warning; one before it is an error.
                if result.is_err() && !scenario.mends {
                    let shown = place.shown();
                    assert_eq!(shown.is_some(), before.is_some(), "{what}: failed, and changed something");
                    if let (Some(shown), Some(before)) = (&shown, &before) {
                        assert!(same_content(shown, before), "{what}: failed, and changed something");
                    }
                }
                assert!(met || result.is_ok(), "{what}: failed without a fault: {result:?}");
                met
            };
            check_promises(scenario, &place, before.as_ref(), &after, &what);
            std::fs::remove_dir_all(&place.0).expect("clean up");
            if !met {
                points.push(step - 1);
                break;
            }
        }
    }
    println!(
        "{}, recycle {recycle}: {points:?} fault points (killed, EIO once, EIO from there on, disk full)",
        scenario.name
    );
    // Only publishing what is current changes nothing at all.
    let idle = scenario.name == "publish of what is current";
    assert!(points.iter().all(|&count| (count == 0) == idle), "{}: {points:?}", scenario.name);
}

const CHILD: &str = "GENSTORE_CRASH_CHILD";

/// Runs the verb in a child that is killed at `step`; tells whether it got that far.
fn kill_at(scenario: &Scenario, place: &Place, step: u64) -> bool {
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{step}:{}:{}:{}", RECYCLE.load(Relaxed), scenario.name, place.0.display()))
        .output()
        .expect("run the child")
        .status;
    match std::os::unix::process::ExitStatusExt::signal(&status) {
        Some(9) => true,
        None if status.success() => false,
        _ => panic!("{}, kill at step {step}: the child ended by itself: {status}", scenario.name),
    }
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = task.splitn(4, ':');
    let step = parts.next().expect("a step").parse().expect("a number");
    RECYCLE.store(parts.next() == Some("true"), Relaxed);
    let name = parts.next().expect("a scenario");
    let place = Place(parts.next().expect("a place").into());
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario");
    let fault = FaultPlan::step(step, FaultKind::Kill);
    (scenario.act)(&place, Faults::inject(fault)).expect("the verb itself works");
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                run(SCENARIOS.iter().find(|scenario| scenario.name == $name).expect("a known scenario"), false);
            }
        )*

        mod recycling {
            use super::*;
            $(
                #[test]
                fn $test() {
                    run(SCENARIOS.iter().find(|scenario| scenario.name == $name).expect("a known scenario"), true);
                }
            )*
        }

        #[test]
        fn every_scenario_is_run() {
            assert_eq!([$($name),*].len(), SCENARIOS.len());
        }
    };
}

scenarios! {
    first_publish: "first publish",
    second_publish: "second publish",
    unchanged_publish: "publish of what is current",
    kept_publish: "publish that is only kept",
    third_publish: "third publish",
    third_publish_over_spoilt: "third publish, over a changed spare",
    recovery_of_third_publish: "recovery of a third publish",
    third_build: "third build in a stage",
    rollback: "rollback",
    switch_forward: "switch forward",
    gc: "gc",
    mark_pin_unpin: "mark, pin and unpin",
    recovery_of_publish: "recovery of a publish",
    recovery_of_rollback: "recovery of a rollback",
    recovery_of_gc: "recovery of gc",
    healing_publish: "publish that heals a damaged object",
    repair: "repair",
    build_in_a_stage: "build in a stage",
    begin_and_leave: "begin, and leave to nobody",
    commit_of_a_left_stage: "commit of a stage that was left",
    refusal: "refusal",
}

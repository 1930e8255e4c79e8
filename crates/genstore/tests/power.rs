//! Power loss, for real: a filesystem in a file, a child killed at every step, and then not the
//! filesystem as the kernel still has it in memory, but a copy of what its device holds.
//!
//! What was written and never flushed is lost in that copy, as it would be without power. Whatever
//! remains must be the whole old generation or the whole new one, and the next publish must work.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read clocks and the environment"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use genstore::{
    CommitOptions, Depth, FaultKind, FaultPlan, Faults, Options, Plan, Retention, ScanRules, StageOptions,
    Store,
};
use genstore_testkit::{LoopFs, Things, at, debris, read_tree, same_content, scratch, things, write_tree};

fn tree_a() -> Things {
    things(1_000, &[("a", "=first"), ("d/b", "=second"), ("d/same", "=same"), ("e", "="), ("x", "!tool")])
}

fn tree_b() -> Things {
    things(900, &[("a", "=changed"), ("d/same", "=same"), ("n/c", "=third"), ("x", "!tool")])
}

/// Mostly as `tree_a`.
fn tree_c() -> Things {
    let mut tree = tree_a();
    tree.extend(things(1_100, &[("a", "=fourth"), ("d/more", "="), ("n/c", "=third")]));
    tree.remove("e");
    tree
}

fn open(dir: &Path, faults: Faults) -> genstore::Result<Store> {
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults;
    Store::init(&dir.join("store"), options).map(|(store, _)| store)
}

fn publish(store: &Store, source: &Path, recycle: bool) -> genstore::Result<()> {
    let plan = Plan::scan(source, &ScanRules::default())?;
    let rule = Retention { keep_last: 1, keep_within: None, grace: std::time::Duration::ZERO };
    let options = StageOptions { recycle: recycle.then_some(rule), ..StageOptions::default() };
    store.stage(&plan, options)?.unaudited().commit(&CommitOptions::default()).map(drop)
}

fn act(verb: &str, dir: &Path, sources: &Path, faults: Faults) -> genstore::Result<()> {
    let store = open(dir, faults)?;
    match verb {
        "publish" => publish(&store, &sources.join("b"), false),
        "recycle" => publish(&store, &sources.join("c"), true),
        "rollback" => store.rollback(1, false).map(drop),
        other => panic!("{other}"),
    }
}

const CHILD: &str = "GENSTORE_POWER_CHILD";

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let parts: Vec<&str> = task.split(':').collect();
    let fault = FaultPlan::step(parts[0].parse().expect("a number"), FaultKind::Kill);
    let (dir, sources) = (PathBuf::from(parts[2]), PathBuf::from(parts[3]));
    act(parts[1], &dir, &sources, Faults::inject(fault)).expect("the verb itself works");
}

/// A child that another test forks holds our files until it becomes its program, and the unmount
/// fails: so one at a time, where tests are threads of one process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Cuts the power at each `stride`th step of `verb`; counts the steps.
fn cut_everywhere(kind: &'static str, size_mib: u64, verb: &str, stride: usize) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(mut fs) = LoopFs::make(kind, size_mib, &[]) else {
        return;
    };
    let sources = scratch();
    write_tree(&sources.path().join("a"), &tree_a());
    write_tree(&sources.path().join("b"), &tree_b());
    write_tree(&sources.path().join("c"), &tree_c());
    let recycle = verb == "recycle";
    let (prepared, cut) = (fs.image().with_extension("prepared"), fs.image().with_extension("cut"));
    let store = open(&fs.path(), Faults::default()).unwrap();
    publish(&store, &sources.path().join("a"), recycle).unwrap();
    if verb != "publish" {
        publish(&store, &sources.path().join("b"), recycle).unwrap();
    }
    let (before, after) = match verb {
        "publish" => (tree_a(), tree_b()),
        "rollback" => (tree_b(), tree_a()),
        _ => (tree_b(), tree_c()),
    };
    drop(store);
    fs.unmount();
    fs.copy_image(&prepared);

    let mut points = 0;
    for step in (1..).step_by(stride) {
        let what = format!("{kind}, {verb}, power lost at step {step}");
        fs.restore_image(&prepared);
        fs.mount(&[]).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(CHILD, format!("{step}:{verb}:{}:{}", fs.path().display(), sources.path().display()))
            .output()
            .unwrap()
            .status;
        fs.copy_image(&cut);
        fs.unmount();
        let finished = status.success();
        assert!(
            finished || std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
            "{what}: {status}"
        );

        fs.restore_image(&cut);
        fs.mount(&[]).unwrap();
        let shown = read_tree(&fs.path().join("store/current")).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (old, new) = (same_content(&shown, &before), same_content(&shown, &after));
        assert!(old || new, "{what}: {shown:#?}");
        assert!(new || !finished, "{what}: success was reported, and lost");
        let store = open(&fs.path(), Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        for source in ["b", "a", "b"] {
            publish(&store, &sources.path().join(source), recycle)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        let report = store.verify(None, Depth::Full).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(report.is_clean(), "{what}: {report:#?}");
        assert_eq!(debris(store.path()), [""; 0], "{what}");
        drop(store);
        fs.unmount();
        if finished {
            break;
        }
        points += 1;
    }
    println!("{kind}: the power was lost at {points} points of {verb}");
    assert!(points * stride > 30, "{kind}, {verb}: {points}");
}

#[test]
fn publish_on_ext4() {
    cut_everywhere("ext4", 32, "publish", 1);
}

#[test]
fn rollback_on_ext4() {
    cut_everywhere("ext4", 32, "rollback", 1);
}

#[test]
fn recycle_on_ext4() {
    cut_everywhere("ext4", 32, "recycle", 1);
}

#[test]
fn publish_on_xfs() {
    cut_everywhere("xfs", 320, "publish", 3);
}

#[test]
fn rollback_on_xfs() {
    cut_everywhere("xfs", 320, "rollback", 3);
}

#[test]
fn recycle_on_xfs() {
    cut_everywhere("xfs", 320, "recycle", 3);
}

#[test]
fn publish_on_btrfs() {
    cut_everywhere("btrfs", 128, "publish", 3);
}

#[test]
fn rollback_on_btrfs() {
    cut_everywhere("btrfs", 128, "rollback", 3);
}

#[test]
fn recycle_on_btrfs() {
    cut_everywhere("btrfs", 128, "recycle", 3);
}

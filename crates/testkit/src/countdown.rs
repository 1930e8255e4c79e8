//! The fault countdown: runs a verb again and again, with a fault at step 1, 2, 3, …, until a run ends
//! without meeting the fault.
//!
//! Kills happen in a child process: the test program itself, run once more with a test that does the task.
#![allow(clippy::print_stdout, reason = "prints the number of fault points")]

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use genstore::faults::{FaultKind, FaultPlan, Faults};

use crate::itself::itself;

/// Every kind of fault at a step.
pub const KINDS: [FaultKind; 4] =
    [FaultKind::Kill, FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

/// The kinds of faults without the kill.
pub const FAILURES: [FaultKind; 3] = [FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

/// One fault, at one step.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The call that changes the disk, counted from 1.
    pub step: u64,
}

/// The end of a verb with a fault.
#[derive(Debug)]
pub enum End {
    /// The fault's step is later than the verb's last step.
    Unmet,
    /// The verb was killed.
    Killed,
    /// The verb met the fault, and returned this.
    Met(genstore::Result<()>),
}

impl End {
    /// Returns whether the verb returned an error.
    pub fn is_failure(&self) -> bool {
        matches!(self, End::Met(Err(_)))
    }
}

/// Tries each fault of `kinds` at each step, starting at `first`. Counts and prints the steps of each kind.
/// `attempt` also gets a description for messages.
pub fn count_down(
    name: &str,
    kinds: &[FaultKind],
    first: u64,
    mut attempt: impl FnMut(Fault, &str) -> End,
) -> Vec<u64> {
    let mut points = Vec::new();
    for &kind in kinds {
        for step in first.. {
            if let End::Unmet = attempt(Fault { kind, step }, &format!("{name}, {kind:?} at step {step}")) {
                points.push(step - first);
                break;
            }
        }
    }
    println!("{name}: {points:?} fault points ({kinds:?})");
    points
}

/// Kills at each step, starting at `first`, and fails there once: each kind of failure has its turn. Where
/// `GENSTORE_ALL_FAULTS` is set, as in `scripts/soak`, each step has every failure. Returns and prints the
/// number of steps.
pub fn count_down_in_turn(name: &str, first: u64, mut attempt: impl FnMut(Fault, &str) -> End) -> u64 {
    let has_all = std::env::var_os("GENSTORE_ALL_FAULTS").is_some();
    // The turns of similar scenarios differ, so that together they try more.
    let offset: usize = name.bytes().map(usize::from).sum();
    for step in first.. {
        let turn = (offset + step as usize) % FAILURES.len();
        let failures = if has_all { &FAILURES[..] } else { &FAILURES[turn..=turn] };
        let kinds = [FaultKind::Kill].into_iter().chain(failures.iter().copied());
        let ends: Vec<End> = kinds
            .map(|kind| attempt(Fault { kind, step }, &format!("{name}, {kind:?} at step {step}")))
            .collect();
        if ends.iter().all(|end| matches!(end, End::Unmet)) {
            println!("{name}: {} fault points", step - first);
            return step - first;
        }
    }
    unreachable!("each verb ends")
}

impl Fault {
    /// Runs `act` with this fault. A child runs `task` instead if the fault is a kill.
    pub fn meet(self, task: &Task, act: impl FnOnce(Faults) -> genstore::Result<()>) -> End {
        if self.kind == FaultKind::Kill {
            return if kill_at(self.step, task) { End::Killed } else { End::Unmet };
        }
        self.fail(act)
    }

    /// Runs `act` with this fault, which is no kill.
    pub fn fail(self, act: impl FnOnce(Faults) -> genstore::Result<()>) -> End {
        let faults = Faults::inject(FaultPlan::step(self.step, self.kind));
        let result = act(faults.clone());
        let met = faults.count() >= self.step;
        assert!(met || result.is_ok(), "{self:?}: failed without a fault: {result:?}");
        if met { End::Met(result) } else { End::Unmet }
    }
}

/// The task of a child: the test that does it, a folder to work in, and words that this test understands.
#[derive(Debug)]
pub struct Task {
    test: Vec<OsString>,
    place: PathBuf,
    words: Vec<String>,
}

impl Task {
    /// Creates a task for a test, which asks for it with [`child_task`]. The words have no line breaks.
    pub fn new<T: Fn()>(test: T, place: &Path, words: &[&str]) -> Task {
        let words = words.iter().map(ToString::to_string).collect();
        Task { test: itself(test), place: place.to_owned(), words }
    }
}

const CHILD: &str = "GENSTORE_FAULT_CHILD";

/// Runs a task in a child that is killed at `step`. Returns whether the child got that far.
pub fn kill_at(step: u64, task: &Task) -> bool {
    let place = task.place.to_str().expect("a path of letters");
    let lines = format!("{step}\n{place}\n{}", task.words.join("\n"));
    let output = Command::new(&task.test[0])
        .args(&task.test[1..])
        .env(CHILD, lines)
        .output()
        .expect("run the child");
    match output.status.signal() {
        Some(9) => true,
        None if output.status.success() => false,
        _ => panic!(
            "{task:?}, kill at step {step}: the child ended by itself: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Returns the folder and the words of this process's task, and its fault, if it is a child.
pub fn child_task() -> Option<(PathBuf, Vec<String>, Faults)> {
    let lines = std::env::var(CHILD).ok()?;
    let mut lines = lines.split('\n').map(str::to_owned);
    let step = lines.next()?.parse().expect("a number");
    let place = lines.next().expect("a folder").into();
    let kill = FaultPlan::step(step, FaultKind::Kill);
    Some((place, lines.collect(), Faults::inject(kill)))
}

//! The fault countdown: a verb is run again and again, with a fault at step 1, 2, 3, …, until a run
//! gets through without meeting it.
//!
//! Kills happen in a child: the test program itself, run once more, of which only the test `child`
//! does something there.
#![allow(clippy::print_stdout, reason = "says how many fault points there were")]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use genstore::faults::{FaultKind, FaultPlan, Faults};

/// Everything that can go wrong at a step.
pub const KINDS: [FaultKind; 4] =
    [FaultKind::Kill, FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

/// What goes wrong at one step, without a kill.
pub const FAILURES: [FaultKind; 3] = [FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

/// One fault, at one step.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// At which call that changes the disk, counted from 1.
    pub step: u64,
}

/// How a verb with a fault ended.
#[derive(Debug)]
pub enum End {
    /// The fault was at a later step than it has.
    Unmet,
    /// It was killed.
    Killed,
    /// The fault was met, and the verb ended so.
    Met(genstore::Result<()>),
}

impl End {
    /// Returns whether the verb gave back an error.
    pub fn is_failure(&self) -> bool {
        matches!(self, End::Met(Err(_)))
    }
}

/// Tries each fault of `kinds` at each step from `first` on; counts the steps of each kind, and
/// prints them. An attempt gets words for messages, too.
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

impl Fault {
    /// Does `act` with this fault. Where that is a kill, a child does it instead: its task is `task`.
    pub fn meet(self, task: &Task, act: impl FnOnce(Faults) -> genstore::Result<()>) -> End {
        if self.kind == FaultKind::Kill {
            return if kill_at(self.step, task) { End::Killed } else { End::Unmet };
        }
        self.fail(act)
    }

    /// Does `act` with this fault, which is no kill.
    pub fn fail(self, act: impl FnOnce(Faults) -> genstore::Result<()>) -> End {
        let faults = Faults::inject(FaultPlan::step(self.step, self.kind));
        let result = act(faults.clone());
        let met = faults.count() >= self.step;
        assert!(met || result.is_ok(), "{self:?}: failed without a fault: {result:?}");
        if met { End::Met(result) } else { End::Unmet }
    }
}

/// What a child is told: where, and words of which the test program knows what they mean.
#[derive(Clone, Debug)]
pub struct Task {
    /// The folder to work in.
    pub place: PathBuf,
    /// What to do there. None has a line break.
    pub words: Vec<String>,
}

const CHILD: &str = "GENSTORE_FAULT_CHILD";

/// Has a child do a task, and be killed at `step`; tells whether it got that far.
pub fn kill_at(step: u64, task: &Task) -> bool {
    let place = task.place.to_str().expect("a path of letters");
    let lines = format!("{step}\n{place}\n{}", task.words.join("\n"));
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
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

/// In a child: gives its task, and the fault that kills it.
pub fn child_task() -> Option<(Task, Faults)> {
    let lines = std::env::var(CHILD).ok()?;
    let mut lines = lines.split('\n').map(str::to_owned);
    let step = lines.next()?.parse().expect("a number");
    let place = lines.next().expect("a folder").into();
    let kill = FaultPlan::step(step, FaultKind::Kill);
    Some((Task { place, words: lines.collect() }, Faults::inject(kill)))
}

/// Keeps the other tests of this program waiting.
///
/// While one test forks a child, the child has another's locks until it becomes its program: so one
/// at a time, where tests are threads of one process.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

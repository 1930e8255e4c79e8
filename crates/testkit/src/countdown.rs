//! The fault countdown: runs a verb again and again, with a fault at step 1, 2, 3, …, until a run ends
//! without meeting the fault.
//!
//! Kills happen in a child process: the test program itself, run once more, in which only the test `child`
//! does something.
#![allow(clippy::print_stdout, reason = "prints the number of fault points")]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use genstore::faults::{FaultKind, FaultPlan, Faults};

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

/// The task of a child: a folder, and words that the test program understands.
#[derive(Clone, Debug)]
pub struct Task {
    /// The folder to work in.
    pub place: PathBuf,
    /// The words of the task, without line breaks.
    pub words: Vec<String>,
}

const CHILD: &str = "GENSTORE_FAULT_CHILD";

/// Runs a task in a child that is killed at `step`. Returns whether the child got that far.
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

/// Returns the task and the fault of this process, if it is a child.
pub fn child_task() -> Option<(Task, Faults)> {
    let lines = std::env::var(CHILD).ok()?;
    let mut lines = lines.split('\n').map(str::to_owned);
    let step = lines.next()?.parse().expect("a number");
    let place = lines.next().expect("a folder").into();
    let kill = FaultPlan::step(step, FaultKind::Kill);
    Some((Task { place, words: lines.collect() }, Faults::inject(kill)))
}

/// Blocks the other tests of this program.
///
/// A forked child holds the locks of other tests until it executes its program. So tests that are threads
/// of one process must fork one at a time.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

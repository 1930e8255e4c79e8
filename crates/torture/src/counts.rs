//! The results of trials.

use std::path::PathBuf;

use crate::check::End;
use crate::trial::{Fault, Outcome};

/// The results of the trials of one scenario, or of all.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// The number of points where something can go wrong.
    pub points: u64,
    /// The number of trials.
    pub tried: u64,
    /// The trials in which the program was killed.
    pub killed: u64,
    /// The trials in which it failed.
    pub failed: u64,
    /// The trials in which it succeeded nevertheless.
    pub done: u64,
    /// The trials after which readers see the old state.
    pub old: u64,
    /// The trials after which readers see the new state.
    pub new: u64,
    /// The trials in which a promise did not hold.
    pub violations: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: Option<Outcome>) {
        self.tried += 1;
        let Some(outcome) = outcome else {
            self.violations += 1;
            return;
        };
        match outcome.end {
            End::Killed => self.killed += 1,
            End::Failed => self.failed += 1,
            End::Done => self.done += 1,
        }
        if outcome.new { self.new += 1 } else { self.old += 1 }
    }

    /// Adds the counts of other trials.
    pub fn add_all(&mut self, other: &Counts) {
        let sums = [
            (&mut self.points, other.points),
            (&mut self.tried, other.tried),
            (&mut self.killed, other.killed),
            (&mut self.failed, other.failed),
            (&mut self.done, other.done),
            (&mut self.old, other.old),
            (&mut self.new, other.new),
            (&mut self.violations, other.violations),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
    }
}

/// A promise that did not hold.
#[derive(Debug)]
pub struct Violation {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// The arguments of the program.
    pub command: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The operation that failed and its path, if it is one call.
    pub call: Option<String>,
    /// The failure of the promise.
    pub what: String,
    /// The folder that is kept for inspection.
    pub place: PathBuf,
}

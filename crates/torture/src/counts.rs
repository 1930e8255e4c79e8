//! The results of trials.

use std::path::PathBuf;

use crate::check::End;
use crate::trial::{Fault, Outcome};

/// What came of the trials of one scenario, or of all.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Places where something can go wrong.
    pub points: u64,
    /// Trials.
    pub tried: u64,
    /// The program was killed.
    pub killed: u64,
    /// It failed.
    pub failed: u64,
    /// It succeeded all the same.
    pub done: u64,
    /// Readers see what was there before.
    pub old: u64,
    /// Readers see what the command was to bring.
    pub new: u64,
    /// A promise did not hold.
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

    /// Adds the numbers of other trials.
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
    /// What went wrong, and where.
    pub fault: Fault,
    /// The operation that was disturbed and its path, where it is one call.
    pub call: Option<String>,
    /// How the promise did not hold.
    pub what: String,
    /// The folder that is kept for a look.
    pub place: PathBuf,
}

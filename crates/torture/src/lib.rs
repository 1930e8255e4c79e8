//! The torture: runs the program against temporary stores on a user's filesystem, kills it and injects
//! errors at each call that changes the disk, and checks the store's promises.
//!
//! It tries one scenario after the other, and in each one command after the other. A command is run once
//! with a trace, which counts its calls. Then it is run once for each call and each kind of fault, on an
//! exact copy of the prepared place. All runs are children, so this process holds no lock and survives
//! every kill. Power loss is not tested: that takes a whole disk.
//!
//! This crate opens no store and takes no lock. The module `check` checks the result of a trial. It shares
//! no code with the library except the hash.

mod check;
#[cfg(test)]
mod check_tests;
mod counts;
mod error;
pub mod faults;
mod place;
mod scenarios;
mod seams;
pub mod trees;
mod trial;
mod wire;

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use genstore::faults::{FaultKind, FaultStage};

use check::Shown;
pub use counts::{Counts, Violation};
pub use error::TortureError;
pub use place::make_sources;
use scenarios::{Points, Step};
pub use scenarios::{SCENARIOS, Scenario};
pub use seams::Seams;
use trial::{Act, Hand};
pub use trial::{Fault, Point};
pub use wire::receive;

/// The scratch folder, the selection of trials, and the stop signal.
pub struct Torture<'a> {
    /// The folder of the sources ([`make_sources`]), in which everything else is created and removed.
    pub scratch: &'a Path,
    /// The number of points per command; `None` means all.
    pub sample: Option<usize>,
    /// The faults at each point.
    pub kinds: &'a [FaultKind],
    /// Returns whether the user wants to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// The results of one scenario.
#[derive(Default)]
pub struct Tried {
    /// The counts.
    pub counts: Counts,
    /// Each promise that did not hold.
    pub violations: Vec<Violation>,
}

impl Torture<'_> {
    /// Tries one scenario. Folders of violations are kept, everything else is removed.
    ///
    /// # Errors
    /// If the scratch folder cannot be read or written, or if a command fails without a fault.
    pub fn run(&self, scenario: &'static Scenario) -> Result<Tried, TortureError> {
        let mut tried = Tried::default();
        let prepared = self.scratch.join("prepared");
        let wrong = |what| TortureError::Undisturbed { scenario: scenario.name, what };
        place::make(&prepared)?;
        for step in scenario.before {
            Hand.step(&prepared, *step, 0)?.map_err(wrong)?;
        }
        for step in scenario.acts {
            let Step::Run(command) = *step else {
                Hand.step(&prepared, *step, 0)?.map_err(wrong)?;
                continue;
            };
            let (unbroken, next) = (self.scratch.join("unbroken"), self.scratch.join("next"));
            let act = self.measure(scenario, command, [&prepared, &unbroken, &next])?;
            self.try_all(&act, &mut tried)?;
            place::remove(&prepared)?;
            place::rename(&next, &prepared)?;
        }
        place::remove(&prepared)?;
        Ok(tried)
    }

    /// Runs a command without faults, and records the expected results of the others. `next` becomes the
    /// place after it.
    fn measure<'s>(
        &self,
        scenario: &'s Scenario,
        command: &'static str,
        [prepared, unbroken, next]: [&Path; 3],
    ) -> Result<Act<'s>, TortureError> {
        let wrong = |what| TortureError::Undisturbed { scenario: scenario.name, what };
        let args = trial::fill(prepared, command)?;
        scenario.copy(prepared, unbroken)?;
        let trace = self.scratch.join("trace");
        let seams = Seams { trace: Some(trace.clone()), ..trial::undisturbed() };
        Hand.run(unbroken, &args, &seams)?.check(&args, scenario.exit).map_err(wrong)?;
        let text = std::fs::read(&trace)?;
        let text = String::from_utf8_lossy(&text).replace(&*unbroken.to_string_lossy(), "");
        place::unlink(&trace)?;
        check::judge_consumed(unbroken).map_err(wrong)?;
        trees::copy_exactly(unbroken, next)?;
        let act = Act {
            scenario,
            command,
            args,
            prepared: prepared.to_owned(),
            before: Shown::of(prepared).map_err(wrong)?,
            after: Shown::of(unbroken).map_err(wrong)?,
            given: check::given(prepared).map_err(wrong)?,
            settled: Hand.go_on(unbroken)?.map_err(wrong)?,
            calls: text.lines().map(|call| call.replacen(" /", " ", 1)).collect(),
        };
        place::remove(unbroken)?;
        Ok(act)
    }

    /// Tries all faults at a command, several at a time.
    fn try_all(&self, act: &Act<'_>, tried: &mut Tried) -> io::Result<()> {
        let points = match act.scenario.points {
            Points::Stages => FaultStage::ALL.map(Point::Stage).to_vec(),
            Points::Calls => sample(act.calls.len(), self.sample).into_iter().map(Point::Call).collect(),
        };
        let faults: Vec<Fault> = points
            .iter()
            .flat_map(|point| self.kinds.iter().map(|kind| Fault { point: *point, kind: *kind }))
            .collect();
        tried.counts.points += match act.scenario.points {
            Points::Stages => points.len(),
            Points::Calls => act.calls.len(),
        } as u64;
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || -> io::Result<()> {
            while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed))
                && !(self.stop)()
            {
                let place = self.scratch.join(act.folder(*fault));
                let result = act.try_fault(&Hand, &place, *fault)?;
                if result.is_ok() {
                    place::remove(&place)?;
                }
                found
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push((*fault, place, result));
            }
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE);
        std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, work);
            // If the system grants no more threads, there are fewer; this thread always works.
            let workers: Vec<_> = (1..threads).map_while(|number| start(number).ok()).collect();
            let own = work();
            let ended = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
            ended.fold(own, io::Result::and)
        })?;
        let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.sort_by_key(|(fault, ..)| faults.iter().position(|other| other == fault));
        for (fault, place, result) in found {
            tried.counts.add(result.as_ref().ok().copied());
            if let Err(what) = result {
                let call = match fault.point {
                    Point::Call(step) => act.calls.get(step - 1).cloned(),
                    Point::Stage(_) => None,
                };
                let (scenario, command) = (act.scenario.name, act.command);
                tried.violations.push(Violation { scenario, command, fault, call, what, place });
            }
        }
        Ok(())
    }
}

/// The most parallel trials. More are not faster if all wait for one disk.
const MOST_AT_ONCE: usize = 4;

/// Chooses evenly spaced points, including the first and the last.
fn sample(count: usize, wanted: Option<usize>) -> Vec<usize> {
    match wanted {
        Some(1) if count > 1 => vec![count.div_ceil(2)],
        Some(wanted) if wanted < count => (0..wanted).map(|n| 1 + n * (count - 1) / (wanted - 1)).collect(),
        _ => (1..=count).collect(),
    }
}

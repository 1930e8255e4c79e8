//! The torture: the program runs against scratch stores on a filesystem of the user's, is cut and
//! failed at each call that changes the disk, and what the store promises is looked after.
//!
//! It goes scenario by scenario, and in each command by command. A command is run once with
//! a trace, which counts its calls; then for each call and each kind of fault
//! once more, on an exact copy of the place that was prepared. All runs are children, so that this
//! process holds no lock and survives every kill. What is not tried is a loss of power: that takes
//! a disk of one's own.

//!
//! This crate opens no store and takes no lock. What a trial leaves is judged by `check`, which shares no
//! code with the library but the hash.

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

/// The scratch folder, what to try in it, and whom to listen to.
pub struct Torture<'a> {
    /// Where sources were made ([`make_sources`]), and where all else is made and removed.
    pub scratch: &'a Path,
    /// So many points of each command; `None` is all.
    pub sample: Option<usize>,
    /// What goes wrong at each point.
    pub kinds: &'a [FaultKind],
    /// Returns whether somebody wants it to end.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What came of one scenario.
#[derive(Default)]
pub struct Tried {
    /// The numbers.
    pub counts: Counts,
    /// Each promise that did not hold.
    pub violations: Vec<Violation>,
}

impl Torture<'_> {
    /// Tries one scenario. What was violated is kept in folders of its own, all else is removed.
    ///
    /// # Errors
    /// Where the scratch folder cannot be read or written, or a command fails undisturbed.
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

    /// Runs a command undisturbed, and learns from it what the disturbed ones have to come to.
    /// `next` becomes the place after it.
    fn measure<'s>(
        &self,
        scenario: &'s Scenario,
        command: &'static str,
        [prepared, unbroken, next]: [&Path; 3],
    ) -> Result<Act<'s>, TortureError> {
        let wrong = |what| TortureError::Undisturbed { scenario: scenario.name, what };
        let args = trial::fill(prepared, command)?;
        place::copy_exactly(prepared, unbroken)?;
        let trace = self.scratch.join("trace");
        let seams = Seams { trace: Some(trace.clone()), ..trial::undisturbed() };
        Hand.run(unbroken, &args, &seams)?.check(&args, scenario.exit).map_err(wrong)?;
        let text = std::fs::read(&trace)?;
        let text = String::from_utf8_lossy(&text).replace(&*unbroken.to_string_lossy(), "");
        place::unlink(&trace)?;
        check::judge_consumed(unbroken).map_err(wrong)?;
        place::copy_exactly(unbroken, next)?;
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

    /// Tries all faults at a command, a few at a time.
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
            // Where the system grants no more threads, there are fewer, and at last this one.
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

/// More do not make it faster where all wait for one disk.
const MOST_AT_ONCE: usize = 4;

/// Chooses points evenly, the first and the last among them.
fn sample(count: usize, wanted: Option<usize>) -> Vec<usize> {
    match wanted {
        Some(1) if count > 1 => vec![count.div_ceil(2)],
        Some(wanted) if wanted < count => (0..wanted).map(|n| 1 + n * (count - 1) / (wanted - 1)).collect(),
        _ => (1..=count).collect(),
    }
}

//! What is told of a torture: a line per scenario, the violations, the document
//! `genstore.torture/1`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::check::End;
use super::scenarios::SCENARIOS;
use super::trial::{Fault, Outcome, Point};
use crate::command::probe::Abilities;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{BAD, BOLD, GOOD};

/// What came of the trials of one scenario, or of all.
#[derive(Serialize, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Places where something can go wrong.
    pub(crate) points: u64,
    pub(crate) tried: u64,
    pub(crate) killed: u64,
    pub(crate) failed: u64,
    pub(crate) done: u64,
    pub(crate) old: u64,
    pub(crate) new: u64,
    pub(crate) violations: u64,
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

    pub(crate) fn add_all(&mut self, other: &Counts) {
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

    fn cells(&self) -> [String; 8] {
        let numbers = [
            self.points,
            self.tried,
            self.killed,
            self.failed,
            self.done,
            self.old,
            self.new,
            self.violations,
        ];
        numbers.map(human::number)
    }
}

const HEADS: [&str; 8] = ["points", "tried", "killed", "failed", "done", "old", "new", "violations"];

/// Writes the heads of the columns.
pub(crate) fn heads() -> String {
    format!("{BOLD}{}{BOLD:#}\n", line("scenario", &HEADS.map(str::to_owned)))
}

/// Writes a row.
pub(crate) fn row(name: &str, counts: &Counts) -> String {
    line(name, &counts.cells()) + "\n"
}

/// Rows come one by one, while the rest is still being tried: so the widths are fixed.
fn line(name: &str, cells: &[String]) -> String {
    let widest = SCENARIOS.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let mut text = format!("{name:widest$}");
    for (cell, head) in cells.iter().zip(HEADS) {
        text.push_str(&format!("  {cell:>0$}", head.len().max(6)));
    }
    text
}

/// A promise that did not hold.
#[derive(Serialize)]
pub(crate) struct Violation {
    scenario: &'static str,
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    kind: &'static str,
    /// The operation and its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    what: String,
    /// The folder that is kept for a look.
    #[serde(flatten)]
    kept: PathField,
    #[serde(skip)]
    place: PathBuf,
}

impl Violation {
    pub(crate) fn new(
        (scenario, command): (&'static str, &'static str),
        fault: Fault,
        calls: &[String],
        what: String,
        place: PathBuf,
    ) -> Violation {
        let (step, stage) = match fault.point {
            Point::Call(step) => (Some(step), None),
            Point::Stage(stage) => (None, Some(stage.name())),
        };
        let call = step.and_then(|step| calls.get(step - 1)).cloned();
        let (kind, kept) = (fault.kind(), PathField::of_path(&place));
        Violation { scenario, command, step, stage, kind, call, what, kept, place }
    }

    /// Tells it.
    pub(crate) fn text(&self) -> String {
        let at = match (self.step, self.stage) {
            (Some(step), _) => format!("step {step}"),
            (None, stage) => format!("stage {}", stage.unwrap_or_default()),
        };
        let call = self.call.as_ref().map(|call| format!(", {call}")).unwrap_or_default();
        format!(
            "{BAD}violation:{BAD:#} {}: `genstore {}`, {} at {at}{call}\n  {}\n  kept in {}\n",
            self.scenario,
            self.command,
            self.kind,
            self.what,
            show(&self.place)
        )
    }
}

/// The document.
#[derive(Serialize)]
pub(crate) struct TortureDoc {
    pub(crate) schema: &'static str,
    pub(crate) ok: bool,
    pub(crate) filesystem: Option<String>,
    pub(crate) abilities: Abilities,
    /// So many points of each scenario were tried; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<usize>,
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) scenarios: Vec<ScenarioDoc>,
    pub(crate) total: Counts,
    pub(crate) violations: Vec<Violation>,
    pub(crate) ms: u64,
}

#[derive(Serialize)]
pub(crate) struct ScenarioDoc {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Says what the filesystem is and can do.
pub(crate) fn ground(filesystem: Option<&str>, abilities: Abilities, dir: &str) -> String {
    let word = |has: bool, what: &str| format!("{}{what}", if has { "" } else { "no " });
    format!(
        "Filesystem {} at {dir}: {}, {}, {}, {}\n",
        filesystem.unwrap_or("of an unknown type"),
        word(abilities.flock, "flock"),
        word(abilities.hard_links, "hard links"),
        word(abilities.exchange, "exchange"),
        word(abilities.reflink, "reflink"),
    )
}

/// Says what came of it.
pub(crate) fn result(total: &Counts, took: Duration) -> String {
    let tried = format!("{} in {:.1} s", human::count(total.tried, "trial"), took.as_secs_f64());
    match total.violations {
        0 => format!("{tried}: {GOOD}no violations{GOOD:#}\n"),
        found => format!("{tried}: {BAD}{}{BAD:#}\n", human::count(found, "violation")),
    }
}

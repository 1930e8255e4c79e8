//! The output of a torture: a line per scenario, the violations, the document `genstore.torture/1`.

use std::time::Duration;

use genstore_torture::{Counts, Point, SCENARIOS, Violation};
use serde::Serialize;

use super::json::PathField;
use crate::probe::Abilities;
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{BAD, BOLD, GOOD};

/// Counts in the order of the columns, and as fields of the document.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct CountsDoc {
    /// The number of calls that change the disk.
    points: u64,
    /// The number of trials.
    tried: u64,
    /// The number of runs that were killed.
    killed: u64,
    /// The number of runs that failed.
    failed: u64,
    done: u64,
    old: u64,
    new: u64,
    /// The number of broken promises.
    violations: u64,
}

impl CountsDoc {
    pub(crate) fn of(counts: &Counts) -> CountsDoc {
        let Counts { points, tried, killed, failed, done, old, new, violations } = *counts;
        CountsDoc { points, tried, killed, failed, done, old, new, violations }
    }
}

fn cells(counts: &Counts) -> [String; 8] {
    let Counts { points, tried, killed, failed, done, old, new, violations } = *counts;
    [points, tried, killed, failed, done, old, new, violations].map(human::number)
}

const HEADS: [&str; 8] = ["points", "tried", "killed", "failed", "done", "old", "new", "violations"];

/// Formats the heads of the columns.
pub(crate) fn heads() -> String {
    format!("{BOLD}{}{BOLD:#}\n", line("scenario", &HEADS.map(str::to_owned)))
}

/// Formats a row.
pub(crate) fn row(name: &str, counts: &Counts) -> String {
    line(name, &cells(counts)) + "\n"
}

/// Formats a line. The widths are fixed, because rows are printed while other trials still run.
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
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ViolationDoc {
    /// The name of the scenario.
    scenario: &'static str,
    /// The command that was run.
    command: &'static str,
    /// The number of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    /// The stage of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    /// The kind of fault.
    kind: &'static str,
    /// The operation and its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// A sentence for people.
    what: String,
    /// The folder that is kept for inspection.
    #[serde(flatten)]
    kept: PathField,
}

impl ViolationDoc {
    pub(crate) fn of(violation: &Violation) -> ViolationDoc {
        let (step, stage) = match violation.fault.point {
            Point::Call(step) => (Some(step), None),
            Point::Stage(stage) => (None, Some(stage.name())),
        };
        ViolationDoc {
            scenario: violation.scenario,
            command: violation.command,
            step,
            stage,
            kind: violation.fault.kind(),
            call: violation.call.clone(),
            what: violation.what.clone(),
            kept: PathField::of_path(&violation.place),
        }
    }
}

/// Formats a violation for people.
pub(crate) fn violation(violation: &Violation) -> String {
    let at = match violation.fault.point {
        Point::Call(step) => format!("step {step}"),
        Point::Stage(stage) => format!("stage {}", stage.name()),
    };
    let call = violation.call.as_ref().map(|call| format!(", {call}")).unwrap_or_default();
    format!(
        "{BAD}violation:{BAD:#} {}: `genstore {}`, {} at {at}{call}\n  {}\n  kept in {}\n",
        violation.scenario,
        violation.command,
        violation.fault.kind(),
        violation.what,
        show(&violation.place)
    )
}

/// The document of a torture.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct TortureDoc {
    pub(crate) schema: &'static str,
    /// Whether every promise held.
    pub(crate) ok: bool,
    pub(crate) filesystem: Option<String>,
    pub(crate) abilities: Abilities,
    /// The number of points that were tried in each scenario; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<usize>,
    pub(crate) kinds: Vec<&'static str>,
    /// The scenarios.
    pub(crate) scenarios: Vec<ScenarioDoc>,
    pub(crate) total: CountsDoc,
    /// Broken promises.
    pub(crate) violations: Vec<ViolationDoc>,
    /// Durations in milliseconds.
    pub(crate) ms: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ScenarioDoc {
    /// The name of the scenario.
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) counts: CountsDoc,
}

/// Describes the filesystem and its features.
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

/// Formats the result.
pub(crate) fn result(total: &Counts, took: Duration) -> String {
    let tried = format!("{} in {:.1} s", human::count(total.tried, "trial"), took.as_secs_f64());
    match total.violations {
        0 => format!("{tried}: {GOOD}no violations{GOOD:#}\n"),
        found => format!("{tried}: {BAD}{}{BAD:#}\n", human::count(found, "violation")),
    }
}

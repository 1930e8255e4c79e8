//! `--plan`: one entry per line, each a JSON object. Every line is checked, and all problems are reported
//! together. The content of the lines stays in memory.
//!
//! A plan whose first line is `{"begin":true}` must have the last line `{"end":true}`. Without that line it
//! was cut off, and is refused. An end line is also allowed alone; nothing may follow it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::Result;
use genstore::error::Problem;
use genstore::plan::PlanBuilder;
use genstore::{Error, Plan};

use super::entry::{self, Read as Line, Refused, What};
use super::source::cannot_read;
use crate::errors::{BadInput, InputProblem};
use crate::text::human;

/// The longest line. Plans name larger files as `source`.
const LINE_MAX: u64 = 256 << 20;
/// An input with this many bad lines is no plan; the rest is not read.
const PROBLEMS_MAX: usize = 1000;

const HINT: &str = "correct the plan";

/// Parses a plan. `plan` has the rules.
///
/// # Errors
/// [`BadInput`] with every problem.
pub(crate) fn read(input: &mut dyn Read, name: &str, plan: PlanBuilder) -> Result<Plan> {
    read_lines(input, name, plan, LINE_MAX)
}

fn read_lines(input: &mut dyn Read, name: &str, mut plan: PlanBuilder, line_max: u64) -> Result<Plan> {
    let mut reader = BufReader::with_capacity(128 << 10, input);
    let mut problems: Vec<InputProblem> = Vec::new();
    let mut places: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut bytes = Vec::new();
    let mut frame = Frame::default();
    for number in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(line_max + 1).read_until(b'\n', &mut bytes);
        if read.map_err(|e| cannot_read(name, e))? == 0 {
            problems.extend(frame.cut_off(number));
            break;
        }
        let stops = match bytes.len() as u64 > line_max && bytes.last() != Some(&b'\n') {
            true => Some(format!("is longer than {}", human::bytes(line_max))),
            false if problems.len() >= PROBLEMS_MAX => Some("there are too many problems".to_owned()),
            false => None,
        };
        if let Some(why) = stops {
            let what = format!("{why}; the rest was not read");
            problems.push(InputProblem::of_line(number, None, what));
            break;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = entry::read(&bytes);
        if let Some(what) = frame.see(&line) {
            problems.push(InputProblem::of_line(number, None, what));
        }
        match line {
            Ok(Line::Begin | Line::End) => {}
            Ok(Line::Entry(path, what)) => {
                places.push((path.clone(), number));
                plan = match what {
                    What::File { executable: true, source } => plan.executable(path, source),
                    What::File { source, .. } => plan.file(path, source),
                    What::Symlink(target) => plan.symlink(path, target),
                    What::Dir => plan.dir(path),
                };
            }
            Err(Refused { path, problems: found }) => {
                let told = found.into_iter();
                problems.extend(told.map(|what| InputProblem::of_line(number, path.clone(), what)));
            }
        }
    }
    match plan.build() {
        Ok(plan) if problems.is_empty() => return Ok(plan),
        Ok(_) => {}
        Err(Error::BadPlan { problems: found }) => problems.extend(with_lines(found, &places)),
        Err(other) => return Err(other.into()),
    }
    problems.sort_by_key(|problem| problem.line);
    Err(BadInput::new(name, HINT, problems).into())
}

/// The begin and end lines of a plan.
#[derive(Default)]
struct Frame {
    /// Whether a line that is not blank was seen.
    begun: bool,
    promised: bool,
    ended: bool,
    /// Whether a line after the end was reported.
    told: bool,
}

impl Frame {
    /// Records a line. Returns the problem of its position.
    fn see(&mut self, line: &Result<Line, Refused>) -> Option<&'static str> {
        let first = !std::mem::replace(&mut self.begun, true);
        if self.ended {
            return (!std::mem::replace(&mut self.told, true)).then_some("is after the plan's end");
        }
        match line {
            Ok(Line::Begin) if first => self.promised = true,
            Ok(Line::Begin) => return Some("has `begin`, which only the first line may have"),
            Ok(Line::End) => self.ended = true,
            Ok(Line::Entry(..)) | Err(_) => {}
        }
        None
    }

    /// Returns the problem of a plan that lacks its announced end.
    fn cut_off(&self, line: u64) -> Option<InputProblem> {
        let what = "the plan is cut off: its first line announces a line {\"end\":true}, which is missing";
        (self.promised && !self.ended).then(|| InputProblem::of_line(line, None, what))
    }
}

/// Adds to each problem the last line with its path, and mentions the earlier lines.
fn with_lines(problems: Vec<Problem>, places: &[(Vec<u8>, u64)]) -> Vec<InputProblem> {
    let mut lines: HashMap<&[u8], Vec<u64>> = HashMap::new();
    for (path, line) in places {
        lines.entry(path).or_default().push(*line);
    }
    let with_line = |mut problem: Problem| {
        let Some((last, others)) = lines.get(&*problem.path).and_then(|lines| lines.split_last()) else {
            return InputProblem::from(problem);
        };
        if !others.is_empty() {
            let others: Vec<String> = others.iter().map(u64::to_string).collect();
            problem.what.push_str(&format!(" (also on line {})", others.join(", ")));
        }
        InputProblem { line: Some(*last), ..InputProblem::from(problem) }
    };
    problems.into_iter().map(with_line).collect()
}

#[cfg(test)]
#[path = "ndjson_tests.rs"]
mod tests;

//! `--plan`: one entry per line, each a JSON object. Every line is looked at, whatever is wrong with
//! those before it, and all problems come together. What the lines hold stays in memory.
//!
//! A plan whose first line is `{"begin":true}` promises that its last is `{"end":true}`: without that it
//! was cut off, and is refused. An end line may stand without the promise; nothing may follow it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::Result;
use genstore::error::Problem;
use genstore::plan::Symlinks;
use genstore::{Error, Plan};

use super::entry::{self, Read as Line, Refused, What};
use super::source::cannot_read;
use crate::errors::{BadInput, InputProblem};
use crate::text::human;

/// The longest line. A plan with larger files names them as `source`.
const LINE_MAX: u64 = 256 << 20;
/// Something with so many bad lines is no plan; the rest of it is not read.
const PROBLEMS_MAX: usize = 1000;

const HINT: &str = "correct the plan";

/// Reads a plan.
///
/// # Errors
/// [`BadInput`] with every problem.
pub(crate) fn read(input: &mut dyn Read, name: &str, symlinks: Symlinks) -> Result<Plan> {
    read_lines(input, name, symlinks, LINE_MAX)
}

fn read_lines(input: &mut dyn Read, name: &str, symlinks: Symlinks, line_max: u64) -> Result<Plan> {
    let mut reader = BufReader::with_capacity(128 << 10, input);
    let mut plan = Plan::builder().symlinks(symlinks);
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

/// Where a plan begins and ends, as far as it says so.
#[derive(Default)]
struct Frame {
    /// A line that is not blank was seen.
    begun: bool,
    promised: bool,
    ended: bool,
    /// A line behind the end was told of.
    told: bool,
}

impl Frame {
    /// Takes in a line; returns what is wrong with its place.
    fn see(&mut self, line: &Result<Line, Refused>) -> Option<&'static str> {
        let first = !std::mem::replace(&mut self.begun, true);
        if self.ended {
            return (!std::mem::replace(&mut self.told, true)).then_some("stands behind the plan's end");
        }
        match line {
            Ok(Line::Begin) if first => self.promised = true,
            Ok(Line::Begin) => return Some("has `begin`, which only the first line may have"),
            Ok(Line::End) => self.ended = true,
            Ok(Line::Entry(..)) | Err(_) => {}
        }
        None
    }

    /// Returns the problem of a plan that does not end as it promised.
    fn cut_off(&self, line: u64) -> Option<InputProblem> {
        let what = "the plan is cut off: it has no line {\"end\":true}, which its first line promises";
        (self.promised && !self.ended).then(|| InputProblem::of_line(line, None, what))
    }
}

/// Gives each problem the last line that has its path, and in words those before it.
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

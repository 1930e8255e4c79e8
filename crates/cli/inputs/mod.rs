//! What `publish` publishes: a directory, several roots, a plan as NDJSON, or a tar archive. Each
//! becomes a [`Plan`](genstore::Plan), so the same content gets the same tree id whichever way it came.

mod entry;
mod members;
mod ndjson;
mod pax;
mod roots;
mod sparse;
mod spool;
mod tar;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::{Error, Plan, Problem, Stage, Store};

use crate::command::context::Context;
use crate::render::output::show;
use crate::render::publish::Scanned;
use crate::text::human;
use crate::text::size;
use roots::Root;

/// What to publish, and limits of it.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Inputs {
    #[command(flatten)]
    from: From,
    /// Stop reading an archive that holds more than SIZE (write it like 500M or 2GiB)
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with_all = ["dir", "roots", "plan"])]
    max_total: Option<u64>,
}

/// The one thing that is published.
#[derive(Args)]
#[group(id = "input", required = true, multiple = false)]
struct From {
    /// The directory to publish
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Put a directory, or a single file, at NAME; may stand several times
    #[arg(long = "root", value_name = "NAME=PATH", value_parser = roots::parser())]
    roots: Vec<Root>,
    /// Publish what the lines of FILE name, each a JSON object
    #[arg(long, value_name = "FILE|-")]
    plan: Option<PathBuf>,
    /// Publish the members of a tar archive
    #[arg(long, value_name = "FILE|-")]
    from_tar: Option<PathBuf>,
}

impl Inputs {
    /// Returns whether it is a stream whose bytes a stage must take in before there is a plan.
    pub(crate) fn is_stream(&self) -> bool {
        self.from.from_tar.is_some()
    }

    /// Makes a plan of it. `place` is where the store is, or will be made if there is none yet;
    /// `stage` takes in what comes as a stream.
    pub(crate) fn plan(
        &self,
        context: &Context<'_>,
        store: Option<&Store>,
        place: &Path,
        stage: Option<&Stage<'_>>,
    ) -> Result<Scanned> {
        let start = Instant::now();
        let rules = context.scan_rules(store)?;
        let from = &self.from;
        let plan = if let Some(dir) = &from.dir {
            if store.is_none() && would_hold(dir, place) {
                return Err(Error::BadSource { path: dir.clone(), why: STORE_WITHIN }.into());
            }
            Plan::scan(dir, &rules)?
        } else if let Some(file) = &from.plan {
            let (name, mut bytes) = open(file)?;
            ndjson::read(&mut bytes, &name, rules.symlinks)?
        } else if let (Some(file), Some(mut stage)) = (&from.from_tar, stage) {
            let (name, mut bytes) = open(file)?;
            tar::read(&mut bytes, &name, rules.symlinks, self.limit(context)?, &mut stage)?
        } else {
            let future = store.is_none().then_some(place);
            roots::plan(&from.roots, &rules, future)?
        };
        Ok(Scanned { plan, time: start.elapsed(), build: None })
    }

    /// Tells how many bytes an archive may hold: as the flag says, or else as the audit allows.
    fn limit(&self, context: &Context<'_>) -> Result<Option<u64>> {
        let audit = context.project()?.and_then(|project| project.config.audit.max_total);
        Ok(self.max_total.or(audit))
    }

    /// Names it, for the head of a difference.
    pub(crate) fn title(&self) -> String {
        let from = &self.from;
        match (&from.dir, from.plan.as_ref().or(from.from_tar.as_ref())) {
            (Some(dir), _) => show(dir),
            (None, Some(file)) => name_of(file),
            (None, None) => human::count(from.roots.len() as u64, "root"),
        }
    }
}

const STORE_WITHIN: &str = "the store lies in it";

/// Returns whether a store that is made at `place` would lie in `source`.
fn would_hold(source: &Path, place: &Path) -> bool {
    let find = |path: &Path| std::fs::canonicalize(path).ok();
    // What is missing here is reported by whoever needs it.
    let (Some(real), Ok(absolute)) = (find(source), std::path::absolute(place)) else { return false };
    absolute.ancestors().any(|above| find(above).as_ref() == Some(&real))
}

fn name_of(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { show(file) }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Opens a file, or stdin for `-`, and names it.
fn open(file: &Path) -> Result<(String, Box<dyn Read>)> {
    if is_stdin(file) {
        return Ok((name_of(file), Box::new(std::io::stdin().lock())));
    }
    let opened =
        File::open(file).map_err(|source| Error::Io { op: "open", path: file.to_owned(), source })?;
    Ok((name_of(file), Box::new(opened)))
}

/// Makes an error of a failed read of an input.
fn cannot_read(input: &str, source: std::io::Error) -> Error {
    Error::Io { op: "read", path: input.into(), source }
}

/// All that is wrong with an input that was read whole.
#[derive(Debug)]
pub(crate) struct BadInput {
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) problems: Vec<InputProblem>,
}

/// One thing that is wrong, and where it stands.
#[derive(Debug)]
pub(crate) struct InputProblem {
    /// The line of a plan.
    pub(crate) line: Option<u64>,
    /// The path in the plan, as far as it could be read.
    pub(crate) path: Option<Vec<u8>>,
    /// A sentence's end.
    pub(crate) what: String,
}

impl BadInput {
    fn new(input: &str, hint: &str, problems: Vec<InputProblem>) -> BadInput {
        // Links that lead elsewhere are the one thing that a project may allow.
        let links = problems.iter().any(|problem| problem.what.contains(" symlink "));
        let allow = match links {
            true => ", or allow such links with `symlinks = \"any\"` under [publish] in genstore.toml",
            false => "; nothing was written",
        };
        let count = human::count(problems.len() as u64, "problem");
        BadInput {
            message: format!("cannot publish {input}: {count}"),
            hint: format!("{hint}{allow}"),
            problems,
        }
    }
}

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadInput {}

impl std::fmt::Display for InputProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_empty()) {
            write!(f, "{} ", genstore::show_path(path))?;
        }
        f.write_str(&self.what)
    }
}

impl std::convert::From<Problem> for InputProblem {
    fn from(problem: Problem) -> InputProblem {
        InputProblem { line: None, path: Some(problem.path), what: problem.what }
    }
}

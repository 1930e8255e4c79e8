//! `torture`: tests on a user's filesystem that the store keeps its promises there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::faults::FaultKind;
use genstore::{Durability, Error, Store};
use genstore_run::Interrupts;
use genstore_torture::faults::{KINDS, parse_kind};
use genstore_torture::{Counts, SCENARIOS, Scenario, Torture as Trials, TortureError, make_sources};
use tempfile::TempDir;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::probe::{self, Abilities};
use crate::render::torture::{self as report, CountsDoc, ScenarioDoc, TortureDoc, ViolationDoc};
use crate::text::escape::show;

#[derive(Args)]
pub(crate) struct Torture {
    /// The number of calls that change the disk to test in each command
    #[arg(long, value_name = "all|N", default_value = "2", value_parser = parse_steps)]
    steps: Steps,
    /// The faults to inject: kill, eio (once), eio-from (and at all later calls), enospc
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_kind)]
    #[arg(default_value = "kill,eio,eio-from,enospc")]
    kinds: Vec<FaultKind>,
    /// Run only scenarios whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A directory on the filesystem to test; a folder is created in it, and removed at the end
    #[arg(value_name = "DIR", value_parser = crate::globals::filled_path())]
    dir: PathBuf,
}

#[derive(Clone, Copy)]
enum Steps {
    All,
    Sample(usize),
}

fn parse_steps(text: &str) -> Result<Steps, &'static str> {
    match text.parse() {
        _ if text == "all" => Ok(Steps::All),
        Ok(count @ 1..) => Ok(Steps::Sample(count)),
        _ => Err("expected `all` or a number from 1"),
    }
}

impl Torture {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        let scenarios = self.scenarios()?;
        // This comes before the folder is made, so that an interrupt still removes it.
        let interrupts =
            Interrupts::install().map_err(|e| io("catch signals with", Path::new("/proc"), e))?;
        let dir = self.dir.canonicalize().map_err(|e| io("find", &self.dir, e))?;
        refuse_within_a_store(context, &dir)?;
        let (scratch, abilities) = ground(&dir)?;
        let filesystem = probe::filesystem_of(&dir);
        print(context, &(report::ground(filesystem.as_deref(), abilities, &show(&dir)) + &report::heads()));
        let trials = Trials {
            scratch: scratch.path(),
            sample: match self.steps {
                Steps::All => None,
                Steps::Sample(count) => Some(count),
            },
            kinds: &self.kinds,
            stop: &|| interrupts.signal().is_some(),
        };
        let (mut total, mut rows, mut violations) = (Counts::default(), vec![], vec![]);
        for scenario in scenarios {
            let tried = trials.run(scenario).map_err(cannot_go_on)?;
            if interrupts.signal().is_some() {
                break;
            }
            print(context, &report::row(scenario.name, &tried.counts));
            total.add_all(&tried.counts);
            rows.push(ScenarioDoc { name: scenario.name, counts: CountsDoc::of(&tried.counts) });
            violations.extend(tried.violations);
        }
        let name = |kind: &FaultKind| KINDS.iter().find(|(_, other)| other == kind).map(|(name, _)| *name);
        let document = TortureDoc {
            schema: "genstore.torture/1",
            ok: violations.is_empty(),
            filesystem,
            abilities,
            steps: trials.sample,
            kinds: self.kinds.iter().filter_map(name).collect(),
            scenarios: rows,
            total: CountsDoc::of(&total),
            violations: violations.iter().map(ViolationDoc::of).collect(),
            ms: start.elapsed().as_millis() as u64,
        };
        let removed = match document.ok {
            true => scratch.close(),
            false => {
                drop(scratch.keep());
                Ok(())
            }
        };
        let removed = removed.map_err(|e| io("remove the scratch folder in", &dir, e));
        if let Some(signal) = interrupts.signal() {
            removed?;
            context.out.note("interrupted");
            return Ok(128 + u8::try_from(signal).unwrap_or_default());
        }
        context.out.emit(&document, || {
            let found: String = violations.iter().map(report::violation).collect();
            report::row("total", &total) + &found + &report::result(&total, start.elapsed())
        });
        removed?;
        Ok(if document.ok { exit::DONE } else { exit::FAILED })
    }

    fn scenarios(&self) -> Result<Vec<&'static Scenario>> {
        let is_wanted = |name: &str| self.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
        let scenarios: Vec<_> = SCENARIOS.iter().filter(|scenario| is_wanted(scenario.name)).collect();
        if scenarios.is_empty() {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            let hint = format!("the scenarios are: {}", names.join("; "));
            let fail = Fail::usage("no-such-scenario", "no scenario has that text in its name");
            return Err(Fail { hint, ..fail }.into());
        }
        Ok(scenarios)
    }
}

/// Prints text for people.
fn print(context: &Context<'_>, text: &str) {
    if !context.out.json() {
        context.out.text(text);
    }
}

fn io(op: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { op, path: path.to_owned(), source }
}

/// Creates the scratch folder and the sources in it.
///
/// # Errors
/// If the filesystem cannot hold a store.
fn ground(dir: &Path) -> Result<(TempDir, Abilities)> {
    let scratch = scratch_in(dir).map_err(|e| io("make a folder in", dir, e))?;
    let found = probe::probe(scratch.path()).map_err(|e| io("write to", scratch.path(), e))?;
    if !found.flock || !found.hard_links {
        let lacks = if found.flock { "hard links" } else { "locks (flock)" };
        let message = format!("the filesystem at {} has no {lacks}", show(dir));
        let hint = "a store needs them: use a local filesystem such as ext4, xfs or btrfs";
        return Err(Fail::new("torture-ground", message, hint).into());
    }
    make_sources(scratch.path()).map_err(|e| io("write to", scratch.path(), e))?;
    Ok((scratch, found))
}

fn cannot_go_on(error: TortureError) -> anyhow::Error {
    match error {
        TortureError::Io(error) => error.into(),
        TortureError::Undisturbed { .. } => {
            let hint = "this filesystem cannot hold a store";
            Fail::new("torture-undisturbed", error.to_string(), hint).into()
        }
    }
}

fn scratch_in(dir: &Path) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("genstore-torture-").tempdir_in(dir)
}

/// Refuses a directory inside a store, where `gc` and `verify` would find the scratch folder.
fn refuse_within_a_store(context: &Context<'_>, dir: &Path) -> Result<()> {
    let options = context.options(Some(Durability::None))?;
    let is_store =
        |dir: &&Path| matches!(Store::open(dir, options.clone()), Ok(_) | Err(Error::NewerFormat { .. }));
    let Some(store) = dir.ancestors().find(is_store) else { return Ok(()) };
    let message = format!("{} is inside the store {}", show(dir), show(store));
    Err(Fail::new("target-in-store", message, "name a directory outside of it").into())
}

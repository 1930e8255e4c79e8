//! `torture`: proves on a filesystem of the user's that the store keeps its promises there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::{Durability, Error, FaultKind, Store};
use genstore_run::Interrupts;
use tempfile::TempDir;

use crate::command::context::Context;
use crate::command::probe;
use crate::errors::Fail;
use crate::exit;
use crate::faults::{KINDS, parse_kind};
use crate::text::escape::show;
use crate::torture::Torture as Trials;
use crate::torture::place;
use crate::torture::report::{self, Counts, ScenarioDoc, TortureDoc};
use crate::torture::scenarios::SCENARIOS;
use crate::torture::trial::Hand;

#[derive(Args)]
pub(crate) struct Torture {
    /// How many of the calls that change the disk are cut and failed in each command
    #[arg(long, value_name = "all|N", default_value = "2", value_parser = parse_steps)]
    steps: Steps,
    /// What goes wrong: kill, eio (once), eio-from (and at all later calls), enospc
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_kind)]
    #[arg(default_value = "kill,eio,eio-from,enospc")]
    kinds: Vec<FaultKind>,
    /// Try only the scenarios whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A directory on the filesystem; a folder is made in it, and removed in the end
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
        _ => Err("it is neither all nor a number from 1"),
    }
}

impl Torture {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        let scenarios = SCENARIOS
            .iter()
            .filter(|scenario| self.only.as_ref().is_none_or(|text| scenario.name.contains(text.as_str())));
        let scenarios: Vec<_> = scenarios.collect();
        if scenarios.is_empty() {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            let hint = format!("there are: {}", names.join("; "));
            return Err(
                Fail { hint, ..Fail::usage("no-such-scenario", "no scenario has such a name") }.into()
            );
        }
        let io = |op, path: &Path, source| Error::Io { op, path: path.to_owned(), source };
        // Before the folder is made, so that nothing ends us without removing it.
        let interrupts =
            Interrupts::install().map_err(|e| io("catch signals with", Path::new("/proc"), e))?;
        let dir = self.dir.canonicalize().map_err(|e| io("find", &self.dir, e))?;
        refuse_within_a_store(context, &dir)?;
        let scratch = scratch_in(&dir).map_err(|e| io("make a folder in", &dir, e))?;
        let found = probe::probe(scratch.path()).map_err(|e| io("write to", scratch.path(), e))?;
        if !found.flock || !found.hard_links {
            let lacks = if found.flock { "hard links" } else { "locks (flock)" };
            let message = format!("the filesystem at {} has no {lacks}", show(&dir));
            let hint = "a store needs them: use a local filesystem such as ext4, xfs or btrfs";
            return Err(Fail::new("torture-ground", message, hint).into());
        }
        place::make_sources(scratch.path()).map_err(|e| io("write to", scratch.path(), e))?;
        let filesystem = probe::filesystem_of(&dir);
        let tell = |text: &str| {
            if !context.out.json() {
                context.out.text(text);
            }
        };
        tell(&(report::ground(filesystem.as_deref(), found, &show(&dir)) + &report::heads()));
        let trials = Trials {
            hand: Hand,
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
            let tried = trials.run(scenario)?;
            if interrupts.signal().is_some() {
                break;
            }
            tell(&report::row(scenario.name, &tried.counts));
            total.add_all(&tried.counts);
            rows.push(ScenarioDoc { name: scenario.name, counts: tried.counts });
            violations.extend(tried.violations);
        }
        let name = |kind: &FaultKind| KINDS.iter().find(|(_, other)| other == kind).map(|(name, _)| *name);
        let document = TortureDoc {
            schema: "genstore.torture/1",
            ok: violations.is_empty(),
            filesystem,
            abilities: found,
            steps: trials.sample,
            kinds: self.kinds.iter().filter_map(name).collect(),
            scenarios: rows,
            total,
            violations,
            ms: start.elapsed().as_millis() as u64,
        };
        let removed = match document.ok {
            true => scratch.close(),
            false => {
                drop(scratch.keep());
                Ok(())
            }
        };
        if let Some(signal) = interrupts.signal() {
            removed.map_err(|e| io("remove the scratch folder in", &dir, e))?;
            context.out.note("interrupted");
            return Ok(128 + u8::try_from(signal).unwrap_or_default());
        }
        context.out.emit(&document, || {
            let told: String = document.violations.iter().map(report::Violation::text).collect();
            report::row("total", &total) + &told + &report::result(&total, start.elapsed())
        });
        removed.map_err(|e| io("remove the scratch folder in", &dir, e))?;
        Ok(if document.ok { exit::DONE } else { exit::FAILED })
    }
}

/// Checks that the folder to be made is no stranger in somebody's store, where `gc` and `verify` meet it.
fn refuse_within_a_store(context: &Context<'_>, dir: &Path) -> Result<()> {
    let options = context.options(Some(Durability::None))?;
    let is_store =
        |dir: &&Path| matches!(Store::open(dir, options.clone()), Ok(_) | Err(Error::NewerFormat { .. }));
    let Some(store) = dir.ancestors().find(is_store) else { return Ok(()) };
    let message = format!("{} lies in the store {}", show(dir), show(store));
    Err(Fail::new("target-in-store", message, "name a directory elsewhere").into())
}

fn scratch_in(dir: &Path) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("genstore-torture-").tempdir_in(dir)
}

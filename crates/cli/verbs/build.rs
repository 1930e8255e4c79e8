//! `build`: runs a command that writes to a stage, and publishes what it wrote.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use genstore::{GenerationId, Rev, Stage, Store};
use genstore_run::{Ended, Job, Limits, Log, Output};

use crate::context::Context;
use crate::errors::{BuildFailed, Fail};
use crate::output;
use crate::publishing::{Pending, Wishes};
use crate::render::human;
use crate::render::publish::Scanned;
use crate::running::{self, Done};
use crate::time;

/// So much of a build's output is kept.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

#[derive(Args)]
pub(crate) struct Build {
    #[command(flatten)]
    wishes: Wishes,
    /// Stop the command after so long
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
    /// The command and its arguments; without one, that of the project's file
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,
}

impl Build {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let facts = self.wishes.facts()?;
        let mut job = self.job(context)?;
        let limits = self.limits(context)?;
        let (store, created) = context.open_or_create(self.wishes.durability())?;
        let expect = self.wishes.expect(Some(&store))?;
        // The lease keeps it as long as the build may read it.
        let previous = match store.current()? {
            Some(id) => Some(store.open_generation(&Rev::Number(id))?),
            None => None,
        };
        let stage = store.begin()?;
        job.env.push(("GENSTORE_OUT".into(), stage.path().into()));
        let old = previous.as_ref().map(|generation| generation.id());
        surround(&mut job, &store, old);
        let log = Log { file: stage.log()?, limit_bytes: LOG_LIMIT_BYTES };
        let json = context.out.json();
        let output = Output::to(move |stream, bytes| output::pass_on(stream, bytes, json)).with_log(log);
        context.progress.finish();
        let Done { finished, time } = running::run(context, &job, output, limits)?;
        drop(previous);
        if finished.ended != Ended::Exited(0) {
            let name = human::line(&job.program.to_string_lossy(), 60);
            let why = running::ending(&name, finished.ended);
            return Err(self.failed(context, stage, why, finished.ended.exit_code()));
        }
        let start = Instant::now();
        let plan = stage.scan(&context.scan_rules(None)?)?;
        if plan.is_empty() {
            let why = "it wrote nothing to GENSTORE_OUT".to_owned();
            return Err(self.failed(context, stage, why, crate::errors::exit::FAILED));
        }
        let scanned = Scanned { plan, time: start.elapsed(), build: Some(time) };
        let staged = stage.seal_plan(&scanned.plan, self.wishes.stage_options(false))?;
        let pending = Pending { store: &store, created, scanned: &scanned, facts, expect, start };
        self.wishes.conclude(context, pending, staged)
    }

    /// Finds the command: the one that is given, where the program was started; or else the
    /// project's.
    fn job(&self, context: &Context<'_>) -> Result<Job> {
        let project = context.project()?;
        let section = project.map(|project| &project.config.build);
        let words = match section.and_then(|section| section.command.as_ref()) {
            _ if !self.command.is_empty() => self.command.clone(),
            Some(command) => command.words(),
            None => {
                let fail = Fail::usage("no-command", "there is no command to build with");
                let hint = "name one after `--`, or as `command` under [build] in genstore.toml";
                return Err(Fail { hint: hint.to_owned(), ..fail }.into());
            }
        };
        let mut job = running::job(&words).ok_or_else(|| running::no_command("[build]"))?;
        if let (Some(project), true) = (project, self.command.is_empty()) {
            let root = project.root();
            job.cwd =
                Some(section.and_then(|s| s.cwd.as_ref()).map_or(root.to_owned(), |cwd| root.join(cwd)));
        }
        let env = section.map(|section| &section.env);
        job.env = env.into_iter().flatten().map(|(key, value)| (key.into(), value.into())).collect();
        Ok(job)
    }

    fn limits(&self, context: &Context<'_>) -> Result<Limits> {
        let mut limits = Limits { timeout: self.timeout, ..Limits::default() };
        if let Some(project) = context.project()? {
            let section = &project.config.build;
            limits.timeout = limits.timeout.or(section.timeout);
            limits.stop_timeout = section.stop_timeout.unwrap_or(limits.stop_timeout);
        }
        Ok(limits)
    }

    /// Ends the stage of a build that failed, and keeps its log.
    fn failed(&self, context: &Context<'_>, stage: Stage<'_>, why: String, status: u8) -> anyhow::Error {
        let keep = match context.project() {
            Ok(project) => project.map(|p| p.config.audit.keep_failed()).unwrap_or_default(),
            Err(error) => return error,
        };
        let failed = match stage.fail(&why, keep) {
            Ok(failed) => Some(failed),
            Err(error) => {
                context.out.warn(&format!("the log of the build could not be kept: {error}"));
                None
            }
        };
        BuildFailed { why, status, failed }.into()
    }
}

/// Tells the command of the generation that is current, which incremental builders begin from.
fn surround(job: &mut Job, store: &Store, previous: Option<GenerationId>) {
    match previous {
        Some(id) => job.env.extend([
            ("GENSTORE_PREV".into(), store.tree_path(id).into()),
            ("GENSTORE_GENERATION".into(), id.to_string().into()),
        ]),
        None => job.env_remove.extend(["GENSTORE_PREV".into(), "GENSTORE_GENERATION".into()]),
    }
}

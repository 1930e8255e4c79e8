//! `build`: runs a command that writes to a stage, and publishes its output.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use genstore::Plan;
use genstore_run::{Ended, Output};

use crate::command::advice;
use crate::command::before::check_publish;
use crate::command::building::{Builder, Prepared, failed};
use crate::command::choice::Choice;
use crate::command::context::Context;
use crate::command::publishing::{Pending, PublishArgs};
use crate::command::running::{self, Done};
use crate::command::stale::Stale;
use crate::globals;
use crate::render::output;
use crate::render::publish::Scanned;
use crate::text::{human, time};

#[derive(Args)]
pub(crate) struct Build {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    args: PublishArgs,
    /// Publish this folder, which the command writes to and keeps, instead of GENSTORE_OUT
    #[arg(long, value_name = "DIR", value_parser = globals::filled_path())]
    output: Option<PathBuf>,
    /// Stop the command after this time
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
    /// The command and its arguments [default: the command of the project's file]
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,
}

impl Build {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        context.choose(&self.choice);
        let facts = self.args.facts()?;
        let builder = Builder::new(context, &self.command, self.output.as_deref(), self.timeout)?;
        check_publish(context)?;
        let (store, created) = context.open_or_create(self.args.durability())?;
        if created {
            advice::hint_of_new(context, store.path())?;
        }
        let expect = self.args.expect(Some(&store))?;
        let Prepared { stage, job, log, previous, began } = builder.prepare(&store)?;
        let json = context.out.json();
        let output = Output::to(move |stream, bytes| output::pass_on(stream, bytes, json)).with_log(log);
        context.progress.finish();
        let name = human::line(&job.program.to_string_lossy(), 60);
        let warn = |warning: String| context.out.warn(&warning);
        let start = || builder.start(&store, &stage, job, output, warn);
        let Done { finished, time } = running::finish(context, start, builder.limits)?;
        drop(previous);
        if finished.ended != Ended::Exited(0) {
            let why = running::ending(&name, finished.ended);
            return Err(failed(context, stage, why, Some(finished.ended)));
        }
        let start = Instant::now();
        let plan = match builder.plan(context, &stage, self.args.emptying(context)?, |output| {
            let rules = context.scan_rules(Some(&store))?;
            if let Some(stale) = builder.find_stale(context, &rules, began)? {
                context.out.warn(&stale.line(output));
                if !stale.removed {
                    context.out.hint(Stale::HINT);
                }
            }
            Ok(Plan::scan(output, &rules)?)
        })? {
            Ok(plan) => plan,
            Err(why) => return Err(failed(context, stage, why, None)),
        };
        let scanned = Scanned { plan, time: start.elapsed(), build: Some(time) };
        let options = self.args.stage_options(context, false)?;
        let staged = stage.seal_plan(&scanned.plan, options)?;
        let pending = Pending { store: &store, created, scanned: &scanned, facts, expect, start };
        self.args.audit_and_commit(context, pending, staged)
    }
}

//! `commit`: seals a stage, audits it, and publishes it as a generation.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::plan::Base;
use genstore::{Plan, Rev};

use crate::command::before::check_publish;
use crate::command::choice::Choice;
use crate::command::context::Context;
use crate::command::publishing::{Pending, PublishArgs};
use crate::command::stages::StageArg;
use crate::render::publish::Scanned;

#[derive(Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    stage: StageArg,
    #[command(flatten)]
    choice: Choice,
    /// Keep what this generation has beside the stage, without reading it
    #[arg(long, value_name = "REF")]
    base: Option<Rev>,
    #[command(flatten)]
    args: PublishArgs,
}

impl Commit {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        context.choose(&self.choice);
        let facts = self.args.facts()?;
        check_publish(context)?;
        let store = context.open_with(self.args.durability())?;
        let expect = self.args.expect_with_base(Some(&store), self.base.clone())?;
        let stage = store.resume(&self.stage.id(&store)?)?;
        let rules = context.scan_rules(None)?;
        let mut plan = Plan::builder().rules(&rules);
        if let Some(base) = &self.base {
            plan = plan.base(Base::of(store.open_generation(base)?)?);
        }
        let plan = stage.scan_onto(plan, &rules)?;
        let scanned = Scanned { plan, time: start.elapsed(), build: None };
        let options = self.args.stage_options(context, false)?;
        let staged = stage.seal_plan(&scanned.plan, options)?;
        let pending = Pending { store: &store, created: false, scanned: &scanned, facts, expect, start };
        self.args.audit_and_commit(context, pending, staged)
    }
}

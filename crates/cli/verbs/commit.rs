//! `commit`: seals a stage, audits it, and publishes it as a generation.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::command::before::check_publish;
use crate::command::context::Context;
use crate::command::publishing::{Pending, PublishArgs};
use crate::command::stages::StageArg;
use crate::render::publish::Scanned;

#[derive(Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    stage: StageArg,
    #[command(flatten)]
    args: PublishArgs,
}

impl Commit {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        let facts = self.args.facts()?;
        check_publish(context)?;
        let store = context.open_with(self.args.durability())?;
        let expect = self.args.expect(Some(&store))?;
        let stage = store.resume(&self.stage.id(&store)?)?;
        let plan = stage.scan(&context.scan_rules(None)?)?;
        let scanned = Scanned { plan, time: start.elapsed(), build: None };
        let options = self.args.stage_options(context, false)?;
        let staged = stage.seal_plan(&scanned.plan, options)?;
        let pending = Pending { store: &store, created: false, scanned: &scanned, facts, expect, start };
        self.args.audit_and_commit(context, pending, staged)
    }
}

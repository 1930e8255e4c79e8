//! `commit`: seals a stage, audits it, and publishes it as a generation.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::command::before::check_publish;
use crate::command::context::Context;
use crate::command::publishing::{Pending, Wishes};
use crate::command::stages::StageArg;
use crate::render::publish::Scanned;

#[derive(Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    stage: StageArg,
    #[command(flatten)]
    wishes: Wishes,
}

impl Commit {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        let facts = self.wishes.facts()?;
        check_publish(context)?;
        let store = context.open_with(self.wishes.durability())?;
        let expect = self.wishes.expect(Some(&store))?;
        let stage = store.resume(&self.stage.id(&store)?)?;
        let plan = stage.scan(&context.scan_rules(None)?)?;
        let scanned = Scanned { plan, time: start.elapsed(), build: None };
        let options = self.wishes.stage_options(context, false)?;
        let staged = stage.seal_plan(&scanned.plan, options)?;
        let pending = Pending { store: &store, created: false, scanned: &scanned, facts, expect, start };
        self.wishes.conclude(context, pending, staged)
    }
}

//! `resume`: lets `watch` activate again after a rollback, and activates what was built meanwhile.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::publish::HoldEnded;
use serde::Serialize;

use super::switch::{moved, print_refreshed};
use crate::command::context::Context;
use crate::command::hooks;
use crate::render::json::WarningDoc;
use crate::text::style::GOOD;

#[derive(Args)]
pub(crate) struct Resume {}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ResumeDoc {
    schema: &'static str,
    /// Whether there was a hold.
    held: bool,
    generation: Option<GenerationId>,
    previous: Option<GenerationId>,
    /// Whether anything changed.
    changed: bool,
    /// Whether the generation is still current after the hooks.
    current: bool,
    /// The number of files that got an inode of their own, with a newer mtime.
    refreshed: u64,
    /// Whether the change survives a power loss.
    durable: bool,
    /// Failures after the commit.
    warnings: Vec<WarningDoc>,
}

impl Resume {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        context.check_hooks()?;
        let HoldEnded { hold, activation: activated, warnings: late, .. } = store.end_hold()?;
        let Some(done) = activated else {
            let current = store.current()?;
            let document = ResumeDoc {
                schema: "genstore.resume/1",
                held: hold.is_some(),
                generation: current,
                previous: current,
                changed: false,
                current: current.is_some(),
                refreshed: 0,
                durable: true,
                warnings: WarningDoc::all(&late),
            };
            context.out.confirm(&document, || match (&hold, current) {
                (Some(_), Some(current)) => {
                    format!("{GOOD}Resumed:{GOOD:#} there is no newer build, {current} stays current\n")
                }
                _ => "There is no hold\n".to_owned(),
            });
            return Ok(context.warn_of(&late));
        };
        context.out.has_changed(format!("generation {} is current now", done.generation));
        context.out.confirm_text(|| format!("{GOOD}Resumed:{GOOD:#} {}\n", moved(&store, &done)));
        print_refreshed(context.out, done.refreshed);
        let ended = hooks::post_commit(context, &store, done.generation, done.previous);
        let mut warnings = WarningDoc::all(&done.warnings);
        warnings.extend(WarningDoc::take(context.out));
        context.out.confirm_document(&ResumeDoc {
            schema: "genstore.resume/1",
            held: true,
            generation: Some(done.generation),
            previous: done.previous,
            changed: true,
            current: ended.leave_current(done.generation),
            refreshed: done.refreshed,
            durable: done.durable,
            warnings,
        });
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }
}

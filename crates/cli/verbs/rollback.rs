//! `rollback`: activates an older good generation, and marks the one it leaves as bad.

use anyhow::Result;
use clap::Args;
use genstore::gc::Reason;
use genstore::publish::{MarkLeft, RollbackPlan};
use genstore::{GenerationId, Store};

use super::switch::{ActivationDoc, between, moved, print_refreshed};
use crate::command::context::Context;
use crate::command::{hooks, refs};
use crate::exit;
use crate::text::style::GOOD;
use crate::text::{human, time};

#[derive(Args)]
pub(crate) struct Rollback {
    /// The number of good generations to go back
    #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Do not mark the current generation as bad
    #[arg(long)]
    keep_good: bool,
    /// Roll back only if this generation is current
    #[arg(long, value_name = "REF")]
    expect: Option<String>,
    /// Show what would happen, without changing anything
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Rollback {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        context.check_hooks()?;
        let plan = store.plan_rollback(self.steps)?;
        refs::check_expected(refs::expected(Some(&store), self.expect.as_deref())?, Some(plan.from))?;
        if self.dry_run {
            return self.preview(context, &store, plan);
        }
        let left = if self.keep_good { MarkLeft::Unchanged } else { MarkLeft::Bad };
        let done = store.rollback_to(plan, left)?;
        context.out.has_changed(format!("generation {} is current now", done.generation));
        let marked = done.previous.filter(|_| !self.keep_good);
        context.out.confirm_text(|| {
            let bad = marked.map_or(String::new(), |id| format!("; {id} is marked bad"));
            format!("{GOOD}Rolled back:{GOOD:#} {}{bad}\n", moved(&store, &done))
        });
        print_refreshed(context.out, done.refreshed);
        if let Some(left) = done.previous {
            let fate = fate(context, &store, left)?;
            context.out.hint(&format!("go forward again with `genstore switch {left}`; {fate}"));
        }
        let ended = hooks::post_commit(context, &store, done.generation, done.previous);
        let mut document = ActivationDoc::new("genstore.rollback/1", context, &store, &done, &ended);
        document.marked_bad = marked;
        context.out.confirm_document(&document);
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }

    fn preview(&self, context: &Context<'_>, store: &Store, plan: RollbackPlan) -> Result<u8> {
        let marked = (!self.keep_good).then_some(plan.from);
        let mut document = ActivationDoc::planned("genstore.rollback/1", store, Some(plan.from), plan.to)?;
        document.marked_bad = marked;
        context.out.emit(&document, || {
            let bad = marked.map_or(String::new(), |id| format!("; {id} would be marked bad"));
            let moved = between(store, Some(plan.from), plan.to);
            format!("Would roll back: {moved}{bad}\n")
        });
        Ok(exit::DONE)
    }
}

/// Describes how long gc keeps the generation that was left.
fn fate(context: &Context<'_>, store: &Store, left: GenerationId) -> Result<String> {
    let retention = context.retention()?;
    // The rollback is done, so an error here does not fail it.
    let Ok(Some(verdict)) = store.verdict(left, &retention) else {
        return Ok(format!("`genstore show {left}` shows what keeps it"));
    };
    let other: Vec<String> =
        verdict.reasons.iter().filter(|r| !matches!(r, Reason::Grace(_))).map(human::reason).collect();
    let until = context.now().checked_add(retention.grace);
    Ok(match until {
        _ if !other.is_empty() => format!("gc keeps {left} ({})", other.join("; ")),
        Some(until) if verdict.keeps() => format!("gc keeps {left} until {}", time::local(until)),
        _ => format!("the next gc removes {left}"),
    })
}

//! `gc`: removes unreferenced generations and objects, and prints for each generation why it is kept or
//! removed.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use genstore::error::Leftover;
use genstore::gc::GcPlan;
use genstore::{GenerationId, Retention};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::leftover::{LeftoverDoc, warn_of_left};
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, GOOD};
use crate::text::time;

#[derive(Args)]
pub(crate) struct Gc {
    /// Keep this many of the newest good generations [default: 5, or the project's setting]
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Keep generations created within this time
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    keep_within: Option<Duration>,
    /// Keep generations that were current within this time [default: 10m, or the project's setting]
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    grace: Option<Duration>,
    /// Show what would be removed, without removing it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct GcDoc {
    schema: &'static str,
    dry_run: bool,
    keep: Vec<VerdictDoc>,
    remove: Vec<VerdictDoc>,
    objects: u64,
    bytes: u64,
    before_bytes: u64,
    after_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftoverDoc>,
}

#[derive(Serialize, Clone)]
struct VerdictDoc {
    generation: GenerationId,
    reasons: Vec<String>,
    #[serde(skip)]
    keeps: bool,
    #[serde(skip)]
    is_unread: bool,
}

/// The totals of what was or would be removed.
struct Totals {
    generations: u64,
    objects: u64,
    bytes: u64,
    before: u64,
    left: Vec<Leftover>,
}

impl Gc {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let retention = self.retention(context.retention()?);
        let store = context.open()?;
        let plan = store.plan_gc(&retention)?;
        let mut verdicts = verdicts(&plan);
        let totals = if self.dry_run {
            Totals {
                generations: plan.removed().len() as u64,
                objects: plan.objects(),
                bytes: plan.freed_bytes,
                before: plan.before_bytes,
                left: plan.unread.iter().map(|unread| unread.left.clone()).collect(),
            }
        } else {
            let done = store.collect(&plan)?;
            for verdict in &mut verdicts {
                let reason = match verdict.generation {
                    id if done.spared.contains(&id) => "came into use",
                    id if verdict.is_unread || !done.stuck.contains(&id) => continue,
                    _ => "could not be removed",
                };
                *verdict = VerdictDoc { keeps: true, reasons: vec![reason.to_owned()], ..verdict.clone() };
            }
            if !done.generations.is_empty() || done.objects > 0 {
                context.out.has_changed("unreferenced generations and objects were removed");
            }
            Totals {
                generations: done.generations.len() as u64,
                objects: done.objects,
                bytes: done.freed_bytes,
                before: done.before_bytes,
                left: done.left,
            }
        };
        context.progress.finish();
        let of = |keeps| verdicts.iter().filter(|verdict| verdict.keeps == keeps).cloned().collect();
        let document = GcDoc {
            schema: "genstore.gc/1",
            dry_run: self.dry_run,
            keep: of(true),
            remove: of(false),
            objects: totals.objects,
            bytes: totals.bytes,
            before_bytes: totals.before,
            after_bytes: totals.before.saturating_sub(totals.bytes),
            left: totals.left.iter().map(LeftoverDoc::of).collect(),
        };
        match self.dry_run {
            true => context.out.emit(&document, || text("Would remove", &verdicts, &totals)),
            false => context.out.confirm(&document, || text("Removed", &verdicts, &totals)),
        }
        warn_of_left(context.out, &totals.left);
        Ok(if totals.left.is_empty() { exit::DONE } else { exit::PARTLY })
    }

    fn retention(&self, project: Retention) -> Retention {
        let mut rule = project;
        rule.keep_last = self.keep_last.unwrap_or(rule.keep_last);
        rule.keep_within = self.keep_within.or(rule.keep_within);
        rule.grace = self.grace.unwrap_or(rule.grace);
        rule
    }
}

fn verdicts(plan: &GcPlan) -> Vec<VerdictDoc> {
    let doc = |verdict: &genstore::gc::Verdict| VerdictDoc {
        generation: verdict.id,
        reasons: human::reasons(verdict, plan.retention.keep_last),
        keeps: verdict.keeps(),
        is_unread: false,
    };
    let unread = plan.unread.iter().map(|genstore::gc::UnreadGeneration { id, .. }| VerdictDoc {
        generation: *id,
        reasons: vec!["cannot be read".to_owned()],
        keeps: true,
        is_unread: true,
    });
    let mut all: Vec<_> = plan.verdicts.iter().map(doc).chain(unread).collect();
    all.sort_by_key(|verdict| std::cmp::Reverse(verdict.generation));
    all
}

fn text(did: &str, verdicts: &[VerdictDoc], totals: &Totals) -> String {
    let row = |verdict: &VerdictDoc| -> Vec<Cell> {
        let word = if verdict.keeps { left("keep").styled(GOOD) } else { left("remove").styled(BAD) };
        vec![word, right(verdict.generation.to_string()), left(verdict.reasons.join("; "))]
    };
    let lines = human::table(&verdicts.iter().map(row).collect::<Vec<_>>());
    let before = human::bytes(totals.before);
    if totals.generations == 0 && totals.objects == 0 {
        return format!("{lines}{did} nothing: {before}\n");
    }
    format!(
        "{lines}{did} {}, {}, {}: {before} -> {}\n",
        human::count(totals.generations, "generation"),
        human::count(totals.objects, "object"),
        human::bytes(totals.bytes),
        human::bytes(totals.before.saturating_sub(totals.bytes)),
    )
}

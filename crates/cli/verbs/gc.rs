//! `gc`: removes unreferenced generations and objects, and prints for each generation why it is kept or
//! removed.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use genstore::error::Leftover;
use genstore::gc::{GcPlan, Reason};
use genstore::{Error, GenerationId, Retention, Rev, Store, Warning};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::WarningDoc;
use crate::render::leftover::{LeftoverDoc, warn_of_left};
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, GOOD};
use crate::text::{size, time};

#[derive(Args)]
pub(crate) struct Gc {
    /// Remove these generations and no others, whatever the rule keeps; N..M names all of these numbers
    #[arg(value_name = "REF|N..M", conflicts_with_all = [
        "keep_last", "keep_within", "keep_daily", "keep_weekly", "keep_monthly", "older_than", "free",
    ])]
    chosen: Vec<Chosen>,
    /// Keep this many of the newest good generations [default: 5, or the project's setting]
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Keep generations created within this time
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    keep_within: Option<Duration>,
    /// Keep generations that were current within this time [default: 10m, or the project's setting]
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    grace: Option<Duration>,
    /// Keep the newest good generation of each of the last N days (in UTC)
    #[arg(long, value_name = "N")]
    keep_daily: Option<usize>,
    /// Keep the newest good generation of each of the last N weeks
    #[arg(long, value_name = "N")]
    keep_weekly: Option<usize>,
    /// Keep the newest good generation of each of the last N months
    #[arg(long, value_name = "N")]
    keep_monthly: Option<usize>,
    /// Remove all generations that were created longer ago; the other --keep options still apply
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration, conflicts_with = "keep_within")]
    older_than: Option<Duration>,
    /// Of the generations that the rule gives up, remove the oldest until this much is freed
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    free: Option<u64>,
    /// Show what would be removed, without removing it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct GcDoc {
    schema: &'static str,
    /// Whether nothing was changed.
    dry_run: bool,
    /// The generations that stay.
    keep: Vec<VerdictDoc>,
    /// The generations that go.
    remove: Vec<VerdictDoc>,
    /// The number of objects.
    objects: u64,
    /// A number of bytes.
    bytes: u64,
    /// The bytes before.
    before_bytes: u64,
    /// The bytes after.
    after_bytes: u64,
    /// The paths that could not be removed or repaired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftoverDoc>,
    /// Failures after the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningDoc>,
}

#[derive(Serialize, Clone)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct VerdictDoc {
    generation: GenerationId,
    /// The reasons.
    reasons: Vec<String>,
    #[serde(skip)]
    keeps: bool,
    #[serde(skip)]
    is_unread: bool,
    /// Whether the grace time alone keeps it.
    #[serde(skip)]
    is_graced: bool,
    /// Whether others were chosen.
    #[serde(skip)]
    is_other: bool,
}

/// The totals of what was or would be removed.
struct Totals {
    generations: u64,
    objects: u64,
    bytes: u64,
    before: u64,
    left: Vec<Leftover>,
    warnings: Vec<Warning>,
}

impl Gc {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let retention = self.retention(context.retention()?, &store)?;
        let plan = store.plan_gc(&retention)?;
        let mut verdicts = verdicts(&plan);
        let totals = if self.dry_run {
            Totals {
                generations: plan.removed().len() as u64,
                objects: plan.objects(),
                bytes: plan.freed_bytes,
                before: plan.before_bytes,
                left: plan.unread.iter().map(|unread| unread.left.clone()).collect(),
                warnings: vec![],
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
                warnings: done.warnings,
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
            warnings: WarningDoc::all(&totals.warnings),
        };
        match self.dry_run {
            true => context.out.emit(&document, || text("Would remove", &verdicts, &totals)),
            false => context.out.confirm(&document, || text("Removed", &verdicts, &totals)),
        }
        context.warn_of(&totals.warnings);
        warn_of_left(context.out, &totals.left);
        if let Some(wanted) = self.free.filter(|wanted| totals.bytes < *wanted) {
            let (freed, wanted) = (human::bytes(totals.bytes), human::bytes(wanted));
            context.out.note(&format!("the rule frees {freed} of {wanted}: it keeps the rest"));
        }
        let stays = |verdict: &VerdictDoc| verdict.keeps && !verdict.is_other;
        let graced = verdicts.iter().filter(|verdict| stays(verdict) && verdict.is_graced);
        if !self.chosen.is_empty() && graced.count() > 0 {
            context.out.hint("to remove it all the same: --grace 0s");
        }
        let is_partly = !self.chosen.is_empty() && verdicts.iter().any(stays);
        Ok(if totals.left.is_empty() && !is_partly { exit::DONE } else { exit::PARTLY })
    }

    fn retention(&self, project: Retention, store: &Store) -> Result<Retention> {
        let mut rule = project;
        if self.older_than.is_some() {
            rule.keep_last = 0;
        }
        rule.keep_last = self.keep_last.unwrap_or(rule.keep_last);
        rule.keep_within = self.older_than.or(self.keep_within).or(rule.keep_within);
        rule.grace = self.grace.unwrap_or(rule.grace);
        rule.keep_daily = self.keep_daily.unwrap_or(rule.keep_daily);
        rule.keep_weekly = self.keep_weekly.unwrap_or(rule.keep_weekly);
        rule.keep_monthly = self.keep_monthly.unwrap_or(rule.keep_monthly);
        rule.free_bytes = self.free;
        if !self.chosen.is_empty() {
            let ids = self.chosen.iter().map(|chosen| chosen.ids(store)).collect::<Result<Vec<_>>>()?;
            rule = rule.chosen(ids.concat());
        }
        Ok(rule)
    }
}

/// One generation, or all of some numbers.
#[derive(Clone, Debug)]
enum Chosen {
    One(Rev),
    Range(GenerationId, GenerationId),
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Chosen, String> {
        let Some((first, last)) = text.split_once("..") else {
            return text.parse().map(Chosen::One).map_err(|never| match never {});
        };
        match (GenerationId::parse(first), GenerationId::parse(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Chosen::Range(first, last)),
            _ => Err("write it like 40..45".to_owned()),
        }
    }
}

impl Chosen {
    /// Returns the generations that exist.
    fn ids(&self, store: &Store) -> Result<Vec<GenerationId>> {
        match self {
            Chosen::One(rev) => Ok(vec![store.resolve(rev)?]),
            Chosen::Range(first, last) => {
                let listed = store.list()?.generations.into_iter().map(|listed| listed.id);
                let ids: Vec<GenerationId> = listed.filter(|id| (first..=last).contains(&id)).collect();
                match ids.is_empty() {
                    true => Err(Error::UnknownRev { rev: format!("{first}..{last}"), near: vec![] }.into()),
                    false => Ok(ids),
                }
            }
        }
    }
}

fn verdicts(plan: &GcPlan) -> Vec<VerdictDoc> {
    let doc = |verdict: &genstore::gc::Verdict| VerdictDoc {
        generation: verdict.id,
        reasons: human::reasons(verdict, &plan.retention),
        keeps: verdict.keeps(),
        is_unread: false,
        is_other: verdict.reasons.contains(&Reason::NotChosen),
        is_graced: matches!(verdict.reasons.as_slice(), [Reason::Grace(_)]),
    };
    let unread = plan.unread.iter().map(|genstore::gc::UnreadGeneration { id, .. }| VerdictDoc {
        generation: *id,
        reasons: vec!["cannot be read".to_owned()],
        keeps: true,
        is_unread: true,
        is_graced: false,
        is_other: plan.retention.chosen.as_ref().is_some_and(|chosen| !chosen.contains(id)),
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
    let shown = verdicts.iter().filter(|verdict| !verdict.is_other);
    let lines = human::table(&shown.map(row).collect::<Vec<_>>());
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

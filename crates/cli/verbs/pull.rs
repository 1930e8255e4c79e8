//! `pull`: fetches a generation from a remote.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore_remote::{PullOptions, Pulled, Wanted};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::command::remotes::{self, failed};
use crate::render::json::WarningDoc;
use crate::render::remote::{TrafficDoc, traffic_line};
use crate::text::human;
use crate::text::style::{DIM, GOOD};

#[derive(Args)]
pub(crate) struct Pull {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// A channel (default: the remote's, or main), a pin, the number of a record, or six or more hex
    /// digits of a tree's id
    #[arg(value_name = "CHANNEL|ID")]
    wanted: Option<String>,
    /// Make the generation current
    #[arg(long)]
    activate: bool,
    /// Only print what would be fetched
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PulledDoc<'a> {
    schema: &'static str,
    dry_run: bool,
    remote: &'a str,
    wanted: &'a str,
    record: u64,
    tree: String,
    generation: Option<GenerationId>,
    /// Whether the store did not have the tree.
    changed: bool,
    /// Whether it is current after the hooks.
    current: bool,
    objects: u64,
    bytes: u64,
    by_patch: bool,
    /// The contents that the remote has forgotten, and this store still has.
    forgotten: Vec<String>,
    traffic: TrafficDoc,
    warnings: Vec<WarningDoc>,
}

impl Pull {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let wanted = self.wanted.as_ref().unwrap_or(&named.section.channel);
        let store = match self.dry_run {
            true => context.open()?,
            false => context.open_or_create(None)?.0,
        };
        if self.activate {
            context.check_hooks()?;
        }
        let rules = context.scan_rules(None)?;
        let options = PullOptions::default()
            .activate(self.activate)
            .dry_run(self.dry_run)
            .symlinks(rules.symlinks)
            .shared(rules.shared);
        let pulled = named.remote.pull(&store, &Wanted(wanted.clone()), &options).map_err(failed)?;
        let Pulled { record, tree, generation, fetched, publication, activation, forgotten, .. } = pulled;
        if let (Some(id), true) = (generation, publication.is_some() || activation.is_some()) {
            context.out.has_changed(format!("generation {id} was pulled"));
        }
        let short = &tree.to_string()[..8];
        context.out.confirm_text(|| {
            let what = format!("{} {wanted} {DIM}{short}{DIM:#} (record {record})", named.name);
            let objects =
                format!("{}, {}", human::count(fetched.objects, "object"), human::bytes(fetched.bytes));
            match (generation, &publication, &activation) {
                (None, ..) => format!("Would pull {what}: {objects}\n"),
                (Some(id), Some(_), _) => {
                    format!("{GOOD}Pulled{GOOD:#} {what} as generation {id}: {objects}\n")
                }
                (Some(id), None, Some(_)) => {
                    format!("{GOOD}Switched{GOOD:#} to generation {id}: {what}\n")
                }
                (Some(id), None, None) => format!("Unchanged: {what} is generation {id}\n"),
            }
        });
        let mut warnings = publication.as_ref().map_or(vec![], |done| done.warnings.clone());
        warnings.extend(activation.iter().flat_map(|done| done.warnings.clone()));
        let moved = match (&publication, &activation) {
            (Some(done), _) if done.changed && done.current => Some((done.generation, done.previous)),
            (_, Some(done)) => Some((done.generation, done.previous)),
            _ => None,
        };
        let ended = match moved {
            Some((id, previous)) => hooks::post_commit(context, &store, id, previous),
            None => HooksEnded::without(store.current()?),
        };
        let status = ended.status(context, context.warn_of(&warnings));
        let forgotten: Vec<String> = forgotten.iter().map(ToString::to_string).collect();
        if !forgotten.is_empty() {
            let count = human::count(forgotten.len() as u64, "content");
            context.out.warn(&format!("{} has forgotten {count} that this store still has", named.name));
            context
                .out
                .hint(&format!("take them out here, too: `genstore forget {}`", forgotten.join(" ")));
        }
        let traffic = named.remote.traffic();
        context.out.detail(&traffic_line(traffic));
        let mut documents = WarningDoc::all(&warnings);
        documents.extend(WarningDoc::take(context.out));
        context.out.confirm_document(&PulledDoc {
            schema: "genstore.pull/1",
            dry_run: self.dry_run,
            remote: &named.name,
            wanted,
            record,
            tree: tree.to_string(),
            generation,
            changed: publication.is_some_and(|done| done.changed),
            current: generation.is_some_and(|id| ended.leave_current(id)),
            objects: fetched.objects,
            bytes: fetched.bytes,
            by_patch: fetched.by_patch,
            forgotten,
            traffic: TrafficDoc::of(traffic),
            warnings: documents,
        });
        Ok(status)
    }
}

//! `pull`: fetches a generation from a remote.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore_remote::{Fetched, PullOptions, Pulled, Waits, Wanted};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::command::publishing;
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
    /// Make the generation current, unless a rollback holds the current one or it is marked as bad
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
        let options = self.options(context)?;
        let wants = Wanted(wanted.clone());
        let pulled =
            named.remote.pull_with(&store, &wants, &options, |staged| publishing::audit(context, staged));
        let pulled = pulled.map_err(|error| error.downcast().map_or_else(|error| error, failed))?;
        context.out.confirm_text(|| report(&pulled, &format!("{} {wanted}", named.name)));
        let Pulled { record, tree, generation, fetched, publication, activation, forgotten, waits, .. } =
            pulled;
        if let (Some(id), true) = (generation, publication.is_some() || activation.is_some()) {
            context.out.has_changed(format!("generation {id} was pulled"));
        }
        warn_of_waiting(context, generation, waits);
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
        warn_of_forgotten(context, &named.name, &forgotten);
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

    fn options(&self, context: &Context<'_>) -> Result<PullOptions> {
        let rules = context.scan_rules(None)?;
        Ok(PullOptions::default()
            .activate(self.activate)
            .dry_run(self.dry_run)
            .symlinks(rules.symlinks)
            .shared(rules.shared)
            .recycle(publishing::recycled(context)?))
    }
}

/// Formats what was pulled by this name.
fn report(pulled: &Pulled, name: &str) -> String {
    let short = &pulled.tree.to_string()[..8];
    let what = format!("{name} {DIM}{short}{DIM:#} (record {})", pulled.record);
    let Fetched { objects, bytes, .. } = pulled.fetched;
    let objects = format!("{}, {}", human::count(objects, "object"), human::bytes(bytes));
    match (pulled.generation, &pulled.publication, &pulled.activation) {
        (None, ..) => format!("Would pull {what}: {objects}\n"),
        (Some(id), Some(_), _) => format!("{GOOD}Pulled{GOOD:#} {what} as generation {id}: {objects}\n"),
        (Some(id), None, Some(_)) => format!("{GOOD}Switched{GOOD:#} to generation {id}: {what}\n"),
        (Some(id), None, None) if pulled.waits.is_some() => format!("Kept generation {id}: {what}\n"),
        (Some(id), None, None) => format!("Unchanged: {what} is generation {id}\n"),
    }
}

/// Warns that the generation was to become current, and was not activated.
fn warn_of_waiting(context: &Context<'_>, generation: Option<GenerationId>, waits: Option<Waits>) {
    let (Some(id), Some(waits)) = (generation, waits) else { return };
    let why = match waits {
        Waits::Bad => "it is marked as bad",
        Waits::Held => "a rollback holds the current one",
    };
    context.out.warn(&format!("generation {id} was not activated: {why}"));
    context.out.hint(&format!("`genstore switch {id}` activates it all the same"));
}

/// Warns of contents that the remote has forgotten, and this store still has.
fn warn_of_forgotten(context: &Context<'_>, remote: &str, forgotten: &[String]) {
    if !forgotten.is_empty() {
        let count = human::count(forgotten.len() as u64, "content");
        context.out.warn(&format!("{remote} has forgotten {count} that this store still has"));
        context.out.hint(&format!("take them out here, too: `genstore forget {}`", forgotten.join(" ")));
    }
}

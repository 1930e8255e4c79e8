//! The common part of `push` and `publish --push`: the check of the server, the push, and its report.

use anyhow::Result;
use genstore::{Generation, GenerationId, Store};
use genstore_remote::transport::Traffic;
use genstore_remote::{PushOptions, Pushed};

use crate::command::context::Context;
use crate::command::remotes::{self, Named, failed};
use crate::text::human;
use crate::text::style::{DIM, GOOD};

/// A push that was done.
pub(crate) struct Done {
    pub(crate) pushed: Pushed,
    pub(crate) traffic: Traffic,
    pub(crate) tree: String,
    /// The line for people.
    pub(crate) line: String,
}

/// Pushes a generation.
pub(crate) fn push(
    context: &Context<'_>,
    store: &Store,
    generation: &Generation,
    (named, channel): (&Named, &str),
    dry_run: bool,
) -> Result<Done> {
    let url = &named.section.url;
    if !dry_run && !named.section.single_writer && !remotes::is_directory(url) {
        let connect = || genstore_remote::open(url, &context.access);
        named.remote.probe_once(&connect).map_err(failed)?;
    }
    let options = PushOptions::default().dry_run(dry_run);
    let pushed = named.remote.push(store, generation, channel, &options).map_err(failed)?;
    let id = generation.id();
    if pushed.changed && !dry_run {
        context.out.has_changed(format!("generation {id} was pushed"));
    }
    let head = generation.head()?;
    let line = line(named, channel, (id, &head.tree.short().to_string()), &pushed, dry_run);
    Ok(Done { pushed, traffic: named.remote.traffic(), tree: head.tree.to_string(), line })
}

fn line(
    named: &Named,
    channel: &str,
    (id, short): (GenerationId, &str),
    pushed: &Pushed,
    dry_run: bool,
) -> String {
    let what = format!("generation {id} {DIM}{short}{DIM:#}");
    let objects = format!("{}, {}", human::count(pushed.objects, "object"), human::bytes(pushed.bytes));
    let place = format!("{} {channel}", named.name);
    match (pushed.changed, dry_run) {
        (false, _) => format!("Unchanged: {what} is the head of {place} already\n"),
        (true, true) => format!("Would push {what} to {place}: {objects}\n"),
        (true, false) => {
            format!("{GOOD}Pushed{GOOD:#} {what} to {place} (record {}): {objects}\n", pushed.record)
        }
    }
}

//! `push`: sends a generation to a remote.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore_remote::Pushed;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, is_address};
use crate::command::{pushing, refs};
use crate::exit;
use crate::render::remote::{TrafficDoc, traffic_line};

#[derive(Args)]
pub(crate) struct Push {
    /// The generation (default: the current one), the remote or its address, and the channel (default:
    /// the remote's, or main)
    #[arg(value_name = "[REF] REMOTE [CHANNEL]", required = true, num_args = 1..=3)]
    words: Vec<String>,
    /// Only print what would be sent
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PushedDoc<'a> {
    schema: &'static str,
    dry_run: bool,
    generation: GenerationId,
    tree: String,
    remote: &'a str,
    channel: &'a str,
    record: u64,
    changed: bool,
    objects: u64,
    bytes: u64,
    traffic: TrafficDoc,
}

impl Push {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let (rev, name, channel) = self.parts(context)?;
        let store = context.open()?;
        let named = remotes::open(context, name)?;
        let channel = channel.unwrap_or(&named.section.channel);
        let rev = refs::local(context, &store, &rev.map_or(refs::CURRENT, refs::rev))?;
        let generation = store.open_generation(&rev)?;
        let done = pushing::push(context, &store, &generation, (&named, channel), self.dry_run)?;
        let traffic = done.traffic;
        let Pushed { record, changed, objects, bytes, .. } = done.pushed;
        let document = PushedDoc {
            schema: "genstore.push/1",
            dry_run: self.dry_run,
            generation: generation.id(),
            tree: done.tree,
            remote: &named.name,
            channel,
            record,
            changed,
            objects,
            bytes,
            traffic: TrafficDoc::of(traffic),
        };
        context.out.confirm(&document, || done.line);
        context.out.detail(&traffic_line(traffic));
        Ok(exit::DONE)
    }

    /// Finds out which word is which. Of two, the first is a remote if there is one with this name.
    fn parts(&self, context: &Context<'_>) -> Result<(Option<&str>, &str, Option<&str>)> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            [rev, remote, channel, ..] => (Some(rev), remote, Some(channel)),
            [first, second] if is_address(first) || remotes::all(context)?.contains_key(first) => {
                (None, first, Some(second))
            }
            [rev, remote] => (Some(rev), remote, None),
            [remote] => (None, remote, None),
            // clap requires one.
            [] => (None, "", None),
        })
    }
}

//! gc of a remote.

use anyhow::Result;
use clap::Args;
use genstore_remote::codec::condemned::Kept;
use genstore_remote::{Collected, Stays};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;
use crate::render::remote::{TrafficDoc, traffic_line};
use crate::text::human::{self, left};

#[derive(Args)]
pub(super) struct Gc {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// Keep the last N generations of each channel (default: `retain` of the remote, or 5)
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Only print what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct CollectedDoc {
    schema: &'static str,
    dry_run: bool,
    keep: Vec<KeptDoc>,
    remove: Vec<KeptDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    barrier: Option<u64>,
    files: u64,
    bytes: u64,
    traffic: TrafficDoc,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(super) struct KeptDoc {
    pub(super) record: u64,
    pub(super) channel: String,
    reasons: Vec<String>,
}

impl KeptDoc {
    pub(super) fn of(kept: &Kept, reasons: Vec<String>) -> KeptDoc {
        KeptDoc { record: kept.number, channel: kept.channel.clone(), reasons }
    }
}

impl Gc {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let keep_last = self.keep_last.or(named.section.retain).unwrap_or(5);
        let done = named.remote.collect(keep_last, self.dry_run).map_err(failed)?;
        let Collected { kept, removed, barrier, files, bytes, .. } = done;
        let reason = |stays: &Stays| match stays {
            Stays::Head(channel) => format!("head of {channel}"),
            Stays::Pinned(name) => format!("pinned: {name}"),
            _ => format!("last {}", keep_last),
        };
        let keep: Vec<KeptDoc> = kept
            .iter()
            .map(|(kept, reasons)| KeptDoc::of(kept, reasons.iter().map(reason).collect()))
            .collect();
        let older = || vec![format!("older than last {}", keep_last)];
        let remove: Vec<KeptDoc> = removed.iter().map(|kept| KeptDoc::of(kept, older())).collect();
        let traffic = named.remote.traffic();
        let document = CollectedDoc {
            schema: "genstore.remote-gc/1",
            dry_run: self.dry_run,
            keep,
            remove,
            barrier,
            files,
            bytes,
            traffic: TrafficDoc::of(traffic),
        };
        context.out.confirm(&document, || {
            let row = |what: &str, doc: &KeptDoc| {
                let (number, reasons) = (doc.record.to_string(), doc.reasons.join("; "));
                vec![left(what), left(number), left(doc.channel.as_str()), left(reasons)]
            };
            let kept = document.keep.iter().map(|doc| row("keep", doc));
            let removed = document.remove.iter().map(|doc| row("remove", doc));
            let rows: Vec<_> = kept.chain(removed).collect();
            let verb = if self.dry_run { "Would remove" } else { "Removed" };
            let what = format!("{}, {}", human::count(files, "file"), human::bytes(bytes));
            format!("{}{verb} {what}\n", human::table(&rows))
        });
        context.out.detail(&traffic_line(traffic));
        Ok(exit::DONE)
    }
}

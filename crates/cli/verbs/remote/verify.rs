//! The check of every byte of a remote.

use anyhow::Result;
use clap::Args;
use genstore_remote::{Finding, Repair};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;
use crate::render::remote::{TrafficDoc, traffic_line};
use crate::text::human;

#[derive(Args)]
pub(super) struct Verify {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// Push heads that are damaged again, if this store has their trees
    #[arg(long)]
    repair: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct VerifiedDoc {
    schema: &'static str,
    ok: bool,
    generations: u64,
    objects: u64,
    bytes: u64,
    findings: Vec<FindingDoc>,
    repairs: Vec<RepairDoc>,
    traffic: TrafficDoc,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct FindingDoc {
    key: String,
    why: String,
    /// The records of the generations that need the file.
    records: Vec<u64>,
    channels: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct RepairDoc {
    channel: String,
    /// The record that pushed the tree again. Without it, the store does not have the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
}

impl FindingDoc {
    fn of(finding: &Finding) -> FindingDoc {
        let mut channels: Vec<String> =
            finding.generations.iter().map(|kept| kept.channel.clone()).collect();
        channels.sort();
        channels.dedup();
        FindingDoc {
            key: finding.key.clone(),
            why: finding.why.clone(),
            records: finding.generations.iter().map(|kept| kept.number).collect(),
            channels,
        }
    }

    fn line(&self) -> String {
        let records: Vec<String> = self.records.iter().map(u64::to_string).collect();
        let (records, channels) = (records.join(", "), self.channels.join(", "));
        format!("{}: {}\n  needed by record {records} ({channels})\n", self.key, self.why)
    }
}

impl Verify {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open_without_copies(context, &self.remote)?;
        let store = if self.repair { Some(context.open()?) } else { None };
        let done = named.remote.verify_all().map_err(failed)?;
        let repairs = match store.filter(|_| !done.findings.is_empty()) {
            Some(store) => named.remote.repair(&store, &done.findings).map_err(failed)?,
            None => vec![],
        };
        if repairs.iter().any(|repair| repair.record.is_some()) {
            context.out.has_changed("heads of the remote were pushed again".to_owned());
        }
        let traffic = named.remote.traffic();
        let repair_doc = |repair: Repair| RepairDoc { channel: repair.channel, record: repair.record };
        let document = VerifiedDoc {
            schema: "genstore.remote-verify/1",
            ok: done.findings.is_empty(),
            generations: done.generations,
            objects: done.objects,
            bytes: done.bytes,
            findings: done.findings.iter().map(FindingDoc::of).collect(),
            repairs: repairs.into_iter().map(repair_doc).collect(),
            traffic: TrafficDoc::of(traffic),
        };
        let all_repaired =
            !document.repairs.is_empty() && document.repairs.iter().all(|repair| repair.record.is_some());
        context.out.emit(&document, || {
            let mut text: String = document.findings.iter().map(FindingDoc::line).collect();
            for RepairDoc { channel, record } in &document.repairs {
                text += &match record {
                    Some(record) => format!("Pushed {channel} again (record {record})\n"),
                    None => format!("{channel} cannot be repaired: this store does not have its tree\n"),
                };
            }
            let count = human::count(document.generations, "generation");
            let objects =
                format!("{}, {}", human::count(document.objects, "object"), human::bytes(document.bytes));
            let end = match document.findings.len() as u64 {
                0 => "all intact".to_owned(),
                number => format!("{} missing or damaged", human::count(number, "file")),
            };
            text + &format!("Verified {count}, {objects}: {end}\n")
        });
        context.out.detail(&traffic_line(traffic));
        if !document.ok && !self.repair {
            context.out.hint("`genstore remote verify --repair` pushes from a store that has the trees");
        }
        Ok(if document.ok || all_repaired { exit::DONE } else { exit::DAMAGED })
    }
}

//! The records of a remote.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;
use genstore_remote::codec::record::Record;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;
use crate::render::remote::TrafficDoc;
use crate::text::human::{self, left};
use crate::text::style::DIM;
use crate::text::time;

#[derive(Args)]
pub(super) struct Log {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// The number of records to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    last: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct LogDoc {
    schema: &'static str,
    records: Vec<RecordDoc>,
    traffic: TrafficDoc,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct RecordDoc {
    record: u64,
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    time: String,
    /// The channels whose head it set, and still is.
    head_of: Vec<String>,
    pins: Vec<String>,
    signed: bool,
}

impl RecordDoc {
    fn of(record: &Record, newest: &Record) -> RecordDoc {
        let of = record.change.generation();
        let names = |all: &std::collections::BTreeMap<String, _>| {
            let is_its =
                |(_, head): &(&String, &genstore_remote::codec::record::Head)| head.number == record.number;
            all.iter().filter(is_its).map(|(name, _)| name.clone()).collect()
        };
        RecordDoc {
            record: record.number,
            kind: record.change.verb(),
            name: record.change.name().to_owned(),
            tree: of.map(|of| of.tree.to_string()),
            note: of.map(|of| of.note.clone()),
            time: time::rfc3339(moment(record)),
            head_of: names(&newest.heads),
            pins: names(&newest.pins),
            signed: !record.signature.is_empty(),
        }
    }
}

fn moment(record: &Record) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(record.time.clamp(0, u32::MAX.into()) as u64)
}

impl Log {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let mut records = vec![];
        let newest = named.remote.newest().map_err(failed)?;
        if let Some(newest) = &newest {
            let last = newest.record.number;
            records.push(newest.record.clone());
            for number in (last.saturating_sub(self.last.saturating_sub(1)).max(1)..last).rev() {
                let entry = named.remote.record(number).map_err(failed)?;
                records.extend(entry.map(|entry| entry.record));
            }
        }
        let docs: Vec<RecordDoc> = match &newest {
            Some(newest) => records.iter().map(|record| RecordDoc::of(record, &newest.record)).collect(),
            None => vec![],
        };
        let rows = |docs: &[RecordDoc]| -> String {
            let row = |(record, doc): (&Record, &RecordDoc)| {
                let short = doc.tree.as_ref().map_or(String::new(), |tree| tree[..8].to_owned());
                let heads = match doc.head_of.is_empty() {
                    true => String::new(),
                    false => format!("(head of {})", doc.head_of.join(", ")),
                };
                let note = human::line(doc.note.as_deref().unwrap_or_default(), 50);
                vec![
                    left(record.number.to_string()),
                    left(doc.kind),
                    left(doc.name.clone()),
                    left(short).styled(DIM),
                    left(time::ago(moment(record), context.now())),
                    left(note),
                    left(heads),
                ]
            };
            human::table(&records.iter().zip(docs).map(row).collect::<Vec<_>>())
        };
        let traffic = TrafficDoc::of(named.remote.traffic());
        let document = LogDoc { schema: "genstore.remote-log/1", records: docs, traffic };
        context.out.emit(&document, || rows(&document.records));
        Ok(exit::DONE)
    }
}

//! `du`: shows the disk usage of each generation.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::generation::Usage;
use serde::Serialize;

use super::list::{current_or_damage, print_empty, warn_of_damage};
use crate::command::context::Context;
use crate::render::json::DamagedDoc;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BOLD, GOOD};

#[derive(Args)]
pub(crate) struct Du {}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DuDoc {
    schema: &'static str,
    /// The generations.
    generations: Vec<UsageDoc>,
    /// The damage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<DamagedDoc>,
    /// The bytes that the store takes on the disk.
    store_bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct UsageDoc {
    generation: GenerationId,
    /// Whether it is current at the end.
    current: bool,
    /// The sum of the sizes of its files.
    apparent_bytes: u64,
    /// Bytes that only this generation has.
    exclusive_bytes: u64,
    /// Bytes that other generations have as well.
    shared_bytes: u64,
    /// The bytes that its removal frees.
    freed_bytes: u64,
}

impl Du {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let usage = store.usage()?;
        let (current, lost) = current_or_damage(&store)?;
        let doc = |usage: &Usage| UsageDoc {
            generation: usage.id,
            current: current == Some(usage.id),
            apparent_bytes: usage.apparent,
            exclusive_bytes: usage.exclusive,
            shared_bytes: usage.shared,
            freed_bytes: usage.exclusive,
        };
        let generations: Vec<UsageDoc> = usage.generations.iter().map(doc).collect();
        let damaged: Vec<DamagedDoc> = usage.damaged.iter().map(DamagedDoc::of).collect();
        let document =
            DuDoc { schema: "genstore.du/1", generations, damaged, store_bytes: usage.store_bytes };
        context.out.emit(&document, || text(&document));
        if usage.generations.is_empty() && usage.damaged.is_empty() && lost.is_none() {
            print_empty(context, &store);
        }
        Ok(warn_of_damage(context, &document.damaged, lost.as_slice()))
    }
}

fn text(document: &DuDoc) -> String {
    if document.generations.is_empty() {
        return String::new();
    }
    let heads = ["generation", "apparent", "shared", "exclusive (freed by removing it)"];
    let mut rows: Vec<Vec<Cell>> = vec![heads.into_iter().map(|head| right(head).styled(BOLD)).collect()];
    for usage in &document.generations {
        rows.push(vec![
            right(usage.generation.to_string()),
            right(human::bytes(usage.apparent_bytes)),
            right(human::bytes(usage.shared_bytes)),
            right(human::bytes(usage.exclusive_bytes)),
            left(if usage.current { "(current)" } else { "" }).styled(GOOD),
        ]);
    }
    let count = human::count(document.generations.len() as u64, "generation");
    format!("{}{count}, {} on disk\n", human::table(&rows), human::bytes(document.store_bytes))
}

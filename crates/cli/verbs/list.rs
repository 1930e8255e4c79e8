//! `list`: lists all generations, newest first.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use genstore::generation::{Listed, Listing};
use genstore::verify::DamagedGeneration;
use genstore::{Error, GenerationId, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::{self, PinDoc};
use crate::text::escape::show;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, DIM, GOOD};
use crate::text::time;

/// The width of a note in the list.
const NOTE_WIDTH: usize = 50;

#[derive(Args)]
pub(crate) struct List {}

#[derive(Serialize)]
struct ListDoc {
    schema: &'static str,
    current: Option<GenerationId>,
    generations: Vec<ListedDoc>,
    damaged: Vec<DamagedDoc>,
    /// Damage of pins, marks, the log and `current`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<String>,
    store_bytes: u64,
}

#[derive(Serialize)]
pub(crate) struct DamagedDoc {
    generation: GenerationId,
    cause: String,
}

impl DamagedDoc {
    pub(crate) fn of(damaged: &DamagedGeneration) -> DamagedDoc {
        DamagedDoc { generation: damaged.id, cause: damaged.cause.clone() }
    }
}

#[derive(Serialize)]
struct ListedDoc {
    generation: GenerationId,
    tree: String,
    time: String,
    note: String,
    facts: BTreeMap<String, String>,
    pins: Vec<PinDoc>,
    mark: &'static str,
    mark_why: Option<String>,
    current: bool,
    files: u64,
    bytes: u64,
    added_bytes: u64,
}

impl ListedDoc {
    fn of(listed: &Listed) -> ListedDoc {
        let head = &listed.head;
        ListedDoc {
            generation: listed.id,
            tree: head.tree.to_string(),
            time: time::rfc3339(head.created.into()),
            note: head.note.clone(),
            facts: head.facts.clone(),
            pins: listed.pins.iter().map(PinDoc::of).collect(),
            mark: json::mark(listed.mark.mark),
            mark_why: listed.mark.why.clone(),
            current: listed.current,
            files: head.files,
            bytes: head.bytes,
            added_bytes: listed.added_bytes,
        }
    }
}

impl List {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let Listing { generations: all, damaged, records, .. } = store.list()?;
        let store_bytes = store.stored_bytes()?;
        let (current, lost) = current_or_damage(&store)?;
        let records: Vec<Error> = records.into_iter().chain(lost).collect();
        let document = ListDoc {
            schema: "genstore.list/1",
            current,
            generations: all.iter().map(ListedDoc::of).collect(),
            damaged: damaged.iter().map(DamagedDoc::of).collect(),
            records: records.iter().map(ToString::to_string).collect(),
            store_bytes,
        };
        context.out.emit(&document, || text(context, &all, store_bytes));
        if all.is_empty() && damaged.is_empty() && records.is_empty() {
            print_empty(context, &store);
        }
        Ok(warn_of_damage(context, &damaged, &records))
    }
}

/// Returns the current generation, or the damage that hides it.
pub(crate) fn current_or_damage(store: &Store) -> Result<(Option<GenerationId>, Option<Error>)> {
    match store.checked_current() {
        Err(damage @ Error::Damaged { .. }) => Ok((None, Some(damage))),
        current => Ok((current?, None)),
    }
}

/// Warns of damage, and returns the exit status.
pub(crate) fn warn_of_damage(
    context: &Context<'_>,
    damaged: &[DamagedGeneration],
    records: &[Error],
) -> u8 {
    for DamagedGeneration { id, cause, .. } in damaged {
        context.out.warn(&format!("generation {id} is damaged: {cause}"));
    }
    for damage in records {
        context.out.warn(&damage.to_string());
    }
    if damaged.is_empty() && records.is_empty() {
        return exit::DONE;
    }
    context.out.hint("run `genstore verify --repair` to repair what can be repaired");
    exit::DAMAGED
}

/// Prints a note that the store has no generations.
pub(crate) fn print_empty(context: &Context<'_>, store: &Store) {
    context.out.note(&format!("The store {} has no generations yet", show(store.path())));
    context.out.hint("publish one with `genstore publish DIR`");
}

fn text(context: &Context<'_>, all: &[Listed], store_bytes: u64) -> String {
    if all.is_empty() {
        return String::new();
    }
    let now = context.now();
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|listed| {
            let head = &listed.head;
            let bad = listed.mark.mark == genstore::generation::Mark::Bad;
            let tags = left(human::tags(listed.current, &listed.mark, &listed.pins));
            vec![
                right(format!("  {}", listed.id)),
                left(head.tree.short()).styled(DIM),
                left(time::ago(head.created.into(), now)),
                right(human::count(head.files, "file")),
                right(human::bytes(head.bytes)),
                right(format!("+{}", human::bytes(listed.added_bytes))),
                left(human::line(&head.note, NOTE_WIDTH)),
                match (listed.current, bad) {
                    (true, _) => tags.styled(GOOD),
                    (false, true) => tags.styled(BAD),
                    (false, false) => tags,
                },
            ]
        })
        .collect();
    let apparent = all.iter().map(|listed| listed.head.bytes).sum();
    format!(
        "{}{}, {} on disk ({} apparent)\n",
        human::table(&rows),
        human::count(all.len() as u64, "generation"),
        human::bytes(store_bytes),
        human::bytes(apparent),
    )
}

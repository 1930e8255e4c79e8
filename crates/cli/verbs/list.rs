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
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ListDoc {
    schema: &'static str,
    /// The current generation.
    current: Option<GenerationId>,
    /// The generations.
    generations: Vec<ListedDoc>,
    /// The damage.
    damaged: Vec<DamagedDoc>,
    /// Damage of pins, marks, the log and `current`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<String>,
    /// The bytes that the store takes on the disk.
    store_bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DamagedDoc {
    generation: GenerationId,
    /// The cause, for people.
    cause: String,
}

impl DamagedDoc {
    pub(crate) fn of(damaged: &DamagedGeneration) -> DamagedDoc {
        DamagedDoc { generation: damaged.id, cause: damaged.cause.clone() }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ListedDoc {
    generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    /// The time.
    time: String,
    /// The note for people.
    note: String,
    /// The facts for programs.
    facts: BTreeMap<String, String>,
    /// The pins.
    pins: Vec<PinDoc>,
    /// The mark: `good` or `bad`.
    mark: &'static str,
    /// The reason of the mark.
    mark_why: Option<String>,
    /// Whether it is current at the end.
    current: bool,
    /// The number of files.
    files: u64,
    /// A number of bytes.
    bytes: u64,
    /// The bytes that it added to the store.
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

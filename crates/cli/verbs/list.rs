//! `list`, also `ls`: lists all generations, newest first.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use genstore::generation::{Listed, Listing};
use genstore::{Error, GenerationId, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::recent::Recent;
use crate::exit;
use crate::render::json::{self, DamagedDoc, PinDoc};
use crate::render::pager;
use crate::text::escape::show;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, DIM, GOOD};
use crate::text::template::{Field, Fields, Template};
use crate::text::time;

/// The width of a note in the list, if stdout is no terminal.
const NOTE_WIDTH: usize = 50;
/// The width of a note that is cut at the edge of a terminal.
const WHOLE_NOTE: usize = 1000;

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    recent: Recent,
    /// Print each as this text, with names of fields in braces: generation, tree, short, time, by, activated, note,
    /// files, bytes, added_bytes, mark, pins, current
    #[arg(long, value_name = "TEXT", value_parser = Template::<Listed>::parse)]
    format: Option<Template<Listed>>,
}

impl Fields for Listed {
    const FIELDS: &'static [Field<Listed>] = &[
        ("generation", |listed| listed.id.to_string()),
        ("tree", |listed| listed.head.tree.to_string()),
        ("short", |listed| listed.head.tree.short().to_string()),
        ("time", |listed| time::rfc3339(listed.head.created.into())),
        ("by", |listed| listed.history.by.clone().unwrap_or_default()),
        ("activated", |listed| listed.history.activated.map(time::rfc3339).unwrap_or_default()),
        ("note", |listed| human::line(&listed.head.note, usize::MAX)),
        ("files", |listed| listed.head.files.to_string()),
        ("bytes", |listed| listed.head.bytes.to_string()),
        ("added_bytes", |listed| listed.added_bytes.to_string()),
        ("mark", |listed| json::mark(listed.mark.mark).to_owned()),
        ("pins", |listed| listed.pins.iter().map(|pin| pin.name.as_str()).collect::<Vec<_>>().join(",")),
        ("current", |listed| listed.current.to_string()),
    ];
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ListDoc<'a> {
    schema: &'static str,
    /// The current generation.
    current: Option<GenerationId>,
    /// The generations.
    generations: Vec<ListedDoc>,
    /// The damage.
    damaged: &'a [DamagedDoc],
    /// Damage of pins, marks, the log and `current`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<String>,
    /// The bytes that the store takes on the disk.
    store_bytes: u64,
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
    /// The publisher, and the last time at which it became current, by the log.
    by: Option<String>,
    activated: Option<String>,
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
            by: listed.history.by.clone(),
            activated: listed.history.activated.map(time::rfc3339),
        }
    }
}

impl List {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let since = self.recent.since(context)?;
        let Listing { generations: mut all, damaged, records, .. } = store.list()?;
        let total = all.len();
        all.retain(|listed| since.is_none_or(|since| SystemTime::from(listed.head.created) >= since));
        all.truncate(self.recent.limit());
        let store_bytes = store.stored_bytes()?;
        let (current, lost) = current_or_damage(&store)?;
        let records: Vec<Error> = records.into_iter().chain(lost).collect();
        let damaged: Vec<DamagedDoc> = damaged.iter().map(DamagedDoc::of).collect();
        let document = ListDoc {
            schema: "genstore.list/1",
            current,
            generations: all.iter().map(ListedDoc::of).collect(),
            damaged: &damaged,
            records: records.iter().map(ToString::to_string).collect(),
            store_bytes,
        };
        context.out.emit_paged(&document, || match &self.format {
            Some(format) => all.iter().map(|listed| format.line(listed)).collect(),
            None => text(context, &all, total, store_bytes),
        });
        if total == 0 && damaged.is_empty() && records.is_empty() {
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
pub(crate) fn warn_of_damage(context: &Context<'_>, damaged: &[DamagedDoc], records: &[Error]) -> u8 {
    for DamagedDoc { generation, cause } in damaged {
        context.out.warn(&format!("generation {generation} is damaged: {cause}"));
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

fn text(context: &Context<'_>, all: &[Listed], total: usize, store_bytes: u64) -> String {
    if all.is_empty() {
        return String::new();
    }
    let (now, columns) = (context.now(), pager::columns());
    let note_width = if columns.is_some() { WHOLE_NOTE } else { NOTE_WIDTH };
    let rows = all.iter().map(|listed| {
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
            left(human::line(&head.note, note_width)),
            match (listed.current, bad) {
                (true, _) => tags.styled(GOOD),
                (false, true) => tags.styled(BAD),
                (false, false) => tags,
            },
        ]
    });
    let table = match columns {
        // A pipe gets the same columns as ever, without a headline.
        None => human::table(&rows.collect::<Vec<_>>()),
        Some(width) => {
            let names = ["  no.", "tree", "created", "files", "size", "new", "note", ""];
            let right_ones = [0, 3, 4, 5];
            let name = |(at, name): (usize, &str)| {
                let cell = if right_ones.contains(&at) { right(name) } else { left(name) };
                cell.styled(DIM)
            };
            let head: Vec<Cell> = names.into_iter().enumerate().map(name).collect();
            let fit = human::Fit { width, cut: 6, drop: &[1, 5, 3, 4] };
            human::table_within(std::iter::once(head).chain(rows).collect(), &fit)
        }
    };
    let apparent = all.iter().map(|listed| listed.head.bytes).sum();
    format!(
        "{}{}, {} on disk ({} apparent)\n",
        table,
        match all.len() == total {
            true => human::count(total as u64, "generation"),
            false => format!("{} of {}", all.len(), human::count(total as u64, "generation")),
        },
        human::bytes(store_bytes),
        human::bytes(apparent),
    )
}

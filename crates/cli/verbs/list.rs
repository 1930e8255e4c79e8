//! `list`: lists all generations, newest first.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use genstore::generation::{Listed, Listing};
use genstore::verify::DamagedGeneration;
use genstore::{Error, GenerationId, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::render::json::{self, PinDoc};
use crate::text::escape::show;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, DIM, GOOD};
use crate::text::time;

/// The width of a note in the list.
const NOTE_WIDTH: usize = 50;

#[derive(Args)]
pub(crate) struct List {
    /// List only the newest N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// List only those that were created since then: a date, a time, or a duration like 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print each as this text, with names of fields in braces: generation, tree, short, time, by, activated, note,
    /// files, bytes, added_bytes, mark, pins, current
    #[arg(long, value_name = "TEXT", value_parser = Format::parse)]
    format: Option<Format>,
}

/// The text of a line, with the fields of a generation.
#[derive(Clone)]
struct Format(Vec<Piece>);

#[derive(Clone)]
enum Piece {
    Text(String),
    Field(fn(&Listed) -> String),
}

/// A field's name and its text.
type Field = (&'static str, fn(&Listed) -> String);

const FIELDS: [Field; 13] = [
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

impl Format {
    /// Parses the text. `{{` and `}}` are braces.
    fn parse(text: &str) -> Result<Format, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                plain.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let name = after.split_once('}').filter(|_| brace == "{");
            let Some((name, after)) = name else { return Err(format!("a `{brace}` stands alone")) };
            let Some((_, value)) = FIELDS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
                let shown = genstore::tree::show_path(name.as_bytes());
                return Err(format!("there is no field {shown}; known here: {}", known.join(", ")));
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(*value));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain + "\n"));
        Ok(Format(pieces))
    }

    fn line(&self, listed: &Listed) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(value) => value(listed),
        };
        self.0.iter().map(text).collect()
    }
}

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
        let since = self.since.as_deref().map(|text| since(text, context.now())).transpose()?;
        let Listing { generations: mut all, damaged, records, .. } = store.list()?;
        let total = all.len();
        all.retain(|listed| since.is_none_or(|since| SystemTime::from(listed.head.created) >= since));
        all.truncate(self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
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
        context.out.emit(&document, || match &self.format {
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

/// Parses the earliest time to list.
fn since(text: &str, now: SystemTime) -> Result<SystemTime> {
    let parsed = match time::parse_duration(text) {
        Ok(ago) => Ok(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)),
        Err(_) => time::parse_moment(text, now),
    };
    parsed.map_err(|message| {
        let hint = "write it like 2031-05-01, 2031-05-01T12:00:00Z or 7d".to_owned();
        Fail { hint, ..Fail::usage("bad-time", message) }.into()
    })
}

fn text(context: &Context<'_>, all: &[Listed], total: usize, store_bytes: u64) -> String {
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
        match all.len() == total {
            true => human::count(total as u64, "generation"),
            false => format!("{} of {}", all.len(), human::count(total as u64, "generation")),
        },
        human::bytes(store_bytes),
        human::bytes(apparent),
    )
}

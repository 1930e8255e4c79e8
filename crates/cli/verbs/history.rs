//! `history`: who did what and when, newest first.

use std::time::SystemTime;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::generation::Mark;
use genstore::history::{Cause, HistoryEntry, HistoryEvent};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::recent::Recent;
use crate::exit;
use crate::render::json;
use crate::render::pager;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, CARE, GOOD};
use crate::text::template::{Field, Fields, Template};
use crate::text::time;

#[derive(Args)]
pub(crate) struct History {
    #[command(flatten)]
    recent: Recent,
    /// Print each as this text, with names of fields in braces: time, by, event, generation, previous, text
    #[arg(long, value_name = "TEXT", value_parser = Template::<HistoryEntry>::parse)]
    format: Option<Template<HistoryEntry>>,
}

impl Fields for HistoryEntry {
    const FIELDS: &'static [Field<HistoryEntry>] = &[
        ("time", |entry| time::rfc3339(entry.time)),
        ("by", |entry| human::line(&entry.by, usize::MAX)),
        ("event", |entry| event(&entry.event).0.to_owned()),
        ("generation", |entry| number(entry.generation)),
        ("previous", |entry| number(previous(&entry.event))),
        ("text", |entry| detail(&entry.event)),
    ];
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct HistoryDoc<'a> {
    schema: &'static str,
    /// The events, newest first.
    events: Vec<EntryDoc<'a>>,
}

#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct EntryDoc<'a> {
    /// The time.
    time: String,
    /// The actor.
    by: &'a str,
    /// `publish`, `activate`, `rollback`, `switch`, `resume`, `mark`, `pin`, `unpin`, `gc` or `forget`.
    event: &'static str,
    /// The generation, if it was done to one.
    generation: Option<GenerationId>,
    /// The generation that was current before, if `current` moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<GenerationId>,
    /// Whether the published generation became current at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    activated: Option<bool>,
    /// The note of the published generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// The mark: `good` or `bad`.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<&'static str>,
    /// The generations that were marked as bad by this move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    marked_bad: Vec<GenerationId>,
    /// The name of the pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// The reason, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// The time at which the pin ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// The generations that gc removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<&'a [GenerationId]>,
    /// The number of objects that gc removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    /// The bytes that gc freed.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The digests of the contents that were forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    digests: Option<&'a [String]>,
}

impl EntryDoc<'_> {
    fn of(entry: &HistoryEntry) -> EntryDoc<'_> {
        let doc = EntryDoc {
            time: time::rfc3339(entry.time),
            by: &entry.by,
            event: event(&entry.event).0,
            generation: entry.generation,
            previous: previous(&entry.event),
            ..EntryDoc::default()
        };
        match &entry.event {
            HistoryEvent::Published { note, activated, .. } => {
                EntryDoc { note: Some(note), activated: Some(*activated), ..doc }
            }
            HistoryEvent::Activated { marked, .. } => EntryDoc { marked_bad: marked_bad(marked), ..doc },
            HistoryEvent::Marked { mark, why } => {
                EntryDoc { mark: Some(json::mark(*mark)), why: why.as_deref(), ..doc }
            }
            HistoryEvent::Pinned { name, why, until } => {
                EntryDoc { name: Some(name), why: why.as_deref(), until: until.map(time::rfc3339), ..doc }
            }
            HistoryEvent::Unpinned { name } => EntryDoc { name: Some(name), ..doc },
            HistoryEvent::Collected { removed, objects, bytes } => {
                EntryDoc { removed: Some(removed), objects: Some(*objects), bytes: Some(*bytes), ..doc }
            }
            HistoryEvent::Forgot { digests } => EntryDoc { digests: Some(digests), ..doc },
            _ => doc,
        }
    }
}

impl History {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let since = self.recent.since(context)?;
        let store = context.open()?;
        let all = store.history(self.recent.limit(), since)?;
        let document =
            HistoryDoc { schema: "genstore.history/1", events: all.iter().map(EntryDoc::of).collect() };
        context.out.emit_paged(&document, || match &self.format {
            Some(format) => all.iter().map(|entry| format.line(entry)).collect(),
            None => text(&all, context.now()),
        });
        Ok(exit::DONE)
    }
}

fn text(all: &[HistoryEntry], now: SystemTime) -> String {
    let row = |entry: &HistoryEntry| -> Vec<Cell> {
        let (word, style) = event(&entry.event);
        vec![
            left(time::ago(entry.time, now)),
            left(human::who(Some(&entry.by))),
            left(word).styled(style),
            right(number(entry.generation)),
            left(detail(&entry.event)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    match pager::columns() {
        None => human::table(&rows),
        Some(width) => human::table_within(rows, &human::Fit { width, cut: 4, drop: &[] }),
    }
}

/// Returns the word for an event.
fn event(event: &HistoryEvent) -> (&'static str, Style) {
    match event {
        HistoryEvent::Published { .. } => ("publish", GOOD),
        HistoryEvent::Activated { cause, .. } => match cause {
            Some(Cause::Rollback) => ("rollback", BAD),
            Some(Cause::Switch) => ("switch", CARE),
            Some(Cause::Resume) => ("resume", CARE),
            _ => ("activate", CARE),
        },
        HistoryEvent::Marked { .. } => ("mark", Style::new()),
        HistoryEvent::Pinned { .. } => ("pin", Style::new()),
        HistoryEvent::Unpinned { .. } => ("unpin", Style::new()),
        HistoryEvent::Collected { .. } => ("gc", Style::new()),
        HistoryEvent::Forgot { .. } => ("forget", BAD),
        HistoryEvent::HoldEnded => ("resume", Style::new()),
        _ => ("other", Style::new()),
    }
}

/// Returns the generation that was current before an event.
fn previous(event: &HistoryEvent) -> Option<GenerationId> {
    match event {
        HistoryEvent::Published { previous, .. } | HistoryEvent::Activated { previous, .. } => *previous,
        _ => None,
    }
}

fn marked_bad(marked: &[(GenerationId, Mark)]) -> Vec<GenerationId> {
    marked.iter().filter(|(_, mark)| *mark == Mark::Bad).map(|(id, _)| *id).collect()
}

fn number(id: Option<GenerationId>) -> String {
    id.map_or(String::new(), |id| id.to_string())
}

/// Describes an event on one line, without its generation.
fn detail(event: &HistoryEvent) -> String {
    let line = |text: &str| human::line(text, 80);
    let because =
        |why: &Option<String>| why.as_ref().map_or(String::new(), |why| format!(": {}", line(why)));
    let was = |previous: &Option<GenerationId>| {
        previous.map_or("the first".to_owned(), |previous| format!("was {previous}"))
    };
    match event {
        HistoryEvent::Published { note, activated, previous } => {
            let was = if *activated { was(previous) } else { "only kept".to_owned() };
            let note = if note.is_empty() { String::new() } else { format!(": {}", line(note)) };
            format!("{was}{note}")
        }
        HistoryEvent::Activated { previous, marked, .. } => {
            let bad = marked_bad(marked);
            let bad =
                if bad.is_empty() { String::new() } else { format!("; marked as bad: {}", numbers(&bad)) };
            format!("{}{bad}", was(previous))
        }
        HistoryEvent::Marked { mark, why } => format!("{}{}", json::mark(*mark), because(why)),
        HistoryEvent::Pinned { name, why, until } => {
            let until = until.map_or(String::new(), |until| format!(" until {}", time::local(until)));
            format!("{}{until}{}", line(name), because(why))
        }
        HistoryEvent::Unpinned { name } => line(name),
        HistoryEvent::Collected { removed, objects, bytes } => {
            let which = if removed.is_empty() { String::new() } else { format!(" ({})", numbers(removed)) };
            format!(
                "removed {}{which}, {}, {}",
                human::count(removed.len() as u64, "generation"),
                human::count(*objects, "object"),
                human::bytes(*bytes)
            )
        }
        HistoryEvent::Forgot { digests } => {
            let short: Vec<&str> = digests.iter().map(|digest| digest.get(..8).unwrap_or(digest)).collect();
            line(&short.join(", "))
        }
        HistoryEvent::HoldEnded => "ended the hold".to_owned(),
        _ => String::new(),
    }
}

/// Lists numbers, of many the first ones.
fn numbers(ids: &[GenerationId]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = ids.iter().take(SHOWN).map(ToString::to_string).collect();
    if ids.len() > SHOWN {
        names.push("…".to_owned());
    }
    names.join(", ")
}

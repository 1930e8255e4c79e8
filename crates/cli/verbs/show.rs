//! `show`: shows one generation, its disk usage, and what keeps it.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use genstore::generation::Listed;
use genstore::tree::{Node, Tree};
use genstore::{Error, Rev};
use serde::Serialize;

use super::pin;
use crate::command::context::Context;
use crate::command::refs;
use crate::exit;
use crate::render::json::{self, EntryDoc, PathField, PinDoc};
use crate::text::escape::show;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, BOLD, DIM};
use crate::text::time;

const UNKNOWN: &str = "unknown: another generation is damaged";

#[derive(Args)]
pub(crate) struct Show {
    /// The generation
    #[arg(value_name = "REF", default_value = "@")]
    generation: Rev,
    /// Also list its entries
    #[arg(long)]
    tree: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ShowDoc {
    schema: &'static str,
    generation: genstore::GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    /// Whether it is current at the end.
    current: bool,
    /// The time.
    time: String,
    /// The note for people.
    note: String,
    /// The facts for programs.
    facts: BTreeMap<String, String>,
    /// The number of files.
    files: u64,
    /// The number of entries.
    entry_count: u64,
    /// A number of bytes.
    bytes: u64,
    /// The bytes that it added to the store.
    added_bytes: u64,
    /// Bytes that other generations have as well.
    shared_bytes: u64,
    /// Bytes that only this generation has.
    exclusive_bytes: u64,
    /// The mark: `good` or `bad`.
    mark: &'static str,
    /// The reason of the mark.
    mark_why: Option<String>,
    /// The pins.
    pins: Vec<PinDoc>,
    /// The reasons that keep it.
    kept_by: Option<Vec<String>>,
    #[serde(flatten)]
    path: PathField,
    /// The entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<EntryDoc>>,
}

impl Show {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let generation = store.open_generation(&refs::local(context, &store, &self.generation)?)?;
        let id = generation.id();
        // Fails if this generation is damaged.
        generation.head()?;
        let Some(listed) = store.listed(id)? else {
            // The lease keeps the generation; only a repair removes one in spite of a lease.
            return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] }.into());
        };
        let Some(usage) = store.usage_of(id)? else {
            return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] }.into());
        };
        let retention = context.retention()?;
        // The lease taken above would count as a reason to keep the generation.
        drop(generation);
        let kept_by = match store.verdict(id, &retention) {
            Ok(Some(verdict)) if verdict.keeps() => Some(human::reasons(&verdict, &retention)),
            Ok(_) => Some(vec![]),
            Err(Error::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let tree = match self.tree {
            true => Some(store.open_generation(&Rev::Number(id))?.manifest()?.tree),
            false => None,
        };
        let head = &listed.head;
        let document = ShowDoc {
            schema: "genstore.show/1",
            generation: id,
            tree: head.tree.to_string(),
            current: listed.current,
            time: time::rfc3339(head.created.into()),
            note: head.note.clone(),
            facts: head.facts.clone(),
            files: head.files,
            entry_count: head.entries,
            bytes: head.bytes,
            added_bytes: listed.added_bytes,
            shared_bytes: usage.shared,
            exclusive_bytes: usage.exclusive,
            mark: json::mark(listed.mark.mark),
            mark_why: listed.mark.why.clone(),
            pins: listed.pins.iter().map(PinDoc::of).collect(),
            kept_by,
            path: PathField::of_path(&store.tree_path(id)),
            entries: tree.as_ref().map(|tree| tree.iter().map(EntryDoc::of).collect()),
        };
        context.out.emit_paged(&document, || {
            let mut text = facts(context, &listed, &document, &show(&store.tree_path(id)));
            if let Some(tree) = &tree {
                text.push('\n');
                text.push_str(&entries(tree));
            }
            text
        });
        Ok(exit::DONE)
    }
}

fn facts(context: &Context<'_>, listed: &Listed, doc: &ShowDoc, path: &str) -> String {
    let head = &listed.head;
    let created = head.created.into();
    let current = if listed.current { " (current)" } else { "" };
    let mut text = format!("{BOLD}generation {}{BOLD:#}{current}\n", listed.id);
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<10}{value}\n"));
    };
    line("tree", &doc.tree);
    line("created", &format!("{} ({})", time::local(created), time::ago(created, context.now())));
    for (nth, words) in head.note.lines().enumerate() {
        line(if nth == 0 { "note" } else { "" }, &genstore::tree::show_path(words.as_bytes()));
    }
    for (nth, (key, value)) in head.facts.iter().enumerate() {
        let fact = format!("{key}={value}");
        line(if nth == 0 { "facts" } else { "" }, &genstore::tree::show_path(fact.as_bytes()));
    }
    line("files", &format!("{} ({})", human::number(head.files), human::bytes(head.bytes)));
    line("shared", &format!("{} with other generations", human::bytes(doc.shared_bytes)));
    line("exclusive", &format!("{}, freed by removing it", human::bytes(doc.exclusive_bytes)));
    let why = listed.mark.why.as_ref().map_or(String::new(), |why| format!(" ({})", human::line(why, 80)));
    match listed.mark.mark {
        genstore::generation::Mark::Good => line("mark", &format!("good{why}")),
        genstore::generation::Mark::Bad => line("mark", &format!("{BAD}bad{BAD:#}{why}")),
    }
    for (nth, pin) in listed.pins.iter().enumerate() {
        line(if nth == 0 { "pins" } else { "" }, &pin::describe(pin));
    }
    let kept = match doc.kept_by.as_deref() {
        None => UNKNOWN.to_owned(),
        Some([]) => "nothing: gc removes it".to_owned(),
        Some(reasons) => reasons.join("; "),
    };
    line("kept by", &kept);
    line("path", path);
    text
}

/// Lists the entries: kind (`x` is an executable file), size, the start of the digest, path.
fn entries(tree: &Tree) -> String {
    let rows: Vec<Vec<Cell>> = tree
        .iter()
        .map(|entry| {
            let path = genstore::tree::show_path(entry.path);
            match entry.node {
                Node::File(file) => vec![
                    left(if file.executable { "x" } else { "f" }),
                    right(human::bytes(file.size)),
                    left(file.digest.short()).styled(DIM),
                    left(path),
                ],
                Node::Symlink(target) => {
                    let target = genstore::tree::show_path(target);
                    vec![left("l"), left(""), left(""), left(format!("{path} -> {target}"))]
                }
                Node::EmptyDir => vec![left("d"), left(""), left(""), left(format!("{path}/"))],
            }
        })
        .collect();
    human::table(&rows)
}

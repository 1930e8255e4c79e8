//! `log`: what each kept generation changed, of all paths or of some, newest first.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::SystemTime;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::diff::{Change, DiffSummary, diff};
use genstore::generation::Listed;
use genstore::tree::{Node, RelPath};
use serde::Serialize;

use super::list::{print_empty, warn_of_damage};
use crate::command::compare::Side;
use crate::command::context::Context;
use crate::command::kept::{Kept, Step};
use crate::command::recent::Recent;
use crate::command::refs;
use crate::errors::Fail;
use crate::render::json::{ChangeDoc, DamagedDoc, PathField, SummaryDoc};
use crate::render::{diff as list, pager};
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{DIM, GOOD};
use crate::text::template::{Field, Fields, Template};
use crate::text::time;

#[derive(Args)]
pub(crate) struct Log {
    /// List only generations that changed these paths, or something below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    recent: Recent,
    /// Also list each changed path, after a letter: A added, M changed, D removed, R renamed
    #[arg(long)]
    name_status: bool,
    /// Print each as this text, with names of fields in braces: generation, tree, short, time, by, note, op, digest,
    /// size, added, modified, removed, renamed, growth, oldest, current
    #[arg(long, value_name = "TEXT", value_parser = Template::<Row>::parse, conflicts_with = "name_status")]
    format: Option<Template<Row>>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct LogDoc<'a> {
    schema: &'static str,
    /// The paths that were asked for; none for all.
    paths: Vec<PathField>,
    /// The generations that changed them, newest first.
    generations: Vec<LoggedDoc<'a>>,
    /// The damage.
    damaged: &'a [DamagedDoc],
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct LoggedDoc<'a> {
    generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    /// The time.
    time: String,
    /// The publisher, by the log.
    by: Option<&'a str>,
    /// The note for people.
    note: &'a str,
    /// Whether it is current.
    current: bool,
    /// Whether it is the oldest one that is kept: older ones may have had the same.
    oldest: bool,
    /// The changes, if paths or `--name-status` were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<&'a [ChangeDoc]>,
    /// The counts.
    summary: SummaryDoc,
}

/// One generation of the list.
#[derive(Clone)]
pub(crate) struct Row {
    listed: Rc<Listed>,
    oldest: bool,
    summary: DiffSummary,
    /// The change of the one path that was asked for.
    one: Option<One>,
    entries: Rc<[ChangeDoc]>,
    /// The lines of `--name-status`.
    names: Rc<str>,
}

/// The change of one file.
#[derive(Clone)]
struct One {
    letter: (&'static str, Style),
    sizes: String,
    digest: String,
    size: Option<u64>,
}

impl Fields for Row {
    const FIELDS: &'static [Field<Row>] = &[
        ("generation", |row| row.listed.id.to_string()),
        ("tree", |row| row.listed.head.tree.to_string()),
        ("short", |row| row.listed.head.tree.short().to_string()),
        ("time", |row| time::rfc3339(row.listed.head.created.into())),
        ("by", |row| row.listed.history.by.clone().unwrap_or_default()),
        ("note", |row| human::line(&row.listed.head.note, usize::MAX)),
        ("op", |row| row.one.as_ref().map_or(String::new(), |one| one.letter.0.to_owned())),
        ("digest", |row| row.one.as_ref().map_or(String::new(), |one| one.digest.clone())),
        ("size", |row| {
            row.one.as_ref().and_then(|one| one.size).map_or(String::new(), |size| size.to_string())
        }),
        ("added", |row| row.summary.added.to_string()),
        ("modified", |row| row.summary.modified.to_string()),
        ("removed", |row| row.summary.removed.to_string()),
        ("renamed", |row| row.summary.renamed.to_string()),
        ("growth", |row| row.summary.bytes.to_string()),
        ("oldest", |row| row.oldest.to_string()),
        ("current", |row| row.listed.current.to_string()),
    ];
}

impl Row {
    /// Returns the generation's entry, or `None` if it changed none of the paths.
    fn of(step: &Step, paths: &[RelPath], with_names: bool) -> Option<Row> {
        let nothing = Side::nothing();
        let old = step.old.as_deref().unwrap_or(&nothing);
        let mut found = diff(&old.tree, &step.new.tree);
        if !paths.is_empty() {
            found.keep_within(paths);
            if found.changes.is_empty() {
                return None;
            }
        }
        let one = match (paths, found.changes.as_slice()) {
            ([path], [change]) => One::of(path, change),
            _ => None,
        };
        let is_listed = with_names || !paths.is_empty();
        let entries = if is_listed { found.changes.iter().map(ChangeDoc::of).collect() } else { vec![] };
        Some(Row {
            listed: Rc::clone(&step.listed),
            oldest: step.old.is_none(),
            summary: found.summary,
            one,
            entries: entries.into(),
            names: if with_names { list::name_status(&found).into() } else { "".into() },
        })
    }

    fn document(&self, with_entries: bool) -> LoggedDoc<'_> {
        LoggedDoc {
            generation: self.listed.id,
            tree: self.listed.head.tree.to_string(),
            time: time::rfc3339(self.listed.head.created.into()),
            by: self.listed.history.by.as_deref(),
            note: &self.listed.head.note,
            current: self.listed.current,
            oldest: self.oldest,
            entries: with_entries.then_some(&*self.entries),
            summary: SummaryDoc::of(self.summary),
        }
    }

    /// Returns the cells: number, tree, age, who, change, sizes, growth, digest, note, current.
    fn cells(&self, now: SystemTime) -> Vec<Cell> {
        let Listed { id, head, .. } = &*self.listed;
        let (change, sizes, digest) = match &self.one {
            Some(one) => {
                let (letter, style) = one.letter;
                (left(letter).styled(style), one.sizes.clone(), one.digest.get(..8).unwrap_or(""))
            }
            None => (left(list::brief(&self.summary)), String::new(), ""),
        };
        vec![
            right(format!(" {}{id}", oldest_mark(self.oldest))),
            left(head.tree.short()).styled(DIM),
            left(time::ago(head.created.into(), now)),
            left(human::who(self.listed.history.by.as_deref())),
            change,
            left(sizes),
            right(human::delta(self.summary.bytes)),
            left(digest).styled(DIM),
            left(human::line(&head.note, 1000)),
            left(if self.listed.current { "(current)" } else { "" }).styled(GOOD),
        ]
    }
}

/// Returns the sign of the oldest generation that is kept: what it has may be older.
pub(super) fn oldest_mark(oldest: bool) -> &'static str {
    if oldest { "^" } else { " " }
}

impl One {
    /// Returns `None` if the change is about something below the path.
    fn of(path: &RelPath, change: &Change<'_>) -> Option<One> {
        let is_it = |at: &[u8]| at == path.as_bytes();
        if !is_it(change.path()) && !change.from().is_some_and(|from| is_it(from.path)) {
            return None;
        }
        let file = change.to().and_then(|entry| match entry.node {
            Node::File(file) => Some(file),
            _ => None,
        });
        let sizes = match change {
            Change::Renamed(..) => list::path(change),
            _ => list::sizes(change).0,
        };
        Some(One {
            letter: list::letter(change),
            sizes,
            digest: file.map_or(String::new(), |file| file.digest.to_string()),
            size: file.map(|file| file.size),
        })
    }
}

impl Log {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let paths: Vec<RelPath> = self.paths.iter().map(refs::path_in_tree).collect::<Result<_>>()?;
        let (since, limit) = (self.recent.since(context)?, self.recent.limit());
        let store = context.open()?;
        let mut kept = Kept::new(&store, None)?;
        let (mut rows, mut known, mut is_empty) = (Vec::new(), vec![false; paths.len()], true);
        while rows.len() < limit
            && let Some(step) = kept.next()?
        {
            is_empty = false;
            for (path, known) in paths.iter().zip(&mut known) {
                *known |= step.new.tree.below(path.as_bytes()).next().is_some();
            }
            let created = SystemTime::from(step.listed.head.created);
            if since.is_none_or(|since| created >= since) {
                rows.extend(Row::of(&step, &paths, self.name_status));
            }
        }
        let is_complete = rows.len() < limit && !is_empty;
        if let Some((path, _)) = paths.iter().zip(known).find(|(_, known)| is_complete && !known) {
            let message = format!("no kept generation has {path}");
            let hint = "`genstore show REF --tree` lists the paths of a generation";
            return Err(Fail::new("no-such-file", message, hint).into());
        }
        let with_entries = self.name_status || !paths.is_empty();
        let document = LogDoc {
            schema: "genstore.log/1",
            paths: paths.iter().map(|path| PathField::of(path.as_bytes())).collect(),
            generations: rows.iter().map(|row| row.document(with_entries)).collect(),
            damaged: &kept.damaged,
        };
        context.out.emit_paged(&document, || match &self.format {
            Some(format) => rows.iter().map(|row| format.line(row)).collect(),
            None => text(&rows, context.now()),
        });
        if is_empty && kept.damaged.is_empty() {
            print_empty(context, &store);
        }
        Ok(warn_of_damage(context, &kept.damaged, &kept.records))
    }
}

fn text(rows: &[Row], now: SystemTime) -> String {
    let cells: Vec<Vec<Cell>> = rows.iter().map(|row| row.cells(now)).collect();
    let table = match pager::columns() {
        None => human::table(&cells),
        Some(width) => human::table_within(cells, &human::Fit { width, cut: 8, drop: &[1, 7, 3] }),
    };
    let mut text = String::new();
    for (line, row) in table.lines().zip(rows) {
        text.push_str(line);
        text.push('\n');
        for name in row.names.lines() {
            text.push_str(&format!("        {name}\n"));
        }
    }
    text
}

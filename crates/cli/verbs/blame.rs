//! `blame`: which generations brought what a generation has: a file, its lines, or the entries of a folder.

mod lines;
mod trace;

use std::ffi::OsString;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use genstore::tree::{Node, RelPath};
use genstore::{GenerationId, Rev};
use serde::Serialize;

use self::trace::{Child, ChildNode, Origin, Traced};
use super::list::warn_of_damage;
use super::log::oldest_mark;
use crate::command::context::Context;
use crate::command::kept::Kept;
use crate::command::refs;
use crate::errors::Fail;
use crate::render::json::{DamagedDoc, PathField};
use crate::render::patch::split;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::DIM;
use crate::text::time;

#[derive(Args)]
pub(crate) struct Blame {
    /// The file or folder in the generation [default: everything]
    #[arg(value_name = "PATH")]
    path: Option<OsString>,
    /// The generation
    #[arg(value_name = "REF", default_value = "@")]
    generation: Rev,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct BlameDoc<'a> {
    schema: &'static str,
    generation: GenerationId,
    #[serde(flatten)]
    path: PathField,
    /// `text`, `file`, `symlink` or `directory`.
    kind: &'static str,
    /// The generation that brought the content of the file as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<GenerationId>,
    /// The lines of a text, by their origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LinesDoc>>,
    /// The entries of a folder, with the generations that last changed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<ChildDoc>>,
    /// The generations that are named above, newest first.
    generations: Vec<OriginDoc<'a>>,
    /// The damage.
    damaged: &'a [DamagedDoc],
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct LinesDoc {
    /// The number of the first line, from 1 on.
    first: usize,
    /// The number of lines.
    count: usize,
    generation: GenerationId,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ChildDoc {
    #[serde(flatten)]
    path: PathField,
    /// `file`, `symlink` or `directory`.
    kind: &'static str,
    /// The size of the file, or the sum of the sizes of all files below.
    bytes: u64,
    /// The generation that last changed it.
    generation: Option<GenerationId>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct OriginDoc<'a> {
    generation: GenerationId,
    /// The time.
    time: String,
    /// The publisher, by the log.
    by: Option<&'a str>,
    /// The note for people.
    note: &'a str,
    /// The path of the file there.
    #[serde(flatten)]
    path: PathField,
    /// Whether it is the oldest one that is kept: an older one may have brought it.
    oldest: bool,
}

impl Blame {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let path = self.path.as_ref().filter(|path| !matches!(path.to_str(), Some("." | "./")));
        let path = path.map(refs::path_in_tree).transpose()?;
        let store = context.open()?;
        let generation = store.open_generation(&refs::local(context, &store, &self.generation)?)?;
        let tree = generation.manifest()?.tree;
        let node = path.as_ref().and_then(|path| tree.find(path.as_bytes()));
        let mut kept = Kept::new(&store, Some(generation.id()))?;
        let of = Of { generation: generation.id(), path: path.as_ref(), now: context.now() };
        match (node, &path) {
            (Some(Node::File(file)), Some(path)) => {
                let traced = trace::file(&mut kept, path)?;
                let mut bytes = Vec::new();
                if traced.lines.is_some() && !context.out.json() {
                    generation.copy_file(path.as_bytes(), file, &mut bytes)?;
                }
                let kind = if traced.lines.is_some() { "text" } else { "file" };
                let document = of.file(kind, &traced, &kept.damaged);
                context.out.emit_paged(&document, || of.file_text(&traced, &bytes));
            }
            (Some(Node::Symlink(_)), Some(path)) => {
                let traced = trace::file(&mut kept, path)?;
                let document = of.file("symlink", &traced, &kept.damaged);
                context.out.emit_paged(&document, || of.file_text(&traced, &[]));
            }
            (None, Some(path)) if tree.below(path.as_bytes()).next().is_none() => {
                return Err(no_such_path(path, generation.id()).into());
            }
            _ => {
                let children = trace::folder(&mut kept, path.as_ref())?;
                let document = of.folder(&children, &kept.damaged);
                context.out.emit_paged(&document, || of.folder_text(&children));
            }
        }
        Ok(warn_of_damage(context, &kept.damaged, &kept.records))
    }
}

fn no_such_path(path: &RelPath, generation: GenerationId) -> Fail {
    let message = format!("generation {generation} has no {path}");
    Fail::new("no-such-file", message, "`genstore log PATH` finds the generations that had it")
}

/// The question: a path of a generation.
struct Of<'a> {
    generation: GenerationId,
    path: Option<&'a RelPath>,
    now: SystemTime,
}

impl Of<'_> {
    fn file<'o>(&self, kind: &'static str, traced: &'o Traced, damaged: &'o [DamagedDoc]) -> BlameDoc<'o> {
        let number = |origin: &Origin| origin.listed.id;
        let ranges = traced.lines.as_ref().map(|lines| {
            let mut ranges: Vec<LinesDoc> = Vec::new();
            for (at, owner) in lines.iter().enumerate() {
                let generation = number(&traced.origins[*owner]);
                match ranges.last_mut() {
                    Some(range) if range.generation == generation => range.count += 1,
                    _ => ranges.push(LinesDoc { first: at + 1, count: 1, generation }),
                }
            }
            ranges
        });
        let owns = |nth: usize| nth == 0 || traced.lines.as_ref().is_some_and(|lines| lines.contains(&nth));
        let named = traced.origins.iter().enumerate().filter(|(nth, _)| owns(*nth));
        BlameDoc {
            schema: "genstore.blame/1",
            generation: self.generation,
            path: self.path.map_or_else(PathField::default, |path| PathField::of(path.as_bytes())),
            kind,
            origin: traced.origins.first().map(number),
            lines: ranges,
            entries: None,
            generations: named.map(|(_, origin)| OriginDoc::of(origin)).collect(),
            damaged,
        }
    }

    fn file_text(&self, traced: &Traced, bytes: &[u8]) -> String {
        let Some(lines) = traced.lines.as_ref().filter(|lines| !lines.is_empty()) else {
            let row = |origin: &Origin| {
                let mut cells = self.head(origin);
                cells.push(left(human::line(&origin.listed.head.note, 80)));
                cells
            };
            return human::table(&traced.origins.first().map(row).into_iter().collect::<Vec<_>>());
        };
        let row = |(at, (line, owner)): (usize, (&[u8], &usize))| {
            let mut cells = self.head(&traced.origins[*owner]);
            cells.push(right((at + 1).to_string()).styled(DIM));
            cells.push(left(shown_line(line)));
            cells
        };
        human::table(&split(bytes).into_iter().zip(lines).enumerate().map(row).collect::<Vec<_>>())
    }

    fn folder<'o>(&self, children: &'o [Child], damaged: &'o [DamagedDoc]) -> BlameDoc<'o> {
        let mut named: Vec<&Origin> = children.iter().filter_map(|child| child.origin.as_ref()).collect();
        named.sort_by_key(|origin| std::cmp::Reverse(origin.listed.id));
        named.dedup_by_key(|origin| origin.listed.id);
        let entry = |child: &Child| ChildDoc {
            path: PathField::of(&child.path),
            kind: match child.node {
                Some(ChildNode::File) => "file",
                Some(ChildNode::Symlink) => "symlink",
                Some(ChildNode::EmptyDir) | None => "directory",
            },
            bytes: child.bytes,
            generation: child.origin.as_ref().map(|origin| origin.listed.id),
        };
        BlameDoc {
            schema: "genstore.blame/1",
            generation: self.generation,
            path: self.path.map_or_else(PathField::default, |path| PathField::of(path.as_bytes())),
            kind: "directory",
            origin: None,
            lines: None,
            entries: Some(children.iter().map(entry).collect()),
            // The paths are those of the entries.
            generations: named
                .into_iter()
                .map(|origin| OriginDoc { path: PathField::default(), ..OriginDoc::of(origin) })
                .collect(),
            damaged,
        }
    }

    fn folder_text(&self, children: &[Child]) -> String {
        let row = |child: &Child| {
            let mut cells = child.origin.as_ref().map_or_else(Vec::new, |origin| self.head(origin));
            let is_folder = matches!(child.node, None | Some(ChildNode::EmptyDir));
            let shown = genstore::tree::show_path(&child.path);
            cells.push(left(if is_folder { format!("{shown}/") } else { shown }));
            cells.push(right(match child.node {
                Some(ChildNode::Symlink) => "symlink".to_owned(),
                _ => human::bytes(child.bytes),
            }));
            let note = child.origin.as_ref().map(|origin| human::line(&origin.listed.head.note, 50));
            cells.push(left(note.unwrap_or_default()));
            cells
        };
        human::table(&children.iter().map(row).collect::<Vec<_>>())
    }

    /// Returns the cells of an origin: number, age, who, and the path if it is another one.
    fn head(&self, Origin { listed, path, oldest }: &Origin) -> Vec<Cell> {
        let is_renamed = self.path.is_some_and(|own| own.as_bytes() != path && !is_below(own, path));
        let number = format!(" {}{}", oldest_mark(*oldest), listed.id);
        vec![
            right(number),
            left(time::ago(listed.head.created.into(), self.now)),
            left(human::who(listed.history.by.as_deref())),
            left(if is_renamed { genstore::tree::show_path(path) } else { String::new() }).styled(DIM),
        ]
    }
}

fn is_below(folder: &RelPath, path: &[u8]) -> bool {
    path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

impl OriginDoc<'_> {
    fn of(origin: &Origin) -> OriginDoc<'_> {
        OriginDoc {
            generation: origin.listed.id,
            time: time::rfc3339(origin.listed.head.created.into()),
            by: origin.listed.history.by.as_deref(),
            note: &origin.listed.head.note,
            path: PathField::of(&origin.path),
            oldest: origin.oldest,
        }
    }
}

/// The columns between two tab stops.
const TAB: usize = 8;

/// Returns a line of a file without its end, with bytes that a terminal would obey escaped.
fn shown_line(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut shown = String::new();
    for part in String::from_utf8_lossy(line).replace('\x1b', "\\u{1b}").split_inclusive('\t') {
        shown.push_str(part.trim_end_matches('\t'));
        if part.ends_with('\t') {
            shown.push_str(&" ".repeat(TAB - human::columns(&shown) % TAB));
        }
    }
    shown
}

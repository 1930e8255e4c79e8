//! `diff`: compares two generations, or a generation and a directory.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use genstore::diff::{Change, Diff as Difference, diff};
use genstore::tree::RelPath;
use genstore::{Error, GenerationId, Rev, Store};
use serde::Serialize;

use crate::command::choice::Choice;
use crate::command::compare::Side;
use crate::command::context::Context;
use crate::command::refs;
use crate::errors::Fail;
use crate::exit;
use crate::render::diff as list;
use crate::render::json::{ChangeDoc, PathField, SummaryDoc};
use crate::render::pager;
use crate::render::patch::{Content, Lines, count_lines, patch};
use crate::text::human;

#[derive(Args)]
pub(crate) struct Diff {
    /// The old side: a generation [default: @-]; a directory alone is compared with @
    #[arg(value_name = "A")]
    old: Option<OsString>,
    /// The new side: a generation or a directory [default: @]
    #[arg(value_name = "B")]
    new: Option<OsString>,
    #[command(flatten)]
    choice: Choice,
    /// Count the added and removed lines
    #[arg(long, conflicts_with_all = ["name_status", "patch"])]
    stat: bool,
    /// List only change letters and paths, separated by tabs
    #[arg(long, conflicts_with = "patch")]
    name_status: bool,
    /// Print the changes as a patch for `git apply`, of all paths or of these
    #[arg(short, long, value_name = "PATH", num_args = 0..)]
    patch: Option<Vec<OsString>>,
    /// Exit with 1 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DiffDoc {
    schema: &'static str,
    /// The first generation, if it is one.
    from: Option<GenerationId>,
    /// The second generation, if it is one.
    to: Option<GenerationId>,
    /// The tree id of the first side.
    from_tree: String,
    /// The tree id of the second side.
    to_tree: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<PathField>,
    /// The entries.
    entries: Vec<ChangeDoc>,
    /// The counts.
    summary: SummaryDoc,
}

impl Diff {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        context.choose(&self.choice);
        let store = context.open()?;
        let paths: Vec<RelPath> =
            self.patch.iter().flatten().map(refs::path_in_tree).collect::<Result<_>>()?;
        let (old, new) = self.sides(context, &store)?;
        let mut found = diff(&old.tree, &new.tree);
        self.choose(&mut found, &paths, &old, &new)?;
        context.progress.finish();
        if context.out.json() {
            self.print_document(context, &old, &new, &found)?;
        } else if self.patch.is_some() {
            self.print_patch(context, &old, &new, &found)?;
        } else {
            let text = self.text(&old, &new, &found)?;
            context.out.text_paged(&text);
        }
        let differs = !found.changes.is_empty();
        Ok(if differs && self.exit_code { exit::DIFFERS } else { exit::DONE })
    }

    /// Prints the patch. On a terminal it is collected first, since it may need a pager.
    fn print_patch(
        &self,
        context: &Context<'_>,
        old: &Side,
        new: &Side,
        found: &Difference<'_>,
    ) -> Result<()> {
        let mut all = Vec::new();
        for change in &found.changes {
            let (from, to) = contents(old, new, change)?;
            let text = patch(change, &from, &to, context.out.colored);
            match pager::columns() {
                Some(_) => all.extend(text),
                None => context.out.bytes(&text),
            }
        }
        let is_shown = std::str::from_utf8(&all).is_ok_and(|text| pager::show(text, context.out.colored));
        if !is_shown {
            context.out.bytes(&all);
        }
        Ok(())
    }

    fn sides(&self, context: &Context<'_>, store: &Store) -> Result<(Side, Side)> {
        if let (Some(only), None) = (&self.old, &self.new)
            && is_directory(store, only)
        {
            let old = Side::generation(store, &refs::CURRENT)?;
            return Ok((old, new_side(context, store, only)?));
        }
        let old = match &self.old {
            Some(text) => refs::local(context, store, &refs::rev(&refs::text(text)))?,
            None => Rev::Current { older: 1 },
        };
        let old = match Side::generation(store, &old) {
            Err(error) if self.old.is_none() => return Err(explain_first(store, error)),
            side => side?,
        };
        let new = match &self.new {
            None => Side::generation(store, &refs::CURRENT)?,
            Some(text) => new_side(context, store, text)?,
        };
        Ok((old, new))
    }

    /// Keeps only the requested paths. A path that neither side has is an error, so that a typo does not
    /// look like "no difference".
    fn choose(&self, found: &mut Difference<'_>, paths: &[RelPath], old: &Side, new: &Side) -> Result<()> {
        for path in paths {
            let name = path.as_bytes();
            let known = |side: &Side| side.tree.below(name).next().is_some();
            if !known(old) && !known(new) {
                let message = format!("neither side has {path}");
                let hint = "generations come before -p: `genstore diff 41 42 -p PATH`; \
                            `genstore show --tree` lists paths";
                return Err(Fail::new("no-such-file", message, hint).into());
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        found.keep_within(paths);
        Ok(())
    }

    fn text(&self, old: &Side, new: &Side, found: &Difference<'_>) -> Result<String> {
        if self.name_status {
            return Ok(list::name_status(found));
        }
        let head = format!("{} -> {}\n", old.title(), new.title());
        if !self.stat {
            return Ok(format!("{head}{}{}", list::list(found), list::totals(found)));
        }
        let lines = count_all(old, new, found)?;
        let sum = |pick: fn(&Lines) -> u64| lines.iter().map(pick).sum::<u64>();
        let added = sum(|lines| if let Lines::Text { added, .. } = lines { *added } else { 0 });
        let removed = sum(|lines| if let Lines::Text { removed, .. } = lines { *removed } else { 0 });
        let totals = list::totals(found);
        let totals = totals.trim_end();
        let lines_text = match found.changes.is_empty() {
            true => String::new(),
            false => format!("; {} added, {} removed", human::count(added, "line"), human::number(removed)),
        };
        Ok(format!("{head}{}{totals}{lines_text}\n", list::stat(found, &lines)))
    }

    fn print_document(
        &self,
        context: &Context<'_>,
        old: &Side,
        new: &Side,
        found: &Difference<'_>,
    ) -> Result<()> {
        let mut entries: Vec<ChangeDoc> = found.changes.iter().map(ChangeDoc::of).collect();
        if self.stat {
            for (entry, lines) in entries.iter_mut().zip(count_all(old, new, found)?) {
                if let Lines::Text { added, removed } = lines {
                    (entry.lines_added, entry.lines_removed) = (Some(added), Some(removed));
                }
            }
        }
        if self.patch.is_some() {
            for (entry, change) in entries.iter_mut().zip(&found.changes) {
                let (from, to) = contents(old, new, change)?;
                entry.set_patch(&patch(change, &from, &to, false));
            }
        }
        let document = DiffDoc {
            schema: "genstore.diff/1",
            from: old.number(),
            to: new.number(),
            from_tree: old.tree.id().to_string(),
            to_tree: new.tree.id().to_string(),
            directory: new.dir().map(PathField::of_path),
            entries,
            summary: SummaryDoc::of(found.summary),
        };
        context.out.emit(&document, String::new);
        Ok(())
    }
}

/// Returns whether an argument is a directory, and no generation.
fn is_directory(store: &Store, text: &OsString) -> bool {
    let is_path = text.as_bytes().contains(&b'/') || matches!(text.as_bytes(), b"." | b"..");
    let is_dir = || std::fs::metadata(text).is_ok_and(|meta| meta.is_dir());
    is_path || is_dir() && text.to_str().is_none_or(|name| store.resolve(&refs::rev(name)).is_err())
}

/// Reads the new side: a directory, if it looks like a path or no generation has the name; otherwise a REF.
fn new_side(context: &Context<'_>, store: &Store, text: &OsString) -> Result<Side> {
    let dir = Path::new(text);
    let directory = || Side::directory(store, dir, &context.scan_rules(Some(store))?);
    let name = match text.to_str() {
        // A directory of this name counts more.
        Some(name) if dir.symlink_metadata().is_err() && refs::remote_of(context, name)?.is_some() => {
            return Side::generation(store, &refs::local(context, store, &refs::rev(name))?);
        }
        Some(name) if !name.contains('/') && name != "." && name != ".." => name,
        _ => return directory(),
    };
    match Side::generation(store, &refs::rev(name)) {
        Err(error) => {
            let unknown = matches!(error.downcast_ref(), Some(Error::UnknownRev { .. }));
            let is_dir = std::fs::metadata(dir).is_ok_and(|meta| meta.is_dir());
            if unknown && is_dir { directory() } else { Err(error) }
        }
        side => side,
    }
}

/// Explains that a comparison without arguments needs two generations.
fn explain_first(store: &Store, error: anyhow::Error) -> anyhow::Error {
    match (error.downcast_ref(), store.current()) {
        (Some(Error::UnknownRev { .. }), Ok(Some(current))) => {
            let message = format!("there is no generation older than {current} to compare with");
            let hint = format!("`genstore show {current} --tree` lists its files");
            Fail::new("unknown-ref", message, hint).into()
        }
        _ => error,
    }
}

fn contents(old: &Side, new: &Side, change: &Change<'_>) -> Result<(Content, Content)> {
    match change {
        // A pure rename has the same bytes on both sides, so they are not read.
        Change::Renamed(..) => Ok((old.content(None)?, new.content(None)?)),
        _ => Ok((old.content(change.from())?, new.content(change.to())?)),
    }
}

fn count_all(old: &Side, new: &Side, found: &Difference<'_>) -> Result<Vec<Lines>> {
    let count = |change: &Change<'_>| {
        let (from, to) = contents(old, new, change)?;
        Ok(count_lines(&from, &to))
    };
    found.changes.iter().map(count).collect()
}

//! `view`: manages paths outside the store that show the current generation.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use genstore::view::{View as Known, ViewAdded, ViewChange, ViewKind, ViewOptions, ViewState};
use serde::Serialize;

use crate::command::advice;
use crate::command::context::Context;
use crate::command::refs::path_in_tree;
use crate::errors::Fail;
use crate::exit;
use crate::render::json::{PathField, WarningDoc, text_or_base64};
use crate::text::escape::show;
use crate::text::human::{self, Cell, left};
use crate::text::style::{BAD, GOOD};
use crate::text::time;

#[derive(Args)]
pub(crate) struct View {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Add a view: a path that always shows the current generation
    ///
    /// A link is a symlink that is created once and then left alone. Each publish, rollback and switch
    /// changes what it shows, atomically. A mirror is a directory of real files that each of them updates
    /// file by file, for programs that must see files change. If the view exists already, it is left as it
    /// is, or changed to another part or another kind.
    Add(Add),
    /// List the views and their states
    Ls(Ls),
    /// Remove a view; files that are not the store's own are left alone, also in a mirror
    Rm(Rm),
}

#[derive(Args)]
struct Add {
    /// The path of the view, outside the store
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The kind of view
    #[arg(long = "as", value_name = "KIND", value_enum, default_value = "link")]
    kind: Kind,
    /// Create private copies in a mirror, for programs that write to them or for another filesystem
    #[arg(long)]
    copy: bool,
    /// Show files in a mirror for this long after they were removed, except pages
    ///
    /// A page that is still open asks for the files of its own generation. They come from generations that
    /// are kept, so give `[retain] keep_within` the same time. The first publish, rollback or switch after
    /// the time removes them.
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    keep_removed: Option<Duration>,
    /// Show only this part of the tree
    #[arg(long, value_name = "SUBDIR")]
    from: Option<OsString>,
    /// Replace a directory or another symlink, and keep it as PATH.before-genstore
    #[arg(long)]
    replace: bool,
    /// Create missing parent directories of PATH
    #[arg(short, long)]
    parents: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A symlink to the current generation
    Link,
    /// A directory of real files
    Mirror,
}

#[derive(Args)]
struct Ls {}

#[derive(Args)]
struct Rm {
    /// The path of the view
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct AddedDoc {
    schema: &'static str,
    /// The kind of change.
    change: &'static str,
    #[serde(flatten)]
    view: ViewDoc,
    /// The place where it is kept, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// The place in base64, otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_b64: Option<String>,
    /// Failures after the commit.
    warnings: Vec<WarningDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ListDoc {
    schema: &'static str,
    /// The views.
    views: Vec<ViewDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct RemovedDoc {
    schema: &'static str,
    /// Whether there was a link or a mirror of the store's own to remove.
    unlinked: bool,
    #[serde(flatten)]
    view: ViewDoc,
    /// Files in a mirror that are not the store's own and were left there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<PathField>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ViewDoc {
    #[serde(flatten)]
    path: PathField,
    /// `link` or `mirror`.
    #[serde(rename = "as")]
    kind: &'static str,
    /// Whether the files are private copies.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    copy: bool,
    /// The seconds for which removed files are still shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_removed: Option<u64>,
    /// The part of the generation, or the former content.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The part in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_b64: Option<String>,
    /// The target of a symlink, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The target in base64, otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_b64: Option<String>,
    /// The time of creation.
    made: String,
    /// The state.
    state: &'static str,
    /// The place that it leads to, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to: Option<String>,
    /// The place in base64, otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to_b64: Option<String>,
    /// Paths in a mirror that are not the store's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<PathField>,
}

impl ViewDoc {
    pub(crate) fn of(view: &Known) -> ViewDoc {
        let text = |bytes: Option<&[u8]>| bytes.map_or((None, None), text_or_base64);
        let (from, from_b64) = text(view.from.as_ref().map(genstore::tree::RelPath::as_bytes));
        let (target, target_b64) = text((view.kind == ViewKind::Link).then_some(&view.target));
        let (leads_to, leads_to_b64) = text(match &view.state {
            ViewState::Elsewhere(target) => Some(target),
            _ => None,
        });
        ViewDoc {
            path: PathField::of_path(&view.path),
            kind: kind(view.kind),
            copy: view.copy,
            keep_removed: view.keep_removed.map(|keep| keep.as_secs()),
            from,
            from_b64,
            target,
            target_b64,
            made: time::rfc3339(view.made),
            state: state(&view.state).0,
            leads_to,
            leads_to_b64,
            strangers: match &view.state {
                ViewState::Strangers(paths) => paths.iter().map(|path| PathField::of(path)).collect(),
                _ => vec![],
            },
        }
    }
}

pub(crate) fn kind(kind: ViewKind) -> &'static str {
    match kind {
        ViewKind::Mirror => "mirror",
        _ => "link",
    }
}

/// Returns the name of a state for programs, and for people.
pub(crate) fn state(state: &ViewState) -> (&'static str, String) {
    let (name, text) = match state {
        ViewState::Ok => ("ok", "ok"),
        ViewState::Dangling => ("dangling", "shows nothing yet"),
        ViewState::Behind => ("behind", "is out of date"),
        ViewState::Strangers(paths) => {
            let what = if paths.len() == 1 { "stranger" } else { "strangers" };
            return ("strangers", format!("ok, with {} {what}: {}", paths.len(), some(paths)));
        }
        ViewState::Missing => ("missing", "is missing"),
        ViewState::Elsewhere(target) => {
            return ("elsewhere", format!("is a symlink to {}", genstore::tree::show_path(target)));
        }
        ViewState::Directory => ("directory", "is a directory"),
        ViewState::File => ("file", "is a file"),
        ViewState::NoParent => ("no-parent", "has no parent directory"),
        ViewState::Unmounted => ("unmounted", "is on a filesystem that is not mounted"),
        ViewState::Mounted => ("mounted", "is hidden by a mount"),
        _ => ("other", "is something else"),
    };
    (name, text.to_owned())
}

/// Lists the first few paths.
fn some(paths: &[Vec<u8>]) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = paths.iter().take(NAMED).map(|path| genstore::tree::show_path(path)).collect();
    names.join(", ") + if paths.len() > NAMED { ", …" } else { "" }
}

/// Describes what a view shows: `current/app`.
pub(crate) fn shows(view: &Known) -> String {
    view.from.as_ref().map_or("current".to_owned(), |from| format!("current/{from}"))
}

impl View {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        match &self.verb {
            Verb::Add(add) => add.run(context),
            Verb::Ls(_) => list(context),
            Verb::Rm(rm) => rm.run(context),
        }
    }
}

impl Add {
    fn run(&self, context: &Context<'_>) -> Result<u8> {
        let kind = match self.kind {
            Kind::Link if self.keep_removed.is_some() => {
                let fail =
                    Fail::usage("kept-by-a-link", "a link shows one generation, and no removed files");
                let hint = "use `--as mirror`, or omit --keep-removed".to_owned();
                return Err(Fail { hint, ..fail }.into());
            }
            Kind::Link if self.copy => {
                let fail = Fail::usage("copy-of-a-link", "a link has no files to copy");
                let hint = "use `--as mirror`, or omit --copy".to_owned();
                return Err(Fail { hint, ..fail }.into());
            }
            Kind::Link => ViewKind::Link,
            Kind::Mirror => ViewKind::Mirror,
        };
        let from = self.from.as_ref().map(path_in_tree).transpose()?;
        let store = context.open()?;
        let mut options = ViewOptions::default();
        (options.from, options.kind, options.copy) = (from, kind, self.copy);
        (options.replace, options.parents) = (self.replace, self.parents);
        options.keep_removed = self.keep_removed;
        let added = store.add_view(&self.path, &options)?;
        let view = &added.view;
        let path = show(&view.path);
        if added.change != ViewChange::Unchanged {
            context.out.has_changed(format!("the view {path} was added"));
        }
        let change = match added.change {
            ViewChange::Unchanged => "unchanged",
            ViewChange::Made => "made",
            ViewChange::Retargeted => "retargeted",
            _ => "replaced",
        };
        let (kept, kept_b64) = added.kept.as_ref().map_or((None, None), |kept| {
            text_or_base64(std::os::unix::ffi::OsStrExt::as_bytes(kept.as_os_str()))
        });
        let warnings = WarningDoc::all(&added.warnings);
        let schema = "genstore.view-add/1";
        let document = AddedDoc { schema, change, view: ViewDoc::of(view), kept, kept_b64, warnings };
        context.out.confirm(&document, || text(&added));
        if let Some((why, instead)) = advice::mirror_instead(view, store.path()) {
            context.out.warn(&why);
            context.out.hint(&instead);
        }
        if view.state == ViewState::Dangling {
            let until = match (store.current()?, &view.from) {
                (Some(_), Some(from)) => format!("a generation has {from}"),
                _ => "something is published".to_owned(),
            };
            context.out.warn(&format!("the view {path} shows nothing until {until}"));
        }
        if let ViewState::Strangers(paths) = &view.state {
            let names = some(paths);
            let what = "files that are not genstore's were left alone";
            context.out.warn(&format!("in the view {path} {what}: {names}"));
        }
        context.warn_of(&added.warnings);
        if added.warnings.is_empty() {
            return Ok(exit::DONE);
        }
        context.out.hint("fix the cause; the next publish finishes the view");
        Ok(exit::PARTLY)
    }
}

fn text(added: &ViewAdded) -> String {
    let (path, shows) = (show(&added.view.path), shows(&added.view));
    let how = match added.view.kind {
        ViewKind::Mirror => "mirrors",
        _ => "shows",
    };
    let mut text = match added.change {
        ViewChange::Unchanged => format!("Unchanged: the view {path} already {how} {shows}\n"),
        _ => format!("{GOOD}View{GOOD:#} {path} {how} {shows}\n"),
    };
    if let Some(kept) = &added.kept {
        text.push_str(&format!("The former content is now {}\n", show(kept)));
    }
    text
}

fn list(context: &Context<'_>) -> Result<u8> {
    let store = context.open()?;
    let views = store.views()?;
    let document =
        ListDoc { schema: "genstore.view-list/1", views: views.iter().map(ViewDoc::of).collect() };
    context.out.emit(&document, || {
        let row = |view: &Known| -> Vec<Cell> {
            let good = matches!(view.state, ViewState::Ok | ViewState::Strangers(_));
            let style = if good { GOOD } else { BAD };
            let how = kind(view.kind).to_owned() + if view.copy { " of copies" } else { "" };
            let state = state(&view.state).1;
            vec![left(show(&view.path)), left(shows(view)), left(how), left(state).styled(style)]
        };
        human::table(&views.iter().map(row).collect::<Vec<_>>())
    });
    if views.is_empty() {
        context.out.note(&format!("The store {} has no views", show(store.path())));
        context.out.hint("add one with `genstore view add PATH`");
    }
    let lost = |view: &Known| matches!(view.state, ViewState::Missing | ViewState::Directory);
    if views.iter().any(lost) {
        context
            .out
            .hint("the next publish creates missing views again, and keeps what is at their paths now");
    }
    if views.iter().any(|view| view.state == ViewState::Behind) {
        context.out.hint("the next publish updates the mirrors");
    }
    if let Some(view) = views.iter().find(|view| matches!(view.state, ViewState::Elsewhere(_))) {
        context.out.hint(&format!("`{} --replace` repairs it", view.command()));
    }
    Ok(exit::DONE)
}

impl Rm {
    fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let removed = store.remove_view(&self.path)?;
        let path = show(&removed.view.path);
        context.out.has_changed(format!("the view {path} was removed"));
        let (schema, unlinked) = ("genstore.view-remove/1", removed.unlinked);
        let left = removed.strangers.iter().map(|path| PathField::of(path)).collect();
        let document = RemovedDoc { schema, unlinked, view: ViewDoc::of(&removed.view), left };
        context.out.confirm(&document, || {
            let gone = match removed.view.kind {
                ViewKind::Mirror => "it was already gone",
                _ => "its link was already gone",
            };
            let left = match &removed.view.state {
                _ if !removed.strangers.is_empty() => {
                    format!(
                        "left in place, because genstore did not put it there: {}",
                        some(&removed.strangers)
                    )
                }
                _ if unlinked => return format!("Removed the view {path}\n"),
                ViewState::Missing | ViewState::NoParent => gone.to_owned(),
                standing => format!("the path now {} and was left alone", state(standing).1),
            };
            format!("Removed the view {path}; {left}\n")
        });
        Ok(exit::DONE)
    }
}

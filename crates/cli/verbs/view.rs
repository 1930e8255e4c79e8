//! `view`: paths outside the store that show what is current.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use genstore::{View as Known, ViewAdded, ViewChange, ViewKind, ViewOptions, ViewState};
use serde::Serialize;

use super::path_in_tree;
use crate::context::Context;
use crate::errors::exit;
use crate::output::{BAD, GOOD, show};
use crate::render::human::{self, Cell, left};
use crate::render::json::{PathField, WarningDoc, text_or_base64};
use crate::time;

#[derive(Args)]
pub(crate) struct View {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a path show what is current, from now on
    ///
    /// The path becomes a symlink that is made once and then left alone: each publish, rollback and
    /// switch changes what it shows. A view that is there already is left as it is, or made to show
    /// another part.
    Add(Add),
    /// List the views, and what stands at their paths
    Ls(Ls),
    /// Remove a view; what is no link of ours is left alone
    Rm(Rm),
}

#[derive(Args)]
struct Add {
    /// Where the view is to be, outside the store
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// How it shows what is current
    #[arg(long = "as", value_name = "KIND", value_enum, default_value = "link")]
    kind: Kind,
    /// Show this part of the tree alone
    #[arg(long, value_name = "SUBDIR")]
    from: Option<OsString>,
    /// Take the place of a directory or of another symlink, and keep it as PATH.before-genstore
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Link,
}

#[derive(Args)]
struct Ls {}

#[derive(Args)]
struct Rm {
    /// Where the view is
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Serialize)]
struct AddedDoc {
    schema: &'static str,
    change: &'static str,
    #[serde(flatten)]
    view: ViewDoc,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_b64: Option<String>,
    warnings: Vec<WarningDoc>,
}

#[derive(Serialize)]
struct ListDoc {
    schema: &'static str,
    views: Vec<ViewDoc>,
}

#[derive(Serialize)]
struct RemovedDoc {
    schema: &'static str,
    /// Whether there was a link of ours to remove.
    unlinked: bool,
    #[serde(flatten)]
    view: ViewDoc,
}

#[derive(Serialize)]
struct ViewDoc {
    #[serde(flatten)]
    path: PathField,
    #[serde(rename = "as")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_b64: Option<String>,
    made: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to_b64: Option<String>,
}

impl ViewDoc {
    fn of(view: &Known) -> ViewDoc {
        let text = |bytes: Option<&[u8]>| bytes.map_or((None, None), text_or_base64);
        let (from, from_b64) = text(view.from.as_ref().map(genstore::RelPath::as_bytes));
        let (target, target_b64) = text(Some(&view.target));
        let (leads_to, leads_to_b64) = text(match &view.state {
            ViewState::Elsewhere(target) => Some(target),
            _ => None,
        });
        ViewDoc {
            path: PathField::of_path(&view.path),
            kind: "link",
            from,
            from_b64,
            target,
            target_b64,
            made: time::rfc3339(view.made),
            state: state(&view.state).0,
            leads_to,
            leads_to_b64,
        }
    }
}

/// Gives the name of a state for programs, and for people.
fn state(state: &ViewState) -> (&'static str, String) {
    let (name, text) = match state {
        ViewState::Ok => ("ok", "ok"),
        ViewState::Dangling => ("dangling", "shows nothing yet"),
        ViewState::Missing => ("missing", "is missing"),
        ViewState::Elsewhere(target) => {
            return ("elsewhere", format!("is a symlink to {}", genstore::show_path(target)));
        }
        ViewState::Directory => ("directory", "is a directory"),
        ViewState::File => ("file", "is a file"),
        ViewState::NoParent => ("no-parent", "has no directory to be in"),
        _ => ("other", "is something else"),
    };
    (name, text.to_owned())
}

/// Says what a view shows: `current/app`.
fn shows(view: &Known) -> String {
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
            Kind::Link => ViewKind::Link,
        };
        let from = self.from.as_ref().map(path_in_tree).transpose()?;
        let store = context.open()?;
        let added = store.add_view(&self.path, &ViewOptions { from, kind, replace: self.replace })?;
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
        if view.state == ViewState::Dangling {
            let until = match (store.current()?, &view.from) {
                (Some(_), Some(from)) => format!("a generation has {from}"),
                _ => "something is published".to_owned(),
            };
            context.out.warn(&format!("the view {path} shows nothing until {until}"));
        }
        context.warn_of(&added.warnings);
        if added.warnings.is_empty() {
            return Ok(exit::DONE);
        }
        context.out.hint("mend the cause: the next publish finishes it");
        Ok(exit::PARTLY)
    }
}

fn text(added: &ViewAdded) -> String {
    let (path, shows) = (show(&added.view.path), shows(&added.view));
    let mut text = match added.change {
        ViewChange::Unchanged => format!("Unchanged: the view {path} shows {shows} already\n"),
        _ => format!("{GOOD}View{GOOD:#} {path} shows {shows}\n"),
    };
    if let Some(kept) = &added.kept {
        text.push_str(&format!("What was there is {} now\n", show(kept)));
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
            let style = if view.state == ViewState::Ok { GOOD } else { BAD };
            vec![left(show(&view.path)), left(shows(view)), left(state(&view.state).1).styled(style)]
        };
        human::table(&views.iter().map(row).collect::<Vec<_>>())
    });
    if views.is_empty() {
        context.out.note(&format!("The store {} has no views", show(store.path())));
        context.out.hint("make one: `genstore view add PATH`");
    }
    let replaced = |view: &&Known| matches!(view.state, ViewState::Elsewhere(_) | ViewState::Directory);
    if views.iter().any(|view| view.state == ViewState::Missing) {
        context.out.hint("the next publish makes links again that are missing");
    }
    if let Some(view) = views.iter().find(replaced) {
        let from = view.from.as_ref().map_or(String::new(), |from| format!(" --from {from}"));
        context.out.hint(&format!("`genstore view add {}{from} --replace` mends it", show(&view.path)));
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
        let document = RemovedDoc { schema, unlinked, view: ViewDoc::of(&removed.view) };
        context.out.confirm(&document, || {
            let left = match &removed.view.state {
                _ if unlinked => return format!("Removed the view {path}\n"),
                ViewState::Missing | ViewState::NoParent => "its link was gone already".to_owned(),
                standing => format!("what is there now {} and was left alone", state(standing).1),
            };
            format!("Removed the view {path}; {left}\n")
        });
        Ok(exit::DONE)
    }
}

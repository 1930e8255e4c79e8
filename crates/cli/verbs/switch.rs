//! `switch`: makes any kept generation current.

use anyhow::Result;
use clap::Args;
use genstore::publish::{Activation, Expect};
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::command::refs;
use crate::exit;
use crate::render::json::{PathField, WarningDoc};
use crate::render::output::Out;
use crate::text::human;
use crate::text::style::{DIM, GOOD};

#[derive(Args)]
pub(crate) struct Switch {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
    /// Switch only if this generation is current (`none`: if nothing was published before)
    #[arg(long, value_name = "REF|none")]
    expect: Option<String>,
    /// Show what would happen, without changing anything
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// The result of an activation, also for `rollback`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ActivationDoc {
    schema: &'static str,
    /// Whether nothing was changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    previous: Option<GenerationId>,
    /// Whether anything changed.
    changed: bool,
    /// Whether the generation is still current after the hooks.
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) marked_bad: Option<GenerationId>,
    /// The number of files that got an inode of their own, with a newer mtime.
    refreshed: u64,
    /// Whether the change survives a power loss.
    durable: bool,
    #[serde(flatten)]
    path: PathField,
    /// Failures after the commit.
    warnings: Vec<WarningDoc>,
}

impl ActivationDoc {
    pub(crate) fn new(
        schema: &'static str,
        context: &Context<'_>,
        store: &Store,
        done: &Activation,
        hooks: &HooksEnded,
    ) -> ActivationDoc {
        let mut warnings = WarningDoc::all(&done.warnings);
        warnings.extend(WarningDoc::take(context.out));
        ActivationDoc {
            schema,
            dry_run: false,
            generation: done.generation,
            tree: done.tree.to_string(),
            previous: done.previous,
            changed: done.previous != Some(done.generation),
            current: hooks.leave_current(done.generation),
            marked_bad: None,
            refreshed: done.refreshed,
            durable: done.durable,
            path: PathField::of_path(&store.tree_path(done.generation)),
            warnings,
        }
    }

    /// Creates the document of a move that was only planned.
    pub(crate) fn planned(
        schema: &'static str,
        store: &Store,
        previous: Option<GenerationId>,
        generation: GenerationId,
    ) -> Result<ActivationDoc> {
        let head = store.open_generation(&Rev::Number(generation))?.head()?;
        Ok(ActivationDoc {
            schema,
            dry_run: true,
            generation,
            tree: head.tree.to_string(),
            previous,
            changed: previous != Some(generation),
            current: previous == Some(generation),
            marked_bad: None,
            refreshed: 0,
            durable: true,
            path: PathField::of_path(&store.tree_path(generation)),
            warnings: vec![],
        })
    }
}

impl Switch {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        context.check_hooks()?;
        let expect = refs::expected(Some(&store), self.expect.as_deref())?;
        if self.dry_run {
            return self.preview(context, &store, expect);
        }
        let done = store.activate(&self.generation, expect)?;
        let changed = done.previous != Some(done.generation);
        if changed {
            context.out.has_changed(format!("generation {} is current now", done.generation));
        }
        context.out.confirm_text(|| match changed {
            true => format!("{GOOD}Switched:{GOOD:#} {}\n", moved(&store, &done)),
            false => format!(
                "Unchanged: generation {} {DIM}{}{DIM:#} is already current\n",
                done.generation,
                done.tree.short(),
            ),
        });
        print_refreshed(context.out, done.refreshed);
        let ended = match changed {
            true => hooks::post_commit(context, &store, done.generation, done.previous),
            false => HooksEnded::without(Some(done.generation)),
        };
        let document = ActivationDoc::new("genstore.switch/1", context, &store, &done, &ended);
        context.out.confirm_document(&document);
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }

    fn preview(&self, context: &Context<'_>, store: &Store, expect: Expect) -> Result<u8> {
        let (next, previous) = (store.resolve(&self.generation)?, store.current()?);
        refs::check_expected(expect, previous)?;
        let document = ActivationDoc::planned("genstore.switch/1", store, previous, next)?;
        context.out.emit(&document, || match previous == Some(next) {
            true => format!("Would change nothing: generation {next} is already current\n"),
            false => format!("Would switch: {}\n", between(store, previous, next)),
        });
        Ok(exit::DONE)
    }
}

/// Formats a move: `42 9f3ac1d2 -> 41 77b0e6aa (fix header)`.
pub(crate) fn moved(store: &Store, done: &Activation) -> String {
    between(store, done.previous, done.generation)
}

/// Formats a move between two generations in the same way.
pub(crate) fn between(store: &Store, previous: Option<GenerationId>, next: GenerationId) -> String {
    // A part that cannot be read is left out: the move may be done already.
    let head = |id: GenerationId| store.open_generation(&Rev::Number(id)).and_then(|g| g.head()).ok();
    let named = |id: GenerationId| match head(id) {
        Some(head) => format!("{id} {DIM}{}{DIM:#}", head.tree.short()),
        None => id.to_string(),
    };
    let from = previous.map_or("nothing".to_owned(), named);
    let note = match head(next).map(|head| human::line(&head.note, 50)) {
        Some(note) if !note.is_empty() => format!(" ({note})"),
        _ => String::new(),
    };
    format!("{from} -> {}{note}", named(next))
}

pub(crate) fn print_refreshed(out: &Out, refreshed: u64) {
    if refreshed > 0 {
        out.detail(&format!("{} got a newer mtime", human::count(refreshed, "file")));
    }
}

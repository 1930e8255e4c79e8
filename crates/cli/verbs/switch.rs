//! `switch`: makes any kept generation current.

use anyhow::Result;
use clap::Args;
use genstore::publish::{Activation, Expect};
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::render::json::{PathField, WarningDoc};
use crate::render::output::Out;
use crate::text::human;
use crate::text::style::{DIM, GOOD};

#[derive(Args)]
pub(crate) struct Switch {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
}

/// The result of an activation, also for `rollback`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ActivationDoc {
    schema: &'static str,
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
}

impl Switch {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        context.check_hooks()?;
        let done = store.activate(&self.generation, Expect::Any)?;
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
}

/// Formats a move: `42 9f3ac1d2 -> 41 77b0e6aa (fix header)`.
pub(crate) fn moved(store: &Store, done: &Activation) -> String {
    // The move is done, so a part that cannot be read is left out.
    let head = |id: GenerationId| store.open_generation(&Rev::Number(id)).and_then(|g| g.head()).ok();
    let from = match done.previous {
        None => "nothing".to_owned(),
        Some(id) => match head(id) {
            Some(head) => format!("{id} {DIM}{}{DIM:#}", head.tree.short()),
            None => id.to_string(),
        },
    };
    let note = match head(done.generation).map(|head| human::line(&head.note, 50)) {
        Some(note) if !note.is_empty() => format!(" ({note})"),
        _ => String::new(),
    };
    format!("{from} -> {} {DIM}{}{DIM:#}{note}", done.generation, done.tree.short())
}

pub(crate) fn print_refreshed(out: &Out, refreshed: u64) {
    if refreshed > 0 {
        out.detail(&format!("{} got a newer mtime", human::count(refreshed, "file")));
    }
}

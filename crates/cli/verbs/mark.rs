//! `mark`: marks a generation as good or bad.

use anyhow::Result;
use clap::{Args, ValueEnum};
use genstore::generation::{Mark as Judgement, Recorded};
use genstore::{GenerationId, Rev};
use serde::Serialize;

use crate::command::context::Context;
use crate::render::json::{self, WarningDoc};
use crate::text::human;

#[derive(Args)]
pub(crate) struct Mark {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
    /// The mark: `rollback` skips bad generations, and gc does not count them among the last to keep
    #[arg(value_name = "good|bad", hide_possible_values = true)]
    mark: Word,
    /// The reason
    #[arg(short, long, value_name = "WHY")]
    message: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    Good,
    Bad,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct MarkDoc<'a> {
    schema: &'static str,
    generation: GenerationId,
    /// The mark: `good` or `bad`.
    mark: &'static str,
    /// The reason, for people.
    why: Option<&'a str>,
    /// Failures after the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningDoc>,
}

impl Mark {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let mark = match self.mark {
            Word::Good => Judgement::Good,
            Word::Bad => Judgement::Bad,
        };
        let Recorded { generation, warnings, .. } =
            store.mark(&self.generation, mark, self.message.clone())?;
        context.out.has_changed(format!("generation {generation} was marked"));
        let (word, why) = (json::mark(mark), self.message.as_deref());
        let document = MarkDoc {
            schema: "genstore.mark/1",
            generation,
            mark: word,
            why,
            warnings: WarningDoc::all(&warnings),
        };
        context.out.confirm(&document, || {
            let why = why.map_or(String::new(), |why| format!(": {}", human::line(why, 80)));
            format!("Marked generation {generation} as {word}{why}\n")
        });
        Ok(context.warn_of(&warnings))
    }
}

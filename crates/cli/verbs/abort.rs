//! `abort`: ends a stage, and removes its files.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::stages::StageArg;
use crate::exit;

#[derive(Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    stage: StageArg,
}

/// The document `genstore.abort/1`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct AbortDoc {
    schema: &'static str,
    /// The id of the stage.
    stage: String,
}

impl Abort {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let id = self.stage.id(&store)?;
        store.resume(&id)?.abort()?;
        let document = AbortDoc { schema: "genstore.abort/1", stage: id.to_string() };
        context.out.confirm(&document, || format!("Aborted stage {id}\n"));
        Ok(exit::DONE)
    }
}

//! `unpin`: removes a pin.

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::generation::PinName;
use serde::Serialize;

use crate::command::context::Context;
use crate::render::json::WarningDoc;

#[derive(Args)]
pub(crate) struct Unpin {
    /// The pin's name
    #[arg(value_name = "NAME")]
    name: PinName,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct UnpinnedDoc<'a> {
    schema: &'static str,
    /// A name.
    name: &'a str,
    /// The generation that it kept, if the pin could be read.
    generation: Option<GenerationId>,
    /// Failures after the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningDoc>,
}

impl Unpin {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let done = context.open()?.unpin(&self.name)?;
        context.out.has_changed(format!("the pin {} was removed", self.name));
        let document = UnpinnedDoc {
            schema: "genstore.unpin/1",
            name: self.name.as_str(),
            generation: done.generation,
            warnings: WarningDoc::all(&done.warnings),
        };
        context.out.confirm(&document, || format!("Removed the pin {}\n", self.name));
        Ok(context.warn_of(&done.warnings))
    }
}

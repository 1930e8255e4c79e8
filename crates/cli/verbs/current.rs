//! `current`: prints the number of the current generation. It takes one readlink.

use anyhow::Result;
use clap::Args;
use genstore::{GenerationId, Rev};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::PathField;

#[derive(Args)]
pub(crate) struct Current {}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PlaceDoc {
    pub(crate) schema: &'static str,
    pub(crate) generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    pub(crate) tree: String,
    #[serde(flatten)]
    pub(crate) path: PathField,
}

impl Current {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let id = match store.current()? {
            Some(id) => id,
            None => store.required_current()?,
        };
        if context.out.json() {
            let tree = store.open_generation(&Rev::Number(id))?.head()?.tree.to_string();
            let path = PathField::of_path(&store.tree_path(id));
            let document = PlaceDoc { schema: "genstore.current/1", generation: id, tree, path };
            context.out.emit(&document, String::new);
        } else {
            context.out.text(&format!("{id}\n"));
        }
        Ok(exit::DONE)
    }
}

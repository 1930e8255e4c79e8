//! `path`: prints the directory of a generation unescaped, for `$(…)`.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::Args;
use genstore::Rev;

use super::current::PlaceDoc;
use crate::command::context::Context;
use crate::exit;
use crate::render::json::PathField;

#[derive(Args)]
pub(crate) struct Path {
    /// The generation
    #[arg(value_name = "REF", default_value = "@")]
    generation: Rev,
}

impl Path {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let id = match self.generation {
            // The current generation takes one readlink; any other REF is looked up.
            Rev::Current { older: 0 } => match store.current()? {
                Some(id) => id,
                None => store.required_current()?,
            },
            _ => store.resolve(&self.generation)?,
        };
        let path = store.tree_path(id);
        if context.out.json() {
            let tree = store.open_generation(&Rev::Number(id))?.head()?.tree.to_string();
            let path = PathField::of_path(&path);
            let document = PlaceDoc { schema: "genstore.path/1", generation: id, tree, path };
            context.out.emit(&document, String::new);
        } else {
            context.out.bytes(&[path.as_os_str().as_bytes(), b"\n"].concat());
        }
        Ok(exit::DONE)
    }
}

//! `export`: copies a generation out of the store. The copy shares no inode with it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use genstore::generation::{Exported, SharedExport};
use genstore::{Error, GenerationId, Rev};
use serde::Serialize;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{DIM, GOOD};

#[derive(Args)]
pub(crate) struct Export {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
    /// The directory to create; it must not exist or be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The copy's shared paths: `link` (to their places), `copy` (what is there now) or `leave` (left out)
    #[arg(
        long,
        value_name = "link|copy|leave",
        hide_possible_values = true,
        default_value = "link",
        hide_default_value = true
    )]
    shared: Shared,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shared {
    Link,
    Copy,
    Leave,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ExportDoc {
    schema: &'static str,
    generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    /// The number of files.
    files: u64,
    /// A number of bytes.
    bytes: u64,
    #[serde(flatten)]
    path: PathField,
}

impl Export {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let generation = store.open_generation(&self.generation)?;
        let tree = generation.head()?.tree;
        let shared = match self.shared {
            Shared::Link => SharedExport::Link,
            Shared::Copy => SharedExport::Copy,
            Shared::Leave => SharedExport::Leave,
        };
        let Exported { files, bytes, .. } =
            store.export_with(&generation, &self.dir, shared).map_err(|error| match error {
                Error::NotEmpty { path } => {
                    let message = format!("{} already exists and is not empty", show(&path));
                    Fail::new("not-empty", message, "name a directory that does not exist or is empty")
                        .into()
                }
                other => anyhow::Error::from(other),
            })?;
        context.out.has_changed(format!("generation {} was exported", generation.id()));
        context.progress.finish();
        let document = ExportDoc {
            schema: "genstore.export/1",
            generation: generation.id(),
            tree: tree.to_string(),
            files,
            bytes,
            path: PathField::of_path(&self.dir),
        };
        context.out.confirm(&document, || {
            format!(
                "{GOOD}Exported{GOOD:#} generation {} {DIM}{}{DIM:#} to {}: {}, {}\n",
                generation.id(),
                tree.short(),
                show(&self.dir),
                human::count(files, "file"),
                human::bytes(bytes),
            )
        });
        Ok(exit::DONE)
    }
}

//! `cat`: prints the bytes of one file.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use genstore::tree::Digest;
use genstore::{GenerationId, Rev};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::refs;
use crate::exit;
use crate::render::json::{PathField, base64};

#[derive(Args)]
pub(crate) struct Cat {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
    /// The file's path in the generation
    #[arg(value_name = "PATH")]
    path: OsString,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct CatDoc {
    schema: &'static str,
    generation: GenerationId,
    #[serde(flatten)]
    path: PathField,
    /// BLAKE3 of the bytes: 64 hexadecimal digits.
    digest: String,
    /// The size in bytes.
    size: u64,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The bytes in base64, if they are not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_b64: Option<String>,
}

impl Cat {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let path = refs::path_in_tree(&self.path)?;
        let store = context.open()?;
        let generation = store.open_generation(&refs::local(context, &store, &self.generation)?)?;
        if !context.out.json() {
            let done = generation.cat(path.as_bytes(), &mut context.out.writer());
            // An error of the output is reported at the end.
            if !context.out.has_failed() {
                done?;
            }
            return Ok(exit::DONE);
        }
        let mut bytes = Vec::new();
        generation.cat(path.as_bytes(), &mut bytes)?;
        let (digest, size) = (Digest::of(&bytes).to_string(), bytes.len() as u64);
        let (text, bytes_b64) = match String::from_utf8(bytes) {
            Ok(text) => (Some(text), None),
            Err(other) => (None, Some(base64(other.as_bytes()))),
        };
        let document = CatDoc {
            schema: "genstore.cat/1",
            generation: generation.id(),
            path: PathField::of(path.as_bytes()),
            digest,
            size,
            text,
            bytes_b64,
        };
        context.out.emit(&document, String::new);
        Ok(exit::DONE)
    }
}

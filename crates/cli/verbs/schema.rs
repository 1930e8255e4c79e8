//! `schema`: prints the JSON Schema of a document, or the names of all.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::text::nearest::nearest;

/// The shipped schemas: the name of each document, and its file.
macro_rules! shipped {
    ($($name:literal)*) => {
        [$((concat!("genstore.", $name, "/1"), include_str!(concat!("../../../docs/schemas/", $name, ".json"))),)*]
    };
}

const SCHEMAS: &[(&str, &str)] = &shipped![
    "abort" "begin" "bisect" "blame" "cat" "completions" "current" "diff" "doctor" "du" "error" "export"
    "export-archive" "follow" "forget" "gc" "history" "import" "init" "list" "log" "mark" "path" "pin"
    "promote" "publish" "pull" "push" "put" "rebuild" "remote-add" "remote-forget" "remote-gc" "remote-log" "remote-ls"
    "remote-pin" "remote-rm" "remote-test" "remote-unpin" "remote-verify" "restart" "resume" "rollback"
    "schema-list" "serve" "show" "status" "switch" "torture" "trust" "unpin" "verify" "version" "view-add"
    "view-list" "view-remove" "wait" "watch"
];

#[derive(Args)]
pub(crate) struct Schema {
    /// The document, for example publish or genstore.publish/1 [default: list the names]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct SchemaListDoc {
    schema: &'static str,
    /// The names of all documents.
    schemas: Vec<&'static str>,
}

impl Schema {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let Some(wanted) = &self.name else {
            let document = SchemaListDoc { schema: "genstore.schema-list/1", schemas: names() };
            context.out.emit(&document, || names().join("\n") + "\n");
            return Ok(exit::DONE);
        };
        let is_wanted = |name: &str| name == wanted || short(name) == wanted;
        match SCHEMAS.iter().find(|(name, _)| is_wanted(name)) {
            Some((_, text)) => context.out.text(text),
            None => {
                let short: Vec<&str> = names().into_iter().map(short).collect();
                let message =
                    format!("there is no document {}", genstore::tree::show_path(wanted.as_bytes()));
                let hint = match nearest(wanted, &short) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "`genstore schema` lists them".to_owned(),
                };
                return Err(Fail::new("no-such-schema", message, hint).into());
            }
        }
        Ok(exit::DONE)
    }
}

/// Returns the names of all documents.
pub(crate) fn names() -> Vec<&'static str> {
    SCHEMAS.iter().map(|(name, _)| *name).collect()
}

/// Returns the name of a document without the program's name and the version.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("genstore.").and_then(|name| name.split('/').next()).unwrap_or(name)
}

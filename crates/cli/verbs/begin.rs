//! `begin`: creates a stage that any program may write to, and assigns it to an owner.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use genstore::publish::Owner;
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::time;

#[derive(Args)]
pub(crate) struct Begin {
    #[command(flatten)]
    owner: OwnerArgs,
    /// Let several writers fill it with `put`, instead of by writing to a directory
    #[arg(long)]
    batch: bool,
}

/// The owner of the stage until it is committed.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct OwnerArgs {
    /// End the stage when this process ends: `--owner-pid $$` in a script
    #[arg(long, value_name = "PID")]
    owner_pid: Option<u32>,
    /// End the stage after this time
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    ttl: Option<Duration>,
}

/// The document `genstore.begin/1`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct BeginDoc {
    schema: &'static str,
    /// The id of the stage.
    stage: String,
    /// The directory to write to; absent with `--batch`.
    #[serde(flatten)]
    path: Option<PathField>,
    /// The process with which the stage ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_pid: Option<u32>,
    /// The time at which the stage ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl Begin {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let until = self.owner.ttl.map(|ttl| context.now() + ttl);
        let owner = match (self.owner.owner_pid, until) {
            (Some(pid), _) => Owner::Process(pid),
            (None, until) => Owner::Until(until.unwrap_or_else(|| context.now())),
        };
        let (store, _) = context.open_or_create(None)?;
        let stage = if self.batch { store.begin_batch()? } else { store.begin()? };
        let path = (!self.batch).then(|| stage.path().to_owned());
        let id = stage.leave_to(owner)?;
        let document = BeginDoc {
            schema: "genstore.begin/1",
            stage: id.to_string(),
            path: path.as_deref().map(PathField::of_path),
            owner_pid: self.owner.owner_pid,
            expires: until.map(time::rfc3339),
        };
        context.out.emit(&document, || match path {
            Some(path) => format!("{id} {}\n", show(&path)),
            None => format!("{id}\n"),
        });
        Ok(exit::DONE)
    }
}

//! `rebuild`: makes a running `watch` build, even if no source changed.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::control::{Request, ask};
use crate::exit;

#[derive(Args)]
pub(crate) struct Rebuild {}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct RebuildDoc {
    schema: &'static str,
    /// The pid of the watch.
    pid: u32,
}

impl Rebuild {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let pid = ask(&context.open()?, &Request::Rebuild)?.pid;
        let document = RebuildDoc { schema: "genstore.rebuild/1", pid };
        context.out.confirm(&document, || "The watch is building\n".to_owned());
        Ok(exit::DONE)
    }
}

//! `rebuild`: has a running `watch` build, though no source changed.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::control::{Request, ask};
use crate::exit;

#[derive(Args)]
pub(crate) struct Rebuild {}

#[derive(Serialize)]
struct RebuildDoc {
    schema: &'static str,
    /// The process of the watch.
    pid: u32,
}

impl Rebuild {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let pid = ask(&context.open()?, &Request::Rebuild)?.pid;
        let document = RebuildDoc { schema: "genstore.rebuild/1", pid };
        context.out.confirm(&document, || "The watch builds\n".to_owned());
        Ok(exit::DONE)
    }
}

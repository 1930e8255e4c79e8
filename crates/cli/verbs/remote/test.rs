//! The check of a remote's server.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;
use crate::render::remote::TrafficDoc;

#[derive(Args)]
pub(super) struct Test {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct TestedDoc<'a> {
    schema: &'static str,
    remote: &'a str,
    ok: bool,
    traffic: TrafficDoc,
}

impl Test {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let url = &named.section.url;
        named.remote.probe(&|| genstore_remote::open(url, &context.access)).map_err(failed)?;
        let traffic = TrafficDoc::of(named.remote.traffic());
        let document =
            TestedDoc { schema: "genstore.remote-test/1", remote: &named.name, ok: true, traffic };
        context.out.confirm(&document, || format!("{} does what a remote needs\n", named.name));
        Ok(exit::DONE)
    }
}

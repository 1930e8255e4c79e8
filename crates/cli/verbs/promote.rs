//! `promote`: makes the head of one channel of a remote the head of another.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;
use crate::render::remote::TrafficDoc;
use crate::text::style::GOOD;

#[derive(Args)]
pub(crate) struct Promote {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// The channel whose head it is
    #[arg(value_name = "FROM")]
    from: String,
    /// The channel that gets it
    #[arg(value_name = "TO")]
    to: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PromotedDoc<'a> {
    schema: &'static str,
    remote: &'a str,
    from: &'a str,
    to: &'a str,
    record: u64,
    changed: bool,
    traffic: TrafficDoc,
}

impl Promote {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let (record, changed) = named.remote.promote(&self.from, &self.to).map_err(failed)?;
        let (remote, from, to) = (&*named.name, &*self.from, &*self.to);
        let traffic = TrafficDoc::of(named.remote.traffic());
        let schema = "genstore.promote/1";
        let document = PromotedDoc { schema, remote, from, to, record, changed, traffic };
        context.out.confirm(&document, || match changed {
            true => format!("{GOOD}Promoted{GOOD:#} {from} to {to} of {remote} (record {record})\n"),
            false => format!("Unchanged: {to} of {remote} has the head of {from} already\n"),
        });
        Ok(exit::DONE)
    }
}

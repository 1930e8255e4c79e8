//! Pins of a remote.

use anyhow::Result;
use clap::Args;
use genstore_remote::Wanted;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::exit;

#[derive(Args)]
pub(super) struct Pin {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// A channel, the number of a record, or six or more hex digits of a tree's id
    #[arg(value_name = "CHANNEL|ID")]
    wanted: String,
    /// The pin's name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Args)]
pub(super) struct Unpin {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// The pin's name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PinDoc<'a> {
    schema: &'static str,
    remote: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
}

impl Pin {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let head = named.remote.pin(&Wanted(self.wanted.clone()), &self.name).map_err(failed)?;
        let record = Some(head.number);
        let document =
            PinDoc { schema: "genstore.remote-pin/1", remote: &named.name, name: &self.name, record };
        context.out.confirm(&document, || {
            format!("Pinned record {} of {} as {}\n", head.number, named.name, self.name)
        });
        Ok(exit::DONE)
    }
}

impl Unpin {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        named.remote.unpin(&self.name).map_err(failed)?;
        let (remote, name) = (&*named.name, &*self.name);
        let document = PinDoc { schema: "genstore.remote-unpin/1", remote, name, record: None };
        context.out.confirm(&document, || format!("Removed the pin {name} of {remote}\n"));
        Ok(exit::DONE)
    }
}

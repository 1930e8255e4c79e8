//! `init`: makes an empty store.

use anyhow::Result;
use clap::Args;
use genstore::Store;
use serde::Serialize;

use crate::context::Context;
use crate::errors::exit;
use crate::output::{GOOD, show};
use crate::render::json::PathField;

#[derive(Args)]
pub(crate) struct Init {}

#[derive(Serialize)]
struct InitDoc {
    schema: &'static str,
    created: bool,
    #[serde(flatten)]
    path: PathField,
}

impl Init {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let found = context.new_store()?;
        let (store, created) = Store::init(&found.path, context.options(None)?)?;
        if created {
            context.out.has_changed("the store was created");
        }
        let document =
            InitDoc { schema: "genstore.init/1", created, path: PathField::of_path(store.path()) };
        context.out.confirm(&document, || match created {
            true => format!("{GOOD}Created{GOOD:#} the store {}\n", show(store.path())),
            false => format!("The store {} is there already\n", show(store.path())),
        });
        Ok(exit::DONE)
    }
}

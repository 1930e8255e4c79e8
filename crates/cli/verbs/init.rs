//! `init`: creates an empty store.

use anyhow::Result;
use clap::Args;
use genstore::{Audience, Initialized, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::style::GOOD;

#[derive(Args)]
pub(crate) struct Init {
    /// Let all members of the directory's group publish, roll back and collect, whatever their umask
    #[arg(long, conflicts_with = "private")]
    shared: bool,
    /// Let only the owner enter the store; its views are then readable by the owner only
    #[arg(long)]
    private: bool,
}

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
        let audience = match (self.shared, self.private) {
            (true, _) => Audience::Group,
            (_, true) => Audience::Owner,
            _ => Audience::Everybody,
        };
        let Initialized { store, is_new: created, .. } =
            Store::init_for(&found.path, context.options(None)?, audience)?;
        if created {
            context.out.has_changed("the store was created");
        }
        let document =
            InitDoc { schema: "genstore.init/1", created, path: PathField::of_path(store.path()) };
        context.out.confirm(&document, || match created {
            true => {
                let whom = match audience {
                    Audience::Group => ", shared with its group",
                    Audience::Owner => ", readable by its owner only, also through views",
                    _ => "",
                };
                format!("{GOOD}Created{GOOD:#} the store {}{whom}\n", show(store.path()))
            }
            false => format!("The store {} already exists\n", show(store.path())),
        });
        Ok(exit::DONE)
    }
}

//! `init`: makes an empty store.

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
    /// All members of its directory's group may publish, roll back and collect, whatever their umask
    #[arg(long, conflicts_with = "private")]
    shared: bool,
    /// Nobody but its owner may enter it; then only the owner reads through its views
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
                    Audience::Group => " for the members of its group",
                    Audience::Owner => " for its owner alone, also through views",
                    _ => "",
                };
                format!("{GOOD}Created{GOOD:#} the store {}{whom}\n", show(store.path()))
            }
            false => format!("The store {} is there already\n", show(store.path())),
        });
        Ok(exit::DONE)
    }
}

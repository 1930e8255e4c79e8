//! `trust`: trusts a project's file in its present form, until it changes.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::project::config::{self, Config};
use crate::project::{find, trust};
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::style::GOOD;

#[derive(Args)]
pub(crate) struct Trust {
    /// The folder of the project [default: that of the nearest project's file here or above]
    #[arg(value_name = "DIR", value_parser = crate::globals::filled_path())]
    dir: Option<PathBuf>,
    /// Revoke the trust
    #[arg(long)]
    revoke: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct TrustDoc {
    schema: &'static str,
    /// Whether it is trusted now.
    trusted: bool,
    /// Whether anything changed.
    changed: bool,
    #[serde(flatten)]
    file: PathField,
    /// The commands.
    commands: Vec<String>,
}

impl Trust {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let dir = context.absolute(self.dir.as_deref().unwrap_or(".".as_ref()));
        let dir =
            dir.canonicalize().map_err(|source| genstore::Error::Io { op: "find", path: dir, source })?;
        let Some(file) = find::around(&dir, context.trust.ground.as_deref())?.project else {
            let message = format!("there is no {} in {} or above it", find::PROJECT_FILE, show(&dir));
            let hint = "name the folder of a project";
            return Err(Fail::new("no-project", message, hint).into());
        };
        let (changed, commands) = match self.revoke {
            true => (context.trust.revoke(&file)?, vec![]),
            // A file that cannot be parsed is not trusted by mistake: it would be refused anyway.
            false => (true, config::parse::<Config>(&file, &context.trust.allow(&file)?)?.commands()),
        };
        let schema = "genstore.trust/1";
        let document = TrustDoc {
            schema,
            trusted: !self.revoke,
            changed,
            file: PathField::of_path(&file),
            commands: commands.clone(),
        };
        context.out.confirm(&document, || match (self.revoke, commands.is_empty()) {
            (true, _) => {
                format!("{} is not trusted{}\n", show(&file), if changed { " any more" } else { "" })
            }
            (false, true) => {
                format!("{GOOD}Trusted{GOOD:#} {}: it runs no commands\n", show(&file))
            }
            (false, false) => {
                format!(
                    "{GOOD}Trusted{GOOD:#} {}, which runs {}\n",
                    show(&file),
                    trust::command_list(&commands)
                )
            }
        });
        Ok(exit::DONE)
    }
}

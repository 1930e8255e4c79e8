//! `restart`: makes a running `watch` restart one of its programs.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::control::{Request, ask};
use crate::errors::Fail;
use crate::exit;

#[derive(Args)]
pub(crate) struct Restart {
    /// The program's name, as in the prefix of its output
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct RestartDoc<'a> {
    schema: &'static str,
    /// A name.
    name: &'a str,
}

impl Restart {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let name = self.name.clone();
        let answer = ask(&context.open()?, &Request::Restart { name })?;
        if !answer.done {
            let message = format!("the watch runs no program called {}", self.name);
            let hint = match answer.names.is_empty() {
                true => "name programs under [watch.run] in genstore.toml".to_owned(),
                false => format!("it runs {}", answer.names.join(", ")),
            };
            return Err(Fail::new("no-program", message, hint).into());
        }
        let document = RestartDoc { schema: "genstore.restart/1", name: &self.name };
        context.out.confirm(&document, || format!("The watch restarts {}\n", self.name));
        Ok(exit::DONE)
    }
}

//! `completions`: prints a shell's completion script.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct CompletionsDoc {
    schema: &'static str,
    /// The shell.
    shell: String,
    /// The script.
    script: String,
}

impl Completions {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut context.command_line(), "genstore", &mut script);
        if !context.out.json() {
            context.out.bytes(&script);
            return Ok(exit::DONE);
        }
        let document = CompletionsDoc {
            schema: "genstore.completions/1",
            shell: self.shell.to_string(),
            script: String::from_utf8_lossy(&script).into_owned(),
        };
        context.out.emit(&document, String::new);
        Ok(exit::DONE)
    }
}

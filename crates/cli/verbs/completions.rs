//! `completions`: prints a shell's completion script.
//!
//! The scripts of bash, zsh and fish ask the program for the candidates (`completing/`), so they know
//! generations, pins, views and remotes. The scripts of other shells list verbs and flags alone.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;

/// The shells with scripts of their own, and the scripts.
const SCRIPTS: [(Shell, &[u8]); 3] = [
    (Shell::Bash, include_bytes!("completions/genstore.bash")),
    (Shell::Zsh, include_bytes!("completions/_genstore")),
    (Shell::Fish, include_bytes!("completions/genstore.fish")),
];

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
        match SCRIPTS.iter().find(|(shell, _)| *shell == self.shell) {
            Some((_, text)) => script.extend_from_slice(text),
            None => {
                clap_complete::generate(self.shell, &mut context.command_line(), "genstore", &mut script)
            }
        }
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

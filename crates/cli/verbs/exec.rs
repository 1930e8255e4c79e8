//! `exec`: replaces itself by a command that holds a lease on a generation.
//!
//! The command inherits the lease's descriptor and takes over this process by execve. So signals and the
//! exit status need no forwarding, and the lease lives as long as the command or any child that has the
//! descriptor.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use genstore::Rev;

use crate::command::context::Context;
use crate::command::running;
use crate::exit;
use crate::text::escape::show;

#[derive(Args)]
pub(crate) struct Exec {
    /// The generation
    #[arg(value_name = "REF", default_value = "@")]
    generation: Rev,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
}

impl Exec {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let generation = store.open_generation(&self.generation)?;
        let root = store.tree_path(generation.id());
        generation.share_lease_with_children()?;
        context.out.detail(&format!("generation {} at {}", generation.id(), show(&root)));
        context.progress.finish();
        // execve does not return, so final work is done now. The command runs even if the trace cannot be
        // written.
        context.faults.write_trace().unwrap_or_default();
        // If /proc is missing, the command inherits the signals that are ignored here.
        genstore_run::default_signals_for_commands().ok();
        let Some((program, args)) = self.command.split_first() else { return Ok(exit::DONE) };
        let mut command = Command::new(program);
        command.args(args).env("GENSTORE_ROOT", root);
        command.env("GENSTORE_GENERATION", generation.id().to_string());
        let error = genstore_run::with_inherited_open_files(|| command.exec());
        let fail = running::cannot_run(program, error.kind() == ErrorKind::NotFound);
        Err(anyhow::Error::from(error).context(fail))
    }
}

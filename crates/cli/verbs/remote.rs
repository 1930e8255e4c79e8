//! `remote`: manages places outside this machine that hold generations.

pub(crate) mod collect;
pub(crate) mod define;
pub(crate) mod forget;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod test;
pub(crate) mod verify;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::command::context::Context;

#[derive(Args)]
pub(crate) struct Remote {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Name a remote in the project's file, or in your own configuration
    Add(define::Add),
    /// List the remotes
    Ls(define::Ls),
    /// Remove a remote's name; the remote itself is left alone
    Rm(define::Rm),
    /// List the records of a remote, newest first
    Log(log::Log),
    /// Check whether the server does what a remote needs
    Test(test::Test),
    /// Remove generations from a remote, and the files that no generation needs
    ///
    /// Heads of channels and pinned generations stay, and of each channel the last ones. Pushes may run at the
    /// same time.
    Gc(collect::Gc),
    /// Read every byte that the generations of a remote need, and compare it
    ///
    /// With --repair, heads of channels that are damaged are pushed again from this store. Nothing on the
    /// remote is overwritten; `remote gc` removes the damaged generations later. Exit status 4: damage that
    /// was not repaired.
    Verify(verify::Verify),
    /// Take contents off a remote, with everything that has them, and refuse them from now on
    ///
    /// Generations that have one are removed, and others that share a file with one. Heads of channels that only
    /// share a file are pushed again first. A head or a pin that has one is refused: push a generation without it,
    /// and remove the pin. It ends when no file of the remote has one of the contents.
    Forget(forget::Forget),
    /// Keep a generation of a remote under a name
    Pin(names::Pin),
    /// Remove a pin of a remote
    Unpin(names::Unpin),
}

impl Remote {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        match &self.verb {
            Verb::Add(args) => args.run(context),
            Verb::Ls(args) => args.run(context),
            Verb::Rm(args) => args.run(context),
            Verb::Log(args) => args.run(context),
            Verb::Test(args) => args.run(context),
            Verb::Gc(args) => args.run(context),
            Verb::Verify(args) => args.run(context),
            Verb::Forget(args) => args.run(context),
            Verb::Pin(args) => args.run(context),
            Verb::Unpin(args) => args.run(context),
        }
    }
}

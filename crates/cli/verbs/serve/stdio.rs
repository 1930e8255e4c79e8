//! `serve --stdio`: the other side of `ssh://` remotes.

use std::io::{BufReader, BufWriter, ErrorKind};
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use genstore::Error;
use genstore_remote::Allowed;

use crate::errors::Fail;
use crate::exit;

/// The requests to carry out.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Allow {
    /// Only those that read
    Pull,
    /// Also those that create files
    Push,
    /// Also those that remove files, for gc
    All,
}

/// Answers requests until the client has gone.
pub(super) fn serve(dir: &Path, allow: Allow) -> Result<u8> {
    let allowed = match allow {
        Allow::Pull => Allowed::Pull,
        Allow::Push => Allowed::Push,
        Allow::All => Allowed::All,
    };
    let Some(text) = dir.to_str() else {
        return Err(Fail::usage("bad-address", "the directory's name is not UTF-8").into());
    };
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    match genstore_remote::serve(text, allowed, &mut input, &mut output) {
        // The client has gone.
        Err(e) if [ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof].contains(&e.kind()) => Ok(exit::DONE),
        Err(source) => Err(Error::Io { op: "serve", path: dir.to_owned(), source }.into()),
        Ok(()) => Ok(exit::DONE),
    }
}

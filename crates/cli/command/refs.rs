//! Names on the command line: of generations, and of paths in them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::Result;
use genstore::publish::Expect;
use genstore::tree::RelPath;
use genstore::{Error, GenerationId, Rev, Store};
use genstore_remote::Wanted;

use crate::command::context::Context;
use crate::command::remotes;
use crate::errors::Fail;

/// The current generation, as a REF.
pub(crate) const CURRENT: Rev = Rev::Current { older: 0 };

/// Finds the generation that has or had this name. A number is used as it is, because its generation may
/// have been collected since the user saw it.
pub(crate) fn remembered(store: &Store, rev: &Rev) -> Result<GenerationId> {
    match (store.resolve(rev), rev) {
        (Ok(id), _) => Ok(id),
        (Err(Error::UnknownRev { .. }), Rev::Number(id)) => Ok(*id),
        (Err(error), _) => Err(error.into()),
    }
}

/// Parses the value of `--expect`.
pub(crate) fn expected(store: Option<&Store>, text: Option<&str>) -> Result<Expect> {
    match (text, store) {
        (None, _) => Ok(Expect::Any),
        (Some("none"), _) => Ok(Expect::Unborn),
        (Some(text), Some(store)) => Ok(Expect::Current(remembered(store, &rev(text))?)),
        (Some(text), None) => match rev(text) {
            Rev::Number(id) => Ok(Expect::Current(id)),
            other => Err(Error::UnknownRev { rev: other.to_string(), near: vec![] }.into()),
        },
    }
}

/// Compares the current generation with an expectation, before anything is done.
pub(crate) fn check_expected(expect: Expect, found: Option<GenerationId>) -> Result<(), Error> {
    let expected = match expect {
        Expect::Any => return Ok(()),
        Expect::Unborn => None,
        Expect::Current(id) => Some(id),
    };
    if expected == found { Ok(()) } else { Err(Error::Lost { expected, found, by: None, at: None }) }
}

/// Returns a word of the command line as text. Generations have no names of other bytes, so that such a word
/// is reported as an unknown one.
pub(crate) fn text(word: &std::ffi::OsStr) -> String {
    word.to_str().map_or_else(|| genstore::tree::show_path(word.as_encoded_bytes()), str::to_owned)
}

/// Returns the REF of a generation here. `REMOTE/CHANNEL` is the generation with the tree of this channel, if it
/// was pulled or comes from here.
///
/// # Errors
/// Also if the remote cannot be read.
pub(crate) fn local(context: &Context<'_>, store: &Store, rev: &Rev) -> Result<Rev> {
    let Rev::Name(text) = rev else { return Ok(rev.clone()) };
    let Some((remote, channel)) = remote_of(context, text)? else { return Ok(rev.clone()) };
    let named = remotes::open(context, remote)?;
    let tree = named.remote.tree_of_name(&Wanted(channel.to_owned())).map_err(remotes::failed)?;
    let listing = store.list()?;
    let mut same = listing.generations.iter().filter(|listed| listed.head.tree.digest() == tree);
    if let Some(listed) = same.clone().find(|listed| listed.current).or(same.next()) {
        return Ok(Rev::Number(listed.id));
    }
    let message = format!("{text} is {}, which is not in this store", &tree.to_string()[..8]);
    Err(Fail::new("not-pulled", message, format!("`genstore pull {remote} {channel}` fetches it")).into())
}

/// Divides `REMOTE/CHANNEL`, if there is a remote with this name.
pub(crate) fn remote_of<'t>(context: &Context<'_>, text: &'t str) -> Result<Option<(&'t str, &'t str)>> {
    let Some((remote, channel)) = text.split_once('/') else { return Ok(None) };
    let is_one =
        !channel.is_empty() && !channel.contains('/') && remotes::all(context)?.contains_key(remote);
    Ok(is_one.then_some((remote, channel)))
}

pub(crate) fn rev(text: &str) -> Rev {
    match text.parse() {
        Ok(rev) => rev,
        Err(never) => match never {},
    }
}

/// Parses a path in a tree. A leading `./` and a trailing `/` come from shell completion and are ignored.
pub(crate) fn path_in_tree(path: &OsString) -> Result<RelPath> {
    let bytes = path.clone().into_vec();
    let mut name: &[u8] = &bytes;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"/") {
        name = rest;
    }
    RelPath::new(name).map_err(|why| {
        let message = format!("not a path in a generation: {}: {why}", genstore::tree::show_path(&bytes));
        let hint = "paths are relative to the published directory, as `genstore show --tree` lists them";
        Fail { hint: hint.to_owned(), ..Fail::usage("bad-path", message) }.into()
    })
}

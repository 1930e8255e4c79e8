//! Names on the command line: of generations, and of paths in them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::Result;
use genstore::publish::Expect;
use genstore::tree::RelPath;
use genstore::{Error, GenerationId, Rev, Store};

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

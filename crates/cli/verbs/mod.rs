//! The verbs, one file each: its arguments, what it does, and its JSON document.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::Result;
use genstore::{Error, Expect, GenerationId, RelPath, Rev, Store};

use crate::errors::Fail;

pub(crate) mod abort;
pub(crate) mod begin;
pub(crate) mod build;
pub(crate) mod cat;
pub(crate) mod commit;
pub(crate) mod completions;
pub(crate) mod current;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod du;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod mark;
pub(crate) mod path;
pub(crate) mod pin;
pub(crate) mod publish;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod show;
pub(crate) mod switch;
pub(crate) mod torture;
pub(crate) mod trust;
pub(crate) mod unpin;
pub(crate) mod verify;
pub(crate) mod view;
pub(crate) mod wait;
pub(crate) mod watch;

/// The current generation, as a REF.
const CURRENT: Rev = Rev::Current { older: 0 };

/// Finds the generation that is or was called so: a number is taken as it is, for its generation
/// may have been collected since somebody saw it.
fn remembered(store: &Store, rev: &Rev) -> Result<GenerationId> {
    match (store.resolve(rev), rev) {
        (Ok(id), _) => Ok(id),
        (Err(Error::UnknownRev { .. }), Rev::Number(id)) => Ok(*id),
        (Err(error), _) => Err(error.into()),
    }
}

/// Reads what `--expect` says.
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

fn rev(text: &str) -> Rev {
    match text.parse() {
        Ok(rev) => rev,
        Err(never) => match never {},
    }
}

/// Reads a path in a tree. `./` in front and `/` at the end are how shells complete names.
fn path_in_tree(path: &OsString) -> Result<RelPath> {
    let bytes = path.clone().into_vec();
    let mut name: &[u8] = &bytes;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"/") {
        name = rest;
    }
    RelPath::new(name).map_err(|why| {
        let message = format!("not a path in a generation: {}: {why}", genstore::show_path(&bytes));
        let hint = "paths are relative to the published directory, as `genstore show --tree` lists them";
        Fail { hint: hint.to_owned(), ..Fail::usage("bad-path", message) }.into()
    })
}

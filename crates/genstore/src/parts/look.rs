//! A look at files before they are linked or copied into another generation.
//!
//! Objects are looked at by `ingest`. A file with an inode of its own has no object's name, so it is
//! looked at here: kind, size, mode and mtime must be as recorded. A change of its bytes moves its
//! ctime, which no program sets back. The last call of ours that moved the ctime of a file of the
//! current generation came before `current` was moved. So a ctime before that moment proves that the
//! bytes are untouched; with a later one (also after gc, which removes other names of the inode) the
//! file is hashed.

use rustix::io::Errno;

use crate::error::{Damaged, Error, Result};
use crate::fs::errno::is_errno;
use crate::fs::{Dir, Kind};
use crate::model::object_name;
use crate::model::tree::{FileNode, Mtime};
use crate::parts::layout::{CURRENT, StoreDir};
use crate::parts::objects::{self, Objects};

/// Up to when changes of files are known to be ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quiet {
    /// A file whose ctime lies before this moment was not touched by others.
    Before(Mtime),
    /// Nothing is known: the bytes are read.
    Unknown,
}

impl Quiet {
    /// Returns whether a file with this ctime need not be read.
    pub(crate) fn covers(self, ctime: Mtime) -> bool {
        matches!(self, Quiet::Before(moment) if ctime < moment)
    }
}

/// Returns the moment when `current` was last moved, for the files of the current generation.
pub(crate) fn quiet(store: &StoreDir) -> Result<Quiet> {
    Ok(store.dir.stat(CURRENT)?.map_or(Quiet::Unknown, |stat| Quiet::Before(stat.mtime)))
}

/// Returns whether a file is as recorded: by stat, and by its bytes where its ctime asks for that.
/// The inode of its own object is not read here. `Ok(false)` also where there is no such file.
pub(crate) fn is_as_recorded(
    objects: &Objects<'_>,
    (dir, name): (&Dir, &[u8]),
    file: &FileNode,
    mtime: Mtime,
    quiet: Quiet,
) -> Result<bool> {
    let Some(stat) = dir.stat(name)? else { return Ok(false) };
    let found = (stat.kind, stat.size, stat.mode);
    if found != (Kind::File, file.size, object_name::mode(file.executable)) || !stat.has_mtime(mtime) {
        return Ok(false);
    }
    if file.size == 0 || quiet.covers(stat.ctime) {
        return Ok(true);
    }
    if objects.stat(file.object())?.is_some_and(|object| object.same_inode(&stat)) {
        return Ok(true);
    }
    has_digest((dir, name), file)
}

/// Returns whether a file's bytes are right. `Ok(false)` also where there is no such file.
pub(crate) fn has_digest((dir, name): (&Dir, &[u8]), file: &FileNode) -> Result<bool> {
    match dir.open_file(name) {
        Ok(handle) => Ok(objects::hash(&handle, &dir.join(name))?.0 == file.digest),
        // Gone, replaced, or its mode keeps its owner from reading it.
        Err(e) if e.is_not_found() => Ok(false),
        Err(e) if is_errno(&e, Errno::LOOP) || is_errno(&e, Errno::ACCESS) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The error for bytes that are neither at a path nor among the objects.
pub(crate) fn no_right_bytes(file: &FileNode) -> Error {
    Error::Damaged {
        what: Damaged::Object(file.object()),
        cause: "its bytes are nowhere as they were".to_owned(),
        uses: vec![],
    }
}

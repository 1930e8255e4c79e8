//! Checks files before they are linked or copied into another generation.
//!
//! `ingest` checks objects. A file with an inode of its own has no object's name, so it is checked
//! here: kind, size, mode and mtime must be as recorded. A change of its bytes changes its ctime, which
//! no program can set back. Our last call that changed the ctime of a file of the current generation
//! came before the move of `current`. So a ctime before that time proves that the bytes are unchanged.
//! With a later ctime (also after gc, which removes other names of the inode) the file is hashed.

use rustix::io::Errno;

use crate::error::{Damaged, Error, Result};
use crate::fs::errno::is_errno;
use crate::fs::{Dir, Kind};
use crate::model::object_name;
use crate::model::tree::{FileNode, Mtime};
use crate::parts::layout::{CURRENT, StoreDir};
use crate::parts::objects::{self, Objects};

/// The time until which all changes of files are known to be ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quiet {
    /// A file whose ctime is before this time was not changed by others.
    Before(Mtime),
    /// Unknown: the bytes must be read.
    Unknown,
}

impl Quiet {
    /// Returns whether a file with this ctime need not be read.
    pub(crate) fn covers(self, ctime: Mtime) -> bool {
        matches!(self, Quiet::Before(moment) if ctime < moment)
    }
}

/// Returns the time at which `current` was last moved, for the files of the current generation.
pub(crate) fn quiet(store: &StoreDir) -> Result<Quiet> {
    Ok(store.dir.stat(CURRENT)?.map_or(Quiet::Unknown, |stat| Quiet::Before(stat.mtime)))
}

/// Returns whether a file is as recorded: by stat, and by its bytes if its ctime requires that. The
/// inode of its own object is not read here. Returns `Ok(false)` also for a missing file.
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

/// Returns whether a file's bytes are right. Returns `Ok(false)` also for a missing file.
pub(crate) fn has_digest((dir, name): (&Dir, &[u8]), file: &FileNode) -> Result<bool> {
    match dir.open_file(name) {
        Ok(handle) => Ok(objects::hash(&handle, &dir.join(name))?.0 == file.digest),
        // It is missing, was replaced, or its owner may not read it.
        Err(e) if e.is_not_found() => Ok(false),
        Err(e) if is_errno(&e, Errno::LOOP) || is_errno(&e, Errno::ACCESS) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Creates the error for bytes that are neither at a path nor among the objects.
pub(crate) fn no_right_bytes(file: &FileNode) -> Error {
    Error::Damaged {
        what: Damaged::Object(file.object()),
        cause: "its bytes are lost".to_owned(),
        uses: vec![],
    }
}

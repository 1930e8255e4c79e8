//! `places/`: for each shared path a symlink from its name to its place (`model/shared`).
//!
//! Owns `places/` and the link `staging/places`. A link's target is relative to `places/`; it ends with `/`
//! if the place is a folder. The link is the only record of the place: it is replaced by one rename, under the
//! commit lock, so there is never a link to a half-written place. Nothing behind it is opened here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fs::errno::is_errno;
use crate::fs::{Kind, TEMP_PREFIX};
use crate::model::shared::{self, PLACES, SharedKind};
use crate::parts::layout::{STAGING, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{follow, relative};

/// The recorded place of a shared path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Its absolute path.
    pub(crate) at: PathBuf,
    pub(crate) kind: SharedKind,
}

/// The places of a store.
#[derive(Clone, Copy)]
pub(crate) struct Places<'s> {
    store: &'s StoreDir,
}

impl<'s> Places<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Places<'s> {
        Places { store }
    }

    /// Returns the folder's absolute path without symlinks, from which the links lead.
    fn home(&self) -> Result<PathBuf> {
        let path = self.store.dir.path();
        let real = std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e))?;
        Ok(real.join(OsStr::from_bytes(PLACES)))
    }

    /// Returns the path of the store's link of a shared path.
    pub(crate) fn link_of(&self, path: &[u8]) -> Result<PathBuf> {
        Ok(self.home()?.join(OsStr::from_bytes(&shared::name_of(path))))
    }

    /// Returns the recorded place of a shared path.
    ///
    /// # Errors
    /// [`Error::Damaged`] if something other than a link has its name.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<Place>> {
        let name = [PLACES, b"/", &shared::name_of(path)].concat();
        let target = match self.store.dir.read_link(&name) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(None),
            Err(e) if is_errno(&e, rustix::io::Errno::INVAL) => {
                return Err(Error::damaged_file(&self.store.dir.join(&name), "it is not a symlink"));
            }
            Err(e) if is_errno(&e, rustix::io::Errno::NOTDIR) => {
                return Err(Error::damaged_file(&self.store.dir.join(PLACES), "it is not a directory"));
            }
            Err(e) => return Err(e),
        };
        let (way, kind) = match target.strip_suffix(b"/") {
            Some(way) => (way, SharedKind::Folder),
            None => (&*target, SharedKind::File),
        };
        Ok(Some(Place { at: follow(&self.home()?, way), kind }))
    }

    /// Lists the shared paths that have a place, in the order of their names. Entries with other names or of
    /// another kind are errors in the list.
    pub(crate) fn list(&self) -> Result<Vec<Result<Vec<u8>>>> {
        let path = |(name, kind): (Vec<u8>, Kind)| match shared::path_of(&name) {
            Some(path) if kind == Kind::Symlink => Ok(path),
            _ => {
                let path = self.store.dir.join(&[PLACES, b"/", &name].concat());
                Err(Error::damaged_file(&path, "it is not the link of a shared path"))
            }
        };
        Ok(self.store.list(PLACES)?.into_iter().map(path).collect())
    }

    /// Records the place of a shared path, in place of an older one.
    ///
    /// # Durability
    /// On return it is durable.
    pub(crate) fn set(&self, _: &CommitLock, path: &[u8], place: &Place) -> Result<()> {
        let (fs, dir, name) = (&self.store.fs, &self.store.dir, shared::name_of(path));
        if self.find(path)?.as_ref() == Some(place) {
            return Ok(());
        }
        let staging = self.store.sub(STAGING)?;
        if fs.make_dir(dir, PLACES)? {
            fs.sync_dir(dir)?;
        }
        if staging.stat(PLACES)?.is_none() {
            fs.symlink(&[b"../", PLACES].concat(), &staging, PLACES)?;
        }
        let places = self.store.sub(PLACES)?;
        let end: &[u8] = if place.kind == SharedKind::Folder { b"/" } else { b"" };
        let target = [&relative(&self.home()?, &place.at), end].concat();
        let (temp, ()) =
            fs.unique(&staging, TEMP_PREFIX, "", |temp| fs.symlink(&target, &staging, temp))?;
        fs.rename((&staging, &temp), (&places, &name))?;
        fs.sync_dir(&places)
    }
}

/// Returns what is at a place, through symlinks, or `None` if there is nothing.
///
/// # Errors
/// ENOENT if a symlink is there that leads to nothing.
pub(crate) fn standing(at: &Path) -> Result<Option<SharedKind>> {
    let fail = |e| Error::io("stat", at, e);
    match std::fs::metadata(at) {
        Ok(meta) if meta.is_dir() => Ok(Some(SharedKind::Folder)),
        Ok(_) => Ok(Some(SharedKind::File)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match std::fs::symlink_metadata(at) {
            Ok(_) => Err(fail(e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(fail(e)),
        },
        Err(e) => Err(fail(e)),
    }
}

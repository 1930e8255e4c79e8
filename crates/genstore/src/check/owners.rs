//! Ownership of the parts of a store: finds and counts foreign ones.
//!
//! A store belongs to the owner of its directory; a shared store belongs to its group. Entries that an
//! earlier command of root created as its own cannot be changed by the owner. The search takes a stat
//! for each name in the store and no lock. A check of the store takes most of these stats anyway, and
//! records the owners here. The walk then skips these names.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::error::Result;
use crate::fs::errno::is_refused;
use crate::fs::{Kind, Stat};
use crate::model::relpath;
use crate::parts::layout::StoreDir;
use crate::parts::stage_dir::is_others;
use crate::threads::prelude::*;
use crate::threads::{into_inner, lock};

/// The paths of a store with a foreign owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreign {
    /// Their number.
    pub count: u64,
    /// The first of them in path order.
    pub first: Option<PathBuf>,
}

/// A path with a foreign owner.
pub(crate) struct Found {
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
}

/// Collects the foreign paths of a store.
pub(crate) struct Owners<'s> {
    store: &'s StoreDir,
    own: Stat,
    found: Mutex<Vec<Found>>,
}

impl<'s> Owners<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Result<Owners<'s>> {
        Ok(Owners { store, own: store.dir.stat_self()?, found: Mutex::default() })
    }

    /// Returns an empty collection for a part of the store.
    pub(crate) fn part(&self) -> Owners<'s> {
        Owners { store: self.store, own: self.own, found: Mutex::default() }
    }

    /// Adds the paths of a part.
    pub(crate) fn add(&self, part: Owners<'_>) {
        lock(&self.found).extend(part.into_found());
    }

    /// Checks the names that every publish uses.
    pub(crate) fn walk_top(&self) -> Result<()> {
        for (name, _) in self.store.dir.list()? {
            if let Some(stat) = self.store.dir.stat(&name)? {
                self.note(&stat, || name);
            }
        }
        Ok(())
    }

    /// Checks a folder of the store and every name below it, except the output of programs in stages. The
    /// empty path is the whole store. Skips a name, and everything below it, if `is_seen(folder, name)`.
    pub(crate) fn walk(&self, from: &[u8], is_seen: impl Fn(&[u8], &[u8]) -> bool + Sync) -> Result<()> {
        if !from.is_empty()
            && let Some(stat) = self.store.dir.stat(from)?
        {
            self.note(&stat, || from.to_vec());
        }
        let mut level = vec![from.to_vec()];
        while !level.is_empty() {
            let read = level.par_iter().map(|folder| self.walk_folder(folder, &is_seen));
            level = read.collect::<Result<Vec<_>>>()?.concat();
        }
        Ok(())
    }

    /// Checks the names of one folder. Returns its folders.
    fn walk_folder(&self, folder: &[u8], is_seen: impl Fn(&[u8], &[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let mut folders = Vec::new();
        let (names, dir) = match self.store.dir.open_dir(folder).and_then(|dir| Ok((dir.list()?, dir))) {
            Ok(listed) => listed,
            // It was removed meanwhile, or it is unreadable: then it is foreign itself.
            Err(e) if e.is_not_found() || is_refused(&e) => return Ok(folders),
            Err(e) => return Err(e),
        };
        for (name, _) in names {
            if is_seen(folder, &name) {
                continue;
            }
            let path = relpath::join(folder, &name);
            let Some(stat) = dir.stat(&name)? else { continue };
            self.note(&stat, || path.clone());
            if stat.kind == Kind::Dir && !is_others(&path) {
                folders.push(path);
            }
        }
        Ok(folders)
    }

    /// Adds a path if it is foreign.
    pub(crate) fn note(&self, stat: &Stat, path: impl FnOnce() -> Vec<u8>) {
        let is_foreign = match self.store.fs.is_shared() {
            // The mode and group of a symlink are meaningless.
            true if stat.kind == Kind::Symlink => false,
            true => stat.gid != self.own.gid || (stat.kind == Kind::Dir && stat.mode & 0o070 != 0o070),
            false => stat.uid != self.own.uid,
        };
        if is_foreign {
            lock(&self.found).push(Found { path: path(), stat: *stat });
        }
    }

    pub(crate) fn into_found(self) -> Vec<Found> {
        into_inner(self.found)
    }

    /// Counts the foreign paths.
    pub(crate) fn count(&self) -> Foreign {
        let found = lock(&self.found);
        let first = found.iter().map(|found| found.path.as_slice()).min_by(|a, b| relpath::compare(a, b));
        Foreign { count: found.len() as u64, first: first.map(|path| self.store.dir.join(path)) }
    }
}

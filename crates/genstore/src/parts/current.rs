//! `current` and the notice: the symlink whose rename is the commit, and the file that announces it.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::fs::{Kind, TEMP_PREFIX};
use crate::model::ids::GenerationId;
use crate::model::notice::notice;
use crate::model::tree::TreeId;
use crate::parts::generations::Generations;
use crate::parts::layout::{CURRENT, NOTICE, STAGING, StoreDir, tree_path};
use crate::parts::locks::CommitLock;

/// `current` and the notice of a store.
#[derive(Clone, Copy)]
pub(crate) struct Current<'s> {
    store: &'s StoreDir,
}

impl<'s> Current<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Current<'s> {
        Current { store }
    }

    /// Returns the id of the current generation: one readlink.
    pub(crate) fn id(&self) -> Result<Option<GenerationId>> {
        let target = match self.store.dir.read_link(CURRENT) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(None),
            // EINVAL: an entry that is not a symlink replaced it.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidInput => {
                return Err(Error::damaged_file(&self.store.dir.join(CURRENT), "it is not a symlink"));
            }
            Err(e) => return Err(e),
        };
        let number = target.strip_prefix(b"generations/").and_then(|rest| rest.strip_suffix(b"/tree"));
        let id = number.and_then(|number| std::str::from_utf8(number).ok()).and_then(GenerationId::parse);
        match id {
            Some(id) => Ok(Some(id)),
            None => Err(Error::damaged_file(&self.store.dir.join(CURRENT), "it names no generation")),
        }
    }

    /// Returns the time at which `current` was last moved.
    pub(crate) fn since(&self) -> Result<Option<SystemTime>> {
        Ok(self.store.dir.stat(CURRENT)?.map(|stat| stat.mtime.into()))
    }

    /// Moves `current`: the commit.
    ///
    /// # Errors
    /// On an error `current` is unchanged.
    ///
    /// # Durability
    /// Not yet durable on return: see [`Current::make_durable`].
    pub(crate) fn set(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let staging = self.store.sub(STAGING)?;
        let target = tree_path(id);
        let (temp, ()) = self
            .store
            .fs
            .unique(&staging, TEMP_PREFIX, "", |name| self.store.fs.symlink(&target, &staging, name))?;
        self.store.fs.rename((&staging, &temp), (&self.store.dir, CURRENT))
    }

    /// Makes the move of `current` durable.
    pub(crate) fn make_durable(&self, _: &CommitLock) -> Result<()> {
        self.store.fs.sync_dir(&self.store.dir)
    }

    /// Returns the directory that `current` resolves to.
    pub(crate) fn tree_path(&self, id: GenerationId) -> PathBuf {
        self.store.dir.path().join(std::ffi::OsStr::from_bytes(&tree_path(id)))
    }

    /// Writes the notice in place, for watchers. Its inode never changes.
    pub(crate) fn write_notice(&self, lock: &CommitLock, id: GenerationId, tree: TreeId) -> Result<()> {
        self.put_notice(lock, Some((id, tree)))
    }

    fn put_notice(&self, _: &CommitLock, commit: Option<(GenerationId, TreeId)>) -> Result<()> {
        let file = self.store.fs.open_or_create(&self.store.dir, NOTICE)?;
        self.store.fs.write_at(&file, &self.store.dir.join(NOTICE), &notice(commit), 0)
    }

    /// Reads the generation's number from the notice.
    pub(crate) fn noticed(&self) -> Result<Option<GenerationId>> {
        let bytes = match self.store.dir.read(NOTICE) {
            Err(Error::Damaged { .. }) => None,
            bytes => bytes?,
        };
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        Ok(text.split_whitespace().next().and_then(GenerationId::parse))
    }

    /// Writes the notice if it was lost. A power loss may leave it empty.
    pub(crate) fn restore_notice(&self, lock: &CommitLock) -> Result<()> {
        if self.store.dir.stat(NOTICE)?.is_some_and(|stat| stat.size > 0) {
            return Ok(());
        }
        let head =
            |id| Generations::of(self.store).find(id).and_then(|found| found.map(|g| g.head()).transpose());
        match self.id().map(|id| id.map(|id| (id, head(id)))) {
            Ok(Some((id, Ok(Some(head))))) => self.put_notice(lock, Some((id, head.tree))),
            Ok(None) => self.put_notice(lock, None),
            // Unreadable parts are reported elsewhere.
            _ => Ok(()),
        }
    }

    /// Removes temporary records and symlinks of a dead process.
    pub(crate) fn remove_temps(&self, _: &CommitLock) -> Result<()> {
        let staging = self.store.sub(STAGING)?;
        for (name, kind) in staging.list()? {
            if name.starts_with(TEMP_PREFIX.as_bytes()) && kind != Kind::Dir {
                self.store.fs.unlink(&staging, &name)?;
            }
        }
        Ok(())
    }
}

//! The locks of a store, and the guards that prove one is held. Owns `locks/`.
//!
//! The order is: the store lock (shared from stage to commit, exclusive for gc and repair), then the commit
//! lock. The watch lock is only tried, before both. The files are never removed. Two locks stand elsewhere: the
//! lease of a reader on a generation (`generations`), and the lock of a stage (`stage_dir`). See
//! `store-layout.md`, "Locks".

use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fs::Kind;
use crate::fs::errno::is_errno;
use crate::fs::lock::{Lock, Mode};
use crate::parts::layout::{COMMIT_LOCK, LOCKS, STORE_LOCK, StoreDir, WATCH_LOCK};

/// Proof that neither gc nor repair is running: objects that were found will stay.
#[must_use]
pub(crate) struct StoreShared(#[expect(dead_code, reason = "held, not read")] Lock);

/// Proof that no other process stages, activates, collects, verifies or repairs.
#[must_use]
pub(crate) struct StoreExclusive(StoreShared);

impl StoreExclusive {
    /// An exclusive lock implies the shared one.
    pub(crate) fn as_shared(&self) -> &StoreShared {
        &self.0
    }
}

/// Proof that no other process moves `current`, takes numbers, or writes records.
#[must_use]
pub(crate) struct CommitLock(#[expect(dead_code, reason = "held, not read")] Lock);

/// Proof that no other process watches sources for this store. It ends when this is dropped, or with
/// the process.
#[must_use]
pub struct WatchLock(#[expect(dead_code, reason = "held, not read")] Lock);

/// The locks of a store.
#[derive(Clone, Copy)]
pub(crate) struct Locks<'s> {
    store: &'s StoreDir,
}

impl<'s> Locks<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Locks<'s> {
        Locks { store }
    }

    /// Takes the shared store lock for writing: completes the layout and blocks gc.
    pub(crate) fn share(&self) -> Result<StoreShared> {
        self.store.complete()?;
        self.lock(STORE_LOCK, Mode::Shared).map(StoreShared)
    }

    /// Blocks gc if that needs no change to the store. Returns `None` if the lock file is missing or
    /// may not be opened, or if the filesystem has no locks.
    pub(crate) fn share_unchanged(&self) -> Result<Option<StoreShared>> {
        Ok(self.lock_unchanged(STORE_LOCK, Mode::Shared)?.map(StoreShared))
    }

    /// Takes the commit lock if that needs no change to the store, as [`Locks::share_unchanged`].
    pub(crate) fn commit_unchanged(&self) -> Result<Option<CommitLock>> {
        Ok(self.lock_unchanged(COMMIT_LOCK, Mode::Exclusive)?.map(CommitLock))
    }

    fn lock_unchanged(&self, name: &[u8], mode: Mode) -> Result<Option<Lock>> {
        let has_locks = self.store.dir.stat(LOCKS)?.is_some_and(|stat| stat.kind == Kind::Dir);
        if !has_locks || self.store.dir.stat(name)?.is_none_or(|stat| stat.kind != Kind::File) {
            return Ok(None);
        }
        let file = match self.store.dir.open_file(name) {
            Err(e) if e.is_not_found() || is_errno(&e, Errno::ACCESS) => return Ok(None),
            file => file?,
        };
        match Lock::take(file, &self.store.dir.join(name), mode, self.store.options.lock_timeout) {
            Err(Error::LocksUnsupported { .. }) => Ok(None),
            lock => lock.map(Some),
        }
    }

    /// Takes the exclusive store lock, for gc and repair: waits until no process stages.
    pub(crate) fn exclude(&self) -> Result<StoreExclusive> {
        self.store.complete()?;
        self.lock(STORE_LOCK, Mode::Exclusive).map(StoreShared).map(StoreExclusive)
    }

    /// Takes the exclusive store lock if no process stages, activates or verifies now.
    pub(crate) fn try_exclude(&self) -> Result<Option<StoreExclusive>> {
        match self.lock_within(STORE_LOCK, Mode::Exclusive, Duration::ZERO) {
            Ok(lock) => Ok(Some(StoreExclusive(StoreShared(lock)))),
            Err(Error::Locked { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes the commit lock. The caller must settle an unfinished commit next: see
    /// [`crate::change::recover`].
    pub(crate) fn commit(&self) -> Result<CommitLock> {
        self.store.complete()?;
        self.lock(COMMIT_LOCK, Mode::Exclusive).map(CommitLock)
    }

    /// Takes the commit lock if it is free, and completes nothing. Also returns `None` if the
    /// filesystem has no locks.
    pub(crate) fn try_commit(&self) -> Result<Option<CommitLock>> {
        match self.lock_within(COMMIT_LOCK, Mode::Exclusive, Duration::ZERO) {
            Ok(lock) => Ok(Some(CommitLock(lock))),
            Err(Error::Locked { .. } | Error::LocksUnsupported { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes the watch lock, if it is free.
    pub(crate) fn watch(&self) -> Result<WatchLock> {
        self.store.complete()?;
        self.lock_within(WATCH_LOCK, Mode::Exclusive, Duration::ZERO).map(WatchLock)
    }

    fn lock(&self, name: &[u8], mode: Mode) -> Result<Lock> {
        self.lock_within(name, mode, self.store.options.lock_timeout)
    }

    fn lock_within(&self, name: &[u8], mode: Mode, patience: Duration) -> Result<Lock> {
        // A handle for reading is enough, and a read-only mount allows no other.
        let file = match self.store.dir.open_file(name) {
            Err(e) if e.is_not_found() => self.store.fs.open_or_create(&self.store.dir, name)?,
            file => file?,
        };
        self.store.close_to_readers(&file, name)?;
        Lock::take(file, &self.store.dir.join(name), mode, patience)
    }
}

//! The locks of a store, and the guards that prove one is held. Floor 2. Owns `locks/`.
//!
//! In this order: the store lock (shared from stage to commit, exclusive for gc), then the commit lock.
//! The files are never removed. See `store-layout.md`, "Locks".

use std::fs::File;
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fs::lock::{Lock, Mode};
use crate::fs::{Kind, Stat};
use crate::parts::layout::{COMMIT_LOCK, Home, LOCKS, STORE_LOCK, WATCH_LOCK};
use crate::parts::objects::is_errno;

/// Proof that gc is not at work: objects that were found stay.
#[must_use]
pub(crate) struct StoreShared(#[expect(dead_code, reason = "held, not read")] Lock);

/// Proof that nobody else stages, activates or collects.
#[must_use]
pub(crate) struct StoreExclusive(StoreShared);

impl StoreExclusive {
    /// An exclusive lock implies the shared one.
    pub(crate) fn as_shared(&self) -> &StoreShared {
        &self.0
    }
}

/// Proof that nobody else moves `current`, takes numbers, or writes records.
#[must_use]
pub(crate) struct CommitLock(#[expect(dead_code, reason = "held, not read")] Lock);

/// Proof that no other process watches sources for this store. Dropping it, or the end of the process,
/// lets another begin.
#[must_use]
pub struct WatchLock(#[expect(dead_code, reason = "held, not read")] Lock);

impl Home {
    /// Begins to write: completes the layout and keeps gc away.
    pub(crate) fn share(&self) -> Result<StoreShared> {
        self.complete()?;
        self.lock(STORE_LOCK, Mode::Shared).map(StoreShared)
    }

    /// Keeps gc away where that needs no change to the store. Returns `None` if the lock file is
    /// missing or may not be opened, or if the filesystem has no locks.
    pub(crate) fn share_unchanged(&self) -> Result<Option<StoreShared>> {
        Ok(self.lock_unchanged(STORE_LOCK, Mode::Shared)?.map(StoreShared))
    }

    /// Takes the commit lock where that needs no change to the store, as [`Home::share_unchanged`].
    pub(crate) fn lock_commit_unchanged(&self) -> Result<Option<CommitLock>> {
        Ok(self.lock_unchanged(COMMIT_LOCK, Mode::Exclusive)?.map(CommitLock))
    }

    fn lock_unchanged(&self, name: &[u8], mode: Mode) -> Result<Option<Lock>> {
        let has_locks = self.dir.stat(LOCKS)?.is_some_and(|stat| stat.kind == Kind::Dir);
        if !has_locks || self.dir.stat(name)?.is_none_or(|stat| stat.kind != Kind::File) {
            return Ok(None);
        }
        let file = match self.dir.open_file(name) {
            Err(e) if e.is_not_found() || is_errno(&e, Errno::ACCESS) => return Ok(None),
            file => file?,
        };
        match Lock::take(file, &self.dir.join(name), mode, self.options.lock_timeout) {
            Err(Error::LocksUnsupported { .. }) => Ok(None),
            lock => lock.map(Some),
        }
    }

    /// Begins to collect or mend: waits until nobody stages.
    pub(crate) fn exclude(&self) -> Result<StoreExclusive> {
        self.complete()?;
        self.lock(STORE_LOCK, Mode::Exclusive).map(StoreShared).map(StoreExclusive)
    }

    /// Keeps everybody away, if nobody stages, activates or verifies now.
    pub(crate) fn try_exclude(&self) -> Result<Option<StoreExclusive>> {
        match self.lock_within(STORE_LOCK, Mode::Exclusive, Duration::ZERO) {
            Ok(lock) => Ok(Some(StoreExclusive(StoreShared(lock)))),
            Err(Error::Locked { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Begins to commit. What an unfinished commit left must be settled next: see [`crate::change::begin`].
    pub(crate) fn lock_commit(&self) -> Result<CommitLock> {
        self.complete()?;
        self.lock(COMMIT_LOCK, Mode::Exclusive).map(CommitLock)
    }

    /// Begins to watch, if nobody does.
    pub(crate) fn lock_watch(&self) -> Result<WatchLock> {
        self.complete()?;
        self.lock_within(WATCH_LOCK, Mode::Exclusive, Duration::ZERO).map(WatchLock)
    }

    fn lock(&self, name: &[u8], mode: Mode) -> Result<Lock> {
        self.lock_within(name, mode, self.options.lock_timeout)
    }

    fn lock_within(&self, name: &[u8], mode: Mode, patience: Duration) -> Result<Lock> {
        // A handle for reading is enough, and is all that a read-only mount gives.
        let file = match self.dir.open_file(name) {
            Err(e) if e.is_not_found() => self.fs.open_or_create(&self.dir, name)?,
            file => file?,
        };
        self.close_to_readers(&file, name)?;
        Lock::take(file, &self.dir.join(name), mode, patience)
    }

    /// Lets only users who may write to the store open a lock file: flock asks for no more than an open
    /// file, so whoever may open it can keep writers out. Stores of older programs let everybody.
    pub(crate) fn close_to_readers(&self, file: &File, name: &[u8]) -> Result<()> {
        let (path, store) = (self.dir.join(name), self.dir.stat_self()?);
        let (stat, wanted) = (Stat::of(file, &path)?, lock_mode(store.mode));
        let is_group = store.mode & 0o020 != 0 && stat.gid == store.gid;
        // What somebody else left there, its own users must be able to open.
        if stat.mode == wanted || (stat.uid != store.uid && !is_group) {
            return Ok(());
        }
        match self.fs.set_mode(file, &path, wanted) {
            // Another writer owns it, or the filesystem keeps no modes.
            Err(e) if is_errno(&e, Errno::PERM) || is_errno(&e, Errno::OPNOTSUPP) => Ok(()),
            done => done,
        }
    }
}

/// Returns the mode of lock files in a store whose directory has this mode: who may write to the
/// directory may open them.
fn lock_mode(store: u32) -> u32 {
    0o600 | if store & 0o020 == 0 { 0 } else { 0o060 } | if store & 0o002 == 0 { 0 } else { 0o006 }
}

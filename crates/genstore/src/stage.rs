//! Stages: where a generation is put together, out of readers' sight. Floor 2.
//!
//! Owns `staging/s-<nonce>/` and the lock file `staging/s-<nonce>.lock` beside it. The lock is made
//! and held before the directory exists and goes last, so a directory whose lock is free, or gone,
//! is debris; one whose lock is held is never touched. Nonces are random, so nobody meets the
//! name of a stage twice.

use crate::error::Result;
use crate::fs::lock::{Lock, Mode};
use crate::fs::{Dir, Kind, Stat};
use crate::layout::{CommitLock, Home, STAGING, TREE};
use crate::model::ids::GenerationId;

const PREFIX: &str = "s-";
const LOCK_SUFFIX: &str = ".lock";
/// The generation that is being put together.
pub(crate) const NEXT: &[u8] = b"generation";

/// A stage of this process. Dropping it leaves debris for the next writer; [`Stage::remove`] does
/// not.
#[must_use]
pub(crate) struct Stage {
    name: Vec<u8>,
    dir: Dir,
    next: Dir,
    tree: Dir,
    lock: Lock,
}

impl Stage {
    /// Makes an empty stage.
    pub(crate) fn create(home: &Home) -> Result<Stage> {
        let staging = home.sub(STAGING)?;
        loop {
            let (lock_name, file) =
                home.fs.unique(&staging, PREFIX, LOCK_SUFFIX, |name| home.fs.create(&staging, name))?;
            let path = staging.join(&lock_name);
            let ours = Stat::of(&file, &path)?;
            // Between our create and our lock, another may have taken this file for debris.
            let Some(lock) = Lock::try_take(file, &path, Mode::Exclusive)? else {
                continue;
            };
            if !staging.stat(&lock_name)?.is_some_and(|named| named.same_inode(&ours)) {
                continue;
            }
            let name = lock_name[..lock_name.len() - LOCK_SUFFIX.len()].to_vec();
            home.fs.make_dir(&staging, &name)?;
            let dir = staging.open_dir(&name)?;
            home.fs.make_dir(&dir, NEXT)?;
            let next = dir.open_dir(NEXT)?;
            home.fs.make_dir(&next, TREE)?;
            let tree = next.open_dir(TREE)?;
            return Ok(Stage { name, dir, next, tree, lock });
        }
    }

    /// Gives the stage's own directory, for whatever is on its way.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Gives the directory that becomes `generations/<id>`.
    pub(crate) fn next(&self) -> &Dir {
        &self.next
    }

    /// Gives the directory of the new generation's files.
    pub(crate) fn tree(&self) -> &Dir {
        &self.tree
    }

    /// Removes the stage with all that is left in it.
    pub(crate) fn remove(self, home: &Home) -> Result<()> {
        let staging = home.sub(STAGING)?;
        remove_named(home, &staging, &self.name)?;
        drop(self.lock);
        Ok(())
    }
}

/// Names the directory of staging through which a generation goes when it is removed. It has no
/// lock, so the next sweep removes it should its remover die.
pub(crate) fn grave(id: GenerationId) -> Vec<u8> {
    format!("{PREFIX}gone-{id}").into_bytes()
}

fn remove_named(home: &Home, staging: &Dir, name: &[u8]) -> Result<()> {
    home.fs.remove_all(staging, name)?;
    home.fs.unlink(staging, &[name, LOCK_SUFFIX.as_bytes()].concat()).map(drop)
}

/// Removes the stages of dead processes, and what gc or recovery was about to remove. The commit
/// lock keeps two sweeps apart.
pub(crate) fn sweep(home: &Home, _: &CommitLock) -> Result<()> {
    let staging = home.sub(STAGING)?;
    for (entry, kind) in staging.list()? {
        if !entry.starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if let Some(name) = entry.strip_suffix(LOCK_SUFFIX.as_bytes()) {
            if let Some(_lock) = try_inherit(&staging, &entry)? {
                remove_named(home, &staging, name)?;
            }
        } else if kind == Kind::Dir
            && staging.stat(&[&entry, LOCK_SUFFIX.as_bytes()].concat())?.is_none()
            && staging.stat(&entry)?.is_some()
        {
            // No stage: see `grave`.
            home.fs.remove_all(&staging, &entry)?;
        }
    }
    Ok(())
}

/// Takes the lock of a stage whose owner is gone.
fn try_inherit(staging: &Dir, lock_name: &[u8]) -> Result<Option<Lock>> {
    let file = match staging.open_file(lock_name) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let path = staging.join(lock_name);
    let ours = Stat::of(&file, &path)?;
    let Some(lock) = Lock::try_take(file, &path, Mode::Exclusive)? else {
        return Ok(None);
    };
    let named = staging.stat(lock_name)?;
    Ok(named.is_some_and(|named| named.same_inode(&ours)).then_some(lock))
}

//! The remains of stages: what dead processes left in `staging/`, and what was about to be removed.

use rustix::io::Errno;

use crate::error::{Error, Leftover, Result};
use crate::fs::errno::is_errno;
use crate::fs::lock::{Lock, Mode};
use crate::fs::{Dir, Kind, Stat};
use crate::model::ids::StageId;
use crate::parts::claim::{CLAIM_SUFFIX, ClaimState, Claims};
use crate::parts::generations::Generations;
use crate::parts::layout::{STAGING, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::stage_dir::{LOCK_SUFFIX, PREFIX, remove_named};

/// Removes a stage that was committed, if the process that committed it died before it could do so.
pub(crate) fn remove_committed(store: &StoreDir, _: &CommitLock, id: &StageId) -> Result<()> {
    let staging = store.sub(STAGING)?;
    let name = [PREFIX.as_bytes(), id.as_str().as_bytes()].concat();
    match try_inherit(&staging, &[&name, LOCK_SUFFIX.as_bytes()].concat())? {
        Some(_lock) => tolerate(remove_named(store, &staging, &name)).map(drop),
        None => Ok(()),
    }
}

/// Removes the stages of dead processes, stages whose claim is over, and entries that gc or recovery
/// was about to remove. Returns the paths that could not be removed, which the next sweep tries again.
/// The commit lock excludes concurrent sweeps.
pub(crate) fn sweep(store: &StoreDir, lock: &CommitLock) -> Result<Vec<Leftover>> {
    let staging = store.sub(STAGING)?;
    let mut left = Vec::new();
    for (entry, kind) in staging.list()? {
        if !entry.starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if let Some(name) = entry.strip_suffix(LOCK_SUFFIX.as_bytes()) {
            if let Some(_lock) = try_inherit(&staging, &entry)?
                && is_over(store, &staging, name)?
            {
                left.extend(tolerate(remove_named(store, &staging, name))?);
            }
        } else if let Some(name) = entry.strip_suffix(CLAIM_SUFFIX.as_bytes()) {
            // A power loss kept the claim and removed its stage: the lock file is created first and
            // removed last.
            if staging.stat(&[name, LOCK_SUFFIX.as_bytes()].concat())?.is_none() {
                tolerate(store.fs.unlink(&staging, &entry).map(drop))?;
            }
        } else if kind == Kind::Dir
            && staging.stat(&[&entry, LOCK_SUFFIX.as_bytes()].concat())?.is_none()
            && staging.stat(&entry)?.is_some()
        {
            // Not a stage: see `grave`.
            left.extend(tolerate(store.fs.remove_all(&staging, &entry))?);
        }
    }
    for id in Generations::of(store).unlisted()? {
        left.extend(tolerate(Generations::of(store).remove_unlisted(lock, id))?);
    }
    Ok(left)
}

/// Returns whether a stage whose lock is free has no valid claim.
fn is_over(store: &StoreDir, staging: &Dir, name: &[u8]) -> Result<bool> {
    match Claims::of(store).claimed(staging, name) {
        Ok(claimed) => Ok(!matches!(claimed, Some((ClaimState::Holds, _)))),
        // Its owner is unknown, so it is left until somebody aborts it.
        Err(Error::Damaged { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Tolerates files that only another user or root can remove, and mounts. They are no reason to keep
/// all users out of the store.
pub(crate) fn tolerate(removed: Result<()>) -> Result<Vec<Leftover>> {
    match removed {
        Err(Error::Left { left }) => Ok(left),
        Err(Error::Io { path, source, .. })
            if [Errno::ACCESS, Errno::PERM]
                .contains(&Errno::from_io_error(&source).unwrap_or(Errno::IO)) =>
        {
            Ok(vec![Leftover { path, why: source.to_string() }])
        }
        removed => removed.map(|()| vec![]),
    }
}

/// Takes the lock of a stage whose owner has ended.
fn try_inherit(staging: &Dir, lock_name: &[u8]) -> Result<Option<Lock>> {
    let file = match staging.open_file(lock_name) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        // Another user's stage: only that user can tell whether it is debris.
        Err(e) if is_errno(&e, Errno::ACCESS) => return Ok(None),
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

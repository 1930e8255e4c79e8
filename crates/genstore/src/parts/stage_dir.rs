//! Stages: where a generation is put together, out of readers' sight.
//!
//! Owns `staging/s-<id>/` and the lock file `staging/s-<id>.lock` beside it. The lock is made and
//! held before the directory exists and goes last, so a directory whose lock is free, or gone, is
//! debris, unless a claim (`claim`) says who it belongs to; one whose lock is held is never
//! touched. Ids are random, so nobody meets the name of a stage twice.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Leftover, Result};
use crate::fs::errno::{is_absence, is_errno};
use crate::fs::lock::{Lock, Mode};
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::ids::{GenerationId, StageId};
use crate::parts::claim::{CLAIM_SUFFIX, Claims, FolderMark, Standing};
use crate::parts::generations::Generations;
use crate::parts::layout::{BUILD_LOG, STAGING, StoreDir, TREE};
use crate::parts::locks::CommitLock;
use crate::parts::naming::Naming;

const PREFIX: &str = "s-";
const LOCK_SUFFIX: &str = ".lock";
/// The generation that is being put together.
pub(crate) const NEXT: &[u8] = b"generation";
/// What programs of others write, before it is sealed.
pub(crate) const OUT: &[u8] = b"out";
/// Bytes of streams, before the plan that names them is complete.
const SPOOL: &[u8] = b"spool";
/// A generation that is no more, whose tree becomes the next one's.
pub(crate) const RETIRED: &[u8] = b"retired";
/// The tree of new files, once another has taken its place.
const PLACED: &[u8] = b"placed";

/// The directories and the lock of a stage. Dropping it leaves debris for the next writer;
/// [`StageDir::remove`] does not.
#[must_use]
pub(crate) struct StageDir {
    name: Vec<u8>,
    dir: Dir,
    next: Dir,
    tree: Dir,
    /// It was begun apart from its commit, and outlives a commit that fails.
    claimed: bool,
    lock: Lock,
}

/// A stage that was taken over, with what its claim says: whether it holds, and which directory was
/// made for others to write to.
pub(crate) type Resumed = (StageDir, Standing, Option<FolderMark>);

impl StageDir {
    /// Makes an empty stage.
    pub(crate) fn create(store: &StoreDir) -> Result<StageDir> {
        let staging = store.sub(STAGING)?;
        loop {
            let (lock_name, file) =
                store.fs.unique(&staging, PREFIX, LOCK_SUFFIX, |name| store.fs.create(&staging, name))?;
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
            store.fs.make_dir(&staging, &name)?;
            let dir = staging.open_dir(&name)?;
            let (next, tree) = make_next(store, &dir)?;
            return Ok(StageDir { name, dir, next, tree, claimed: false, lock });
        }
    }

    /// Takes over a stage that its maker let go of, with what its claim says: `None` where there is none
    /// of this id, or none that was let go of.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it.
    pub(crate) fn resume(store: &StoreDir, id: &StageId) -> Result<Option<Resumed>> {
        let staging = store.sub(STAGING)?;
        let name = [PREFIX.as_bytes(), id.as_str().as_bytes()].concat();
        let lock_name = [&name, LOCK_SUFFIX.as_bytes()].concat();
        let file = match staging.open_file(&lock_name) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let path = staging.join(&lock_name);
        let ours = Stat::of(&file, &path)?;
        let lock = Lock::take(file, &path, Mode::Exclusive, store.options.lock_timeout)?;
        if !staging.stat(&lock_name)?.is_some_and(|named| named.same_inode(&ours)) {
            return Ok(None);
        }
        let Some((standing, out)) = Claims::of(store).claimed(&staging, &name)? else {
            return Ok(None);
        };
        let dir = staging.open_dir(&name)?;
        clear_work(store, &dir)?;
        let (next, tree) = make_next(store, &dir)?;
        Ok(Some((StageDir { name, dir, next, tree, claimed: true, lock }, standing, out)))
    }

    pub(crate) fn id(&self) -> StageId {
        let id = String::from_utf8_lossy(&self.name[PREFIX.len()..]);
        id.parse().expect("stages are given random letters and digits")
    }

    /// Gives its name in `staging/`.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
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

    /// Puts a file beside the manifest that is to be committed, in place of one that is there. What
    /// it holds is not flushed.
    pub(crate) fn put_beside(
        &self,
        store: &StoreDir,
        name: &[u8],
        mode: u32,
        bytes: &[u8],
    ) -> Result<File> {
        self.put_written(store, name, mode, |file, path| store.fs.write(file, path, bytes))
            .map(|(file, ())| file)
    }

    /// Puts there what `write` gives, and gives what that gives and BLAKE3 of it all.
    pub(crate) fn put_pieces_beside<T>(
        &self,
        store: &StoreDir,
        name: &[u8],
        mode: u32,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> Result<(File, (T, Digest))> {
        self.put_written(store, name, mode, |file, path| store.fs.write_pieces(file, path, write))
    }

    fn put_written<T>(
        &self,
        store: &StoreDir,
        name: &[u8],
        mode: u32,
        write: impl FnOnce(&File, &Path) -> Result<T>,
    ) -> Result<(File, T)> {
        let (fs, path) = (&store.fs, self.next.join(name));
        fs.unlink(&self.next, name)?;
        let file = fs.create_with(&self.next, name, mode)?;
        let written = write(&file, &path)?;
        fs.set_mode(&file, &path, mode)?;
        Ok((file, written))
    }

    /// Puts the tree of a retired generation in the place of the stage's own, and gives the latter.
    pub(crate) fn exchange_tree(&mut self, store: &StoreDir, retired: &Dir) -> Result<Dir> {
        store.fs.rename_to_free((&self.next, TREE), (&self.dir, PLACED))?;
        store.fs.rename_to_free((retired, TREE), (&self.next, TREE))?;
        self.tree = self.next.open_dir(TREE)?;
        self.dir.open_dir(PLACED)
    }

    /// Undoes [`StageDir::exchange_tree`]: the stage's own tree is in its place again.
    pub(crate) fn take_back_tree(&mut self, store: &StoreDir, retired: &Dir) -> Result<()> {
        store.fs.rename_to_free((&self.next, TREE), (retired, TREE))?;
        store.fs.rename_to_free((&self.dir, PLACED), (&self.next, TREE))?;
        self.tree = self.next.open_dir(TREE)?;
        Ok(())
    }

    /// Makes the directory that others write to.
    pub(crate) fn out(&self, store: &StoreDir) -> Result<Dir> {
        store.fs.make_dir(&self.dir, OUT)?;
        self.dir.open_dir(OUT)
    }

    /// Opens the directory that others write to; `None` where that is not the one that was made.
    /// Older programs did not note which one that was.
    pub(crate) fn reopen_out(&self, made: Option<&FolderMark>) -> Result<Option<Dir>> {
        let out = match self.dir.open_dir(OUT) {
            Err(e) if is_absence(&e) || is_mount(&e) => return Ok(None),
            opened => opened?,
        };
        let is_it = made.map_or(Ok(true), |made| Ok(FolderMark::of(&out)? == *made))?;
        Ok(is_it.then_some(out))
    }

    /// Gives the directory for the bytes of streams.
    pub(crate) fn spool(&self, store: &StoreDir) -> Result<Dir> {
        store.fs.make_dir(&self.dir, SPOOL)?;
        self.dir.open_dir(SPOOL)
    }

    /// Makes the file that goes with the generation as its build's log.
    pub(crate) fn log(&self, store: &StoreDir) -> Result<File> {
        let file = store.fs.create(&self.next, BUILD_LOG)?;
        store.fs.set_mode(&file, &self.next.join(BUILD_LOG), 0o644)?;
        Ok(file)
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Ends the claim of a stage that is committed: what is left of it is debris from now on.
    pub(crate) fn end_claim(&self, store: &StoreDir) -> Result<()> {
        if !self.claimed {
            return Ok(());
        }
        store.fs.unlink(&store.sub(STAGING)?, &[&self.name, CLAIM_SUFFIX.as_bytes()].concat()).map(drop)
    }

    /// Lets go of the lock; from now on the stage's claim keeps it.
    pub(crate) fn let_go(self, store: &StoreDir, claim: &crate::parts::claim::Claim) -> Result<StageId> {
        Claims::of(store).write(&store.sub(STAGING)?, (&self.name, &self.dir), claim)?;
        Ok(self.id())
    }

    /// Removes the stage with all that is left in it.
    pub(crate) fn remove(self, store: &StoreDir) -> Result<()> {
        remove_named(store, &store.sub(STAGING)?, &self.name)?;
        drop(self.lock);
        Ok(())
    }

    /// Takes back what was put together for a commit that failed: of a claimed stage only that.
    pub(crate) fn give_up(self, store: &StoreDir) -> Result<()> {
        if self.claimed {
            return clear_work(store, &self.dir);
        }
        self.remove(store)
    }
}

/// Returns whether a path in the store is one where programs of others write to a stage.
pub(crate) fn is_others(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/');
    names.next() == Some(STAGING) && names.nth(1) == Some(OUT) && names.next().is_none()
}

/// Removes what a commit that failed had put together; what others wrote stays.
fn clear_work(store: &StoreDir, dir: &Dir) -> Result<()> {
    Naming::of(store).settle(dir)?;
    for (name, _) in dir.list()? {
        if name != OUT && name != SPOOL {
            store.fs.remove_all(dir, &name)?;
        }
    }
    Ok(())
}

fn make_next(store: &StoreDir, dir: &Dir) -> Result<(Dir, Dir)> {
    store.fs.make_dir(dir, NEXT)?;
    let next = dir.open_dir(NEXT)?;
    store.fs.make_dir(&next, TREE)?;
    let tree = next.open_dir(TREE)?;
    Ok((next, tree))
}

/// Names the directory of staging through which a generation goes when it is removed. It has no
/// lock, so the next sweep removes it should its remover die.
pub(crate) fn grave(id: GenerationId) -> Vec<u8> {
    format!("{PREFIX}gone-{id}").into_bytes()
}

/// Begins the name of the same for what was kept of a refused stage.
pub(crate) fn failed_grave(number: &[u8]) -> String {
    format!("{PREFIX}gone-failed-{}-", String::from_utf8_lossy(number))
}

/// The claim goes first, so that a removal that is cut short leaves debris; the lock last.
fn remove_named(store: &StoreDir, staging: &Dir, name: &[u8]) -> Result<()> {
    match staging.open_dir(name) {
        Ok(stage) => Naming::of(store).settle(&stage)?,
        Err(e) if e.is_not_found() => {}
        Err(e) => return Err(e),
    }
    store.fs.unlink(staging, &[name, CLAIM_SUFFIX.as_bytes()].concat())?;
    store.fs.remove_all(staging, name)?;
    store.fs.unlink(staging, &[name, LOCK_SUFFIX.as_bytes()].concat()).map(drop)
}

/// Removes a stage whose commit happened, though whoever committed it did not live to do it.
pub(crate) fn remove_committed(store: &StoreDir, _: &CommitLock, id: &StageId) -> Result<()> {
    let staging = store.sub(STAGING)?;
    let name = [PREFIX.as_bytes(), id.as_str().as_bytes()].concat();
    match try_inherit(&staging, &[&name, LOCK_SUFFIX.as_bytes()].concat())? {
        Some(_lock) => tolerate(remove_named(store, &staging, &name)).map(drop),
        None => Ok(()),
    }
}

/// Removes the stages of dead processes and those whose claim is over, and what gc or recovery was
/// about to remove; returns what could not be removed, which the next sweep tries again. The commit
/// lock keeps two sweeps apart.
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
            // A power loss kept it and took its stage: the lock file is made first and removed last.
            if staging.stat(&[name, LOCK_SUFFIX.as_bytes()].concat())?.is_none() {
                tolerate(store.fs.unlink(&staging, &entry).map(drop))?;
            }
        } else if kind == Kind::Dir
            && staging.stat(&[&entry, LOCK_SUFFIX.as_bytes()].concat())?.is_none()
            && staging.stat(&entry)?.is_some()
        {
            // No stage: see `grave`.
            left.extend(tolerate(store.fs.remove_all(&staging, &entry))?);
        }
    }
    for id in Generations::of(store).unlisted()? {
        left.extend(tolerate(Generations::of(store).remove_unlisted(lock, id))?);
    }
    Ok(left)
}

/// Returns whether nobody has a claim on a stage whose lock is free.
fn is_over(store: &StoreDir, staging: &Dir, name: &[u8]) -> Result<bool> {
    match Claims::of(store).claimed(staging, name) {
        Ok(claimed) => Ok(!matches!(claimed, Some((Standing::Holds, _)))),
        // Who it belongs to cannot be told, so it is left to whoever aborts it.
        Err(Error::Damaged { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What another user put into a stage, only that user or root can remove; and what is mounted there
/// is somebody's. Neither is a reason to keep everybody out of the store.
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

/// Takes the lock of a stage whose owner is gone.
fn try_inherit(staging: &Dir, lock_name: &[u8]) -> Result<Option<Lock>> {
    let file = match staging.open_file(lock_name) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        // Another user's stage, who alone can tell.
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

//! Stages: the folders in which generations are assembled, invisible to readers.
//!
//! Owns `staging/s-<id>/` and the lock file `staging/s-<id>.lock` beside it. The lock is created and
//! held before the directory exists, and is removed last. So a directory whose lock is free or missing
//! is debris, unless a claim (`claim`) names its owner. A directory whose lock is held is never
//! touched. Ids are random, so no name is used twice, with one exception: builds share the name `s-build`,
//! so that the path they write to stays the same. It is only given under the commit lock, which excludes
//! sweeps, and never with a claim.

use std::fs::File;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use crate::error::Result;
use crate::fs::errno::is_absence;
use crate::fs::lock::{Lock, Mode};
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Stat};
use crate::model::digest::Digest;
use crate::model::ids::{GenerationId, StageId};
use crate::parts::claim::{CLAIM_SUFFIX, Claim, ClaimState, Claims, FolderMark};
use crate::parts::layout::{BUILD_LOG, STAGING, StoreDir, TREE};
use crate::parts::locks::CommitLock;
use crate::parts::naming::Naming;

pub(crate) const PREFIX: &str = "s-";
pub(crate) const LOCK_SUFFIX: &str = ".lock";
/// The stage of a build, one at a time.
const BUILD: &[u8] = b"s-build";
/// The generation that is being assembled.
pub(crate) const NEXT: &[u8] = b"generation";
/// The output of other programs, before the stage is committed.
pub(crate) const OUT: &[u8] = b"out";
/// Bytes of streams, before the plan that names them is complete.
const SPOOL: &[u8] = b"spool";
/// The roots that the writers of a batch have put.
pub(crate) const ROOTS: &[u8] = b"roots";
/// A removed generation, whose tree becomes the next one's.
pub(crate) const RETIRED: &[u8] = b"retired";
/// The tree of new files, after another tree replaced it.
const PLACED: &[u8] = b"placed";

/// The directories and the lock of a stage. If it is dropped, its files are debris for the next writer
/// to remove. [`StageDir::remove`] removes them.
#[must_use]
pub(crate) struct StageDir {
    id: StageId,
    name: Vec<u8>,
    dir: Dir,
    next: Dir,
    tree: Dir,
    /// It was begun separately from its commit, and survives a commit that fails.
    claimed: bool,
    lock: Lock,
}

/// A stage that was taken over, with the state of its claim and the directory that was created for
/// other programs.
pub(crate) type Resumed = (StageDir, ClaimState, Option<FolderMark>);

impl StageDir {
    /// Creates an empty stage.
    pub(crate) fn create(store: &StoreDir) -> Result<StageDir> {
        let staging = store.sub(STAGING)?;
        loop {
            let (lock_name, file) =
                store.fs.unique(&staging, PREFIX, LOCK_SUFFIX, |name| store.fs.create(&staging, name))?;
            let path = staging.join(&lock_name);
            let ours = Stat::of(&file, &path)?;
            // Between our create and our lock, another process may have removed this file as debris.
            let Some(lock) = Lock::try_take(file, &path, Mode::Exclusive)? else {
                continue;
            };
            if !staging.stat(&lock_name)?.is_some_and(|named| named.same_inode(&ours)) {
                continue;
            }
            let name = lock_name[..lock_name.len() - LOCK_SUFFIX.len()].to_vec();
            return StageDir::make(store, &staging, name, lock);
        }
    }

    /// Creates the empty stage whose name builds share. Returns `None` if that name is taken: by another
    /// build, or by files that could not be removed. The commit lock excludes sweeps, which might take a
    /// second stage of the same name for the remains of the first.
    pub(crate) fn create_for_build(store: &StoreDir, _: &CommitLock) -> Result<Option<StageDir>> {
        let staging = store.sub(STAGING)?;
        let lock_name = [BUILD, LOCK_SUFFIX.as_bytes()].concat();
        if staging.stat(&lock_name)?.is_some() || staging.stat(BUILD)?.is_some() {
            return Ok(None);
        }
        let file = store.fs.create(&staging, &lock_name)?;
        match Lock::try_take(file, &staging.join(&lock_name), Mode::Exclusive)? {
            Some(lock) => StageDir::make(store, &staging, BUILD.to_vec(), lock).map(Some),
            None => Ok(None),
        }
    }

    fn make(store: &StoreDir, staging: &Dir, name: Vec<u8>, lock: Lock) -> Result<StageDir> {
        store.fs.make_dir(staging, &name)?;
        let dir = staging.open_dir(&name)?;
        let (next, tree) = make_next(store, &dir)?;
        let id = StageId::of_name(&name[PREFIX.len()..]);
        Ok(StageDir { id, name, dir, next, tree, claimed: false, lock })
    }

    /// Takes over a stage that its creator released, with the content of its claim. Returns `None` if
    /// there is no stage with this id, or it was not released.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it.
    pub(crate) fn resume(store: &StoreDir, id: &StageId) -> Result<Option<Resumed>> {
        let name = [PREFIX.as_bytes(), id.as_str().as_bytes()].concat();
        let Some((lock, dir, (standing, out))) = lock_claimed(store, &name, Mode::Exclusive)? else {
            return Ok(None);
        };
        clear_work(store, &dir)?;
        let (next, tree) = make_next(store, &dir)?;
        let stage = StageDir { id: id.clone(), name, dir, next, tree, claimed: true, lock };
        Ok(Some((stage, standing, out)))
    }

    pub(crate) fn id(&self) -> StageId {
        self.id.clone()
    }

    /// Returns whether it has the name that builds share.
    pub(crate) fn is_for_build(&self) -> bool {
        self.name == BUILD
    }

    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Returns its name in `staging/`.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the stage's own directory, for temporary files.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Returns the directory that becomes `generations/<id>`.
    pub(crate) fn next(&self) -> &Dir {
        &self.next
    }

    /// Returns the directory of the new generation's files.
    pub(crate) fn tree(&self) -> &Dir {
        &self.tree
    }

    /// Writes a file beside the manifest that will be committed, replacing an existing one. Its content
    /// is not flushed.
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

    /// Writes the output of `write` there. Returns the result and the BLAKE3 of the output.
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

    /// Replaces the stage's own tree by the tree of a retired generation, and returns the former.
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

    /// Creates the directory that other programs write to.
    pub(crate) fn out(&self, store: &StoreDir) -> Result<Dir> {
        store.fs.make_dir(&self.dir, OUT)?;
        self.dir.open_dir(OUT)
    }

    /// Opens the directory that other programs write to. Returns `None` if it is not the one that was
    /// created. Older programs did not record which one that was.
    pub(crate) fn reopen_out(&self, made: Option<&FolderMark>) -> Result<Option<Dir>> {
        let out = match self.dir.open_dir(OUT) {
            Err(e) if is_absence(&e) || is_mount(&e) => return Ok(None),
            opened => opened?,
        };
        let is_it = made.map_or(Ok(true), |made| Ok(FolderMark::of(&out)? == *made))?;
        Ok(is_it.then_some(out))
    }

    /// Creates the directory for the roots of a batch.
    pub(crate) fn roots(&self, store: &StoreDir) -> Result<Dir> {
        store.fs.make_dir(&self.dir, ROOTS)?;
        self.dir.open_dir(ROOTS)
    }

    /// Returns the directory for the bytes of streams.
    pub(crate) fn spool(&self, store: &StoreDir) -> Result<Dir> {
        store.fs.make_dir(&self.dir, SPOOL)?;
        self.dir.open_dir(SPOOL)
    }

    /// Creates the file that becomes the build's log of the generation.
    pub(crate) fn log(&self, store: &StoreDir) -> Result<File> {
        let file = store.fs.create(&self.next, BUILD_LOG)?;
        store.fs.set_mode(&file, &self.next.join(BUILD_LOG), 0o644)?;
        Ok(file)
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Removes the claim of a committed stage: the rest of it is debris from now on.
    pub(crate) fn end_claim(&self, store: &StoreDir) -> Result<()> {
        if !self.claimed {
            return Ok(());
        }
        store.fs.unlink(&store.sub(STAGING)?, &[&self.name, CLAIM_SUFFIX.as_bytes()].concat()).map(drop)
    }

    /// Removes the stage with everything in it.
    pub(crate) fn remove(self, store: &StoreDir) -> Result<()> {
        self.remove_entries(store)
    }

    fn remove_entries(&self, store: &StoreDir) -> Result<()> {
        remove_named(store, &store.sub(STAGING)?, &self.name)
    }
}

/// A stage that is given up when it is dropped: its files are removed, and of a claimed one everything
/// that was assembled for a commit.
#[must_use]
pub(crate) struct OwnStage<'s> {
    store: &'s StoreDir,
    dir: StageDir,
    at_drop: AtDrop,
}

#[derive(PartialEq, Eq)]
enum AtDrop {
    GiveUp,
    ReleaseLock,
}

impl<'s> OwnStage<'s> {
    pub(crate) fn new(store: &'s StoreDir, dir: StageDir) -> OwnStage<'s> {
        OwnStage { store, dir, at_drop: AtDrop::GiveUp }
    }

    /// Removes the stage with everything in it.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.at_drop = AtDrop::ReleaseLock;
        self.dir.remove_entries(self.store)
    }

    /// Releases the lock. From now on the stage is protected by its claim.
    pub(crate) fn let_go(mut self, claim: &Claim) -> Result<StageId> {
        self.at_drop = AtDrop::ReleaseLock;
        let StageDir { name, dir, .. } = &self.dir;
        Claims::of(self.store).write(&self.store.sub(STAGING)?, (name, dir), claim)?;
        Ok(self.id())
    }

    /// Leaves everything as debris, which the next writer removes.
    pub(crate) fn leave(mut self) {
        self.at_drop = AtDrop::ReleaseLock;
    }
}

impl Deref for OwnStage<'_> {
    type Target = StageDir;

    fn deref(&self) -> &StageDir {
        &self.dir
    }
}

impl DerefMut for OwnStage<'_> {
    fn deref_mut(&mut self) -> &mut StageDir {
        &mut self.dir
    }
}

impl Drop for OwnStage<'_> {
    fn drop(&mut self) {
        if self.at_drop == AtDrop::GiveUp {
            // A part that cannot be removed now is debris, which the next writer removes.
            drop(match self.dir.claimed {
                true => clear_work(self.store, &self.dir.dir),
                false => self.dir.remove_entries(self.store),
            });
        }
    }
}

/// Returns whether a path in the store is the folder of a stage in which other programs write.
pub(crate) fn is_others(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/');
    names.next() == Some(STAGING) && names.nth(1) == Some(OUT) && names.next().is_none()
}

/// A stage of which others may be writers, too: its lock, shared, and its directory. Nobody commits or
/// removes it meanwhile.
#[must_use]
pub(crate) struct JoinedStage {
    pub(crate) dir: Dir,
    pub(crate) standing: ClaimState,
    _lock: Lock,
}

impl JoinedStage {
    /// Joins a stage that its creator released. Returns `None` if there is no stage with this id, or it was not
    /// released.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process commits it.
    pub(crate) fn join(store: &StoreDir, id: &StageId) -> Result<Option<JoinedStage>> {
        let name = [PREFIX.as_bytes(), id.as_str().as_bytes()].concat();
        let found = lock_claimed(store, &name, Mode::Shared)?;
        Ok(found.map(|(lock, dir, (standing, _))| JoinedStage { dir, standing, _lock: lock }))
    }
}

/// The lock, the directory and the claim of a stage.
type LockedStage = (Lock, Dir, (ClaimState, Option<FolderMark>));

/// Locks a stage that has a claim. Returns `None` if there is none of this name.
fn lock_claimed(store: &StoreDir, name: &[u8], mode: Mode) -> Result<Option<LockedStage>> {
    let staging = store.sub(STAGING)?;
    let lock_name = [name, LOCK_SUFFIX.as_bytes()].concat();
    let file = match staging.open_file(&lock_name) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let path = staging.join(&lock_name);
    let ours = Stat::of(&file, &path)?;
    let lock = Lock::take(file, &path, mode, store.options.lock_timeout)?;
    if !staging.stat(&lock_name)?.is_some_and(|named| named.same_inode(&ours)) {
        return Ok(None);
    }
    let Some(claimed) = Claims::of(store).claimed(&staging, name)? else {
        return Ok(None);
    };
    Ok(Some((lock, staging.open_dir(name)?, claimed)))
}

/// Removes what a failed commit had assembled. Output of other programs stays.
fn clear_work(store: &StoreDir, dir: &Dir) -> Result<()> {
    Naming::of(store).settle(dir)?;
    for (name, _) in dir.list()? {
        if ![OUT, SPOOL, ROOTS].contains(&name.as_slice()) {
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

/// Returns the name in staging to which a generation is moved when it is removed. It has no lock, so if
/// the process dies, the next sweep removes it.
pub(crate) fn grave(id: GenerationId) -> Vec<u8> {
    format!("{PREFIX}gone-{id}").into_bytes()
}

/// Returns the prefix of the corresponding name for a refused stage.
pub(crate) fn failed_grave(number: &[u8]) -> String {
    format!("{PREFIX}gone-failed-{}-", String::from_utf8_lossy(number))
}

/// The claim is removed first, so that an interrupted removal leaves debris. The lock is removed last.
pub(crate) fn remove_named(store: &StoreDir, staging: &Dir, name: &[u8]) -> Result<()> {
    match staging.open_dir(name) {
        Ok(stage) => Naming::of(store).settle(&stage)?,
        Err(e) if e.is_not_found() => {}
        Err(e) => return Err(e),
    }
    store.fs.unlink(staging, &[name, CLAIM_SUFFIX.as_bytes()].concat())?;
    store.fs.remove_all(staging, name)?;
    store.fs.unlink(staging, &[name, LOCK_SUFFIX.as_bytes()].concat()).map(drop)
}

//! Freshness on the disk: new inodes for some paths of a generation, made in a stage and then put in
//! their places.
//!
//! 1. The inodes are made in the stage. What is linked or copied is looked at first (`look`); where it
//!    is damaged, the object's bytes are taken instead.
//! 2. They are flushed: for a kept generation together with the note of its activation, since until
//!    then nothing of it has changed.
//! 3. They are renamed to their places, and the record of what is shown to its own.
//! 4. The folders are flushed.
//!
//! Cut between 2 and 4, what the inodes show tells recovery what became of them.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_absence, is_errno};
use crate::fs::flush::{Flush, MANY};
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::fresh::{Freshness, Shown, Touch};
use crate::model::tree::{FileNode, Mtime};
use crate::model::{object_name, relpath};
use crate::parts::generations::Generation;
use crate::parts::layout::{GENERATIONS, SHOWN, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::look::{Quiet, has_digest, is_as_recorded, no_right_bytes};
use crate::parts::objects::{self, Objects, make_empty};
use crate::parts::pending_write::{PendingWrite, PendingWrites};
use crate::parts::stage_dir::StageDir;
use crate::threads::prelude::*;

/// What is current, as the source of inodes that another generation keeps.
pub(crate) struct Standing<'a> {
    pub(crate) generation: &'a Generation,
    /// How far its files are believed by their ctimes.
    pub(crate) quiet: Quiet,
}

/// What makes a kept generation fresh, and is not in its place yet.
#[must_use]
pub(crate) struct Freshening<'h> {
    /// Where the inodes are, if there are any.
    stage: Option<StageDir>,
    /// What will be shown, where that is another than what was.
    shown: Option<PendingWrite<'h>>,
    /// What is to be flushed first.
    made: Vec<Flush>,
}

impl Freshening<'_> {
    /// Gives what must be durable before the first of it is put in its place.
    pub(crate) fn flushes(&mut self) -> Result<Vec<Flush>> {
        self.made.extend(self.shown.as_ref().map(PendingWrite::flush).transpose()?);
        Ok(std::mem::take(&mut self.made))
    }

    /// Removes the stage, which is empty by now, or debris for the next writer.
    pub(crate) fn clear(self, store: &StoreDir) -> Result<()> {
        self.stage.map_or(Ok(()), |stage| stage.remove(store))
    }
}

/// Looks at files of a kept generation that stay as they are and that readers are not shown now.
/// One that is damaged is to be made anew, with the mtime that it had.
pub(crate) fn look_at_stays(store: &StoreDir, kept: &Generation, freshness: &mut Freshness) -> Result<()> {
    let (objects, tree) = (Objects::new(store)?, kept.tree_dir()?);
    let is_damaged = |(path, file, mtime): &(Vec<u8>, FileNode, Mtime)| match open_parent(&tree, path) {
        Ok(at) => is_as_recorded(&objects, (&at.0, at.1), file, *mtime, Quiet::Unknown).map(|is| !is),
        Err(e) if is_absence(&e) => Err(kept.damaged(&format!("{} is gone", relpath::show(path)))),
        Err(e) => Err(e),
    };
    let stays = std::mem::take(&mut freshness.stays);
    let damaged: Vec<bool> = stays.par_iter().map(is_damaged).collect::<Result<_>>()?;
    for ((path, file, mtime), _) in stays.into_iter().zip(damaged).filter(|(_, damaged)| *damaged) {
        freshness.touches.push((path, Touch::Renew(mtime, file.executable)));
        freshness.files.push(file);
    }
    Ok(())
}

/// Step 1 for a kept generation.
pub(crate) fn stage_fresh<'s>(
    store: &'s StoreDir,
    lock: &CommitLock,
    base: &Standing<'_>,
    (kept, shown): (&Generation, &Shown),
    freshness: &mut Freshness,
) -> Result<Freshening<'s>> {
    let mut fresh = Freshening { stage: None, shown: None, made: vec![] };
    match stage_fresh_in(store, lock, base, (kept, shown), freshness, &mut fresh) {
        Ok(()) => Ok(fresh),
        Err(error) => {
            // Should this fail, the next writer removes it.
            drop(fresh.clear(store));
            Err(error)
        }
    }
}

fn stage_fresh_in<'h>(
    store: &'h StoreDir,
    lock: &CommitLock,
    base: &Standing<'_>,
    (kept, shown): (&Generation, &Shown),
    freshness: &mut Freshness,
    fresh: &mut Freshening<'h>,
) -> Result<()> {
    if !freshness.touches.is_empty() {
        let stage = fresh.stage.insert(StageDir::create(store)?);
        fresh.made = make_fresh(store, stage, base, &kept.tree_dir()?, freshness)?;
    }
    if freshness.shown != *shown {
        let folder = [GENERATIONS, b"/", kept.id().to_string().as_bytes()].concat();
        fresh.shown =
            Some(PendingWrites::of(store).prepare(lock, &folder, SHOWN, &freshness.shown.encode())?);
    }
    Ok(())
}

/// Steps 3 and 4 for a kept generation.
///
/// # Durability
/// On return all of it is durable.
pub(crate) fn put_fresh(
    store: &StoreDir,
    lock: &CommitLock,
    kept: &Generation,
    fresh: &mut Freshening<'_>,
    freshness: &Freshness,
) -> Result<()> {
    let mut flushes = match &fresh.stage {
        Some(stage) => place_fresh(store, stage, &kept.tree_dir()?, freshness)?,
        None => vec![],
    };
    if let Some(shown) = fresh.shown.take() {
        shown.put(lock)?;
        flushes.push(Flush::Dir(kept.dir().open_dir(b"")?));
    }
    store.fs.sync_each(&flushes)
}

/// Does all of it for a tree that is staged.
///
/// # Durability
/// On return it is durable.
pub(crate) fn freshen(
    store: &StoreDir,
    stage: &StageDir,
    base: &Standing<'_>,
    tree: &Dir,
    freshness: &mut Freshness,
) -> Result<()> {
    store.fs.sync_each(&make_fresh(store, stage, base, tree, freshness)?)?;
    store.fs.sync_each(&place_fresh(store, stage, tree, freshness)?)
}

/// Makes the inodes, and notes the mtimes that the filesystem kept. Gives what must be flushed before they are put in their places: a kept
/// generation must not have names of bytes that a power loss takes away.
fn make_fresh(
    store: &StoreDir,
    stage: &StageDir,
    base: &Standing<'_>,
    tree: &Dir,
    freshness: &mut Freshness,
) -> Result<Vec<Flush>> {
    let objects = Objects::new(store)?;
    let maker = Maker { store, objects: &objects, base: base.tree()?, quiet: base.quiet, tree };
    let mut made = Vec::new();
    let many = freshness.touches.len() > MANY;
    let Freshness { touches, files, shown, .. } = freshness;
    for (number, ((path, touch), file)) in touches.iter_mut().zip(files.iter()).enumerate() {
        let temp = temp_name(number);
        let (copy, kept) = maker.make_inode((stage.dir(), &temp), path, (*touch, file))?;
        let (Touch::Renew(mtime, _) | Touch::Keep(mtime)) = touch;
        *mtime = kept;
        if let Some(mtime) = shown.fresh.get_mut(path) {
            *mtime = kept;
        }
        made.extend(copy.filter(|_| !many).map(|copy| Flush::File(copy, stage.dir().join(&temp))));
    }
    if many {
        made.push(Flush::Filesystem(tree.open_dir(b"")?));
    }
    Ok(made)
}

/// Renames the inodes to their places, and gives the folders to be flushed.
fn place_fresh(
    store: &StoreDir,
    stage: &StageDir,
    tree: &Dir,
    freshness: &Freshness,
) -> Result<Vec<Flush>> {
    let many = freshness.touches.len() > MANY;
    let mut folders: BTreeMap<&[u8], Flush> = BTreeMap::new();
    for (number, (path, touch)) in freshness.touches.iter().enumerate() {
        let (dir, name) = open_parent(tree, path)?;
        let temp = temp_name(number);
        store.fs.rename((stage.dir(), &temp), (&dir, name))?;
        // Renaming a file onto another name of the same inode does nothing, and leaves both.
        if matches!(touch, Touch::Keep(_)) {
            store.fs.unlink(stage.dir(), &temp)?;
        }
        if !many {
            folders.insert(relpath::split(path).0, Flush::Dir(dir));
        }
    }
    if many {
        return Ok(vec![Flush::Filesystem(tree.open_dir(b"")?)]);
    }
    Ok(folders.into_values().collect())
}

impl Standing<'_> {
    /// Opens its tree; `None` where that is gone, so that there is nothing to keep.
    fn tree(&self) -> Result<Option<Dir>> {
        match self.generation.tree_dir() {
            Ok(tree) => Ok(Some(tree)),
            Err(Error::Damaged { .. }) => Ok(None),
            // What a mount hides cannot be linked to.
            Err(e) if is_mount(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Makes the inodes that paths of one generation are to have.
struct Maker<'a> {
    store: &'a StoreDir,
    objects: &'a Objects<'a>,
    /// The current generation's tree.
    base: Option<Dir>,
    quiet: Quiet,
    /// That of the generation that is made fresh.
    tree: &'a Dir,
}

impl Maker<'_> {
    /// Makes the inode that a path is to have; returns it open where it is a new one.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the right bytes are neither at the path nor in the object.
    fn make_inode(
        &self,
        temp: (&Dir, &[u8]),
        path: &[u8],
        (touch, file): (Touch, &FileNode),
    ) -> Result<(Option<File>, Mtime)> {
        self.check_place(path)?;
        let (Touch::Keep(mtime) | Touch::Renew(mtime, _)) = touch;
        if let Touch::Keep(_) = touch {
            match self.keep(temp, path, file, mtime)? {
                Kept::Linked => return Ok((None, mtime)),
                Kept::Copied(copy) => return Ok((Some(copy), mtime)),
                Kept::Damaged => {}
            }
        }
        let (copy, kept) = self.renew(temp, path, file, mtime)?;
        Ok((Some(copy), kept))
    }

    /// Fails if a folder is in the place of a file: it cannot be renamed over.
    fn check_place(&self, path: &[u8]) -> Result<()> {
        match open_parent(self.tree, path) {
            Ok((dir, name)) if dir.stat(name)?.is_some_and(|stat| stat.kind == Kind::Dir) => {
                Err(Error::damaged_file(&dir.join(name), "it is a directory"))
            }
            Err(e) if is_absence(&e) => {
                Err(Error::damaged_file(&self.tree.join(path), "its folder is gone"))
            }
            Err(e) => Err(e),
            Ok(_) => Ok(()),
        }
    }

    /// Links the inode that is current at a path, if it is as recorded.
    fn keep(&self, temp: (&Dir, &[u8]), path: &[u8], file: &FileNode, mtime: Mtime) -> Result<Kept> {
        let Some(base) = &self.base else { return Ok(Kept::Damaged) };
        let from = match open_parent(base, path) {
            Err(e) if is_absence(&e) || is_mount(&e) => return Ok(Kept::Damaged),
            from => from?,
        };
        if !is_as_recorded(self.objects, (&from.0, from.1), file, mtime, self.quiet)? {
            return Ok(Kept::Damaged);
        }
        match self.store.fs.link((&from.0, from.1), temp) {
            // No link left, or another user's file: a copy has the same mtime.
            Err(e) if is_errno(&e, Errno::MLINK) || is_errno(&e, Errno::PERM) => {
                objects::copy_file(self.store, (&from.0, from.1), temp).map(Kept::Copied)
            }
            // The file is a mount point.
            Err(e) if is_errno(&e, Errno::XDEV) => Ok(Kept::Damaged),
            done => done.map(|()| Kept::Linked),
        }
    }

    /// Makes a copy of the right bytes: of the file at the path in the tree, or of the object. Returns the
    /// mtime that the filesystem keeps of it.
    fn renew(
        &self,
        temp: (&Dir, &[u8]),
        path: &[u8],
        file: &FileNode,
        mtime: Mtime,
    ) -> Result<(File, Mtime)> {
        let fs = &self.store.fs;
        if file.size == 0 {
            make_empty(self.store, FileNode { mtime, ..*file }, temp.0, temp.1)?;
            let (empty, place) = (temp.0.open_file(temp.1)?, temp.0.join(temp.1));
            let kept = Stat::of(&empty, &place)?.mtime;
            return Ok((empty, kept));
        }
        let object = object_name::name(file.object());
        let at_path = match open_parent(self.tree, path) {
            Ok(from) => Some(from),
            Err(e) if is_absence(&e) => None,
            Err(e) => return Err(e),
        };
        let at_path = at_path.as_ref().map(|(dir, name)| (dir, *name));
        for (dir, name) in at_path.into_iter().chain([(self.objects.dir(), &object[..])]) {
            let is_candidate =
                dir.stat(name)?.is_some_and(|stat| stat.kind == Kind::File && stat.size == file.size);
            if !is_candidate {
                continue;
            }
            let copy = match objects::copy_file(self.store, (dir, name), temp) {
                // Its mode was changed.
                Err(e) if is_errno(&e, Errno::ACCESS) => continue,
                copy => copy?,
            };
            let place = temp.0.join(temp.1);
            fs.set_mode(&copy, &place, object_name::mode(file.executable))?;
            // The bytes of the copy are what counts: the file may change while it is copied.
            if !has_digest(temp, file)? {
                fs.unlink(temp.0, temp.1)?;
                continue;
            }
            let kept = fs.set_mtime(&copy, &place, mtime)?;
            return Ok((copy, kept));
        }
        Err(no_right_bytes(file))
    }
}

/// What became of an inode that was to be kept.
enum Kept {
    Linked,
    Copied(File),
    /// It is not as recorded.
    Damaged,
}

/// Names an inode on its way to a path, in a stage.
fn temp_name(number: usize) -> Vec<u8> {
    format!("fresh-{number}").into_bytes()
}

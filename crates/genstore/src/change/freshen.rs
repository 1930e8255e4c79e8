//! Freshness on the disk: creates new inodes for some paths of a generation in a stage, and then
//! renames them to their places.
//!
//! 1. The inodes are created in the stage. A file is checked before it is linked or copied (`look`). If
//!    it is damaged, the object's bytes are used instead.
//! 2. They are flushed. For a kept generation the intent of its activation is flushed with them, since
//!    nothing of the generation has changed until then.
//! 3. They are renamed to their places, and the record of the published mtimes to its place.
//! 4. The folders are flushed.
//!
//! After an interruption between 2 and 4, recovery reads the state from the inodes.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_absence, is_errno};
use crate::fs::flush::{Flush, MANY};
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::fresh::{Freshness, PublishedMtimes, Touch};
use crate::model::tree::{FileNode, Mtime};
use crate::model::{object_name, relpath};
use crate::parts::generations::Generation;
use crate::parts::layout::{GENERATIONS, SHOWN, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::look::{Quiet, has_digest, is_as_recorded, no_right_bytes};
use crate::parts::objects::{self, Objects, make_empty};
use crate::parts::pending_write::{PendingWrite, PendingWrites};
use crate::parts::stage_dir::StageDir;
use crate::threads;

/// The current generation, as the source of inodes that another generation keeps.
pub(crate) struct InodeSource<'a> {
    pub(crate) generation: &'a Generation,
    /// Until which ctime its files are known to be unchanged.
    pub(crate) quiet: Quiet,
}

/// The staged inodes and record of a kept generation.
#[must_use]
pub(crate) struct Freshening<'h> {
    /// The stage with the inodes, if there are any.
    stage: Option<StageDir>,
    /// The new published mtimes, if they differ from the present ones.
    shown: Option<PendingWrite<'h>>,
    /// The items to flush first.
    made: Vec<Flush>,
}

impl Freshening<'_> {
    /// Returns the items that must be durable before the first rename.
    pub(crate) fn flushes(&mut self) -> Result<Vec<Flush>> {
        self.made.extend(self.shown.as_ref().map(PendingWrite::flush).transpose()?);
        Ok(std::mem::take(&mut self.made))
    }

    /// Removes the stage, which is empty by now. If it remains, it is debris for the next writer.
    pub(crate) fn clear(self, store: &StoreDir) -> Result<()> {
        self.stage.map_or(Ok(()), |stage| stage.remove(store))
    }
}

/// Checks the files of a kept generation that stay as they are and that readers are not shown now. A
/// damaged file is scheduled to be recreated with the same mtime.
pub(crate) fn look_at_stays(store: &StoreDir, kept: &Generation, freshness: &mut Freshness) -> Result<()> {
    let (objects, tree) = (Objects::new(store)?, kept.tree_dir()?);
    let is_damaged = |(path, file, mtime): &(Vec<u8>, FileNode, Mtime)| match open_parent(&tree, path) {
        Ok(at) => is_as_recorded(&objects, (&at.0, at.1), file, *mtime, Quiet::Unknown).map(|is| !is),
        Err(e) if is_absence(&e) => Err(kept.damaged(&format!("{} is missing", relpath::show(path)))),
        Err(e) => Err(e),
    };
    let stays = std::mem::take(&mut freshness.stays);
    let damaged: Vec<bool> = threads::try_map(&stays, is_damaged)?;
    for ((path, file, mtime), _) in stays.into_iter().zip(damaged).filter(|(_, damaged)| *damaged) {
        freshness.touches.push((path, Touch::Renew(mtime, file.executable)));
        freshness.files.push(file);
    }
    Ok(())
}

/// Does step 1 for a kept generation.
pub(crate) fn stage_fresh<'s>(
    store: &'s StoreDir,
    lock: &CommitLock,
    base: &InodeSource<'_>,
    (kept, shown): (&Generation, &PublishedMtimes),
    freshness: &mut Freshness,
) -> Result<Freshening<'s>> {
    let mut fresh = Freshening { stage: None, shown: None, made: vec![] };
    match stage_fresh_in(store, lock, base, (kept, shown), freshness, &mut fresh) {
        Ok(()) => Ok(fresh),
        Err(error) => {
            // If this fails, the next writer removes it.
            drop(fresh.clear(store));
            Err(error)
        }
    }
}

fn stage_fresh_in<'h>(
    store: &'h StoreDir,
    lock: &CommitLock,
    base: &InodeSource<'_>,
    (kept, shown): (&Generation, &PublishedMtimes),
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

/// Does steps 3 and 4 for a kept generation.
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
    store.fs.sync_each(flushes)
}

/// Does all steps for a staged tree.
///
/// # Durability
/// On return it is durable.
pub(crate) fn freshen(
    store: &StoreDir,
    stage: &StageDir,
    base: &InodeSource<'_>,
    tree: &Dir,
    freshness: &mut Freshness,
) -> Result<()> {
    store.fs.sync_each(make_fresh(store, stage, base, tree, freshness)?)?;
    store.fs.sync_each(place_fresh(store, stage, tree, freshness)?)
}

/// Creates the inodes, and records the mtimes that the filesystem stored. Returns the items that must
/// be flushed before the renames: a kept generation must not contain names of bytes that a power loss
/// can remove.
fn make_fresh(
    store: &StoreDir,
    stage: &StageDir,
    base: &InodeSource<'_>,
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

/// Renames the inodes to their places. Returns the folders to be flushed.
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
        // Renaming a file onto another name of the same inode does nothing, and leaves both names.
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

impl InodeSource<'_> {
    /// Opens its tree. Returns `None` if the tree is missing, so that no inode can be kept.
    fn tree(&self) -> Result<Option<Dir>> {
        match self.generation.tree_dir() {
            Ok(tree) => Ok(Some(tree)),
            Err(Error::Damaged { .. }) => Ok(None),
            // Files behind a mount cannot be linked.
            Err(e) if is_mount(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Creates the new inodes for paths of one generation.
struct Maker<'a> {
    store: &'a StoreDir,
    objects: &'a Objects<'a>,
    /// The current generation's tree.
    base: Option<Dir>,
    quiet: Quiet,
    /// The tree of the generation that is renewed.
    tree: &'a Dir,
}

impl Maker<'_> {
    /// Creates the new inode of a path. Returns it open if it is a copy.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the right bytes are neither at the path nor in the object.
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

    /// Fails if a folder is in the place of a file: a file cannot be renamed over it.
    fn check_place(&self, path: &[u8]) -> Result<()> {
        match open_parent(self.tree, path) {
            Ok((dir, name)) if dir.stat(name)?.is_some_and(|stat| stat.kind == Kind::Dir) => {
                Err(Error::damaged_file(&dir.join(name), "it is a directory"))
            }
            Err(e) if is_absence(&e) => {
                Err(Error::damaged_file(&self.tree.join(path), "its folder is missing"))
            }
            Err(e) => Err(e),
            Ok(_) => Ok(()),
        }
    }

    /// Links the current generation's inode at a path, if it is as recorded.
    fn keep(&self, temp: (&Dir, &[u8]), path: &[u8], file: &FileNode, mtime: Mtime) -> Result<Kept> {
        let Some(base) = &self.base else { return Ok(Kept::Damaged) };
        let from = match open_parent(base, path) {
            Err(e) if is_absence(&e) || is_mount(&e) => return Ok(Kept::Damaged),
            from => from?,
        };
        let at = (&from.0, from.1);
        if !is_as_recorded(self.objects, at, file, mtime, self.quiet)? || self.is_wrong_object(at, file)? {
            return Ok(Kept::Damaged);
        }
        match self.store.fs.link((&from.0, from.1), temp) {
            // The inode has no links left, or the file belongs to another user. A copy has the same
            // mtime.
            Err(e) if is_errno(&e, Errno::MLINK) || is_errno(&e, Errno::PERM) => {
                objects::copy_file(self.store, (&from.0, from.1), temp).map(Kept::Copied)
            }
            // The file is a mount point.
            Err(e) if is_errno(&e, Errno::XDEV) => Ok(Kept::Damaged),
            done => done.map(|()| Kept::Linked),
        }
    }

    /// Returns whether a file is its object's inode, and has other bytes. A tree that has another inode at the
    /// path brought the bytes itself, perhaps because the object is damaged: it is healed only later.
    fn is_wrong_object(&self, (dir, name): (&Dir, &[u8]), file: &FileNode) -> Result<bool> {
        if file.size == 0 {
            return Ok(false);
        }
        let (stat, object) = (dir.stat(name)?, self.objects.stat(file.object())?);
        let is_object = stat.zip(object).is_some_and(|(stat, object)| stat.same_inode(&object));
        Ok(is_object && !has_digest((dir, name), file)?)
    }

    /// Creates a copy of the right bytes, from the file at the path in the tree or from the object.
    /// Returns the mtime that the filesystem stored.
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
            // The bytes of the copy are checked, as the file may change while it is copied.
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

/// The result of keeping an inode.
enum Kept {
    Linked,
    Copied(File),
    /// It is not as recorded.
    Damaged,
}

/// Returns the temporary name of an inode in a stage.
fn temp_name(number: usize) -> Vec<u8> {
    format!("fresh-{number}").into_bytes()
}

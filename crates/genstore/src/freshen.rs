//! Freshness on the disk: new inodes for some paths of a generation, made in a stage and then put in
//! their places. Floor 3.
//!
//! 1. The inodes are made in the stage.
//! 2. They are flushed: for a kept generation together with the note of its activation, since until
//!    then nothing of it has changed.
//! 3. They are renamed to their places, and the record of what is shown to its own.
//! 4. The folders are flushed.
//!
//! Cut between 2 and 4, what the inodes show tells recovery what became of them.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::Dir;
use crate::fs::dir::open_parent;
use crate::fs::flush::{Flush, MANY};
use crate::fs::mount::is_mount;
use crate::generations::Generation;
use crate::layout::{CommitLock, GENERATIONS, Home, SHOWN};
use crate::model::fresh::{Freshness, Shown, Touch};
use crate::model::relpath;
use crate::model::tree::Mtime;
use crate::objects;
use crate::prepared::Prepared;
use crate::stage::StageDir;

/// What makes a kept generation fresh, and is not in its place yet.
#[must_use]
pub(crate) struct Freshening<'h> {
    /// Where the inodes are, if there are any.
    stage: Option<StageDir>,
    /// What will be shown, where that is another than what was.
    shown: Option<Prepared<'h>>,
    /// What is to be flushed first.
    made: Vec<Flush>,
}

impl Freshening<'_> {
    /// Gives what must be durable before the first of it is put in its place.
    pub(crate) fn flushes(&mut self) -> Result<Vec<Flush>> {
        self.made.extend(self.shown.as_ref().map(Prepared::flush).transpose()?);
        Ok(std::mem::take(&mut self.made))
    }

    /// Removes the stage, which is empty by now, or debris for the next writer.
    pub(crate) fn clear(self, home: &Home) -> Result<()> {
        self.stage.map_or(Ok(()), |stage| stage.remove(home))
    }
}

impl Home {
    /// Step 1 for a kept generation.
    pub(crate) fn stage_fresh(
        &self,
        lock: &CommitLock,
        base: &Generation,
        (kept, shown): (&Generation, &Shown),
        freshness: &mut Freshness,
    ) -> Result<Freshening<'_>> {
        let mut fresh = Freshening { stage: None, shown: None, made: vec![] };
        match self.stage_fresh_in(lock, base, (kept, shown), freshness, &mut fresh) {
            Ok(()) => Ok(fresh),
            Err(error) => {
                // Should this fail, the next writer removes it.
                drop(fresh.clear(self));
                Err(error)
            }
        }
    }

    fn stage_fresh_in<'h>(
        &'h self,
        lock: &CommitLock,
        base: &Generation,
        (kept, shown): (&Generation, &Shown),
        freshness: &mut Freshness,
        fresh: &mut Freshening<'h>,
    ) -> Result<()> {
        if !freshness.touches.is_empty() {
            let stage = fresh.stage.insert(StageDir::create(self)?);
            fresh.made = self.make_fresh(stage, base, &kept.tree_dir()?, freshness)?;
        }
        if freshness.shown != *shown {
            let folder = [GENERATIONS, b"/", kept.id().to_string().as_bytes()].concat();
            fresh.shown = Some(self.prepare(lock, &folder, SHOWN, &freshness.shown.encode())?);
        }
        Ok(())
    }

    /// Steps 3 and 4 for a kept generation.
    ///
    /// # Durability
    /// On return all of it is durable.
    pub(crate) fn put_fresh(
        &self,
        lock: &CommitLock,
        kept: &Generation,
        fresh: &mut Freshening<'_>,
        freshness: &Freshness,
    ) -> Result<()> {
        let mut flushes = match &fresh.stage {
            Some(stage) => self.place_fresh(stage, &kept.tree_dir()?, freshness)?,
            None => vec![],
        };
        if let Some(shown) = fresh.shown.take() {
            shown.put(lock)?;
            flushes.push(Flush::Dir(kept.dir().open_dir(b"")?));
        }
        self.fs.sync_each(&flushes)
    }

    /// Does all of it for a tree that is staged.
    ///
    /// # Durability
    /// On return it is durable.
    pub(crate) fn freshen(
        &self,
        stage: &StageDir,
        base: &Generation,
        tree: &Dir,
        freshness: &mut Freshness,
    ) -> Result<()> {
        self.fs.sync_each(&self.make_fresh(stage, base, tree, freshness)?)?;
        self.fs.sync_each(&self.place_fresh(stage, tree, freshness)?)
    }

    /// Makes the inodes, and notes the mtimes that the filesystem kept. Gives what must be flushed before they are put in their places: a kept
    /// generation must not have names of bytes that a power loss takes away.
    fn make_fresh(
        &self,
        stage: &StageDir,
        base: &Generation,
        tree: &Dir,
        freshness: &mut Freshness,
    ) -> Result<Vec<Flush>> {
        let base = match base.tree_dir() {
            Err(e) if is_mount(&e) => None,
            opened => Some(opened?),
        };
        let mut made = Vec::new();
        let many = freshness.touches.len() > MANY;
        let Freshness { touches, shown } = freshness;
        for (number, (path, touch)) in touches.iter_mut().enumerate() {
            let temp = temp_name(number);
            let copy = self.make_inode((stage.dir(), &temp), (base.as_ref(), tree), path, touch)?;
            if let Touch::Renew(kept, _) | Touch::Keep(kept) = touch
                && let Some(mtime) = shown.fresh.get_mut(path)
            {
                *mtime = *kept;
            }
            made.extend(copy.filter(|_| !many).map(|copy| Flush::File(copy, stage.dir().join(&temp))));
        }
        if many {
            made.push(Flush::Filesystem(tree.open_dir(b"")?));
        }
        Ok(made)
    }

    /// Renames the inodes to their places, and gives the folders to be flushed.
    fn place_fresh(&self, stage: &StageDir, tree: &Dir, freshness: &Freshness) -> Result<Vec<Flush>> {
        let many = freshness.touches.len() > MANY;
        let mut folders: BTreeMap<&[u8], Flush> = BTreeMap::new();
        for (number, (path, touch)) in freshness.touches.iter().enumerate() {
            let (dir, name) = open_parent(tree, path)?;
            let temp = temp_name(number);
            self.fs.rename((stage.dir(), &temp), (&dir, name))?;
            // Renaming a file onto another name of the same inode does nothing, and leaves both.
            if matches!(touch, Touch::Keep(_)) {
                self.fs.unlink(stage.dir(), &temp)?;
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

    /// Makes the inode that a path is to have; gives it open where it is a new one.
    fn make_inode(
        &self,
        temp: (&Dir, &[u8]),
        (base, tree): (Option<&Dir>, &Dir),
        path: &[u8],
        touch: &mut Touch,
    ) -> Result<Option<File>> {
        match touch {
            Touch::Keep(mtime) => {
                // What a mount hides cannot be linked to.
                let from = match base.map(|base| open_parent(base, path)) {
                    None => return self.renew((tree, path), temp, mtime, None),
                    Some(Err(e)) if is_mount(&e) => return self.renew((tree, path), temp, mtime, None),
                    Some(opened) => opened?,
                };
                match self.fs.link((&from.0, from.1), temp) {
                    // No link left, or another user's file: a copy has the same mtime.
                    Err(e) if objects::is_errno(&e, Errno::MLINK) || objects::is_errno(&e, Errno::PERM) => {
                        self.copy_file((&from.0, from.1), temp).map(Some)
                    }
                    // The file is a mount point.
                    Err(e) if objects::is_errno(&e, Errno::XDEV) => {
                        self.renew((tree, path), temp, mtime, None)
                    }
                    done => done.map(|()| None),
                }
            }
            Touch::Renew(mtime, executable) => self.renew((tree, path), temp, mtime, Some(*executable)),
        }
    }

    /// Makes an inode of its own with the bytes of a path of the new tree.
    fn renew(
        &self,
        (tree, path): (&Dir, &[u8]),
        temp: (&Dir, &[u8]),
        mtime: &mut Mtime,
        executable: Option<bool>,
    ) -> Result<Option<File>> {
        let from = open_parent(tree, path)?;
        let (copy, place) = (self.copy_file((&from.0, from.1), temp)?, temp.0.join(temp.1));
        *mtime = self.fs.set_mtime(&copy, &place, *mtime)?;
        if let Some(executable) = executable {
            self.fs.set_mode(&copy, &place, objects::mode(executable))?;
        }
        Ok(Some(copy))
    }
}

/// Names an inode on its way to a path, in a stage.
fn temp_name(number: usize) -> Vec<u8> {
    format!("fresh-{number}").into_bytes()
}

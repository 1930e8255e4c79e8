//! The changes to a mirror, in an order in which a reader misses no file.
//!
//! 1. Folders are created.
//! 2. Files and symlinks are added under their final names. A link never replaces an entry.
//! 3. Differing entries are replaced, each by one rename.
//! 4. Unwanted entries are deleted, files first, then folders.
//! 5. Entries whose place one of ours occupied until then are added.
//! 6. The changed folders are flushed.
//!
//! Temporary files are in a directory beside the mirror, never in it. Each entry is checked again right
//! before it is replaced or deleted.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_errno, is_not_empty};
use crate::fs::flush::MANY;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Fs, Kind};
use crate::model::tree::{FileNode, Node};
use crate::model::{object_name, relpath};
use crate::threads::prelude::*;
use crate::views::mirror::compare::MirrorComparison;
use crate::views::mirror::plan::Work;

/// Applies the changes.
pub(crate) struct Hand<'a> {
    /// New entries belong to the owner of the mirror.
    pub(crate) fs: &'a Fs,
    pub(crate) look: &'a MirrorComparison<'a>,
    /// The directory beside the mirror, and its name.
    pub(crate) beside: (&'a Dir, &'a [u8]),
    /// Entries that cannot be linked: they are copied.
    pub(crate) unlinkable: &'a BTreeSet<usize>,
}

/// The results of the changes.
#[derive(Default)]
pub(crate) struct Done {
    /// Foreign entries in the way, or entries that were changed just before.
    pub(crate) strangers: BTreeSet<Vec<u8>>,
    /// Entries that could not be linked, and must be copied.
    pub(crate) unlinkable: BTreeSet<usize>,
}

/// The way in which an entry gets its name.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    ToFreeName,
    OverOurs,
}

impl Hand<'_> {
    /// Does all changes.
    pub(crate) fn work(&self, work: &Work) -> Result<Done> {
        let done = Mutex::new(Done::default());
        let spare = match self.needs_spare(work) {
            true => {
                self.fs.make_dir(self.beside.0, self.beside.1)?;
                Some(self.beside.0.open_dir(self.beside.1)?)
            }
            false => None,
        };
        let many = work.len() > MANY;
        self.make_folders(&work.folders, &done)?;
        self.put_all(&work.added, Way::ToFreeName, spare.as_ref(), many, &done)?;
        self.put_all(&work.replaced, Way::OverOurs, spare.as_ref(), many, &done)?;
        for path in &work.deleted {
            self.delete(path, &done)?;
        }
        for path in &work.emptied {
            self.remove_folder(path, &done)?;
        }
        self.make_folders(&work.late_folders, &done)?;
        self.put_all(&work.late, Way::ToFreeName, spare.as_ref(), many, &done)?;
        self.flush(work, many)?;
        if spare.is_some() {
            self.fs.remove_all(self.beside.0, self.beside.1)?;
        }
        Ok(done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn needs_spare(&self, work: &Work) -> bool {
        let copies = self.look.wanted.shows.copies && !(work.added.is_empty() && work.late.is_empty());
        copies || !work.replaced.is_empty() || !self.unlinkable.is_empty()
    }

    fn make_folders(&self, folders: &[Vec<u8>], done: &Mutex<Done>) -> Result<()> {
        for path in folders {
            let made = open_parent(self.look.root, path)
                .and_then(|(dir, name)| self.fs.make_dir(&dir, name).map(drop));
            self.unless_in_the_way(made, path, done)?;
        }
        Ok(())
    }

    /// An entry that appeared since the comparison is in the way. It is foreign and left alone.
    fn unless_in_the_way(&self, result: Result<()>, path: &[u8], done: &Mutex<Done>) -> Result<()> {
        const IN_THE_WAY: [Errno; 4] = [Errno::EXIST, Errno::NOTDIR, Errno::LOOP, Errno::ISDIR];
        match result {
            Err(e) if is_mount(&e) || IN_THE_WAY.iter().any(|errno| is_errno(&e, *errno)) => {
                stranger(done, path);
                Ok(())
            }
            result => result,
        }
    }

    fn put_all(
        &self,
        entries: &[usize],
        way: Way,
        spare: Option<&Dir>,
        many: bool,
        done: &Mutex<Done>,
    ) -> Result<()> {
        let tree = &self.look.wanted.tree;
        let folder = |index: &usize| relpath::split(tree.path(*index)).0;
        let folders: Vec<&[usize]> = entries.chunk_by(|a, b| folder(a) == folder(b)).collect();
        folders.into_par_iter().try_for_each(|members| {
            let dir = match self.look.root.open_dir(folder(&members[0])) {
                Ok(dir) => dir,
                failed => {
                    let path = folder(&members[0]);
                    return self.unless_in_the_way(failed.map(drop), path, done);
                }
            };
            for &index in members {
                let path = tree.path(index);
                if way == Way::OverOurs && !self.look.is_ours(&dir, path)? {
                    stranger(done, path);
                    continue;
                }
                let put = self.put(index, &dir, way, spare, many);
                match put.map_err(|error| self.look.wanted.explain(error, path)) {
                    // The inode has no links left, or the file belongs to another user.
                    Err(e)
                        if !self.unlinkable.contains(&index)
                            && (is_errno(&e, Errno::MLINK) || is_errno(&e, Errno::PERM)) =>
                    {
                        with(done, |done| done.unlinkable.extend([index]));
                    }
                    result => self.unless_in_the_way(result, path, done)?,
                }
            }
            Ok(())
        })
    }

    fn put(&self, index: usize, dir: &Dir, way: Way, spare: Option<&Dir>, many: bool) -> Result<()> {
        let fs = self.fs;
        let entry = self.look.wanted.tree.get(index);
        let entry_name = relpath::split(entry.path).1;
        let temp = index.to_string().into_bytes();
        let copies = self.look.wanted.shows.copies || self.unlinkable.contains(&index);
        let prepare = |to: &Dir, name: &[u8]| match entry.node {
            Node::Symlink(target) => fs.symlink(target, to, name),
            Node::File(file) if copies => self.copy(entry.path, file, (to, name), many),
            Node::File(_) => fs.link((&self.look.wanted.folder_of(entry.path)?, entry_name), (to, name)),
            Node::EmptyDir => Ok(()),
        };
        let is_copy = copies && matches!(entry.node, Node::File(_));
        match (way, spare) {
            (Way::ToFreeName, _) if !is_copy => prepare(dir, entry_name),
            (_, None) => Ok(()),
            (Way::ToFreeName, Some(spare)) => {
                prepare(spare, &temp)?;
                fs.rename_to_free((spare, &temp), (dir, entry_name))
            }
            (Way::OverOurs, Some(spare)) => {
                prepare(spare, &temp)?;
                fs.rename((spare, &temp), (dir, entry_name))
            }
        }
    }

    /// Creates a private copy that its owner may write to.
    fn copy(&self, from: &[u8], file: FileNode, to: (&Dir, &[u8]), many: bool) -> Result<()> {
        let (fs, path) = (self.fs, to.0.join(to.1));
        let copy = fs.create(to.0, to.1)?;
        fs.copy(&self.look.wanted.folder_of(from)?.open_file(relpath::split(from).1)?, &copy, &path)?;
        let mode = match self.look.wanted.shows.copies {
            true if file.executable => 0o755,
            true => 0o644,
            false => object_name::mode(file.executable),
        };
        fs.set_mode(&copy, &path, mode)?;
        fs.set_mtime(&copy, &path, file.mtime)?;
        if many { Ok(()) } else { fs.sync_file(&copy, &path) }
    }

    fn delete(&self, path: &[u8], done: &Mutex<Done>) -> Result<()> {
        let (dir, name) = open_parent(self.look.root, path)?;
        match dir.stat(name)? {
            None => Ok(()),
            Some(_) if self.look.is_ours(&dir, path)? => {
                self.unless_in_the_way(self.fs.unlink(&dir, name).map(drop), path, done)
            }
            Some(_) => {
                stranger(done, path);
                Ok(())
            }
        }
    }

    fn remove_folder(&self, path: &[u8], done: &Mutex<Done>) -> Result<()> {
        let (dir, name) = open_parent(self.look.root, path)?;
        if dir.stat(name)?.is_none_or(|stat| stat.kind != Kind::Dir) {
            return Ok(());
        }
        match self.fs.remove_dir(&dir, name) {
            Err(e) if is_not_empty(&e) || is_mount(&e) => {
                stranger(done, path);
                Ok(())
            }
            result => result.map(drop),
        }
    }

    fn flush(&self, work: &Work, many: bool) -> Result<()> {
        let (fs, root) = (self.fs, self.look.root);
        if many {
            return fs.sync_filesystem(root);
        }
        let tree = &self.look.wanted.tree;
        let entries = [&work.added, &work.replaced, &work.late].into_iter().flatten();
        let paths = [&work.folders, &work.deleted, &work.emptied, &work.late_folders].into_iter().flatten();
        let paths = entries.map(|index| tree.path(*index)).chain(paths.map(Vec::as_slice));
        let folders: BTreeSet<&[u8]> = paths.map(|path| relpath::split(path).0).collect();
        for folder in folders {
            match root.open_dir(folder) {
                Ok(dir) => fs.sync_dir(&dir)?,
                // The folder was removed itself, or another entry is in its place.
                Err(e) if crate::fs::errno::is_absence(&e) || is_mount(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn stranger(done: &Mutex<Done>, path: &[u8]) {
    with(done, |done| done.strangers.extend([path.to_vec()]));
}

fn with(done: &Mutex<Done>, act: impl FnOnce(&mut Done)) {
    act(&mut done.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
}

//! Removing whole trees: by handle, never through a symlink, never into a mount, at any depth.
//!
//! A path that cannot be removed stays, with the folders above it: something is mounted on it, or another
//! user locked it up. Everything else goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use super::dir::open_parent;
use super::mount::is_mount;
use super::{Dir, Fs, Kind, Stat};
use crate::error::{Error, Leftover, Result};
use crate::threads::prelude::*;

/// So many folders to empty keep all threads busy until the last few of them.
const ENOUGH_BRANCHES: usize = 64;
/// So many levels are searched for them: a tree that is still narrow there is removed by one thread.
const MAX_SPLIT_LEVELS: usize = 5;

impl Fs {
    /// Removes whatever has this name, with all that lies below it. Nothing there is fine.
    ///
    /// # Errors
    /// [`Error::Left`] names what could not be removed; all else is gone.
    pub(crate) fn remove_all(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        let removal = Removal { fs: self, left: Mutex::default() };
        removal.all(dir, name)?;
        let left = removal.left.into_inner().unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::Left { left: left.into_iter().map(|(path, why)| Leftover { path, why }).collect() })
    }
}

/// A removal under way.
struct Removal<'a> {
    fs: &'a Fs,
    /// Paths that could not be removed, each with the cause.
    left: Mutex<BTreeMap<PathBuf, String>>,
}

/// A folder that is being emptied.
struct Level {
    name: Vec<u8>,
    stat: Stat,
    /// Folders in it that still wait.
    waiting: Vec<Vec<u8>>,
    /// Something in it could not be removed.
    stays: bool,
}

impl Removal<'_> {
    /// The topmost levels are emptied one after the other, each by all threads, until there are
    /// enough folders below them to share out; then each of those is removed whole by one thread.
    fn all(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        match dir.stat(name)? {
            None => return Ok(()),
            Some(stat) if stat.kind != Kind::Dir => {
                return self.unless_left(self.fs.unlink(dir, name)).map(drop);
            }
            Some(_) => {}
        }
        let dir = &dir.staying()?;
        let mut branches = vec![name.to_vec()];
        for _ in 0..MAX_SPLIT_LEVELS {
            if branches.is_empty() || branches.len() >= ENOUGH_BRANCHES {
                break;
            }
            let below: Vec<Vec<Vec<u8>>> = branches
                .par_iter()
                .map(|branch| self.remove_files_at(dir, branch))
                .collect::<Result<_>>()?;
            branches = below.into_iter().flatten().collect();
        }
        branches.par_iter().try_for_each(|branch| {
            let (parent, name) = open_parent(dir, branch)?;
            self.remove_branch(&parent, name)
        })?;
        self.remove_branch(dir, name)
    }

    /// Takes note of what cannot be removed, and goes on: `None`.
    fn unless_left<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(Error::Io { path, source, op }) => {
                let error = Error::Io { path: path.clone(), source, op };
                let why = match (&error, is_mount(&error)) {
                    (_, true) => "something is mounted there".to_owned(),
                    (Error::Io { source, .. }, false) if is_refused(source) => source.to_string(),
                    _ => return Err(error),
                };
                self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(path, why);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes all but the folders in a directory below `dir`, and gives the paths of those.
    fn remove_files_at(&self, dir: &Dir, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (parent, name) = open_parent(dir, path)?;
        let Some(here) = self.unless_left(self.open_to_empty(&parent, name))? else { return Ok(vec![]) };
        let folders = self.remove_files(&here)?.0;
        Ok(folders.into_iter().map(|folder| [path, b"/", &folder].concat()).collect())
    }

    /// Removes a folder with all that lies below it.
    ///
    /// Iterative, with two handles open at most, so depth costs memory only; on the way up it
    /// opens `..`, which must be the folder that it came from: a program that still writes there
    /// may have moved it elsewhere.
    fn remove_branch(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        let Some((mut here, level)) = self.enter(dir, name)? else { return Ok(()) };
        let mut levels = vec![level];
        while let Some(level) = levels.last_mut() {
            if let Some(folder) = level.waiting.pop() {
                match self.enter(&here, &folder)? {
                    Some((inner, level)) => {
                        here = inner;
                        levels.push(level);
                    }
                    None => level.stays = true,
                }
                continue;
            }
            let Some(Level { name, stays, .. }) = levels.pop() else { break };
            let Some(above) = levels.last_mut() else {
                if !stays {
                    self.unless_left(self.fs.remove_dir(dir, &name))?;
                }
                break;
            };
            let parent = open_parent_of(&here)?;
            if !parent.stat_self()?.same_inode(&above.stat) {
                return Err(Error::io("go back from", here.path(), Errno::STALE));
            }
            here = parent;
            above.stays |= stays || self.unless_left(self.fs.remove_dir(&here, &name))?.is_none();
        }
        Ok(())
    }

    /// Opens a folder and removes all but the folders in it; `None` where it cannot be entered.
    fn enter(&self, dir: &Dir, name: &[u8]) -> Result<Option<(Dir, Level)>> {
        let Some(here) = self.unless_left(self.open_to_empty(dir, name))? else { return Ok(None) };
        let stat = here.stat_self()?;
        let (waiting, stays) = self.remove_files(&here)?;
        Ok(Some((here, Level { name: name.to_vec(), stat, waiting, stays })))
    }

    /// Opens a folder that is to be emptied. Builders leave folders that even their owner may not
    /// list or change.
    fn open_to_empty(&self, dir: &Dir, name: &[u8]) -> Result<Dir> {
        if dir.stat(name)?.is_some_and(|stat| stat.mode & 0o700 != 0o700) {
            self.fs.set_dir_mode(dir, name)?;
        }
        dir.open_dir(name)
    }

    /// Removes all but the folders in a directory, and gives those, and whether something stayed.
    fn remove_files(&self, dir: &Dir) -> Result<(Vec<Vec<u8>>, bool)> {
        let (mut folders, mut stays) = (Vec::new(), false);
        for (name, kind) in dir.list()? {
            match kind {
                Kind::Dir => folders.push(name),
                _ => stays |= self.unless_left(self.fs.unlink(dir, &name))?.is_none(),
            }
        }
        Ok((folders, stays))
    }
}

/// The folder is another user's, or what is in it is, or cannot be changed.
fn is_refused(error: &std::io::Error) -> bool {
    [Some(Errno::ACCESS), Some(Errno::PERM)].contains(&Errno::from_io_error(error))
}

fn open_parent_of(dir: &Dir) -> Result<Dir> {
    dir.parent().map_err(|e| Error::io("open the parent of", dir.path(), e))
}

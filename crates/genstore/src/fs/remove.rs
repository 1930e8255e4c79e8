//! Removes whole trees: by handle, never through a symlink, never into a mount, at any depth.
//!
//! A path that cannot be removed stays, with the folders above it: something is mounted on it, or
//! another user's permissions protect it. Everything else is removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use super::dir::open_parent;
use super::mount::is_mount;
use super::{Dir, Fs, Kind, Stat};
use crate::error::{Error, Leftover, Result};
use crate::threads;

/// This number of folders keeps all threads busy until almost the end.
const ENOUGH_BRANCHES: usize = 64;
/// The number of levels that are searched for them. A tree that is still narrow there is removed by one
/// thread.
const MAX_SPLIT_LEVELS: usize = 5;

impl Fs {
    /// Removes the entry of this name with everything below it. A missing entry is not an error.
    ///
    /// # Errors
    /// [`Error::Left`] lists the paths that could not be removed. Everything else is removed.
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

/// A removal in progress.
struct Removal<'a> {
    fs: &'a Fs,
    /// Paths that could not be removed, each with the cause.
    left: Mutex<BTreeMap<PathBuf, String>>,
}

/// A folder that is being emptied.
struct Level {
    name: Vec<u8>,
    stat: Stat,
    /// Folders in it that must still be removed.
    waiting: Vec<Vec<u8>>,
    /// Whether something in it could not be removed.
    stays: bool,
}

impl Removal<'_> {
    /// Empties the topmost levels one after the other, each with all threads, until there are enough
    /// folders below to share. Then one thread removes each of those folders whole.
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
            let below = threads::try_map_long(&branches, |branch| self.remove_files_at(dir, branch))?;
            branches = below.into_iter().flatten().collect();
        }
        threads::try_map_long(&branches, |branch| {
            let (parent, name) = open_parent(dir, branch)?;
            self.remove_branch(&parent, name)
        })?;
        self.remove_branch(dir, name)
    }

    /// Records a path that cannot be removed, and continues: returns `None`.
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

    /// Removes all entries except folders from a directory below `dir`. Returns the paths of the
    /// folders.
    fn remove_files_at(&self, dir: &Dir, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (parent, name) = open_parent(dir, path)?;
        let Some(here) = self.unless_left(self.open_to_empty(&parent, name))? else { return Ok(vec![]) };
        let folders = self.remove_files(&here)?.0;
        Ok(folders.into_iter().map(|folder| [path, b"/", &folder].concat()).collect())
    }

    /// Removes a folder with everything below it.
    ///
    /// It is iterative, with at most two open handles, so depth costs only memory. On the way up it
    /// opens `..`, which must be the folder that it came from: a program that still writes there may
    /// have moved it elsewhere.
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

    /// Opens a folder and removes all entries except folders. Returns `None` if it cannot be entered.
    fn enter(&self, dir: &Dir, name: &[u8]) -> Result<Option<(Dir, Level)>> {
        let Some(here) = self.unless_left(self.open_to_empty(dir, name))? else { return Ok(None) };
        let stat = here.stat_self()?;
        let (waiting, stays) = self.remove_files(&here)?;
        Ok(Some((here, Level { name: name.to_vec(), stat, waiting, stays })))
    }

    /// Opens a folder to be emptied. Builders leave folders that not even their owner may list or
    /// change.
    fn open_to_empty(&self, dir: &Dir, name: &[u8]) -> Result<Dir> {
        if dir.stat(name)?.is_some_and(|stat| stat.mode & 0o700 != 0o700) {
            self.fs.set_dir_mode(dir, name)?;
        }
        dir.open_dir(name)
    }

    /// Removes all entries except folders from a directory. Returns the folders, and whether something
    /// could not be removed.
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

/// The folder or the entry belongs to another user, or cannot be changed.
fn is_refused(error: &std::io::Error) -> bool {
    [Some(Errno::ACCESS), Some(Errno::PERM)].contains(&Errno::from_io_error(error))
}

fn open_parent_of(dir: &Dir) -> Result<Dir> {
    dir.parent().map_err(|e| Error::io("open the parent of", dir.path(), e))
}

//! Removing whole trees: by handle, never through a symlink, at any depth.

use crate::threads::prelude::*;

use super::dir::open_parent;
use super::{Dir, Fs, Kind};
use crate::error::{Error, Result};

/// So many folders to empty keep all threads busy until the last few of them.
const ENOUGH_BRANCHES: usize = 64;
/// So many levels are searched for them: a tree that is still narrow there is removed by one thread.
const MAX_SPLIT_LEVELS: usize = 5;

impl Fs {
    /// Removes whatever has this name, with all that lies below it. Nothing there is fine.
    ///
    /// The topmost levels are emptied one after the other, each by all threads, until there are
    /// enough folders below them to share out; then each of those is removed whole by one thread.
    pub(crate) fn remove_all(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        match dir.stat(name)? {
            None => return Ok(()),
            Some(stat) if stat.kind != Kind::Dir => return self.unlink(dir, name).map(drop),
            Some(_) => {}
        }
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

    /// Removes all but the folders in a directory below `dir`, and gives the paths of those.
    fn remove_files_at(&self, dir: &Dir, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (parent, name) = open_parent(dir, path)?;
        let folders = self.remove_files(&self.open_to_empty(&parent, name)?)?;
        Ok(folders.into_iter().map(|folder| [path, b"/", &folder].concat()).collect())
    }

    /// Removes a folder with all that lies below it.
    ///
    /// Iterative, with two handles open at most, so depth costs memory only; on the way up it
    /// opens `..`, which is safe since nobody else moves folders within our staging.
    fn remove_branch(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        let mut here = self.open_to_empty(dir, name)?;
        // For each level the folders that still wait there; the last one is being emptied.
        let mut waiting: Vec<Vec<Vec<u8>>> = vec![self.remove_files(&here)?];
        let mut names: Vec<Vec<u8>> = vec![name.to_vec()];
        while let Some(folders) = waiting.last_mut() {
            if let Some(folder) = folders.pop() {
                here = self.open_to_empty(&here, &folder)?;
                waiting.push(self.remove_files(&here)?);
                names.push(folder);
                continue;
            }
            waiting.pop();
            let Some(emptied) = names.pop() else { break };
            if waiting.is_empty() {
                self.remove_dir(dir, &emptied)?;
            } else {
                here = open_parent_of(&here)?;
                self.remove_dir(&here, &emptied)?;
            }
        }
        Ok(())
    }

    /// Opens a folder that is to be emptied. Builders leave folders that even their owner may not
    /// list or change.
    fn open_to_empty(&self, dir: &Dir, name: &[u8]) -> Result<Dir> {
        if dir.stat(name)?.is_some_and(|stat| stat.mode & 0o700 != 0o700) {
            self.set_dir_mode(dir, name)?;
        }
        dir.open_dir(name)
    }

    /// Removes all but the folders in a directory, and gives those.
    fn remove_files(&self, dir: &Dir) -> Result<Vec<Vec<u8>>> {
        let mut folders = Vec::new();
        for (name, kind) in dir.list()? {
            match kind {
                Kind::Dir => folders.push(name),
                _ => drop(self.unlink(dir, &name)?),
            }
        }
        Ok(folders)
    }
}

fn open_parent_of(dir: &Dir) -> Result<Dir> {
    dir.parent().map_err(|e| Error::io("open the parent of", dir.path(), e))
}

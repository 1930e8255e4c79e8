//! Removing whole trees: by handle, never through a symlink, at any depth.

use super::{Dir, Fs, Kind};
use crate::error::{Error, Result};

impl Fs {
    /// Removes whatever has this name, with all that lies below it. Nothing there is fine.
    ///
    /// Iterative, with two handles open at most, so depth costs memory only; on the way up it
    /// opens `..`, which is safe since nobody else moves folders within our staging.
    pub(crate) fn remove_all(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        match dir.stat(name)? {
            None => return Ok(()),
            Some(stat) if stat.kind != Kind::Dir => return self.unlink(dir, name).map(drop),
            Some(_) => {}
        }
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

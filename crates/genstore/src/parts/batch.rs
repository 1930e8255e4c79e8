//! Batches: stages that several writers fill, each with roots of its own.
//!
//! Owns `roots/` of a stage. A root is written in `roots/.new-*` and renamed to `roots/<n>` when it is
//! complete, where n is the lowest free number. So a commit never finds part of a root. `name` is the root's path in the plan, and
//! `tree` its directory or file. Of two roots with the same name, the one with the higher number counts.
//! Nothing is flushed: a stage ends with the boot.

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::errno::is_errno;
use crate::fs::{Dir, Fs};
use crate::parts::stage_dir::ROOTS;

/// The entry of a root: its directory or file.
pub(crate) const TREE: &[u8] = b"tree";
/// The file with the path that the root has in a plan.
const NAME: &[u8] = b"name";
/// The prefix of roots that are not complete.
const NEW: &str = ".new-";

/// The roots of a batch.
pub(crate) struct Batch {
    roots: Dir,
}

/// A root of a batch.
pub(crate) struct BatchRoot {
    /// Its path in the plan.
    pub(crate) name: Vec<u8>,
    /// The directory with [`TREE`].
    pub(crate) dir: Dir,
}

impl Batch {
    /// Opens the roots of a stage. Returns `None` if the stage is not a batch.
    pub(crate) fn of(stage: &Dir) -> Result<Option<Batch>> {
        match stage.open_dir(ROOTS) {
            Ok(roots) => Ok(Some(Batch { roots: roots.staying()? })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Lists the complete roots, by their names. Of those with one name only the last is among them.
    pub(crate) fn roots(&self) -> Result<Vec<BatchRoot>> {
        let mut numbers: Vec<u64> = vec![];
        for (entry, _) in self.roots.list()? {
            numbers.extend(std::str::from_utf8(&entry).ok().and_then(|text| text.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let mut roots: Vec<BatchRoot> = vec![];
        for number in numbers.into_iter().rev() {
            let dir = self.roots.open_dir(number.to_string().as_bytes())?;
            let Some(name) = dir.read(NAME)? else { continue };
            if roots.iter().all(|later| later.name != name) {
                roots.push(BatchRoot { name, dir });
            }
        }
        roots.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(roots)
    }

    /// Adds a root whose [`TREE`] is made by `fill`. If that fails, nothing of it stays.
    pub(crate) fn add<T>(&self, fs: &Fs, name: &[u8], fill: impl FnOnce(&Dir) -> Result<T>) -> Result<T> {
        let (temp, ()) =
            fs.unique(&self.roots, NEW, "", |temp| fs.make_dir(&self.roots, temp).map(drop))?;
        let added = self.roots.open_dir(&temp).and_then(|dir| {
            let file = fs.create(&dir, NAME)?;
            fs.write(&file, &dir.join(NAME), name)?;
            let filled = fill(&dir)?;
            self.complete(fs, &temp)?;
            Ok(filled)
        });
        if added.is_err() {
            // The rest is removed with the stage.
            drop(fs.remove_all(&self.roots, &temp));
        }
        added
    }

    /// Renames a root to the lowest number above those that are taken.
    fn complete(&self, fs: &Fs, temp: &[u8]) -> Result<()> {
        let mut number = 0u64;
        for (entry, _) in self.roots.list()? {
            let taken = std::str::from_utf8(&entry).ok().and_then(|text| text.parse::<u64>().ok());
            number = number.max(taken.map_or(0, |taken| taken + 1));
        }
        loop {
            match fs.rename_to_free((&self.roots, temp), (&self.roots, number.to_string().as_bytes())) {
                // Another writer took it. No root is an empty directory, which a rename could replace.
                Err(e) if is_errno(&e, Errno::EXIST) || is_errno(&e, Errno::NOTEMPTY) => number += 1,
                done => return done,
            }
        }
    }
}

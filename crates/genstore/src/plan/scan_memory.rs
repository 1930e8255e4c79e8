//! Repeated scans of a directory: the listings are cached, so only changed folders are read again.
//!
//! The caller reports the changes, for example from the system's notifications. Of an unchanged folder
//! not even the files are checked if the current generation was made from them.

use std::path::{Path, PathBuf};

use crate::error::{BadSourceReason, Error, Result};
use crate::fs::Dir;
use crate::plan::builder::Plan;
use crate::plan::item::ScannedRoot;
use crate::plan::scan::{self, RememberedFolders, ScanRules};
use crate::publication::Publication;

/// A cache of the scans of one directory.
#[must_use]
pub struct ScanMemory {
    dir: PathBuf,
    rules: ScanRules,
    /// Device and inode of the directory that was scanned.
    scanned: Option<(u64, u64)>,
    remembered: RememberedFolders,
}

impl ScanMemory {
    /// Creates an empty cache for this directory, which is always scanned by these rules.
    pub fn new(dir: &Path, rules: ScanRules) -> ScanMemory {
        ScanMemory { dir: dir.to_owned(), rules, scanned: None, remembered: RememberedFolders::default() }
    }

    /// Makes the plan that [`Plan::scan`] would make from the directory.
    ///
    /// `unchanged` is called with the paths of folders below the directory; the empty path is the
    /// directory itself. It may return true only if nothing changed since right before the last call,
    /// failed or not: the names in the folder, the bytes, modes and times of its files, the folder
    /// itself and the folders above it, so that it is the same folder. Changes in its subfolders do not
    /// matter, nor do changes to a file through another name in the directory.
    ///
    /// # Errors
    /// As [`Plan::scan`].
    pub fn scan(&mut self, unchanged: impl Fn(&[u8]) -> bool) -> Result<Plan> {
        // This comes first: if a later step fails, these changes are not reported again.
        self.remembered.folders.retain(|path, _| unchanged(path));
        let mut plan = Plan::builder().rules(&self.rules);
        plan.remembered = true;
        let (real, meta) = scan::find_source(&self.dir, self.rules.store)?;
        if !meta.is_dir() {
            return Err(Error::BadSource {
                path: self.dir.clone(),
                reason: BadSourceReason::NotADirectory,
            });
        }
        plan.roots.came_from(b"", &real);
        let dir = Dir::open(&real)?;
        let stat = dir.stat_self()?;
        // On a network filesystem, changes by other machines are not reported here.
        if self.scanned.replace((stat.dev, stat.ino)) != Some((stat.dev, stat.ino)) || !dir.is_local() {
            self.remembered.folders.clear();
        }
        let root = ScannedRoot::of(dir);
        let found = scan::walk(&mut plan, &self.dir, root, &self.rules, &self.remembered)?;
        self.remembered.renew(found);
        plan.build()
    }

    /// Records that the plan of the last scan was published: if a generation was made from it, its
    /// index describes all files. Files that have other names, too, are checked each time.
    pub fn published(&mut self, done: &Publication) {
        if done.changed {
            self.remembered.published = Some(done.generation);
        }
        for (path, folder) in &mut self.remembered.folders {
            folder.indexed = (folder.indexed || done.changed) && !done.linked.contains(path);
        }
    }

    /// Returns the cached folders, by their paths below the directory.
    pub fn folders(&self) -> impl Iterator<Item = &[u8]> {
        self.remembered.folders.keys().map(Vec::as_slice)
    }
}

//! A directory that is scanned again and again: what was found in it is kept, and so only folders that
//! something happened to are read again.
//!
//! What happened is told by the caller, who may hear of it from the system. Of a folder to which nothing
//! happened not even its files are looked at, where what is published over is what they were published as.

use std::path::{Path, PathBuf};

use crate::error::{BadSourceReason, Error, Result};
use crate::fs::Dir;
use crate::plan::builder::Plan;
use crate::plan::item::ScannedRoot;
use crate::plan::scan::{self, KnownFolders, ScanRules};
use crate::publication::Publication;

/// What the scans of one directory found, for the next one.
#[must_use]
pub struct ScanMemory {
    dir: PathBuf,
    rules: ScanRules,
    /// Device and inode of the directory that was scanned.
    scanned: Option<(u64, u64)>,
    known: KnownFolders,
}

impl ScanMemory {
    /// Remembers nothing yet of this directory, which is always scanned by these rules.
    pub fn new(dir: &Path, rules: ScanRules) -> ScanMemory {
        ScanMemory { dir: dir.to_owned(), rules, scanned: None, known: KnownFolders::default() }
    }

    /// Makes the plan that [`Plan::scan`] would make of the directory.
    ///
    /// `unchanged` is asked of folders by their paths below it, which is empty for itself. It says yes
    /// only where nothing happened since right before the last call, failed or not: to the names in the
    /// folder, to the bytes, modes and times of its files, and to the folder itself and those that it
    /// lies in, so that it is that very folder. It need know nothing of what is in folders in it, nor of
    /// what was done to a file by another name that it has in the directory.
    ///
    /// # Errors
    /// Those of [`Plan::scan`].
    pub fn scan(&mut self, unchanged: impl Fn(&[u8]) -> bool) -> Result<Plan> {
        // This comes first: whatever fails below, it will not be told again what changed.
        self.known.folders.retain(|path, _| unchanged(path));
        let mut plan = Plan::builder().symlinks(self.rules.symlinks);
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
        // On a filesystem of the network, others change what nobody here hears of.
        if self.scanned.replace((stat.dev, stat.ino)) != Some((stat.dev, stat.ino)) || !dir.is_local() {
            self.known.folders.clear();
        }
        let root = ScannedRoot::of(dir);
        let found = scan::walk(&mut plan, &self.dir, root, &self.rules, &self.known)?;
        self.known.renew(found);
        plan.build()
    }

    /// Takes in that the plan of the last scan was published: if a generation was made of it, its index
    /// tells of all files. Those that have other names, too, are looked at each time.
    pub fn published(&mut self, done: &Publication) {
        if done.changed {
            self.known.published = Some(done.generation);
        }
        for (path, folder) in &mut self.known.folders {
            folder.indexed = (folder.indexed || done.changed) && !done.linked.contains(path);
        }
    }

    /// Gives the folders that are remembered, by their paths below the directory.
    pub fn folders(&self) -> impl Iterator<Item = &[u8]> {
        self.known.folders.keys().map(Vec::as_slice)
    }
}

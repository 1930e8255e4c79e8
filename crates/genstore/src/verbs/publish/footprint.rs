//! Footprints: the state of a staged tree before other programs have access to it, and the changes that
//! they made.
//!
//! A write, a chmod and a rename all change an inode's ctime, which no program can set back. A link
//! that another publisher creates to a shared object changes it, too. So if only the ctime differs, the
//! bytes are hashed. The ctime has the granularity of the kernel's tick: files that were created in the
//! last moments before the footprint was taken are hashed in any case.

use crate::error::Result;
use crate::fs::folders::Folders;
use crate::fs::{Dir, Stat};
use crate::model::relpath;
use crate::model::tree::{Mtime, Node, Tree};
use crate::parts::objects;
use crate::threads::prelude::*;

/// The kernel's tick is 1 to 10 ms.
const GRAIN_NANOS: i128 = 20_000_000;

/// The state of a tree at one time: the stat values of each entry and each folder.
pub(crate) struct Footprint {
    entries: Vec<Option<Stat>>,
    folders: Vec<Option<Stat>>,
    /// A file with a ctime from here on may have been changed within the same tick.
    racy_from: i128,
}

fn nanos(time: Mtime) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}

impl Footprint {
    /// Takes the footprint of a tree.
    pub(crate) fn take(root: &Dir, tree: &Tree) -> Result<Footprint> {
        let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
        let all: Vec<(&[u8], &[u32])> = folders.iter().collect();
        type Seen = (Option<Stat>, Vec<(u32, Option<Stat>)>);
        let seen: Vec<Seen> = all
            .into_par_iter()
            .map(|(path, members)| {
                let dir = match root.open_dir(path) {
                    Ok(dir) => dir,
                    Err(e) if crate::fs::errno::is_absence(&e) => {
                        return Ok((None, members.iter().map(|&entry| (entry, None)).collect()));
                    }
                    Err(e) => return Err(e),
                };
                let stat = |entry: u32| {
                    let name = relpath::split(tree.path(entry as usize)).1;
                    dir.stat(name).map(|stat| (entry, stat))
                };
                let stats = members.iter().map(|&entry| stat(entry)).collect::<Result<_>>()?;
                Ok((Some(dir.stat_self()?), stats))
            })
            .collect::<Result<_>>()?;
        let mut entries = vec![None; tree.len()];
        let mut folders = Vec::with_capacity(seen.len());
        for (folder, stats) in seen {
            folders.push(folder);
            for (entry, stat) in stats {
                entries[entry as usize] = stat;
            }
        }
        let latest = entries.iter().chain(&folders).flatten().map(|stat| nanos(stat.ctime)).max();
        Ok(Footprint { entries, folders, racy_from: latest.unwrap_or(0) - GRAIN_NANOS })
    }

    /// Finds the changes: paths in the tree, each with the kind of change.
    pub(crate) fn differences(&self, root: &Dir, tree: &Tree) -> Result<Vec<(Vec<u8>, &'static str)>> {
        let now = Footprint::take(root, tree)?;
        let mut found = Vec::new();
        for (index, (old, new)) in self.entries.iter().zip(&now.entries).enumerate() {
            let path = tree.path(index);
            let what = match (old, new) {
                (Some(old), Some(new)) => self.difference(root, tree, index, old, new)?,
                (_, None) => Some("was removed"),
                (None, Some(_)) => Some("came back"),
            };
            if let Some(what) = what {
                found.push((path.to_vec(), what));
            }
        }
        let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
        for ((path, _), (old, new)) in folders.iter().zip(self.folders.iter().zip(&now.folders)) {
            if old == new && new.is_some_and(|stat| nanos(stat.ctime) < self.racy_from) {
                continue;
            }
            let (Some(old), Some(new)) = (old, new) else { continue };
            if old.folder_mode() != new.folder_mode() {
                found.push((path.to_vec(), "has another mode"));
            }
            for (name, _) in root.open_dir(path)?.list()? {
                let below = relpath::join(path, &name);
                if tree.below(&below).next().is_none() {
                    found.push((below, "was added"));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn difference(
        &self,
        root: &Dir,
        tree: &Tree,
        index: usize,
        old: &Stat,
        new: &Stat,
    ) -> Result<Option<&'static str>> {
        if !old.same_inode(new) {
            return Ok(Some("was replaced"));
        }
        if old.mode != new.mode {
            return Ok(Some("has another mode"));
        }
        let Node::File(file) = tree.get(index).node else {
            // Another kind of inode has no further state that could change. Names belong to the folder.
            return Ok(None);
        };
        if (old.size, old.mtime) != (new.size, new.mtime) {
            return Ok(Some("was written to"));
        }
        if old.ctime == new.ctime && nanos(new.ctime) < self.racy_from {
            return Ok(None);
        }
        let (dir, name) = crate::fs::dir::open_parent(root, tree.path(index))?;
        let (digest, _) = objects::hash(&dir.open_file(name)?, &dir.join(name))?;
        Ok((digest != file.digest).then_some("was written to"))
    }
}

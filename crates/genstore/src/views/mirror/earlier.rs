//! Files that a mirror shows for some time after a commit removed them: a page that is still open asks
//! for the files of its own generation.
//!
//! They come from generations that are kept and that were current within that time, the newest first. So
//! nothing is recorded about them, and an update decides about all of them anew. Pages themselves are
//! removed at once, as in `serve`: a page that was withdrawn must not be found any more.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::errno::is_absence;
use crate::fs::{Dir, Kind};
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::pairs::{Pair, pairs};
use crate::model::tree::{FileNode, Node, Tree};
use crate::model::{patch, relpath};
use crate::parts::forgotten::Forgotten;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::StoreDir;
use crate::parts::log::{Event, Log};

/// The number of earlier generations. `serve` has the same bound.
const MOST: usize = 32;

/// The endings of pages.
const PAGES: [&[u8]; 3] = [b"html", b"htm", b"shtml"];

/// Removed files, and the generations that have them.
#[derive(Default)]
pub(crate) struct Earlier {
    /// Contents that are to be nowhere any more.
    forgotten: BTreeSet<Digest>,
    /// The generations, with their folders that the mirror shows. All are leased.
    sources: Vec<(Generation, Dir)>,
    /// The generation of each file, by its path in the mirror.
    of: HashMap<Vec<u8>, usize>,
    /// The files, in the order of a tree.
    pub(crate) files: Vec<(Vec<u8>, FileNode)>,
    /// The folders that contain them.
    pub(crate) folders: BTreeSet<Vec<u8>>,
}

impl Earlier {
    /// Finds the files below `from` that the current generation does not have, and others had within the
    /// time. A damaged generation has none.
    pub(crate) fn find(
        store: &StoreDir,
        keep: Duration,
        current: (GenerationId, &Tree),
        from: &[u8],
    ) -> Result<Earlier> {
        let forgotten = Forgotten::of(store).list()?;
        let mut earlier = Earlier { forgotten, ..Earlier::default() };
        let mut in_use: BTreeSet<Vec<u8>> = patch::folders(current.1).iter().map(|f| f.to_vec()).collect();
        for id in left_within(store, keep, current.0)? {
            match earlier.add(store, id, current.1, from, &mut in_use) {
                Ok(()) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        earlier.files.sort_by(|a, b| relpath::compare(&a.0, &b.0));
        Ok(earlier)
    }

    /// Adds the files of one generation. `in_use` has the folders that there will be, as paths in the tree.
    fn add(
        &mut self,
        store: &StoreDir,
        id: GenerationId,
        current: &Tree,
        from: &[u8],
        in_use: &mut BTreeSet<Vec<u8>>,
    ) -> Result<()> {
        let Some(generation) = Generations::of(store).find(id)? else { return Ok(()) };
        let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
        let dir = match generation.tree_dir()?.open_dir(from) {
            Ok(dir) => dir,
            Err(e) if is_absence(&e) => return Ok(()),
            Err(e) => return Err(e),
        };
        let nth = self.sources.len();
        for pair in pairs(&tree, current, |_| false) {
            let Pair::Base(index) = pair else { continue };
            let entry = tree.get(index);
            let Node::File(file) = entry.node else { continue };
            let is_shown = from.is_empty() || relpath::is_within(entry.path, from);
            if !is_shown || is_page(entry.path) || self.forgotten.contains(&file.digest) {
                continue;
            }
            let path = relpath::after(entry.path, from.len());
            if in_use.contains(entry.path) || self.of.contains_key(path) {
                continue;
            }
            let above = |path: &[u8]| folders_above(path).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let is_file =
                |folder: &Vec<u8>| matches!(current.find(folder), Some(Node::File(_) | Node::Symlink(_)));
            if above(entry.path).iter().any(is_file)
                || above(path).iter().any(|folder| self.of.contains_key(folder))
                || !is_there(&dir, path, &file)?
            {
                continue;
            }
            in_use.extend(above(entry.path));
            self.folders.extend(above(path));
            let file = FileNode { mtime: shown.mtime(entry.path, &file), ..file };
            self.of.insert(path.to_vec(), nth);
            self.files.push((path.to_vec(), file));
        }
        self.sources.push((generation, dir));
        Ok(())
    }

    /// Returns the generation of a removed file, with the folder that the mirror shows.
    pub(crate) fn source(&self, path: &[u8]) -> Option<&(Generation, Dir)> {
        self.of.get(path).and_then(|nth| self.sources.get(*nth))
    }
}

/// Lists the generations that ceased to be current within the time, the last one first.
fn left_within(store: &StoreDir, keep: Duration, current: GenerationId) -> Result<Vec<GenerationId>> {
    let now = store.now();
    let (mut left, mut is_last) = (Vec::new(), true);
    let mut log = Log::of(store).backwards()?;
    while left.len() < MOST
        && let Some(line) = log.next()?
    {
        let Event::Activate { previous, .. } = line.event else { continue };
        // Its last line is missing if a fault came between the move of `current` and the log.
        if is_last && line.generation != current {
            left.push(line.generation);
        }
        is_last = false;
        // A time in the future is of a clock that was set back since.
        if now.duration_since(line.time.into()).is_ok_and(|age| age >= keep) {
            break;
        }
        left.extend(previous.filter(|id| *id != current && !left.contains(id)));
    }
    Ok(left)
}

fn is_page(path: &[u8]) -> bool {
    let name = relpath::split(path).1;
    let dot = name.iter().rposition(|byte| *byte == b'.');
    dot.is_some_and(|dot| PAGES.iter().any(|page| name[dot + 1..].eq_ignore_ascii_case(page)))
}

/// Lists the folders above a path, except the root.
fn folders_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.map(|end| &path[..end])
}

/// Returns whether the generation still has a file: damage to an earlier one must not stop the update.
fn is_there(dir: &Dir, path: &[u8], file: &FileNode) -> Result<bool> {
    match open_parent(dir, path).and_then(|(dir, name)| dir.stat(name)) {
        Ok(stat) => Ok(stat.is_some_and(|stat| stat.kind == Kind::File && stat.size == file.size)),
        Err(e) if is_absence(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_by_their_endings() {
        for (path, expected) in
            [("a.html", true), ("a/b.HTM", true), ("a.js", false), ("html", false), ("a.html/b.css", false)]
        {
            assert_eq!(is_page(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn all_folders_above_a_path() {
        let above = |path: &'static str| folders_above(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(above("a"), [b""; 0]);
        assert_eq!(above("a/b/c"), [&b"a"[..], b"a/b"]);
    }
}

//! Files that a program wrote into the current generation. Readers lose sight of them at the next commit, and gc
//! removes them with the generation.
//!
//! A name that comes into a folder moves its mtime. All folders of a generation are complete before `current` is
//! moved, so only folders with a later mtime than `current` are listed: the others take one stat.

use crate::error::Result;
use crate::fs::dir_cursor::DirCursor;
use crate::fs::errno::{is_absence, is_refused};
use crate::fs::folders::Folders;
use crate::fs::{Dir, Kind};
use crate::model::ids::GenerationId;
use crate::model::relpath;
use crate::model::tree::{Node, Tree};
use crate::parts::generations::Generation;
use crate::parts::layout::{CURRENT, StoreDir};
use crate::threads::prelude::*;

/// The number of files that are named.
const NAMED: usize = 5;

/// The length from which on a path is opened from a folder near it.
const LONG: usize = 512;

/// Files in a generation that no manifest has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Strays {
    /// The generation.
    pub generation: GenerationId,
    /// Their number. An empty folder counts as one.
    pub count: u64,
    /// The first few paths in it.
    pub first: Vec<Vec<u8>>,
}

impl Strays {
    /// Describes them: `3 files were written into generation 41: uploads/a.jpg, …`.
    pub fn text(&self) -> String {
        let mut names: Vec<String> = self.first.iter().map(|path| relpath::show(path)).collect();
        if self.count > names.len() as u64 {
            names.push("…".to_owned());
        }
        let were =
            if self.count == 1 { "1 file was".to_owned() } else { format!("{} files were", self.count) };
        format!("{were} written into generation {}: {}", self.generation, names.join(", "))
    }
}

/// Finds the files that were written into the current generation since it became current. Returns `None` if there are
/// none.
pub(crate) fn find(store: &StoreDir, generation: &Generation, tree: &Tree) -> Result<Option<Strays>> {
    let Some(since) = store.dir.stat(CURRENT)?.map(|stat| stat.mtime) else { return Ok(None) };
    let root = generation.tree_dir()?;
    let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
    let mut paths: Vec<&[u8]> = folders.iter().map(|(path, _)| path).collect();
    paths.extend(tree.iter().filter(|e| e.node == Node::EmptyDir).map(|e| e.path));
    let look = |near: &mut DirCursor<'_>, path: &&[u8]| -> Result<Vec<Vec<u8>>> {
        let stat = match path.len() {
            // One call resolves a short path. Of a deep one it would resolve every name again.
            0..LONG => root.stat_below(path),
            _ => near.dir(path).and_then(|dir| dir.stat_self().map(Some)),
        };
        let stat = match stat {
            // A folder that is missing or was replaced is damage, which others report.
            Err(e) if is_refused(&e) || is_absence(&e) => return Ok(vec![]),
            stat => stat?,
        };
        if !stat.is_some_and(|stat| stat.kind == Kind::Dir && stat.mtime > since) {
            return Ok(vec![]);
        }
        foreign(&root, path, tree)
    };
    let found: Vec<Vec<Vec<u8>>> =
        paths.par_iter().map_init(|| DirCursor::new(&root), look).collect::<Result<_>>()?;
    let mut all = found.concat();
    if all.is_empty() {
        return Ok(None);
    }
    all.sort();
    let (count, generation) = (all.len() as u64, generation.id());
    all.truncate(NAMED);
    Ok(Some(Strays { generation, count, first: all }))
}

/// Lists the files in a folder of a generation that are not in its tree, also those in foreign folders.
fn foreign(root: &Dir, folder: &[u8], tree: &Tree) -> Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    let mut todo = vec![(folder.to_vec(), true)];
    while let Some((folder, is_known)) = todo.pop() {
        let listed = match root.open_dir(&folder).and_then(|dir| dir.list()) {
            // Its owner keeps it closed.
            Err(e) if is_refused(&e) => vec![],
            listed => listed?,
        };
        if listed.is_empty() && !is_known {
            files.push(folder);
            continue;
        }
        for (name, kind) in listed {
            let path = relpath::join(&folder, &name);
            if is_known && (tree.find(&path).is_some() || tree.below(&path).next().is_some()) {
                continue;
            }
            match kind {
                Kind::Dir => todo.push((path, false)),
                _ => files.push(path),
            }
        }
    }
    Ok(files)
}

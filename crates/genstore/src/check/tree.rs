//! Checks of one generation's directory against its manifest.

use std::collections::HashSet;

use crate::check::owners::Owners;
use crate::check::seen::Inodes;
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::dir_cursor::DirCursor;
use crate::fs::errno::is_absence;
use crate::fs::folders::Folders;
use crate::fs::mount::{self, is_mount};
use crate::fs::{Dir, Kind, Stat};
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::tree::{FileNode, Node, ObjectId, Tree};
use crate::model::{object_name, relpath};
use crate::parts::current_generation::CurrentGeneration;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::{GENERATIONS, StoreDir, TREE};
use crate::parts::look::{Quiet, has_digest};
use crate::threads::prelude::*;

/// The depth of `verify`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Depth {
    /// Hash every byte.
    #[default]
    Full,
    /// Compare sizes, mtimes, modes and links.
    Quick,
}

/// The kind of difference between a path of a generation and the manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The path does not exist.
    Missing,
    /// The entry has another kind, or is a symlink with another target.
    Replaced,
    /// Its bytes differ.
    Content,
    /// Its mode differs.
    Mode,
    /// Its mtime differs.
    Mtime,
    /// The path exists, but is not in the manifest.
    Stranger,
    /// Something is mounted there and hides it.
    Mounted,
}

/// A path of a generation that differs from the manifest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The path in the generation.
    pub path: Vec<u8>,
    /// The difference.
    pub kind: FaultKind,
}

/// The manifest and published mtimes of a generation. No file of it is open: a store may have more
/// generations than a process may have descriptors.
pub(crate) struct LoadedGeneration {
    pub(crate) id: GenerationId,
    pub(crate) tree: Tree,
    pub(crate) shown: PublishedMtimes,
}

impl LoadedGeneration {
    /// Reads the manifest and the published mtimes.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if one of them differs from what was written.
    pub(crate) fn read(generation: &Generation) -> Result<LoadedGeneration> {
        let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
        Ok(LoadedGeneration { id: generation.id(), tree, shown })
    }

    /// Opens the generation and leases it, to check its tree. Returns `None` if gc, or a publish that
    /// recycles, unlisted it since it was read.
    ///
    /// The shared store lock blocks only gc.
    pub(crate) fn lease(&self, store: &StoreDir) -> Result<Option<Leased<'_>>> {
        let generation = Generations::of(store).find(self.id)?;
        Ok(generation.map(|generation| Leased { generation, loaded: self }))
    }
}

/// An open generation with a lease, and its loaded manifest.
pub(crate) struct Leased<'k> {
    pub(crate) generation: Generation,
    pub(crate) loaded: &'k LoadedGeneration,
}

/// Compares a generation's directory with its manifest by one stat per path, without the objects: finds
/// files that were written to since the publication.
pub(crate) fn check_stats(store: &StoreDir, base: &CurrentGeneration) -> Result<Vec<Fault>> {
    let by_stat = Look::new(Inodes::Unknown, Bytes::None);
    look(store, &base.generation, (&base.tree, &base.shown), &by_stat)
}

/// The scope and depth of a comparison.
pub(crate) struct Look<'a> {
    /// A file that is its object's inode is left to the check of the objects.
    pub(crate) objects: Inodes<'a>,
    pub(crate) bytes: Bytes,
    /// Only the paths of this object.
    pub(crate) only: Option<ObjectId>,
    /// Only a part of the tree.
    pub(crate) within: Option<&'a Part<'a>>,
    /// Records the owner of every name that is checked.
    pub(crate) owners: Option<&'a Owners<'a>>,
}

impl<'a> Look<'a> {
    /// Covers a whole tree.
    pub(crate) fn new(objects: Inodes<'a>, bytes: Bytes) -> Look<'a> {
        Look { objects, bytes, only: None, within: None, owners: None }
    }
}

/// The files to read, of those that are not their object's inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bytes {
    All,
    /// Files whose ctime does not prove that they are unchanged.
    Doubtful(Quiet),
    None,
}

/// A part of a tree.
#[derive(Default)]
pub(crate) struct Part<'a> {
    /// Folders, with all their direct entries.
    pub(crate) folders: HashSet<&'a [u8]>,
    /// Single entries.
    pub(crate) entries: Vec<&'a [u8]>,
}

impl<'a> Part<'a> {
    /// The entries at these paths, and their folders. A path that is a folder is included with its
    /// entries.
    pub(crate) fn around(paths: &[&'a [u8]]) -> Part<'a> {
        let folders = paths.iter().flat_map(|path| [*path, relpath::split(path).0]).collect();
        Part { folders, entries: paths.to_vec() }
    }
}

/// Compares a generation's directory, or a part of it, with its manifest.
pub(crate) fn look(
    store: &StoreDir,
    generation: &Generation,
    (tree, shown): (&Tree, &PublishedMtimes),
    how: &Look<'_>,
) -> Result<Vec<Fault>> {
    let root = match generation.dir().open_dir(TREE) {
        Ok(root) => root,
        Err(e) if is_absence(&e) => {
            let missing = |path: &[u8]| Fault { path: path.to_vec(), kind: FaultKind::Missing };
            // The tree's own folder, and all its entries.
            let entries = (0..tree.len()).map(|index| missing(tree.path(index)));
            return Ok([missing(b"")].into_iter().chain(entries).collect());
        }
        Err(e) if is_mount(&e) => return Ok(vec![Fault { path: vec![], kind: FaultKind::Mounted }]),
        Err(e) => return Err(e),
    };
    let check = TreeCheck { store, how, id: generation.id(), tree, shown, root };
    let mut faults = match how.within {
        // Grouping all entries by folder takes longer than a few stats.
        Some(part) if part.folders.is_empty() => vec![],
        _ => check.folders()?,
    };
    if let Some(part) = how.within {
        let singles = part.entries.par_iter().map(|path| check.single(path));
        faults.extend(singles.collect::<Result<Vec<_>>>()?.concat());
    }
    faults.sort_by(|a, b| relpath::compare(&a.path, &b.path).then(a.kind.cmp(&b.kind)));
    // A mount is found once for each folder that it hides.
    faults.dedup();
    Ok(faults)
}

/// Returns the path of a generation's tree in the store.
pub(crate) fn tree_path(id: GenerationId) -> Vec<u8> {
    [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", TREE].concat()
}

struct TreeCheck<'a> {
    store: &'a StoreDir,
    how: &'a Look<'a>,
    id: GenerationId,
    tree: &'a Tree,
    shown: &'a PublishedMtimes,
    root: Dir,
}

impl TreeCheck<'_> {
    /// Checks the wanted folders, and the names in each.
    fn folders(&self) -> Result<Vec<Fault>> {
        let folders = Folders::of((0..self.tree.len()).map(|index| self.tree.path(index)));
        let names: HashSet<&[u8]> = folders.iter().map(|(path, _)| path).collect();
        let mut all: Vec<(&[u8], &[u32])> = folders.iter().collect();
        if all.is_empty() {
            // A tree without entries has a folder, but no entry names it.
            all.push((b"", &[]));
        }
        if let Some(part) = self.how.within {
            all.retain(|(path, _)| part.folders.contains(path));
        }
        // From the root, the folders of a chain would take a time that grows with the square of its length.
        let cursor = || DirCursor::new(&self.root);
        let found =
            all.into_par_iter().map_init(cursor, |cursor, folder| self.folder(cursor, &names, folder));
        Ok(found.collect::<Result<Vec<_>>>()?.concat())
    }

    fn folder(
        &self,
        cursor: &mut DirCursor<'_>,
        folders: &HashSet<&[u8]>,
        (path, members): (&[u8], &[u32]),
    ) -> Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |path: &[u8], kind| faults.push(Fault { path: path.to_vec(), kind });
        let (above, name) = relpath::split(path);
        let mut dir = match cursor.dir(above).and_then(|above| above.open_dir(name)) {
            Ok(dir) => dir,
            Err(e) if is_absence(&e) => {
                for &entry in members {
                    fault(self.tree.path(entry as usize), FaultKind::Missing);
                }
                return Ok(faults);
            }
            Err(e) if is_mount(&e) => return Ok(vec![self.mounted(&e)]),
            Err(e) => return Err(e),
        };
        let mut wanted_names: HashSet<&[u8]> = HashSet::new();
        for &entry in members {
            let entry = self.tree.get(entry as usize);
            let name = relpath::split(entry.path).1;
            wanted_names.insert(name);
            match self.entry(&dir, name, entry.path, entry.node) {
                Err(e) if is_mount(&e) => fault(entry.path, FaultKind::Mounted),
                found => found?.into_iter().for_each(|kind| fault(entry.path, kind)),
            }
        }
        if self.how.only.is_none() {
            let stat = dir.stat_self()?;
            self.note(path, &stat);
            if !self.store.fs.is_dir_mode(&stat) {
                fault(path, FaultKind::Mode);
            }
            dir.each(|name, kind| {
                if wanted_names.contains(name) {
                    return;
                }
                let full = relpath::join(path, name);
                if kind != Kind::Dir || !folders.contains(full.as_slice()) {
                    fault(&full, FaultKind::Stranger);
                }
            })?;
        }
        Ok(faults)
    }

    /// Records the owner of a path of the tree.
    fn note(&self, path: &[u8], stat: &Stat) {
        if let Some(owners) = self.how.owners {
            owners.note(stat, || relpath::join(&tree_path(self.id), path));
        }
    }

    /// Creates the fault of a mount point that was not crossed.
    fn mounted(&self, error: &crate::error::Error) -> Fault {
        let path = match error {
            crate::error::Error::Io { path, .. } => mount::below(self.root.path(), path),
            _ => vec![],
        };
        Fault { path, kind: FaultKind::Mounted }
    }

    /// Checks one entry of the tree.
    fn single(&self, path: &[u8]) -> Result<Vec<Fault>> {
        let Some(node) = self.tree.find(path) else { return Ok(vec![]) };
        let found =
            open_parent(&self.root, path).and_then(|(dir, name)| self.entry(&dir, name, path, node));
        let kinds = match found {
            Err(e) if is_mount(&e) => return Ok(vec![self.mounted(&e)]),
            Err(e) if is_absence(&e) => vec![FaultKind::Missing],
            kinds => kinds?,
        };
        Ok(kinds.into_iter().map(|kind| Fault { path: path.to_vec(), kind }).collect())
    }

    fn entry(&self, dir: &Dir, name: &[u8], path: &[u8], node: Node<'_>) -> Result<Vec<FaultKind>> {
        if let (Some(only), Node::File(file)) = (self.how.only, node)
            && file.object() != only
        {
            return Ok(vec![]);
        }
        let Some(stat) = dir.stat(name)? else {
            return Ok(vec![FaultKind::Missing]);
        };
        self.note(path, &stat);
        match node {
            Node::File(file) => self.file(dir, name, path, file, &stat),
            Node::Symlink(target) => {
                let same = stat.kind == Kind::Symlink && dir.read_link(name)?.as_deref() == Some(target);
                Ok(if same { vec![] } else { vec![FaultKind::Replaced] })
            }
            Node::EmptyDir if stat.kind != Kind::Dir => Ok(vec![FaultKind::Replaced]),
            Node::EmptyDir => {
                let mut faults = Vec::new();
                if !self.store.fs.is_dir_mode(&stat) {
                    faults.push(FaultKind::Mode);
                }
                if !dir.open_dir(name)?.list()?.is_empty() {
                    faults.push(FaultKind::Stranger);
                }
                Ok(faults)
            }
        }
    }

    fn file(
        &self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        file: FileNode,
        stat: &Stat,
    ) -> Result<Vec<FaultKind>> {
        if stat.kind != Kind::File {
            return Ok(vec![FaultKind::Replaced]);
        }
        let mut faults = Vec::new();
        let is_object = || match file.size {
            0 => Ok(false),
            _ => self.how.objects.is_object(file.object(), stat),
        };
        let differs = match self.how.bytes {
            Bytes::Doubtful(quiet) => {
                stat.size != file.size
                    || (file.size > 0
                        && !quiet.covers(stat.ctime)
                        && !is_object()?
                        && !has_digest((dir, name), &file)?)
            }
            bytes => {
                !is_object()?
                    && (stat.size != file.size || (bytes == Bytes::All && !has_digest((dir, name), &file)?))
            }
        };
        if differs {
            return Ok(vec![FaultKind::Content]);
        }
        if stat.mode != object_name::mode(file.executable) {
            faults.push(FaultKind::Mode);
        }
        if !stat.has_mtime(self.shown.mtime(path, &file)) {
            faults.push(FaultKind::Mtime);
        }
        Ok(faults)
    }
}

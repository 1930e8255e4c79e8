//! Paths of generations that have an inode of their own for no known reason.

use std::collections::{BTreeMap, HashMap};

use crate::check::report::Unshared;
use crate::check::seen::SeenObjects;
use crate::check::tree::LoadedGeneration;
use crate::error::{Error, Result};
use crate::fs::errno::is_absence;
use crate::fs::flush::Flush;
use crate::fs::folders::Folders;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::relpath;
use crate::model::tree::{FileNode, Mtime, Node, ObjectId};
use crate::parts::layout::{GENERATIONS, StoreDir, TREE};
use crate::parts::objects::Objects;
use crate::threads::prelude::*;

/// One path whose file is an object.
pub(crate) struct Shows<'k> {
    pub(crate) loaded: &'k LoadedGeneration,
    pub(crate) path: &'k [u8],
    pub(crate) file: FileNode,
}

impl Shows<'_> {
    /// The mtime that the path must have.
    pub(crate) fn mtime(&self) -> Mtime {
        self.loaded.shown.mtime(self.path, &self.file)
    }

    /// Opens the folder of the path. The generation is not leased, so the caller must hold the
    /// exclusive store lock.
    pub(crate) fn open(&self, store: &StoreDir) -> Result<(Dir, &[u8])> {
        let id = self.loaded.id.to_string();
        let path = [GENERATIONS, b"/", id.as_bytes(), b"/", TREE, b"/", self.path].concat();
        Ok((store.dir.open_dir(relpath::split(&path).0)?, relpath::split(self.path).1))
    }

    pub(crate) fn flush(&self, store: &StoreDir) -> Result<Flush> {
        let (dir, name) = self.open(store)?;
        Ok(Flush::File(dir.open_file(name)?, dir.join(name)))
    }

    /// Returns the values of the file there. `None` if it is not a regular file.
    pub(crate) fn stat(&self, store: &StoreDir) -> Result<Option<Stat>> {
        match self.open(store).and_then(|(dir, name)| dir.stat(name)) {
            Ok(stat) => Ok(stat.filter(|stat| stat.kind == Kind::File)),
            Err(e) if is_absence(&e) || is_mount(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Lists every path whose file is a wanted object, by object, oldest generation first.
pub(crate) fn shows(
    all: &[LoadedGeneration],
    is_wanted: impl Fn(ObjectId) -> bool,
) -> BTreeMap<ObjectId, Vec<Shows<'_>>> {
    let mut shows: BTreeMap<ObjectId, Vec<Shows<'_>>> = BTreeMap::new();
    for loaded in all {
        for entry in loaded.tree.iter() {
            if let Node::File(file) = entry.node
                && file.size > 0
                && is_wanted(file.object())
            {
                shows.entry(file.object()).or_default().push(Shows { loaded, path: entry.path, file });
            }
        }
    }
    shows
}

pub(crate) fn stat_object(objects: &Objects<'_>, id: ObjectId) -> Result<Option<Stat>> {
    match objects.stat(id) {
        Err(e) if is_absence(&e) => Ok(None),
        stat => Ok(stat?.filter(|stat| stat.kind == Kind::File)),
    }
}

/// Returns whether one of two inodes with the same bytes has a single link. After a rotation both have
/// many links.
pub(crate) fn is_apart(stat: &Stat, object: &Stat) -> bool {
    !object.same_inode(stat) && stat.size == object.size && (stat.links == 1 || object.links == 1)
}

/// A path that could share its object's inode and does not.
struct Apart {
    id: ObjectId,
    size: u64,
    /// Whether it shares its inode with no other path either.
    is_alone: bool,
}

/// Counts the paths that could share their object's inode and do not. An object with a link for each
/// path is skipped.
///
/// A store was copied without its links if no object shares its inode, and paths with the same bytes share
/// none either. A single path with an inode of its own is no sign of it: if two writers bring the bytes at
/// once and the first one's generation is gone, the second one's has such paths.
pub(crate) fn unshared(store: &StoreDir, seen: &SeenObjects, all: &[LoadedGeneration]) -> Result<Unshared> {
    let mut sum = Unshared {
        all: seen.files().nth(1).is_some() && seen.files().all(|(.., object)| object.links == 1),
        ..Unshared::default()
    };
    let few = seen.files().filter(|(_, paths, object)| object.links <= *paths);
    let few: HashMap<ObjectId, Stat> = few.map(|(id, _, object)| (id, *object)).collect();
    if few.is_empty() {
        return Ok(Unshared { all: false, ..sum });
    }
    let mut alone: HashMap<ObjectId, u64> = HashMap::new();
    for loaded in all {
        for apart in apart_in(store, loaded, &few)? {
            sum.files += 1;
            sum.bytes += apart.size;
            *alone.entry(apart.id).or_default() += u64::from(apart.is_alone);
        }
    }
    sum.all &= alone.values().any(|paths| *paths > 1);
    Ok(sum)
}

/// Finds the paths of a generation that could share one of these objects' inodes and do not.
fn apart_in(
    store: &StoreDir,
    loaded: &LoadedGeneration,
    objects: &HashMap<ObjectId, Stat>,
) -> Result<Vec<Apart>> {
    // A renewed file is skipped: if the filesystem rounded or clamped the newer mtime, it looks like
    // the object's.
    let is_wanted = |(path, file): &(&[u8], FileNode)| {
        file.size > 0 && objects.contains_key(&file.object()) && !loaded.shown.fresh.contains_key(*path)
    };
    let wanted: Vec<(&[u8], FileNode)> = loaded.tree.iter_files().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    // Missing, hidden and damaged files are found by the check of the generation.
    let is_found =
        |error: &Error| matches!(error, Error::Damaged { .. }) || is_absence(error) || is_mount(error);
    let leased = match loaded.lease(store) {
        Err(e) if is_found(&e) => return Ok(vec![]),
        leased => leased?,
    };
    let Some(leased) = leased else { return Ok(vec![]) };
    let root = match leased.generation.tree_dir() {
        Err(e) if is_found(&e) => return Ok(vec![]),
        root => root?,
    };
    let folders = Folders::of(wanted.iter().map(|(path, _)| *path));
    let listed: Vec<(&[u8], &[u32])> = folders.iter().filter(|(_, members)| !members.is_empty()).collect();
    let apart = listed.into_par_iter().map(|(folder, members)| {
        let dir = match root.open_dir(folder) {
            Err(e) if is_found(&e) => return Ok(vec![]),
            dir => dir?,
        };
        let mut found = Vec::new();
        for &member in members {
            let (path, file) = wanted[member as usize];
            let object = &objects[&file.object()];
            if let Some(stat) = dir.stat(relpath::split(path).1)?
                && stat.kind == Kind::File
                && is_apart(&stat, object)
                && (stat.mtime, stat.mode, stat.uid) == (object.mtime, object.mode, object.uid)
            {
                found.push(Apart { id: file.object(), size: stat.size, is_alone: stat.links == 1 });
            }
        }
        Ok(found)
    });
    Ok(apart.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

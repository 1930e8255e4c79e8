//! Paths of generations that have an inode of their own for no reason that is known.

use std::collections::{BTreeMap, HashMap};

use crate::check::report::Unshared;
use crate::check::tree::LoadedGeneration;
use crate::error::{Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::errno::is_absence;
use crate::fs::flush::Flush;
use crate::fs::{Dir, Kind, Stat};
use crate::model::tree::{FileNode, Mtime, Node, ObjectId};
use crate::parts::objects::Objects;
use crate::threads::prelude::*;

/// One path that shows an object.
pub(crate) struct Shows<'k> {
    pub(crate) known: &'k LoadedGeneration,
    pub(crate) path: &'k [u8],
    pub(crate) file: FileNode,
}

impl Shows<'_> {
    /// The mtime that the path must have.
    pub(crate) fn mtime(&self) -> Mtime {
        self.known.shown.mtime(self.path, &self.file)
    }

    pub(crate) fn open(&self) -> Result<(Dir, &[u8])> {
        open_parent(&self.known.generation.tree_dir()?, self.path)
    }

    pub(crate) fn flush(&self) -> Result<Flush> {
        let (dir, name) = self.open()?;
        Ok(Flush::File(dir.open_file(name)?, dir.join(name)))
    }

    /// Looks at what stands there; `None` for what is no regular file.
    pub(crate) fn stat(&self) -> Result<Option<Stat>> {
        match self.open().and_then(|(dir, name)| dir.stat(name)) {
            Ok(stat) => Ok(stat.filter(|stat| stat.kind == Kind::File)),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Lists every path that shows an object that is wanted, by object, oldest generation first.
pub(crate) fn shows(
    all: &[LoadedGeneration],
    is_wanted: impl Fn(ObjectId) -> bool,
) -> BTreeMap<ObjectId, Vec<Shows<'_>>> {
    let mut shows: BTreeMap<ObjectId, Vec<Shows<'_>>> = BTreeMap::new();
    for known in all {
        for entry in known.tree.iter() {
            if let Node::File(file) = entry.node
                && file.size > 0
                && is_wanted(file.object())
            {
                shows.entry(file.object()).or_default().push(Shows { known, path: entry.path, file });
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

/// Returns whether one of two inodes is shared with nobody, though both hold the same bytes. After a rotation
/// both have many links.
pub(crate) fn is_apart(stat: &Stat, object: &Stat) -> bool {
    !object.same_inode(stat) && stat.size == object.size && (stat.links == 1 || object.links == 1)
}

/// Counts the paths that could share their object's inode and do not. Where an object has a link for each
/// path, nothing is looked at.
pub(crate) fn unshared(objects: &Objects<'_>, all: &[LoadedGeneration]) -> Result<Unshared> {
    let mut paths: HashMap<ObjectId, u64> = HashMap::new();
    for (_, file) in all.iter().flat_map(|known| known.tree.iter_files()).filter(|(_, file)| file.size > 0)
    {
        *paths.entry(file.object()).or_default() += 1;
    }
    let stat =
        |(id, paths): (ObjectId, u64)| Ok(stat_object(objects, id)?.map(|object| (id, paths, object)));
    let stats = paths.into_par_iter().map(stat).collect::<Result<Vec<_>>>()?;
    let found: Vec<(ObjectId, u64, Stat)> = stats.into_iter().flatten().collect();
    let mut sum = Unshared {
        all: found.len() > 1 && found.iter().all(|(.., object)| object.links == 1),
        ..Unshared::default()
    };
    let few = found.into_iter().filter(|(_, paths, object)| object.links <= *paths);
    let few: HashMap<ObjectId, Stat> = few.map(|(id, _, object)| (id, object)).collect();
    if few.is_empty() {
        return Ok(Unshared { all: false, ..sum });
    }
    let shows = shows(all, |id| few.contains_key(&id));
    let apart = shows.par_iter().map(|(id, paths)| {
        let mut bytes = Vec::new();
        for shows in paths {
            let object = &few[id];
            // Made fresh: where the filesystem cut or clamped the newer mtime, it looks like the object's.
            if let Some(stat) = shows.stat()?
                && is_apart(&stat, object)
                && !shows.known.shown.fresh.contains_key(shows.path)
                && (stat.mtime, stat.mode, stat.uid) == (object.mtime, object.mode, object.uid)
            {
                bytes.push(stat.size);
            }
        }
        Ok(bytes)
    });
    for bytes in apart.collect::<Result<Vec<Vec<u64>>>>()?.concat() {
        sum.files += 1;
        sum.bytes += bytes;
    }
    sum.all &= sum.files > 0;
    Ok(sum)
}

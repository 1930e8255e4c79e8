//! The disk usage of each generation, counted in inodes.
//!
//! Manifests list the objects of a generation. They do not say which of its paths have an inode of
//! their own: by freshness, after a rotation, or because the store was copied without its hard links.
//! The link counts show where to look: an object with fewer links than paths cannot be the inode of all
//! of them. Only those paths are checked, so a store with all its links costs no stat per path.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::check::report::DamagedGeneration;
use crate::error::{Error, Result};
use crate::fs::Stat;
use crate::fs::dir::open_parent;
use crate::model::ids::GenerationId;
use crate::model::tree::{Node, ObjectId};
use crate::parts::failed::FailedBuilds;
use crate::parts::generations::{Generation, Generations, private_inodes};
use crate::parts::layout::{BUILD_LOG, StoreDir};
use crate::parts::objects::Objects;
use crate::parts::view_records::ViewRecords;
use crate::threads::prelude::*;

/// The disk usage of a generation, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Its number.
    pub id: GenerationId,
    /// The sum of the sizes of its files.
    pub apparent: u64,
    /// Objects that no other generation references, and inodes that no other one has: the bytes that
    /// its removal frees.
    pub exclusive: u64,
    /// Objects and inodes that others have, too.
    pub shared: u64,
}

/// The disk usage of the generations of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageReport {
    /// The readable ones, newest first.
    pub generations: Vec<Usage>,
    /// The others, with the cause.
    pub damaged: Vec<DamagedGeneration>,
    /// Bytes of all objects, of all other inodes of the readable generations with their logs, and of
    /// `failed/`.
    pub store_bytes: u64,
}

/// A unit of disk space that is counted once, however many paths have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    Object(ObjectId),
    Inode(u64),
}

/// The objects that a generation references, each with its size and the number of its paths.
type Named = HashMap<ObjectId, (u64, u64)>;

/// Adds up the sizes of all inodes of the store. Unreadable parts are left out: they are no reason to
/// fail for a sum.
///
/// Private copies of objects that are also shared are not counted. That would take all manifests, which
/// [`usage`] reads.
pub(crate) fn stored_bytes(store: &StoreDir) -> Result<u64> {
    let (objects, is_shared) = match Objects::find(store)? {
        None => (0, false),
        Some(objects) => {
            let ids = objects.list()?.into_par_iter().flatten();
            let sizes =
                ids.map(|id| Ok(objects.stat(id)?.map_or((0, false), |stat| (stat.size, stat.links > 1))));
            sizes.try_reduce(|| (0, false), |a, b| Ok((a.0 + b.0, a.1 || b.1)))?
        }
    };
    // The store was copied without its links: each path has an inode of its own.
    if !is_shared {
        return Ok(usage(store)?.store_bytes);
    }
    let ids = Generations::of(store).ids()?;
    let private = ids.into_par_iter().map(|id| match Generations::of(store).find(id) {
        Ok(Some(generation)) => {
            let shown = generation.published_mtimes();
            shown.and_then(|shown| private_inodes(&generation, &shown)).unwrap_or_default()
        }
        _ => HashMap::new(),
    });
    let private: HashMap<u64, u64> = private.reduce(HashMap::new, |mut all, one| {
        all.extend(one);
        all
    });
    Ok(objects + private.values().sum::<u64>() + FailedBuilds::of(store).bytes()?)
}

/// Counts the disk usage of each generation, newest first.
pub(crate) fn usage(store: &StoreDir) -> Result<UsageReport> {
    let mut report = UsageReport::default();
    let ids: Vec<(GenerationId, ())> =
        Generations::of(store).ids()?.into_iter().rev().map(|id| (id, ())).collect();
    let generations = read_each(store, &ids, &mut report.damaged, |generation, ()| named(generation))?;
    let objects = object_stats(store)?;
    let apart = objects_apart(store, &objects, &generations)?;
    let counted = read_each(store, &generations, &mut report.damaged, |generation, named| {
        Ok((generation.head()?.bytes, pieces(generation, named, &objects, &apart)?))
    })?;
    let mut users: HashMap<Piece, (u64, u64)> = HashMap::new();
    for (piece, size) in counted.iter().flat_map(|(_, (_, pieces))| pieces) {
        users.entry(*piece).or_insert((*size, 0)).1 += 1;
    }
    for (id, (apparent, pieces)) in &counted {
        let exclusive = pieces.iter().filter(|(piece, _)| users[piece].1 == 1).map(|(_, size)| size).sum();
        let all: u64 = pieces.values().sum();
        let usage = Usage { id: *id, apparent: *apparent, exclusive, shared: all - exclusive };
        report.generations.push(usage);
    }
    let private = users.iter().filter(|(piece, _)| matches!(piece, Piece::Inode(_)));
    report.store_bytes = objects.values().map(|stat| stat.size).sum::<u64>()
        + private.map(|(_, (size, _))| size).sum::<u64>()
        + FailedBuilds::of(store).bytes()?;
    Ok(report)
}

/// Counts the disk usage of one generation. Returns `None` if it is missing.
///
/// No other generation is read: the link counts show whether another one has an inode, too. They do not
/// show that another one has the same bytes in an inode of its own, and references the object: such
/// bytes count as exclusive here, and as shared in [`usage`].
pub(crate) fn usage_of(store: &StoreDir, id: GenerationId) -> Result<Option<Usage>> {
    let Some(generation) = Generations::of(store).find(id)? else { return Ok(None) };
    let (named, mirrored) = (named(&generation)?, mirrored_links(store)?);
    let objects: HashMap<ObjectId, Stat> = match Objects::find(store)? {
        None => HashMap::new(),
        Some(objects) => stat_each(&objects, named.keys().copied().collect())?,
    };
    let own = own_paths(&generation, &named, &objects, &mirrored)?;
    let (mut exclusive, mut shared) = (0, 0);
    let mut count =
        |size: u64, is_shared: bool| *if is_shared { &mut shared } else { &mut exclusive } += size;
    let has_others = |inode: &OwnInode| links_in_store(&inode.stat, &mirrored) > inode.paths;
    for (id, stat) in &objects {
        let inodes = own.get(id);
        let apart: u64 = inodes.into_iter().flatten().map(|inode| inode.paths).sum();
        // One link is the object's own name.
        let linked = named[id].1 - apart + 1;
        let is_shared =
            links_in_store(stat, &mirrored) > linked || inodes.into_iter().flatten().any(has_others);
        count(stat.size, is_shared);
    }
    for inode in own.values().flatten() {
        count(inode.stat.size, has_others(inode));
    }
    if let Some(log) = generation.dir().stat(BUILD_LOG)? {
        count(log.size, false);
    }
    Ok(Some(Usage { id, apparent: generation.head()?.bytes, exclusive, shared }))
}

/// An inode of a generation's paths that is not the inode of their object.
struct OwnInode {
    stat: Stat,
    /// The number of paths of this generation that have it.
    paths: u64,
}

/// Finds the paths of a generation that do not have the inode of their object: renewed ones, and those
/// for whose object too few links exist.
fn own_paths(
    generation: &Generation,
    named: &Named,
    objects: &HashMap<ObjectId, Stat>,
    mirrored: &HashMap<u64, u64>,
) -> Result<HashMap<ObjectId, Vec<OwnInode>>> {
    let mut own: HashMap<ObjectId, Vec<OwnInode>> = HashMap::new();
    let shown = generation.published_mtimes()?;
    let lacks_links = |id: &ObjectId, paths: u64| {
        objects.get(id).is_none_or(|stat| links_in_store(stat, mirrored) < paths + 1)
    };
    let lacking: HashSet<ObjectId> =
        named.iter().filter(|(id, (_, paths))| lacks_links(id, *paths)).map(|(id, _)| *id).collect();
    if shown.fresh.is_empty() && lacking.is_empty() {
        return Ok(own);
    }
    let is_wanted = |path: &[u8], id| lacking.contains(&id) || shown.fresh.contains_key(path);
    for (id, stat) in paths_apart(generation, objects, is_wanted)? {
        let inodes = own.entry(id).or_default();
        match inodes.iter_mut().find(|inode| inode.stat.same_inode(&stat)) {
            Some(inode) => inode.paths += 1,
            None => inodes.push(OwnInode { stat, paths: 1 }),
        }
    }
    Ok(own)
}

/// Reads something from each generation, which is open only meanwhile. A removed one is left out. A
/// damaged one goes to `damaged`, and does not hide the others.
fn read_each<A: Sync, T: Send>(
    store: &StoreDir,
    all: &[(GenerationId, A)],
    damaged: &mut Vec<DamagedGeneration>,
    read: impl Fn(&Generation, &A) -> Result<T> + Sync,
) -> Result<Vec<(GenerationId, T)>> {
    let read = |(id, about): &(GenerationId, A)| {
        let found = Generations::of(store).find(*id);
        match found.and_then(|found| found.map(|generation| read(&generation, about)).transpose()) {
            Ok(found) => Ok(found.map(|found| (*id, Ok(found)))),
            Err(Error::Damaged { cause, .. }) => Ok(Some((*id, Err(cause)))),
            Err(e) => Err(e),
        }
    };
    let mut whole = Vec::new();
    for (id, found) in all.par_iter().map(read).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        match found {
            Ok(found) => whole.push((id, found)),
            Err(cause) => damaged.push(DamagedGeneration { id, cause }),
        }
    }
    Ok(whole)
}

fn object_stats(store: &StoreDir) -> Result<HashMap<ObjectId, Stat>> {
    let Some(objects) = Objects::find(store)? else { return Ok(HashMap::new()) };
    stat_each(&objects, objects.list()?.into_iter().flatten().collect())
}

/// Returns the stats of those of the objects that exist.
fn stat_each(objects: &Objects<'_>, ids: Vec<ObjectId>) -> Result<HashMap<ObjectId, Stat>> {
    let stats = ids.into_par_iter().map(|id| Ok(objects.stat(id)?.map(|stat| (id, stat))));
    Ok(stats.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Finds the objects that are not the inode of all of their paths.
fn objects_apart(
    store: &StoreDir,
    objects: &HashMap<ObjectId, Stat>,
    generations: &[(GenerationId, Named)],
) -> Result<HashSet<ObjectId>> {
    let mirrored = mirrored_links(store)?;
    let mut shown: HashMap<ObjectId, u64> = HashMap::new();
    for (id, (_, paths)) in generations.iter().flat_map(|(_, named)| named) {
        *shown.entry(*id).or_default() += paths;
    }
    let is_apart = |(id, paths): &(ObjectId, u64)| {
        objects.get(id).is_none_or(|stat| links_in_store(stat, &mirrored) < paths + 1)
    };
    Ok(shown.into_iter().filter(is_apart).map(|(id, _)| id).collect())
}

/// Counts the links of each inode in mirrors, which are not links in generations.
fn mirrored_links(store: &StoreDir) -> Result<HashMap<u64, u64>> {
    let mut mirrored: HashMap<u64, u64> = HashMap::new();
    let mirrors = match ViewRecords::of(store).mirrors() {
        Err(Error::Damaged { .. }) => BTreeSet::new(),
        mirrors => mirrors?,
    };
    for key in mirrors {
        if let Ok(Some(inventory)) = ViewRecords::of(store).inventory(&key) {
            inventory.inodes.iter().for_each(|inode| *mirrored.entry(*inode).or_default() += 1);
        }
    }
    Ok(mirrored)
}

fn links_in_store(stat: &Stat, mirrored: &HashMap<u64, u64>) -> u64 {
    stat.links.saturating_sub(mirrored.get(&stat.ino).copied().unwrap_or(0))
}

fn named(generation: &Generation) -> Result<Named> {
    let mut named = Named::new();
    for (id, size) in generation.objects()? {
        named.entry(id).or_insert((size, 0)).1 += 1;
    }
    Ok(named)
}

/// Lists the existing objects of a generation, and the inodes that only its paths have.
fn pieces(
    generation: &Generation,
    named: &Named,
    objects: &HashMap<ObjectId, Stat>,
    apart: &HashSet<ObjectId>,
) -> Result<HashMap<Piece, u64>> {
    let there = named.iter().filter(|(id, _)| objects.contains_key(id));
    let mut pieces: HashMap<Piece, u64> =
        there.map(|(id, (size, _))| (Piece::Object(*id), *size)).collect();
    if let Some(log) = generation.dir().stat(BUILD_LOG)? {
        pieces.insert(Piece::Inode(log.ino), log.size);
    }
    if named.keys().any(|id| apart.contains(id)) {
        let own = paths_apart(generation, objects, |_, id| apart.contains(&id))?;
        pieces.extend(own.into_iter().map(|(_, stat)| (Piece::Inode(stat.ino), stat.size)));
    }
    Ok(pieces)
}

/// Finds the wanted paths of a generation that do not have the inode of their object, each with its object
/// and its stat. A missing file takes no space, and is skipped.
fn paths_apart(
    generation: &Generation,
    objects: &HashMap<ObjectId, Stat>,
    is_wanted: impl Fn(&[u8], ObjectId) -> bool,
) -> Result<Vec<(ObjectId, Stat)>> {
    let tree = generation.manifest()?.tree;
    let Ok(root) = generation.tree_dir() else { return Ok(vec![]) };
    let mut apart = Vec::new();
    for entry in tree.iter() {
        let Node::File(file) = entry.node else { continue };
        if file.size == 0 || !is_wanted(entry.path, file.object()) {
            continue;
        }
        let found = open_parent(&root, entry.path).and_then(|(dir, name)| dir.stat(name));
        if let Ok(Some(stat)) = found
            && objects.get(&file.object()).is_none_or(|object| !object.same_inode(&stat))
        {
            apart.push((file.object(), stat));
        }
    }
    Ok(apart)
}

//! Recycling: the tree of a generation without a reason to stay is changed into the next one, by
//! applying their difference.
//!
//! 1. A spare is chosen: the newest generation without a reason to stay that has folder stamps and
//!    shares most of its files with the new tree.
//! 2. Under the commit lock it is judged again, and retired durably, as by gc, but into our stage. From
//!    then on it is part of the stage, and debris if this process dies.
//! 3. Its folders are compared with their stamps. If one of them is not a folder of ours any more, the
//!    tree is assembled instead.
//! 4. It replaces the stage's own tree, which contains only files that are new to the store.
//! 5. The difference is applied: names are removed, folders are created, new files are moved over,
//!    other entries are linked. In a folder that somebody changed, every name is checked.
//!
//! The result is the tree that assembly would have created, inode by inode. An entry of the spare with
//! an inode of its own is recreated. If names of objects have passed to other inodes since (`heals`,
//! `rotations`), or damage is suspected, nothing is recycled.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use crate::change::{recover, retain};
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_absence, is_refused};
use crate::fs::flush::{Flush, MANY};
use crate::fs::folders::Folders;
use crate::fs::mount::{is_mount, mounts_below};
use crate::fs::{Dir, Durability, Kind};
use crate::model::digest::Digest;
use crate::model::folder_stamps::FolderStamps;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::index::SourceStat;
use crate::model::patch::{Patch, folders as all_folders, patch, position};
use crate::model::retention::Retention;
use crate::model::tree::{FileNode, Node, Tree};
use crate::model::{object_name, relpath};
use crate::parts::folder_stamps::{self, Seen};
use crate::parts::generations::{Generations, Retired};
use crate::parts::layout::{GENERATIONS, SEALED, StoreDir, TREE};
use crate::parts::log::Log;
use crate::parts::records::Records;
use crate::parts::stage_dir::{RETIRED, StageDir};
use crate::parts::{objects, suspects};
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::threads::{self, into_inner, lock};
use crate::verbs::publish::assemble::Assembly;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::ingest::context::EntrySource;

/// Where a built tree comes from.
pub(crate) enum Origin {
    /// The tree of another generation, which was changed.
    Recycled(Recycled),
    /// It is new. A generation may have been unlisted all the same: its tree could not be used.
    New { unlisted: Option<GenerationId> },
}

/// The changes to a recycled tree.
pub(crate) struct Recycled {
    from: GenerationId,
    /// Folders of the new tree in which names changed.
    changed: BTreeSet<Vec<u8>>,
    /// Empty files that were created.
    made: Vec<u32>,
    /// The stamps of the folders of the new tree; inode 0 for changed folders.
    folders: Vec<SourceStat>,
    /// Whether the unchanged part was flushed when it was created.
    flushed: bool,
}

/// A generation that may be recycled.
struct Spare {
    id: GenerationId,
    tree: Tree,
    shown: PublishedMtimes,
    stamps: FolderStamps,
}

impl Origin {
    /// Returns the generation that was unlisted for recycling.
    pub(crate) fn unlisted(&self) -> Option<GenerationId> {
        match self {
            Origin::Recycled(recycled) => Some(recycled.from),
            Origin::New { unlisted } => *unlisted,
        }
    }
}

/// Changes the tree of a generation without a reason to stay into the candidate's, and makes it the
/// stage's. Returns [`Origin::New`] if that is impossible: then the stage's tree is unchanged, and must
/// be assembled.
pub(crate) fn recycle(
    candidate: &mut Candidate<'_>,
    stage: &mut StageDir,
    folders: &Folders<'_>,
) -> Result<Origin> {
    let nothing = Origin::New { unlisted: None };
    let Candidate { store, guard, objects, ingested, options, .. } = candidate;
    let (store, heals_seen) = (*store, candidate.heals_seen);
    let Some(retention) = &options.recycle else { return Ok(nothing) };
    // Damage is healed first, everywhere.
    if !ingested.damaged.is_empty() || candidate.healed_base {
        return Ok(nothing);
    }
    let find = || find_spare(store, retention, heals_seen);
    let (spare, after) = threads::join(find, || all_folders(&ingested.tree));
    // Unreadable parts are reported elsewhere: the tree can be assembled instead.
    let Ok(Some(spare)) = spare else { return Ok(nothing) };
    let is_object = |entry: usize| ingested.how[entry] == EntrySource::Object;
    let before = all_folders(&spare.tree);
    // The stamps are a cache: stamps of other folders are useless.
    if before.len() != spare.stamps.folders.len() {
        return Ok(nothing);
    }
    let patch = patch((&spare.tree, &before, &spare.shown), (&ingested.tree, &after), is_object);
    let made: usize = patch.work.values().map(|work| work.make.len()).sum();
    if made * 2 > ingested.tree.len() || !retire(store, stage, &spare, retention)? {
        return Ok(nothing);
    }
    let unusable = Origin::New { unlisted: Some(spare.id) };
    let retired = stage.dir().open_dir(RETIRED)?;
    let seen = match retired.open_dir(TREE) {
        Ok(tree) => folder_stamps::compare(store, &tree, &before, &spare.stamps.folders)?,
        Err(e) if is_absence(&e) || is_mount(&e) => None,
        Err(e) => return Err(e),
    };
    let Some(seen) = seen else { return Ok(unusable) };
    let placed = stage.exchange_tree(store, &retired)?;
    store.options.progress.begin(Phase::Assemble, Some(patch.size() as u64));
    let recycling = Recycling {
        assembly: Assembly::new(store, guard, objects, ingested, stage.tree()),
        spare: &spare,
        patch: &patch,
        before: &before,
        after: &after,
        seen: &seen,
        folders,
        placed: &placed,
        done: Mutex::default(),
    };
    let make = match recycling.clear_all() {
        // For example an immutable file. The stage's own tree is restored, and assembled.
        Err(e) if is_refused(&e) => {
            drop(recycling);
            stage.take_back_tree(store, &retired)?;
            return Ok(unusable);
        }
        make => make?,
    };
    recycling.make_all(make)?;
    let Recycling { assembly, done, .. } = recycling;
    let Done { changed, made } = into_inner(done);
    let stat = |path: &&[u8]| {
        let same = position(&before, path).filter(|&at| seen[at] == Seen::Same);
        same.filter(|_| !changed.contains(*path))
            .map_or_else(SourceStat::default, |at| spare.stamps.folders[at])
    };
    let folders = after.par_iter().map(stat).collect();
    let flushed = spare.stamps.flushed && !seen.contains(&Seen::Differs);
    let rotated = assembly.finish();
    ingested.placed.extend(rotated);
    Ok(Origin::Recycled(Recycled { from: spare.id, changed, made, folders, flushed }))
}

/// Finds a generation to recycle: of those without a reason to stay, the newest one with valid folder
/// stamps.
fn find_spare(store: &StoreDir, retention: &Retention, heals_seen: u64) -> Result<Option<Spare>> {
    let rotations = objects::rotations(store)?;
    for verdict in retain::judge_all(store, retention)?.verdicts {
        if verdict.keeps() {
            continue;
        }
        let Some(generation) = Generations::of(store).find(verdict.id)? else { continue };
        let body = generation.head_and_body()?.1;
        let Some(stamps) = generation.folder_stamps(body)? else { continue };
        if (stamps.heals, stamps.rotations) != (heals_seen, rotations) {
            continue;
        }
        let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
        return Ok(Some(Spare { id: verdict.id, tree, shown, stamps }));
    }
    Ok(None)
}

/// Unlists the spare durably, and moves it into the stage. Returns `Ok(false)` if it has a reason to
/// stay by now, or if it is uncertain that the inodes of its tree are the objects'.
///
/// # Locks
/// Takes the commit lock, so that no pin is created and nothing is activated or healed meanwhile, and
/// the exclusive lease of the spare.
fn retire(store: &StoreDir, stage: &StageDir, spare: &Spare, retention: &Retention) -> Result<bool> {
    let (lock, sequence) = recover::lock_and_recover(store)?;
    let is_given_up = match retain::judge_one(store, spare.id, retention) {
        Ok(Some(verdict)) => !verdict.keeps(),
        Ok(None) | Err(_) => false,
    };
    let suspects = suspects::suspects(store)?;
    let as_sealed =
        (sequence.heals, objects::rotations(store)?) == (spare.stamps.heals, spare.stamps.rotations);
    if !is_given_up || !as_sealed || !suspects.objects.is_empty() || !suspects.generations.is_empty() {
        return Ok(false);
    }
    // A mount in its tree would be part of the next generation. If the system does not list mounts, the
    // work on the tree stops at them.
    let generation = store.dir.join(&[GENERATIONS, b"/", spare.id.to_string().as_bytes()].concat());
    if !mounts_below(&generation).is_empty() {
        return Ok(false);
    }
    match Generations::of(store).retire(&lock, spare.id, (stage.dir(), RETIRED)) {
        Ok(Retired::Moved) => {}
        Ok(Retired::Leased | Retired::Immovable) => return Ok(false),
        // It belongs to another user: it stays, gc reports it, and the tree is assembled.
        Err(e) if is_refused(&e) => return Ok(false),
        Err(e) => return Err(e),
    }
    Records::of(store).remove_mark(&lock, spare.id)?;
    Log::of(store).compact(&lock, &Generations::of(store).ids()?)?;
    Ok(true)
}

impl Recycled {
    /// Lists the items that make the tree durable: the changes in it, or the whole filesystem.
    pub(crate) fn to_flush(&self, candidate: &Candidate<'_>, stage: &StageDir) -> Result<Vec<Flush>> {
        let (tree, how) = (&candidate.ingested.tree, &candidate.ingested.how);
        let placed = (0..tree.len() as u32).filter(|entry| how[*entry as usize] == EntrySource::Placed);
        let files: Vec<u32> = placed.chain(self.made.iter().copied()).collect();
        let many = files.len() + self.changed.len() > MANY;
        if many || !self.flushed || candidate.objects.is_apart() {
            return Ok(vec![Flush::Filesystem(stage.tree().open_dir(b"")?)]);
        }
        let mut all = vec![Flush::Dir(stage.next().open_dir(b"")?), Flush::Dir(stage.dir().open_dir(b"")?)];
        for entry in files {
            let (dir, name) = open_parent(stage.tree(), tree.path(entry as usize))?;
            all.push(Flush::File(dir.open_file(name)?, dir.join(name)));
        }
        for folder in &self.changed {
            all.push(Flush::Dir(stage.tree().open_dir(folder)?));
        }
        Ok(all)
    }
}

/// Writes the folder stamps, for a later recycling of this generation. They are taken after the last
/// change in the folders. `body` is the digest of the manifest.
pub(crate) fn write_sealed(
    candidate: &Candidate<'_>,
    stage: &StageDir,
    origin: &Origin,
    body: Digest,
    shown: &PublishedMtimes,
) -> Result<()> {
    if candidate.options.recycle.is_none() {
        return Ok(());
    }
    let store = candidate.store;
    // On other filesystems another clock may stamp the folders.
    if candidate.objects.is_apart() || !stage.tree().is_local() {
        return store.fs.unlink(stage.next(), SEALED).map(drop);
    }
    let paths = all_folders(&candidate.ingested.tree);
    let fresh: HashSet<&[u8]> = shown.fresh.keys().map(|path| relpath::split(path).0).collect();
    let reused = match origin {
        Origin::Recycled(recycled) => {
            let stat = |(path, stat): (&&[u8], &SourceStat)| match fresh.contains(path) {
                true => SourceStat::default(),
                false => *stat,
            };
            paths.iter().zip(&recycled.folders).map(stat).collect()
        }
        Origin::New { .. } => vec![SourceStat::default(); paths.len()],
    };
    let folders = folder_stamps::take(store, stage.tree(), &paths, reused)?;
    let flushed = store.options.durability == Durability::Full;
    let (heals, rotations) = (candidate.heals_seen, candidate.rotations_seen);
    let stamps = FolderStamps { body, heals, rotations, flushed, folders };
    stage.put_beside(store, SEALED, 0o644, &stamps.encode()).map(drop)
}

/// A tree that is being changed from the old to the new.
struct Recycling<'a> {
    assembly: Assembly<'a>,
    spare: &'a Spare,
    patch: &'a Patch<'a>,
    /// The folders of the old tree in path order, with the comparison with their stamps.
    before: &'a [&'a [u8]],
    seen: &'a [Seen],
    /// The folders of the new tree.
    after: &'a [&'a [u8]],
    /// Their direct entries.
    folders: &'a Folders<'a>,
    /// The tree that contains the new files.
    placed: &'a Dir,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    changed: BTreeSet<Vec<u8>>,
    made: Vec<u32>,
}

impl Recycling<'_> {
    /// Removes the entries that do not stay. Returns the entries to be created, by folder.
    fn clear_all(&self) -> Result<Vec<(&[u8], Vec<u32>)>> {
        let (fs, root) = (&self.assembly.store.fs, self.assembly.tree);
        // The tree's folder was moved, which changed its `..` entry.
        self.note(b"");
        for path in &self.patch.dead {
            let (dir, name) = open_parent(root, path)?;
            fs.remove_all(&dir, name)?;
            self.note(relpath::split(path).0);
        }
        let touched = self.before.iter().zip(self.seen).filter(|(_, seen)| **seen != Seen::Same);
        let paths = self.patch.work.keys().chain(touched.map(|(path, _)| path)).copied();
        let todo: HashSet<&[u8]> = paths.filter(|path| self.is_kept(path)).collect();
        todo.into_par_iter().map(|path| Ok((path, self.clear(path)?))).collect()
    }

    /// Creates the new folders, and the missing entries of all folders.
    fn make_all<'p>(&'p self, mut make: Vec<(&'p [u8], Vec<u32>)>) -> Result<()> {
        let (fs, root) = (&self.assembly.store.fs, self.assembly.tree);
        for path in &self.patch.born {
            let (dir, name) = open_parent(root, path)?;
            fs.make_dir(&dir, name)?;
            self.note(relpath::split(path).0);
            self.note(path);
            make.extend(self.patch.work.get(path).map(|work| (*path, work.make.clone())));
        }
        // Other entries are linked to the moved ones.
        let how = |entry: u32| self.assembly.ingested.how[entry as usize];
        for placed in [true, false] {
            make.par_iter().try_for_each(|(path, entries)| {
                let mut entries = entries
                    .iter()
                    .filter(|entry| (how(**entry) == EntrySource::Placed) == placed)
                    .peekable();
                if entries.peek().is_none() {
                    return Ok(());
                }
                self.note(path);
                let dir = root.open_dir(path)?;
                entries.try_for_each(|entry| self.make(*entry, &dir))
            })?;
        }
        Ok(())
    }

    /// Returns whether it is a folder of both trees.
    fn is_kept(&self, path: &[u8]) -> bool {
        position(self.before, path).and_then(|_| position(self.after, path)).is_some()
    }

    /// Returns whether it is a folder of the old tree whose entries may have changed.
    fn is_touched(&self, path: &[u8]) -> bool {
        position(self.before, path).is_some_and(|at| self.seen[at] != Seen::Same)
    }

    /// Removes the entries of a folder of the old tree that do not stay. Returns the entries to be
    /// created.
    fn clear(&self, path: &[u8]) -> Result<Vec<u32>> {
        let dir = self.assembly.tree.open_dir(path)?;
        if self.is_touched(path) {
            return self.clear_by_name(path, &dir);
        }
        let Some(work) = self.patch.work.get(path) else { return Ok(vec![]) };
        let mut make = work.make.clone();
        for entry in &work.remove {
            self.remove(path, &dir, relpath::split(self.spare.tree.path(*entry as usize)).1)?;
        }
        for entry in &work.look {
            let name = relpath::split(self.assembly.ingested.tree.path(*entry as usize)).1;
            if !self.is_right(*entry, &dir, name)? {
                self.remove(path, &dir, name)?;
                make.push(*entry);
            }
        }
        Ok(make)
    }

    /// Checks every name in a folder.
    fn clear_by_name(&self, path: &[u8], dir: &Dir) -> Result<Vec<u32>> {
        let tree = &self.assembly.ingested.tree;
        let is_file = |entry: &u32| tree.get(*entry as usize).node != Node::EmptyDir;
        let members = self.folders.members_of(path).iter().copied().filter(is_file);
        let mut missing: HashMap<&[u8], u32> =
            members.map(|entry| (relpath::split(tree.path(entry as usize)).1, entry)).collect();
        for (name, kind) in dir.list()? {
            let full = relpath::join(path, &name);
            if kind == Kind::Dir && self.is_kept(&full) {
                continue;
            }
            match missing.get(name.as_slice()) {
                Some(entry) if self.is_right(*entry, dir, &name)? => drop(missing.remove(name.as_slice())),
                _ => self.remove(path, dir, &name)?,
            }
        }
        Ok(missing.into_values().collect())
    }

    /// Returns whether an existing name is what assembly would create for this entry.
    fn is_right(&self, entry: u32, dir: &Dir, name: &[u8]) -> Result<bool> {
        let Some(stat) = dir.stat(name)? else { return Ok(false) };
        let Assembly { store, ingested, objects, .. } = &self.assembly;
        Ok(match ingested.tree.get(entry as usize).node {
            Node::File(FileNode { size: 0, executable, mtime, .. }) => {
                (stat.kind, stat.size, stat.links) == (Kind::File, 0, 1)
                    && store.fs.is_ours(&stat)
                    && stat.mode == object_name::mode(executable)
                    && stat.has_mtime(mtime)
            }
            Node::File(file) => {
                stat.kind == Kind::File
                    && ingested.how[entry as usize] == EntrySource::Object
                    && objects.stat(file.object())?.is_some_and(|object| object.same_inode(&stat))
            }
            Node::Symlink(target) => {
                stat.kind == Kind::Symlink && dir.read_link(name)?.as_deref() == Some(target)
            }
            Node::EmptyDir => false,
        })
    }

    fn remove(&self, path: &[u8], dir: &Dir, name: &[u8]) -> Result<()> {
        self.note(path);
        self.assembly.store.fs.remove_all(dir, name)
    }

    /// Creates an entry at a free name.
    fn make(&self, entry: u32, dir: &Dir) -> Result<()> {
        let Assembly { ingested, store, .. } = &self.assembly;
        let at = ingested.tree.get(entry as usize);
        store.options.progress.advance(1);
        if ingested.how[entry as usize] != EntrySource::Placed {
            if matches!(at.node, Node::File(file) if file.size == 0) {
                lock(&self.done).made.push(entry);
            }
            return self.assembly.entry(entry, dir);
        }
        let (from, name) = open_parent(self.placed, at.path)?;
        store.fs.rename((&from, name), (dir, name))
    }

    /// Records a folder in which names change.
    fn note(&self, path: &[u8]) {
        let mut done = lock(&self.done);
        if !done.changed.contains(path) {
            done.changed.insert(path.to_vec());
        }
    }
}

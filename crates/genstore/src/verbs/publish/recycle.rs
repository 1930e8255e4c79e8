//! Recycling: the tree of a generation that retention has given up becomes the next one's, by
//! applying the difference of the two.
//!
//! 1. A spare is looked for: the newest generation that nothing keeps, of whose folders is known
//!    what they looked like, and that shares most of its files with the new tree.
//! 2. Under the commit lock it is judged again, and retired, durably, as gc does it, but into our
//!    stage. From here on it is part of the stage: debris, should we die.
//! 3. Its folders are compared with what they were. Where one is not a folder of ours any more, the
//!    tree is assembled afresh.
//! 4. It takes the place of the stage's own tree, in which only what is new to the store stands.
//! 5. The difference is applied: names go, folders are made, new files are moved over, the rest is
//!    linked. In a folder that somebody changed, every name is looked at.
//!
//! The tree is then what assembly would have made, inode by inode: what has an inode of its own in
//! the spare is made anew, and where the names of objects have passed to other inodes since
//! (`heals`, `rotations`), or something is suspected of damage, there is no recycling.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use crate::change::begin;
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_absence, is_refused};
use crate::fs::flush::{Flush, MANY};
use crate::fs::folders::Folders;
use crate::fs::mount::{is_mount, mounts_below};
use crate::fs::{Dir, Durability, Kind};
use crate::model::digest::Digest;
use crate::model::fresh::Shown;
use crate::model::ids::GenerationId;
use crate::model::index::SourceStat;
use crate::model::patch::{Patch, folders as all_folders, patch, position};
use crate::model::retention::{Retention, judge};
use crate::model::sealed::Sealed;
use crate::model::tree::{FileNode, Node, Tree};
use crate::model::{object_name, relpath};
use crate::parts::folder_stamps::{self, Seen};
use crate::parts::generations::{Generations, Retired};
use crate::parts::layout::{GENERATIONS, SEALED, TREE};
use crate::parts::log::Log;
use crate::parts::records::Records;
use crate::parts::stage_dir::{RETIRED, StageDir};
use crate::parts::{objects, suspects};
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::threads::{self, lock};
use crate::verbs::publish::assemble::Assembly;
use crate::verbs::publish::ingest::context::EntrySource;
use crate::verbs::publish::staged::{Recycled, Staged};
use crate::verbs::{collect, inspect};

/// A generation that may be recycled.
struct Spare {
    id: GenerationId,
    tree: Tree,
    shown: Shown,
    sealed: Sealed,
}

impl Staged<'_> {
    /// Makes the tree of one that nothing needs any more; `Ok(false)` where there is none, and
    /// nothing was done to the stage's tree.
    pub(crate) fn recycle(&mut self, folders: &Folders<'_>) -> Result<bool> {
        let Some(retention) = self.retention.clone() else { return Ok(false) };
        // What is damaged is healed first, everywhere that it shows.
        if !self.ingested.damaged.is_empty() || self.healed_base {
            return Ok(false);
        }
        let ingested = &self.ingested;
        let (spare, after) = threads::join(|| self.find_spare(&retention), || all_folders(&ingested.tree));
        // Whatever cannot be read here is for others to tell: there is another way.
        let Ok(Some(spare)) = spare else { return Ok(false) };
        let is_object = |entry: usize| ingested.how[entry] == EntrySource::Object;
        let before = all_folders(&spare.tree);
        // The note is a cache: what it says of other folders says nothing.
        if before.len() != spare.sealed.folders.len() {
            return Ok(false);
        }
        let patch = patch((&spare.tree, &before, &spare.shown), (&ingested.tree, &after), is_object);
        let made: usize = patch.work.values().map(|work| work.make.len()).sum();
        if made * 2 > ingested.tree.len() || !self.retire(&spare, &retention)? {
            return Ok(false);
        }
        self.retired = Some(spare.id);
        let stage = self.stage.as_mut().expect("an assembly has its stage");
        let retired = stage.dir().open_dir(RETIRED)?;
        let seen = match retired.open_dir(TREE) {
            Ok(tree) => folder_stamps::compare(self.store, &tree, &before, &spare.sealed.folders)?,
            Err(e) if is_absence(&e) || is_mount(&e) => None,
            Err(e) => return Err(e),
        };
        let Some(seen) = seen else { return Ok(false) };
        let placed = stage.exchange_tree(self.store, &retired)?;
        self.store.options.progress.begin(Phase::Assemble, Some(patch.size() as u64));
        let recycling = Recycling {
            assembly: Assembly::new(self.store, &self.guard, &self.objects, ingested, stage.tree()),
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
            // Made immutable, say: the stage's own tree comes back, and is assembled.
            Err(e) if is_refused(&e) => {
                drop(recycling);
                stage.take_back_tree(self.store, &retired)?;
                return Ok(false);
            }
            make => make?,
        };
        recycling.make_all(make)?;
        let Recycling { assembly, done, .. } = recycling;
        let Done { changed, made } = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stat = |path: &&[u8]| {
            let known = position(&before, path).filter(|&at| seen[at] == Seen::Same);
            known
                .filter(|_| !changed.contains(*path))
                .map_or_else(SourceStat::default, |at| spare.sealed.folders[at])
        };
        let folders = after.par_iter().map(stat).collect();
        let flushed = spare.sealed.flushed && !seen.contains(&Seen::Differs);
        let rotated = assembly.finish();
        self.ingested.placed.extend(rotated);
        self.recycled = Some(Recycled { changed, made, folders, flushed });
        Ok(true)
    }

    /// Looks for a generation to recycle: of those that retention gives up, the newest of whose
    /// folders enough is known.
    fn find_spare(&self, retention: &Retention) -> Result<Option<Spare>> {
        let (store, now) = (self.store, self.store.now());
        let rotations = objects::rotations(store)?;
        for verdict in judge(&collect::candidates(store, now)?.read, retention, now) {
            if verdict.keeps() {
                continue;
            }
            let Some(generation) = Generations::of(store).find(verdict.id)? else { continue };
            let body = generation.head_and_body()?.1;
            let Some(sealed) = generation.sealed(body)? else { continue };
            if (sealed.heals, sealed.rotations) != (self.heals_seen, rotations) {
                continue;
            }
            let (tree, shown) = (generation.manifest()?.tree, generation.shown()?);
            return Ok(Some(Spare { id: verdict.id, tree, shown, sealed }));
        }
        Ok(None)
    }

    /// Takes the spare off the list, durably, and into the stage; `Ok(false)` where something keeps
    /// it by now, or where the inodes of its tree cannot be told to be those of the objects.
    ///
    /// # Locks
    /// Takes the commit lock, so that no pin is made and nothing is activated or healed meanwhile,
    /// and the lease of the spare, exclusively.
    fn retire(&self, spare: &Spare, retention: &Retention) -> Result<bool> {
        let store = self.store;
        let stage = self.stage.as_ref().expect("an assembly has its stage");
        let (lock, sequence) = begin::begin_commit(store)?;
        let is_given_up = match inspect::verdict(store, spare.id, retention) {
            Ok(Some(verdict)) => !verdict.keeps(),
            Ok(None) | Err(_) => false,
        };
        let suspects = suspects::suspects(store)?;
        let as_sealed =
            (sequence.heals, objects::rotations(store)?) == (spare.sealed.heals, spare.sealed.rotations);
        if !is_given_up || !as_sealed || !suspects.objects.is_empty() || !suspects.generations.is_empty() {
            return Ok(false);
        }
        // Its tree would be part of the next generation. Where the system does not tell of mounts, the
        // work on the tree stops at them.
        let generation = store.dir.join(&[GENERATIONS, b"/", spare.id.to_string().as_bytes()].concat());
        if !mounts_below(&generation).is_empty() {
            return Ok(false);
        }
        match Generations::of(store).retire(&lock, spare.id, (stage.dir(), RETIRED)) {
            Ok(Retired::Moved) => {}
            Ok(Retired::Leased | Retired::Immovable) => return Ok(false),
            // Another user's: it stays, gc tells of it, and the tree is assembled.
            Err(e) if is_refused(&e) => return Ok(false),
            Err(e) => return Err(e),
        }
        Records::of(store).remove_mark(&lock, spare.id)?;
        Log::of(store).compact(&lock, &Generations::of(store).ids()?)?;
        Ok(true)
    }

    /// Lists what makes a recycled tree durable: what was changed in it, or all.
    pub(crate) fn to_flush_recycled(&self, recycled: &Recycled, stage: &StageDir) -> Result<Vec<Flush>> {
        let (tree, how) = (&self.ingested.tree, &self.ingested.how);
        let placed = (0..tree.len() as u32).filter(|entry| how[*entry as usize] == EntrySource::Placed);
        let files: Vec<u32> = placed.chain(recycled.made.iter().copied()).collect();
        let many = files.len() + recycled.changed.len() > MANY;
        if many || !recycled.flushed || self.objects.is_apart() {
            return Ok(vec![Flush::Filesystem(stage.tree().open_dir(b"")?)]);
        }
        let mut all = vec![Flush::Dir(stage.next().open_dir(b"")?), Flush::Dir(stage.dir().open_dir(b"")?)];
        for entry in files {
            let (dir, name) = open_parent(stage.tree(), tree.path(entry as usize))?;
            all.push(Flush::File(dir.open_file(name)?, dir.join(name)));
        }
        for folder in &recycled.changed {
            all.push(Flush::Dir(stage.tree().open_dir(folder)?));
        }
        Ok(all)
    }

    /// Notes what the folders look like, for the day when this generation is recycled: once nothing
    /// is changed in them any more. `body` is that of the manifest.
    pub(crate) fn write_sealed(&self, body: Digest, shown: &Shown) -> Result<()> {
        let (Some(stage), true) = (&self.stage, self.retention.is_some()) else { return Ok(()) };
        let store = self.store;
        // Elsewhere folders may be stamped by another clock.
        if self.objects.is_apart() || !stage.tree().is_local() {
            return store.fs.unlink(stage.next(), SEALED).map(drop);
        }
        let paths = all_folders(&self.ingested.tree);
        let fresh: HashSet<&[u8]> = shown.fresh.keys().map(|path| relpath::split(path).0).collect();
        let known = match &self.recycled {
            Some(recycled) => {
                let stat = |(path, stat): (&&[u8], &SourceStat)| match fresh.contains(path) {
                    true => SourceStat::default(),
                    false => *stat,
                };
                paths.iter().zip(&recycled.folders).map(stat).collect()
            }
            None => vec![SourceStat::default(); paths.len()],
        };
        let folders = folder_stamps::take(store, stage.tree(), &paths, known)?;
        let flushed = store.options.durability == Durability::Full;
        let (heals, rotations) = (self.heals_seen, self.rotations_seen);
        let sealed = Sealed { body, heals, rotations, flushed, folders };
        stage.put_beside(store, SEALED, 0o644, &sealed.encode()).map(drop)
    }
}

/// A tree on its way from the old to the new.
struct Recycling<'a> {
    assembly: Assembly<'a>,
    spare: &'a Spare,
    patch: &'a Patch<'a>,
    /// The folders of the old tree, in the order of paths, and what they look like now.
    before: &'a [&'a [u8]],
    seen: &'a [Seen],
    /// Those of the new one.
    after: &'a [&'a [u8]],
    /// What is directly in them.
    folders: &'a Folders<'a>,
    /// The tree in which the new files stand.
    placed: &'a Dir,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    changed: BTreeSet<Vec<u8>>,
    made: Vec<u32>,
}

impl Recycling<'_> {
    /// Removes what does not stay, and returns what is to be made, by folder.
    fn clear_all(&self) -> Result<Vec<(&[u8], Vec<u32>)>> {
        let (fs, root) = (&self.assembly.store.fs, self.assembly.tree);
        // It was moved, which changed its own entry for the folder above.
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

    /// Makes new folders, and what is to be in all of them.
    fn make_all<'p>(&'p self, mut make: Vec<(&'p [u8], Vec<u32>)>) -> Result<()> {
        let (fs, root) = (&self.assembly.store.fs, self.assembly.tree);
        for path in &self.patch.born {
            let (dir, name) = open_parent(root, path)?;
            fs.make_dir(&dir, name)?;
            self.note(relpath::split(path).0);
            self.note(path);
            make.extend(self.patch.work.get(path).map(|work| (*path, work.make.clone())));
        }
        // Others are linked to what is moved over.
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

    /// Returns whether it is a folder of the old tree that is not known to hold what it held.
    fn is_touched(&self, path: &[u8]) -> bool {
        position(self.before, path).is_some_and(|at| self.seen[at] != Seen::Same)
    }

    /// Removes from a folder of the old tree what does not stay, and gives what is to be made.
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

    /// Looks at every name in a folder.
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

    /// Returns whether a name stands for what assembly would make of this entry.
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

    /// Makes an entry where nothing stands any more.
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

    /// Notes a folder in which names change.
    fn note(&self, path: &[u8]) {
        let mut done = lock(&self.done);
        if !done.changed.contains(path) {
            done.changed.insert(path.to_vec());
        }
    }
}

//! Before the lock: the manifest of step 1, and steps 2 to 4 of a commit: flush, names of objects, renewed inodes.

use std::fs::File;
use std::sync::Mutex;
use std::time::SystemTime;

use crate::change::freshen::{self, InodeSource};
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::fault::FaultStage;
use crate::fs::flush::{Flush, MANY};
use crate::fs::folders::Folders;
use crate::model::codec::Head;
use crate::model::delta::{self, Delta};
use crate::model::digest::Digest;
use crate::model::fresh::{self, PublishedMtimes};
use crate::model::relpath;
use crate::model::tree::{Node, ObjectId, Tree};
use crate::parts::current_generation;
use crate::parts::hold::Activate;
use crate::parts::layout::{DELTA, INDEX, MANIFEST, SHOWN};
use crate::parts::naming::{FanOuts, Naming};
use crate::progress::Phase;
use crate::threads::lock;
use crate::threads::prelude::*;
use crate::verbs::publish::built::Built;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::ingest::context::EntrySource;
use crate::verbs::publish::options::CommitOptions;
use crate::verbs::publish::recycle::{Origin, write_sealed};

/// A manifest that was written to the stage.
pub(super) struct Written {
    /// BLAKE3 of the whole file.
    pub(super) file: Digest,
    /// BLAKE3 of the bytes after the frame.
    pub(super) body: Digest,
}

/// A staged tree that is ready to become a generation: its manifest is durable, with everything that it
/// references.
pub(super) struct Flushed {
    pub(super) written: Written,
    pub(super) created: SystemTime,
    shown: PublishedMtimes,
    /// The number of files that got an inode of their own, to show a newer mtime.
    pub(super) refreshed: u64,
}

/// A built tree that is being made durable.
pub(super) struct Flushing<'a, 's> {
    pub(super) candidate: &'a Candidate<'s>,
    pub(super) built: &'a Built<'s>,
    pub(super) options: &'a CommitOptions,
}

impl Flushing<'_, '_> {
    /// Does steps 1 to 4. Adds to `named` the objects whose names it creates.
    pub(super) fn flush(&self, created: SystemTime, named: &mut Vec<ObjectId>) -> Result<Flushed> {
        self.candidate.store.options.progress.begin(Phase::Flush, None);
        let written = self.make_durable(created, named)?;
        let mut shown = PublishedMtimes::default();
        let refreshed = self.freshen(&mut shown)?;
        self.write_sealed(&written, &shown)?;
        Ok(Flushed { written, created, shown, refreshed })
    }

    /// Repeats step 4 for another current generation.
    pub(super) fn flush_again(&self, flushed: &mut Flushed) -> Result<()> {
        flushed.refreshed += self.freshen(&mut flushed.shown)?;
        self.write_delta(&flushed.written)?;
        self.write_sealed(&flushed.written, &flushed.shown)
    }

    fn write_sealed(&self, written: &Written, shown: &PublishedMtimes) -> Result<()> {
        let Built { stage, origin } = self.built;
        write_sealed(self.candidate, stage, origin, written.body, shown)
    }

    /// Does steps 1 to 3: manifest, flush, names.
    fn make_durable(&self, created: SystemTime, named: &mut Vec<ObjectId>) -> Result<Written> {
        let stage = &self.built.stage;
        self.candidate.store.fs.enter(FaultStage::Flush, &self.candidate.store.dir)?;
        let (file, written) = self.write_manifest(created)?;
        let mut all = self.to_flush()?;
        all.push(Flush::File(file, stage.next().join(MANIFEST)));
        let flush = self.candidate.store.fs.begin_flush(all);
        self.write_index()?;
        self.write_delta(&written)?;
        flush.wait()?;
        self.name_objects(named)?;
        Ok(written)
    }

    fn write_manifest(&self, created: SystemTime) -> Result<(File, Written)> {
        let CommitOptions { note, facts, .. } = self.options;
        let head = Head::of(&self.candidate.ingested.tree, created, note.clone(), facts.clone());
        let (file, (body, whole)) =
            self.built.stage.put_pieces_beside(self.candidate.store, MANIFEST, 0o444, |mut out| {
                head.write_with(&self.candidate.ingested.tree, &mut out)
            })?;
        Ok((file, Written { file: whole, body }))
    }

    /// Writes the index of the sources beside the manifest. It is a cache, and not flushed.
    fn write_index(&self) -> Result<()> {
        let Some(index) = &self.candidate.ingested.sources else { return Ok(()) };
        self.built.stage.put_beside(self.candidate.store, INDEX, 0o644, &index.encode()).map(drop)
    }

    /// Writes the delta to the current generation beside the manifest. It is a cache, and not flushed.
    /// Another generation may be current by the time of the commit.
    fn write_delta(&self, manifest: &Written) -> Result<()> {
        let stage = &self.built.stage;
        let base = self.candidate.base.as_ref().and_then(|base| Some((base, base.body?)));
        let delta = base.and_then(|(base, base_body)| {
            let (before, after) = delta::differing(&base.tree, &self.candidate.ingested.tree)?;
            Some(Delta { base: base.generation.id(), base_body, body: manifest.body, before, after })
        });
        match delta {
            Some(delta) => stage.put_beside(self.candidate.store, DELTA, 0o644, &delta.encode()).map(drop),
            // There may be a delta to the previous current generation.
            None => self.candidate.store.fs.unlink(stage.next(), DELTA).map(drop),
        }
    }

    /// Lists the items that make the stage durable: file by file if they are few, otherwise the whole
    /// filesystem.
    fn to_flush(&self) -> Result<Vec<Flush>> {
        let stage = &self.built.stage;
        if let Origin::Recycled(recycled) = &self.built.origin {
            return recycled.to_flush(self.candidate, stage);
        }
        let tree = &self.candidate.ingested.tree;
        let placed = |how: &EntrySource| matches!(how, EntrySource::Placed | EntrySource::Made);
        let fresh = self.candidate.ingested.how.iter().filter(|how| placed(how)).count();
        let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
        // Copies instead of links are new files, too.
        if fresh + folders.len() > MANY || self.candidate.objects.is_apart() {
            return Ok(vec![Flush::Filesystem(stage.tree().open_dir(b"")?)]);
        }
        let mut all = vec![Flush::Dir(stage.next().open_dir(b"")?), Flush::Dir(stage.dir().open_dir(b"")?)];
        for (folder, members) in folders.iter() {
            let dir = stage.tree().open_dir(folder)?;
            for &entry in members {
                if self.candidate.ingested.how[entry as usize] == EntrySource::Placed
                    || is_empty_file(tree, entry)
                {
                    let name = relpath::split(tree.path(entry as usize)).1;
                    all.push(Flush::File(dir.open_file(name)?, dir.join(name)));
                }
            }
            all.push(Flush::Dir(dir));
        }
        Ok(all)
    }

    /// Creates the names of all new objects, and makes the names of all objects of the tree durable.
    /// This includes names that another publisher created and has not made durable, or died before it
    /// could.
    fn name_objects(&self, named: &mut Vec<ObjectId>) -> Result<()> {
        let (stage, named) = (&self.built.stage, Mutex::new(named));
        let placed: Vec<_> = self.candidate.ingested.placed.iter().collect();
        let damaged = &self.candidate.ingested.damaged;
        let own = FanOuts::of(placed.iter().map(|(id, _)| **id));
        if !own.is_empty() {
            Naming::of(self.candidate.store).begin(stage.dir(), &own)?;
        }
        placed.into_par_iter().try_for_each(|(id, entry)| {
            // The name of a damaged object is taken. Healing frees it, under the commit lock.
            if damaged.contains(id) {
                return Ok(());
            }
            let (dir, name) =
                open_parent(stage.tree(), self.candidate.ingested.tree.path(*entry as usize))?;
            if self.candidate.objects.insert(&self.candidate.guard, (&dir, name), *id)? {
                lock(&named).push(*id);
            }
            Ok(())
        })?;
        let mut flushed = own.clone();
        let others = Naming::of(self.candidate.store).of_others(stage.name())?;
        if !others.is_empty() {
            let tree = self.candidate.ingested.tree.iter();
            let files = tree.filter_map(|entry| match entry.node {
                Node::File(file) => Some(file.object()),
                _ => None,
            });
            flushed.add_common(&FanOuts::of(files), &others);
        }
        flushed.flush(self.candidate.store)?;
        if !own.is_empty() {
            Naming::of(self.candidate.store).end(stage.dir())?;
        }
        Ok(())
    }

    /// Does step 4. A generation that is only kept is renewed when it is activated.
    fn freshen(&self, shown: &mut PublishedMtimes) -> Result<u64> {
        let lost = current_generation::load_lost(
            self.candidate.store,
            self.candidate.base.as_ref().map(|base| base.generation.id()),
        )?;
        let base = self
            .candidate
            .base
            .as_ref()
            .or(lost.as_ref())
            .filter(|_| self.options.activate != Activate::Never);
        let (stage, Some(base)) = (&self.built.stage, base) else { return Ok(0) };
        let now = self.candidate.store.now().into();
        let mut freshness =
            fresh::plan((&base.tree, &base.shown), (&self.candidate.ingested.tree, shown), now);
        if !freshness.touches.is_empty() {
            let standing = InodeSource { generation: &base.generation, quiet: self.candidate.quiet()? };
            freshen::freshen(self.candidate.store, stage, &standing, stage.tree(), &mut freshness)?;
        }
        if freshness.shown != *shown {
            let file = stage.put_beside(self.candidate.store, SHOWN, 0o644, &freshness.shown.encode())?;
            let (file, name) = (Flush::File(file, stage.next().join(SHOWN)), stage.next().open_dir(b"")?);
            self.candidate.store.fs.sync_each(vec![file, Flush::Dir(name)])?;
            *shown = freshness.shown;
        }
        Ok(freshness.touches.len() as u64)
    }
}

pub(super) fn is_empty_file(tree: &Tree, entry: u32) -> bool {
    matches!(tree.get(entry as usize).node, Node::File(file) if file.size == 0)
}

//! Before the lock: the manifest of step 1, and steps 2 to 4 of a commit: flush, names of objects, renewed inodes.

use std::fs::File;
use std::time::{Instant, SystemTime};

use crate::change::freshen::{self, InodeSource};
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::fault::FaultStage;
use crate::fs::flush::{Flush, MANY};
use crate::fs::folders::Folders;
use crate::model::codec::Head;
use crate::model::delta::{self, Delta};
use crate::model::digest::Digest;
use crate::model::fresh::{self, Shown};
use crate::model::relpath;
use crate::model::tree::{Node, Tree};
use crate::parts::current_generation;
use crate::parts::hold::Activate;
use crate::parts::layout::{DELTA, INDEX, MANIFEST, SHOWN};
use crate::parts::naming::{FanOuts, Naming};
use crate::parts::stage_dir::StageDir;
use crate::progress::Phase;
use crate::threads::lock;
use crate::threads::prelude::*;
use crate::verbs::publish::ingest::context::EntrySource;
use crate::verbs::publish::options::CommitOptions;
use crate::verbs::publish::staged::Staged;

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
    shown: Shown,
    /// The number of files that got an inode of their own, to show a newer mtime.
    pub(super) refreshed: u64,
}

impl Staged<'_> {
    /// Does steps 1 to 4.
    pub(super) fn flush(&mut self, options: &CommitOptions, created: SystemTime) -> Result<Flushed> {
        let start = Instant::now();
        self.store.options.progress.begin(Phase::Flush, None);
        let written = self.make_durable(options, created)?;
        let mut shown = Shown::default();
        let refreshed = self.freshen(options, &mut shown)?;
        self.write_sealed(written.body, &shown)?;
        self.times.sync = start.elapsed();
        Ok(Flushed { written, created, shown, refreshed })
    }

    /// Repeats step 4 for another current generation.
    pub(super) fn flush_again(&self, options: &CommitOptions, flushed: &mut Flushed) -> Result<()> {
        let Some(stage) = &self.stage else { return Ok(()) };
        flushed.refreshed += self.freshen(options, &mut flushed.shown)?;
        self.write_delta(stage, &flushed.written)?;
        self.write_sealed(flushed.written.body, &flushed.shown)
    }

    /// Does steps 1 to 3: manifest, flush, names.
    fn make_durable(&self, options: &CommitOptions, created: SystemTime) -> Result<Written> {
        let stage = self.stage.as_ref().expect("an assembled tree has a stage");
        self.store.fs.enter(FaultStage::Flush, &self.store.dir)?;
        let (file, written) = self.write_manifest(stage, options, created)?;
        let mut all = self.to_flush(stage)?;
        all.push(Flush::File(file, stage.next().join(MANIFEST)));
        let flush = self.store.fs.begin_flush(all);
        self.write_index(stage)?;
        self.write_delta(stage, &written)?;
        flush.wait()?;
        self.name_objects(stage)?;
        Ok(written)
    }

    fn write_manifest(
        &self,
        stage: &StageDir,
        options: &CommitOptions,
        created: SystemTime,
    ) -> Result<(File, Written)> {
        let head = Head::of(&self.ingested.tree, created, options.note.clone(), options.facts.clone());
        let (file, (body, whole)) = stage.put_pieces_beside(self.store, MANIFEST, 0o444, |mut out| {
            head.write_with(&self.ingested.tree, &mut out)
        })?;
        Ok((file, Written { file: whole, body }))
    }

    /// Writes the index of the sources beside the manifest. It is a cache, and not flushed.
    fn write_index(&self, stage: &StageDir) -> Result<()> {
        let Some(index) = &self.ingested.sources else { return Ok(()) };
        stage.put_beside(self.store, INDEX, 0o644, &index.encode()).map(drop)
    }

    /// Writes the delta to the current generation beside the manifest. It is a cache, and not flushed.
    /// Another generation may be current by the time of the commit.
    fn write_delta(&self, stage: &StageDir, manifest: &Written) -> Result<()> {
        let base = self.base.as_ref().and_then(|base| Some((base, base.body?)));
        let delta = base.and_then(|(base, base_body)| {
            let (before, after) = delta::differing(&base.tree, &self.ingested.tree)?;
            Some(Delta { base: base.generation.id(), base_body, body: manifest.body, before, after })
        });
        match delta {
            Some(delta) => stage.put_beside(self.store, DELTA, 0o644, &delta.encode()).map(drop),
            // There may be a delta to the previous current generation.
            None => self.store.fs.unlink(stage.next(), DELTA).map(drop),
        }
    }

    /// Lists the items that make the stage durable: file by file if they are few, otherwise the whole
    /// filesystem.
    fn to_flush(&self, stage: &StageDir) -> Result<Vec<Flush>> {
        if let Some(recycled) = &self.recycled {
            return self.to_flush_recycled(recycled, stage);
        }
        let tree = &self.ingested.tree;
        let placed = |how: &EntrySource| matches!(how, EntrySource::Placed | EntrySource::Made);
        let fresh = self.ingested.how.iter().filter(|how| placed(how)).count();
        let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
        // Copies instead of links are new files, too.
        if fresh + folders.len() > MANY || self.objects.is_apart() {
            return Ok(vec![Flush::Filesystem(stage.tree().open_dir(b"")?)]);
        }
        let mut all = vec![Flush::Dir(stage.next().open_dir(b"")?), Flush::Dir(stage.dir().open_dir(b"")?)];
        for (folder, members) in folders.iter() {
            let dir = stage.tree().open_dir(folder)?;
            for &entry in members {
                if self.ingested.how[entry as usize] == EntrySource::Placed || is_empty_file(tree, entry) {
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
    fn name_objects(&self, stage: &StageDir) -> Result<()> {
        let placed: Vec<_> = self.ingested.placed.iter().collect();
        let damaged = &self.ingested.damaged;
        let own = FanOuts::of(placed.iter().map(|(id, _)| **id));
        if !own.is_empty() {
            Naming::of(self.store).begin(stage.dir(), &own)?;
        }
        placed.into_par_iter().try_for_each(|(id, entry)| {
            // The name of a damaged object is taken. Healing frees it, under the commit lock.
            if damaged.contains(id) {
                return Ok(());
            }
            let (dir, name) = open_parent(stage.tree(), self.ingested.tree.path(*entry as usize))?;
            if self.objects.insert(&self.guard, (&dir, name), *id)? {
                lock(&self.named).push(*id);
            }
            Ok(())
        })?;
        let mut flushed = own.clone();
        let others = Naming::of(self.store).of_others(stage.name())?;
        if !others.is_empty() {
            let tree = self.ingested.tree.iter();
            let files = tree.filter_map(|entry| match entry.node {
                Node::File(file) => Some(file.object()),
                _ => None,
            });
            flushed.add_common(&FanOuts::of(files), &others);
        }
        flushed.flush(self.store)?;
        if !own.is_empty() {
            Naming::of(self.store).end(stage.dir())?;
        }
        Ok(())
    }

    /// Does step 4. A generation that is only kept is renewed when it is activated.
    fn freshen(&self, options: &CommitOptions, shown: &mut Shown) -> Result<u64> {
        let lost =
            current_generation::load_lost(self.store, self.base.as_ref().map(|base| base.generation.id()))?;
        let base = self.base.as_ref().or(lost.as_ref()).filter(|_| options.activate != Activate::Never);
        let (Some(stage), Some(base)) = (&self.stage, base) else { return Ok(0) };
        let now = self.store.now().into();
        let mut freshness = fresh::plan((&base.tree, &base.shown), (&self.ingested.tree, shown), now);
        if !freshness.touches.is_empty() {
            let standing = InodeSource { generation: &base.generation, quiet: self.quiet()? };
            freshen::freshen(self.store, stage, &standing, stage.tree(), &mut freshness)?;
        }
        if freshness.shown != *shown {
            let file = stage.put_beside(self.store, SHOWN, 0o644, &freshness.shown.encode())?;
            let (file, name) = (Flush::File(file, stage.next().join(SHOWN)), stage.next().open_dir(b"")?);
            self.store.fs.sync_each(vec![file, Flush::Dir(name)])?;
            *shown = freshness.shown;
        }
        Ok(freshness.touches.len() as u64)
    }
}

pub(super) fn is_empty_file(tree: &Tree, entry: u32) -> bool {
    matches!(tree.get(entry as usize).node, Node::File(file) if file.size == 0)
}

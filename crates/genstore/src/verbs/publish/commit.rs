//! Commit: a staged tree becomes a generation, and current. Floor 3.
//!
//! The order of a commit, after which each step may be cut off (`store-layout.md`, "Commit"):
//! 1. new objects and the tree are written in the stage (`ingest`, `assemble`), the manifest too;
//! 2. one flush makes all of that durable;
//! 3. the new objects get their names: what has a name is durable;
//! 4. paths that need a newer mtime get inodes of their own, durably (`fresh`);
//! 5. under the commit lock: the intent and the number are made durable;
//! 6. the stage becomes `generations/<id>`, and the folders that gained names are flushed;
//! 7. `current` is renamed over: the commit; and the store's folder is flushed;
//! 8. the log, the notice and the end of the intent: if these fail the commit stands.

use std::fs::File;
use std::time::{Instant, SystemTime};

use crate::change::freshen::{self, Standing};
use crate::change::{announce, begin, expect};
use crate::error::{Error, RefusedKind, Result};
use crate::fs::dir::open_parent;
use crate::fs::fault::FaultStage;
use crate::fs::flush::{Flush, MANY};
use crate::fs::folders::Folders;
use crate::model::codec::{Head, MAX_FACTS_LEN, MAX_NOTE_LEN};
use crate::model::delta::{self, Delta};
use crate::model::diff::diff;
use crate::model::digest::Digest;
use crate::model::fresh::{self, Shown};
use crate::model::ids::{GenerationId, StageId};
use crate::model::records::{Intent, Sequence};
use crate::model::relpath;
use crate::model::tree::{Node, Tree};
use crate::parts::current::Current;
use crate::parts::hold::{Activate, HoldFile};
use crate::parts::layout::{DELTA, GENERATIONS, INDEX, MANIFEST, SHOWN};
use crate::parts::locks::CommitLock;
use crate::parts::log::{Event, Log};
use crate::parts::look::{self, Quiet};
use crate::parts::naming::{FanOuts, Naming};
use crate::parts::pending_write::{PendingWrite, PendingWrites};
use crate::parts::stage_dir::{NEXT, StageDir};
use crate::parts::{current_generation, record, suspects};
use crate::progress::Phase;
use crate::publication::Publication;
use crate::repair::{owners, rescue};
use crate::threads::lock;
use crate::threads::prelude::*;
use crate::verbs::publish::audit::Audited;
use crate::verbs::publish::ingest::context::{EntrySource, Ingested};
use crate::verbs::publish::options::CommitOptions;
use crate::verbs::publish::staged::Staged;
use crate::verbs::publish::unchanged::Looked;
use crate::views::refresh;
use crate::warning::{AfterCommit, Warning};

impl Audited<'_> {
    /// Makes the tree a generation, and current.
    ///
    /// # Errors
    /// [`Error::Refused`] where the tree is empty, and what is current is not: see
    /// [`crate::Emptying`]. [`Error::Lost`] when something else is current than expected. Whatever the error, `current`
    /// is as before; and a stage that was resumed is still there, for another try.
    ///
    /// # Durability
    /// On return the generation survives a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn commit(self, options: &CommitOptions) -> Result<Publication> {
        let mut staged = self.into_staged();
        let done = staged.commit(options);
        if done.is_err() {
            staged.take_back();
        }
        done
    }
}

impl<'s> Staged<'s> {
    fn commit(&mut self, options: &CommitOptions) -> Result<Publication> {
        check_texts(options)?;
        let store = self.store;
        let written_to = [
            self.ingested.losses.warnings(),
            owners::check_owners(store),
            refresh::check_written_to(store, self.base.as_ref()),
        ]
        .concat();
        let mut shown = Shown::default();
        let mut refreshed = 0;
        let created = store.now();
        let mut manifest: Option<Written> = None;
        let (start, lock, mut sequence, previous, healed, activate) = loop {
            if self.assembled && manifest.is_none() {
                let start = Instant::now();
                store.options.progress.begin(Phase::Flush, None);
                let written = self.make_durable(options, created)?;
                refreshed += self.freshen(options, &mut shown)?;
                self.write_sealed(written.body, &shown)?;
                manifest = Some(written);
                self.times.sync = start.elapsed();
            }
            let start = Instant::now();
            let is_unchanged = self.is_current() && !self.always;
            let looked = if is_unchanged { self.look_at_current()? } else { Looked::default() };
            let (lock, mut sequence) = begin::begin_commit(store)?;
            let previous = Current::of(store).id()?;
            expect::check_expected(store, options.expect, previous)?;
            let healed = self.heal(&lock, &mut sequence)?;
            let moved = self.rebase(&lock, previous)?;
            if self.is_current() && !self.always {
                if moved {
                    // Another generation with the same tree became current: it is looked at as well.
                    drop(lock);
                    continue;
                }
                self.settle_unchanged(&lock, looked, healed)?;
                let mut publication = self.describe(previous, refreshed, healed);
                publication.warnings = [written_to, refresh::check_views(store, &lock)].concat();
                drop(lock);
                publication.warnings.extend(self.clear_up());
                publication.durable = announce::is_durable(store, &publication.warnings);
                publication.times.commit = start.elapsed();
                return Ok(publication);
            }
            if self.assembled {
                if let (true, Some(stage), Some(manifest)) = (moved, &self.stage, &manifest) {
                    refreshed += self.freshen(options, &mut shown)?;
                    self.write_delta(stage, manifest)?;
                    self.write_sealed(manifest.body, &shown)?;
                }
                let activate = HoldFile::of(store).activates(&lock, options.activate)?;
                if activate {
                    self.check_emptying(options.emptying)?;
                }
                break (start, lock, sequence, previous, healed, activate);
            }
            // What was current when we staged no longer is, so there is a tree to be made.
            drop(lock);
            if self.audit_skipped {
                return Err(Error::refused(
                    RefusedKind::MovedMeanwhile,
                    "this tree was current and so was not audited, but now it no longer is; publish again",
                ));
            }
            let tree = self.ingested.tree.clone();
            self.assemble(&Folders::of((0..tree.len()).map(|index| tree.path(index))))?;
        };
        let stage = self.stage.take().expect("an assembled tree has its stage");
        let id = GenerationId::new(sequence.high + 1)
            .ok_or_else(|| Error::refused(RefusedKind::NumbersUsedUp, "no generation number is left"))?;
        let mut after = AfterCommit::new(written_to);
        let event = Event::Publish {
            manifest: manifest.map_or_else(String::new, |written| written.file.to_string()),
            created: created.into(),
            note: options.note.clone(),
            facts: options.facts.clone(),
            stage: claimed_id(&stage),
            new_bytes: Some(self.ingested.new_bytes),
        };
        let mut described = None;
        let describe = || {
            described = Some(self.describe(previous, refreshed, healed));
            Ok(())
        };
        let done = self.take_place(&lock, &stage, id, activate, &mut sequence, describe).and_then(|end| {
            if activate {
                return Ok(Some(end));
            }
            // A generation that is only kept is complete when its intent is gone; and whoever has
            // its stage must find the line by then.
            Log::of(store).append(&lock, id, event.clone())?;
            Log::of(store).sync()?;
            end.put(&lock).map(|()| None)
        });
        let end = match done {
            Ok(end) => end,
            Err(error) => {
                // Take it back at once; if even that fails, the next writer does it.
                drop(begin::settle(store, &lock));
                self.stage = Some(stage);
                return Err(error);
            }
        };
        let mut publication = described.expect("nothing takes its place undescribed");
        publication.generation = id;
        publication.changed = true;
        publication.current = activate;
        if let Some(end) = end {
            after.sealed(Current::of(store).make_durable(&lock));
            after.must_finish("write the log", Log::of(store).append(&lock, id, event));
            after.record("end the stage's claim", stage.end_claim(store));
            let event = Event::Activate { previous };
            after.must_finish("write the log", Log::of(store).append(&lock, id, event));
            after.must_finish("end the hold", HoldFile::of(store).remove(&lock));
            after.must_finish("keep the log", announce::sync_told(store, false));
            announce::tell(store, &lock, &mut after, id, publication.tree, end);
        } else {
            after.sealed(record::make_end_durable(store, &lock));
        }
        drop(lock);
        self.stage = Some(stage);
        after.warnings.extend(self.clear_up());
        publication.times.commit = start.elapsed();
        publication.durable = announce::is_durable(store, &after.warnings);
        publication.warnings = after.warnings;
        Ok(publication)
    }

    /// Steps 1 to 3: manifest, flush, names.
    fn make_durable(&self, options: &CommitOptions, created: SystemTime) -> Result<Written> {
        let stage = self.stage.as_ref().expect("an assembled tree has its stage");
        self.store.fs.enter(FaultStage::Flush, &self.store.dir)?;
        let (file, written) = self.write_manifest(stage, options, created)?;
        let mut all = self.to_flush(stage)?;
        all.push(Flush::File(file, stage.next().join(MANIFEST)));
        let beside = || self.write_index(stage).and_then(|()| self.write_delta(stage, &written));
        self.store.fs.sync_each_while(&all, beside)?;
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

    /// Writes what is known of the sources beside the manifest. It is a cache, and not flushed.
    fn write_index(&self, stage: &StageDir) -> Result<()> {
        let Some(index) = &self.ingested.sources else { return Ok(()) };
        stage.put_beside(self.store, INDEX, 0o644, &index.encode()).map(drop)
    }

    /// Writes beside the manifest how it differs from what is current. It is a cache, and not
    /// flushed; and what is current may be another one by the time of the commit.
    fn write_delta(&self, stage: &StageDir, manifest: &Written) -> Result<()> {
        let base = self.base.as_ref().and_then(|base| Some((base, base.body?)));
        let delta = base.and_then(|(base, base_body)| {
            let (before, after) = delta::differing(&base.tree, &self.ingested.tree)?;
            Some(Delta { base: base.generation.id(), base_body, body: manifest.body, before, after })
        });
        match delta {
            Some(delta) => stage.put_beside(self.store, DELTA, 0o644, &delta.encode()).map(drop),
            // There may be one to what was current before.
            None => self.store.fs.unlink(stage.next(), DELTA).map(drop),
        }
    }

    /// Lists what makes the stage durable: file by file where there is little, all where there is much.
    fn to_flush(&self, stage: &StageDir) -> Result<Vec<Flush>> {
        if let Some(recycled) = &self.recycled {
            return self.to_flush_recycled(recycled, stage);
        }
        let tree = &self.ingested.tree;
        let placed = |how: &EntrySource| matches!(how, EntrySource::Placed | EntrySource::Made);
        let fresh = self.ingested.how.iter().filter(|how| placed(how)).count();
        let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
        // Copies in place of links are new files, too.
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

    /// Gives every new object its name, and makes durable the names of all objects of the tree: those
    /// that another publisher gave, and did not live to make durable or is about to, as well.
    fn name_objects(&self, stage: &StageDir) -> Result<()> {
        let placed: Vec<_> = self.ingested.placed.iter().collect();
        let damaged = &self.ingested.damaged;
        let own = FanOuts::of(placed.iter().map(|(id, _)| **id));
        if !own.is_empty() {
            Naming::of(self.store).begin(stage.dir(), &own)?;
        }
        placed.into_par_iter().try_for_each(|(id, entry)| {
            // The name of a damaged one is taken; healing frees it, under the commit lock.
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

    /// Step 4. A generation that is only kept is made fresh when it is activated.
    fn freshen(&self, options: &CommitOptions, shown: &mut Shown) -> Result<u64> {
        let lost =
            current_generation::load_lost(self.store, self.base.as_ref().map(|base| base.generation.id()))?;
        let base = self.base.as_ref().or(lost.as_ref()).filter(|_| options.activate != Activate::Never);
        let (Some(stage), Some(base)) = (&self.stage, base) else { return Ok(0) };
        let now = self.store.now().into();
        let mut freshness = fresh::plan((&base.tree, &base.shown), (&self.ingested.tree, shown), now);
        if !freshness.touches.is_empty() {
            let standing = Standing { generation: &base.generation, quiet: self.quiet()? };
            freshen::freshen(self.store, stage, &standing, stage.tree(), &mut freshness)?;
        }
        if freshness.shown != *shown {
            let file = stage.put_beside(self.store, SHOWN, 0o644, &freshness.shown.encode())?;
            let (file, name) = (Flush::File(file, stage.next().join(SHOWN)), stage.next().open_dir(b"")?);
            self.store.fs.sync_each(&[file, Flush::Dir(name)])?;
            *shown = freshness.shown;
        }
        Ok(freshness.touches.len() as u64)
    }

    /// Returns how far ctimes of the current generation's files are believed.
    pub(crate) fn quiet(&self) -> Result<Quiet> {
        if self.rehash { Ok(Quiet::Unknown) } else { look::quiet(self.store) }
    }

    /// Looks at what is current now, under the commit lock; tells whether it is another one.
    fn rebase(&mut self, lock: &CommitLock, current: Option<GenerationId>) -> Result<bool> {
        if self.base.as_ref().map(|base| base.generation.id()) == current {
            return Ok(false);
        }
        self.base = rescue::rescued_base(self.store, lock, current)?.0;
        Ok(true)
    }

    /// Heals what was found damaged and is in this tree with the right bytes.
    fn heal(&mut self, lock: &CommitLock, sequence: &mut Sequence) -> Result<u64> {
        if sequence.heals != self.heals_seen {
            return Err(Error::refused(
                RefusedKind::HealedMeanwhile,
                "another process healed damaged objects while this tree was staged; publish again",
            ));
        }
        let mut healed = u64::from(self.healed_base) + self.ingested.restored;
        let suspects = suspects::suspects(self.store)?;
        for &id in &self.ingested.damaged {
            let Some(stage) = &self.stage else { break };
            let entry = self.ingested.placed[&id];
            let entry = self.ingested.tree.get(entry as usize);
            let Node::File(file) = entry.node else {
                continue;
            };
            let (dir, name) = open_parent(stage.tree(), entry.path)?;
            let good = Some((&dir, name, file));
            rescue::heal_object(self.store, lock, sequence, &self.objects, &self.guard, id, good)?;
            healed += 1;
        }
        for &id in suspects.objects.iter().filter(|id| !self.ingested.damaged.contains(id)) {
            // Whoever replaced it was cut short before all paths that show it were mended.
            if self.objects.is_intact(id)? {
                rescue::heal_object(self.store, lock, sequence, &self.objects, &self.guard, id, None)?;
                healed += 1;
            }
        }
        for id in suspects.generations {
            healed += u64::from(rescue::heal_generation(self.store, lock, id).is_ok());
        }
        if self.heals_seen != sequence.heals {
            // Objects that were made good are copies of the files in this tree.
            self.objects.set_apart();
        }
        self.heals_seen = sequence.heals;
        Ok(healed)
    }

    /// From the number to the pointer. On an error everything is as before, or the next writer
    /// makes it so.
    fn take_place(
        &self,
        lock: &CommitLock,
        stage: &StageDir,
        id: GenerationId,
        activate: bool,
        sequence: &mut Sequence,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<PendingWrite<'s>> {
        let store = self.store;
        store.fs.enter(FaultStage::Number, &store.dir)?;
        sequence.high = id.get();
        let from = claimed_id(stage);
        sequence.intent = Some(Intent::Publish { generation: id, activate, stage: from });
        let end = PendingWrites::of(store).begin_change(lock, sequence, &[], vec![], meanwhile)?;
        let generations = store.sub(GENERATIONS)?;
        store.fs.rename_to_free((stage.dir(), NEXT), (&generations, id.to_string().as_bytes()))?;
        store.fs.sync_dir(&generations)?;
        if activate {
            self.point_at(lock, id)?;
        }
        Ok(end)
    }

    fn point_at(&self, lock: &CommitLock, id: GenerationId) -> Result<()> {
        self.store.fs.enter(FaultStage::Pointer, &self.store.dir)?;
        Current::of(self.store).set(lock, id)
    }

    fn describe(&self, previous: Option<GenerationId>, refreshed: u64, healed: u64) -> Publication {
        let tree = &self.ingested.tree;
        let empty = Tree::empty();
        let old = self.base.as_ref().map_or(&empty, |base| &base.tree);
        let summary = diff(old, tree).summary;
        Publication {
            generation: previous.unwrap_or_else(|| GenerationId::new(1).expect("one is not zero")),
            tree: tree.id(),
            previous,
            changed: false,
            current: true,
            durable: false,
            files: tree.files(),
            bytes: tree.bytes(),
            written: self.written_files(),
            unchanged: tree.len() as u64 - summary.added - summary.modified - summary.renamed,
            new_objects: self.ingested.placed.len() as u64,
            new_bytes: self.ingested.new_bytes,
            diff: summary,
            refreshed,
            healed,
            recycled: self.retired,
            times: self.times,
            linked: self.ingested.linked.clone(),
            warnings: vec![],
        }
    }

    /// Counts the files whose bytes were written; empty ones have none.
    fn written_files(&self) -> u64 {
        let Ingested { tree, how, .. } = &self.ingested;
        let is_written =
            |entry: &usize| how[*entry] == EntrySource::Placed && !is_empty_file(tree, *entry as u32);
        (0..how.len()).filter(is_written).count() as u64
    }

    /// Removes what the commit no longer needs: the emptied stage, and consumed sources.
    fn clear_up(&mut self) -> Vec<Warning> {
        let mut after = AfterCommit::default();
        if let Some(stage) = self.stage.take() {
            after.record("remove the stage", stage.remove(self.store));
        }
        for file in std::mem::take(&mut self.ingested.consumed) {
            after.record("remove a consumed file", file.remove(&self.store.fs));
        }
        after.warnings
    }
}

/// A manifest that was written to the stage.
struct Written {
    /// BLAKE3 of the whole file.
    file: Digest,
    /// BLAKE3 of what follows the frame.
    body: Digest,
}

/// Names a stage that was begun apart from its commit, so that its second commit can be told so.
fn claimed_id(stage: &StageDir) -> Option<StageId> {
    stage.is_claimed().then(|| stage.id())
}

fn is_empty_file(tree: &Tree, entry: u32) -> bool {
    matches!(tree.get(entry as usize).node, Node::File(file) if file.size == 0)
}

fn check_texts(options: &CommitOptions) -> Result<()> {
    let facts: usize = options.facts.iter().map(|(key, value)| key.len() + value.len()).sum();
    if options.note.len() > MAX_NOTE_LEN {
        return Err(Error::refused(
            RefusedKind::NoteTooLong,
            format!("the note is longer than {MAX_NOTE_LEN} bytes"),
        ));
    }
    if facts > MAX_FACTS_LEN {
        return Err(Error::refused(
            RefusedKind::FactsTooLong,
            format!("the facts are longer than {MAX_FACTS_LEN} bytes"),
        ));
    }
    Ok(())
}

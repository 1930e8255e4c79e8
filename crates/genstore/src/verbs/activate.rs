//! Activation: making a generation current, and fresh before it is. Floor 3.

use crate::change::freshen::Standing;
use crate::error::{Error, Result};
use crate::fs::Durability;
use crate::fs::dir::open_parent;
use crate::fs::fault::FaultStage;
use crate::fs::flush::Flush;
use crate::model::digest::Digest;
use crate::model::fresh::{self, Freshness, Shown};
use crate::model::ids::GenerationId;
use crate::model::index::SourceIndex;
use crate::model::tree::{Tree, TreeId};
use crate::parts::generations::Generation;
use crate::parts::hold::HoldRecord;
use crate::parts::layout::{HOLD, Home, LOG, MARKS};
use crate::parts::locks::CommitLock;
use crate::parts::log::Event;
use crate::parts::pending_write::Prepared;
use crate::parts::records::{Intent, Mark, MarkRecord, Sequence, wrap};
use crate::threads;

/// What must be current for a commit to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// Whatever is.
    #[default]
    Any,
    /// Nothing: no generation has been activated yet.
    Unborn,
    /// This generation.
    Current(GenerationId),
}

/// Something that went wrong after `current` had moved: the commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What could not be done.
    pub message: String,
    /// Whether a power loss may undo what was done, or a part of what is told of it. The next writer
    /// makes it durable.
    pub not_durable: bool,
}

/// What an activation did.
#[derive(Clone, Debug)]
#[must_use]
pub struct Activation {
    /// What is current now.
    pub generation: GenerationId,
    /// Its tree.
    pub tree: TreeId,
    /// What was current before.
    pub previous: Option<GenerationId>,
    /// Files that got an inode of their own, to show a newer mtime.
    pub refreshed: u64,
    /// Whether all of it survives a power loss.
    pub durable: bool,
    /// What went wrong afterwards.
    pub warnings: Vec<Warning>,
}

/// Whether what is activated is to stay current.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HoldAfter {
    /// Until a person says otherwise.
    Held,
    /// Until the next publication.
    Free,
}

/// What comes of comparing a kept generation with what is current.
struct Compared {
    tree: TreeId,
    /// What its own `shown` says.
    shown: Shown,
    /// What is current, and what follows from it.
    base: Option<(Generation, Freshness)>,
    /// Whether every byte of its manifest has been looked at.
    is_checked: bool,
}

/// A kept generation that is about to become current.
struct Next<'a> {
    generation: &'a Generation,
    /// What its own `shown` says.
    shown: &'a Shown,
    base: Option<&'a mut (Generation, Freshness)>,
}

/// What is current, as a new generation is compared with it.
pub(crate) struct Base {
    pub(crate) generation: Generation,
    pub(crate) tree: Tree,
    /// BLAKE3 of its manifest's body; `None` where that could not be read, and the files told.
    pub(crate) body: Option<Digest>,
    pub(crate) shown: Shown,
    /// What is known of the sources it was made from.
    pub(crate) index: Option<SourceIndex>,
}

impl Home {
    /// Reads what is current, and leases it.
    pub(crate) fn base(&self, id: GenerationId) -> Result<Base> {
        let generation = self.generation(id)?;
        let (manifest, shown) = (generation.manifest()?, generation.shown()?);
        let body = Some(generation.head_and_body()?.1);
        Ok(Base { generation, tree: manifest.tree, body, shown, index: None })
    }

    /// Makes a kept generation current.
    ///
    /// # Locks
    /// Takes the store lock, shared, and the commit lock.
    ///
    /// # Durability
    /// On return the move is durable, unless a warning says otherwise.
    pub(crate) fn activate(
        &self,
        id: GenerationId,
        expect: Expect,
        mark: impl FnOnce(Option<GenerationId>) -> Vec<(GenerationId, Mark, Option<String>)>,
        hold: HoldAfter,
    ) -> Result<Activation> {
        let _guard = self.share()?;
        let (lock, mut sequence) = self.begin_commit()?;
        let previous = self.current()?;
        self.check_expected(expect, previous)?;
        let generation = self.generation(id)?;
        let made: crate::parts::records::Moment = self.now().into();
        let marks: Vec<(GenerationId, MarkRecord)> = mark(previous)
            .into_iter()
            .map(|(id, mark, why)| (id, MarkRecord { mark, made, why }))
            .collect();
        if previous == Some(id) {
            let tree = generation.head()?.tree;
            for (id, mark) in &marks {
                self.write_mark(&lock, *id, mark)?;
            }
            self.set_hold(&lock, None)?;
            let warnings = self.check_views(&lock);
            let durable = self.is_durable(&warnings);
            return Ok(Activation { generation: id, tree, previous, refreshed: 0, durable, warnings });
        }
        drop(generation.tree_dir()?);
        let Compared { tree, shown, mut base, is_checked } = self.compare(&lock, &generation, previous)?;
        let check = || if is_checked { Ok(()) } else { generation.check_small_manifest() };
        let hold = previous.filter(|_| hold == HoldAfter::Held).map(|left| HoldRecord {
            generation: id,
            left,
            made,
            by: self.options.actor.clone(),
        });
        let mut records = Vec::new();
        for (id, mark) in &marks {
            records.push(self.prepare(&lock, MARKS, id.to_string().as_bytes(), &wrap(mark))?);
        }
        if let Some(hold) = &hold {
            records.push(self.prepare(&lock, b"", HOLD, &wrap(hold))?);
        }
        let (is_marked, is_held) = (!marks.is_empty(), hold.is_some());
        sequence.intent = Some(Intent::Activate { generation: id, marks, hold });
        let next = Next { generation: &generation, shown: &shown, base: base.as_mut() };
        let end = match self.make_current(&lock, &sequence, &records, next, check) {
            Ok(end) => end,
            Err(error) => {
                // What was begun is taken back at once; if even that fails, the next writer does it.
                drop(self.settle(&lock));
                return Err(error);
            }
        };
        let refreshed = base.as_ref().map_or(0, |(_, freshness)| freshness.touches.len() as u64);
        let mut after = AfterCommit::default();
        after.sealed(self.seal_current(&lock));
        for record in records {
            after.owe("write down the mark and the hold", record.put(&lock));
        }
        if !is_held {
            after.owe("end the hold", self.remove_hold(&lock));
        }
        after.owe("write the log", self.append_log(&lock, id, Event::Activate { previous }));
        after.owe("keep what was noted", self.sync_told(is_marked));
        self.tell(&lock, &mut after, id, tree, end);
        let durable = self.is_durable(&after.warnings);
        let warnings = after.warnings;
        Ok(Activation { generation: id, tree, previous, refreshed, durable, warnings })
    }

    /// Returns whether all that was done survives a power loss.
    pub(crate) fn is_durable(&self, warnings: &[Warning]) -> bool {
        self.options.durability == Durability::Full && !warnings.iter().any(|warning| warning.not_durable)
    }

    /// Notes the change, makes the generation fresh, and moves `current`. Returns the record that ends
    /// the change.
    ///
    /// # Errors
    /// Whatever fails, `current` is as before; what else was begun is recovery's to take back.
    fn make_current<'h>(
        &'h self,
        lock: &CommitLock,
        sequence: &Sequence,
        records: &[Prepared<'h>],
        next: Next<'_>,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<Prepared<'h>> {
        let end = match next.base {
            Some((base, freshness)) => {
                let standing = Standing { generation: base, quiet: self.quiet()? };
                let kept = (next.generation, next.shown);
                let mut fresh = self.stage_fresh(lock, &standing, kept, freshness)?;
                let flushes = fresh.flushes()?;
                let done = self.begin_change(lock, sequence, records, flushes, check).and_then(|end| {
                    self.put_fresh(lock, next.generation, &mut fresh, freshness).map(|()| end)
                });
                let cleared = fresh.clear(self);
                let end = done?;
                cleared?;
                end
            }
            None => self.begin_change(lock, sequence, records, vec![], check)?,
        };
        self.set_current(lock, next.generation.id())?;
        Ok(end)
    }

    /// Finds out what must be done to a kept generation before it may become current.
    fn compare(
        &self,
        lock: &CommitLock,
        next: &Generation,
        previous: Option<GenerationId>,
    ) -> Result<Compared> {
        // The difference is a cache: whatever is wrong with this way, the manifests have the say.
        if let Some(previous) = previous
            && let Ok(Some(mut compared)) = self.compare_neighbours(next, previous)
        {
            if let Some((_, freshness)) = &mut compared.base {
                self.look_at_stays(next, freshness)?;
            }
            return Ok(compared);
        }
        let (tree, base) = threads::join(
            || next.manifest().and_then(|m| next.shown().map(|shown| (m.tree, shown))),
            || self.rescued_base(lock, previous),
        );
        let ((tree, shown), (base, _)) = (tree?, base?);
        let base = base.map(|base| {
            let now = self.now().into();
            let mut freshness = fresh::plan((&base.tree, &base.shown), (&tree, &shown), now);
            freshness.add_own((&tree, &shown));
            self.look_at_stays(next, &mut freshness)?;
            Ok((base.generation, freshness))
        });
        Ok(Compared { tree: tree.id(), shown, base: base.transpose()?, is_checked: true })
    }

    /// Does it by the kept difference, where one of the two was made while the other was current.
    fn compare_neighbours(&self, next: &Generation, previous: GenerationId) -> Result<Option<Compared>> {
        if self.is_suspect_generation(previous)? || self.is_suspect_generation(next.id())? {
            return Ok(None);
        }
        let Some(base) = self.find_generation(previous)? else { return Ok(None) };
        let ((base_head, base_body), (head, body)) = (base.head_and_body()?, next.head_and_body()?);
        let forward = previous < next.id();
        let ((older, older_body), (newer, newer_body)) =
            if forward { ((&base, base_body), (next, body)) } else { ((next, body), (&base, base_body)) };
        let delta = newer.delta(newer_body)?;
        let Some(delta) = delta.filter(|d| (d.base, d.base_body) == (older.id(), older_body)) else {
            return Ok(None);
        };
        let (from, to) =
            if forward { (&delta.before, &delta.after) } else { (&delta.after, &delta.before) };
        let (base_shown, shown) = (base.shown()?, next.shown()?);
        let is_told = |path: &[u8]| from.find(path).is_some() || to.find(path).is_some();
        let untold = shown.fresh.keys().filter(|path| !is_told(path));
        if !self.are_shared(untold, &base, next)? {
            return Ok(None);
        }
        let now = self.now().into();
        let files = base_head.files.max(head.files);
        let freshness = fresh::plan_by_difference((from, &base_shown), (to, &shown), files, now);
        let Some(freshness) = freshness else { return Ok(None) };
        Ok(Some(Compared { tree: head.tree, shown, base: Some((base, freshness)), is_checked: false }))
    }

    /// Returns whether paths are the same inodes in what is current and in what is to be, not touched
    /// since `current` was moved. If not, the manifests are needed to look at them.
    fn are_shared<'p>(
        &self,
        paths: impl Iterator<Item = &'p Vec<u8>>,
        base: &Generation,
        next: &Generation,
    ) -> Result<bool> {
        let (base, next, quiet) = (base.tree_dir()?, next.tree_dir()?, self.quiet()?);
        for path in paths {
            let one = open_parent(&base, path).and_then(|(dir, name)| dir.stat(name))?;
            let other = open_parent(&next, path).and_then(|(dir, name)| dir.stat(name))?;
            let is_one = one.zip(other).is_some_and(|(a, b)| a.same_inode(&b) && quiet.covers(a.ctime));
            if !is_one {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes durable what tells of a change: the log, the hold or its end, and the marks, if there are
    /// new ones.
    pub(crate) fn sync_told(&self, is_marked: bool) -> Result<()> {
        let (log, path) = (self.fs.open_or_create(&self.dir, LOG)?, self.dir.join(LOG));
        let mut all = vec![Flush::Dir(self.dir.open_dir(b"")?), Flush::File(log, path)];
        if is_marked {
            all.push(Flush::Dir(self.sub(MARKS)?));
        }
        self.fs.sync_each(&all)
    }

    /// Does what comes last: notice, end of the intent, a look at the views. Nothing of it can undo
    /// the commit.
    pub(crate) fn tell(
        &self,
        lock: &CommitLock,
        after: &mut AfterCommit,
        id: GenerationId,
        tree: TreeId,
        end: Prepared<'_>,
    ) {
        after.owe("write the notice", self.write_notice(lock, id, tree));
        if !after.owes {
            after.note("end the commit's record", end.put(lock));
        }
        match self.fs.enter(FaultStage::View, &self.dir) {
            Ok(()) => after.warnings.extend(self.check_views(lock)),
            failed => after.note("look at the views", failed),
        }
    }

    /// Compares what is current with what the caller expects.
    pub(crate) fn check_expected(&self, expect: Expect, found: Option<GenerationId>) -> Result<()> {
        let expected = match expect {
            Expect::Any => return Ok(()),
            Expect::Unborn => None,
            Expect::Current(id) => Some(id),
        };
        if expected == found {
            return Ok(());
        }
        let history = self.history()?;
        let last = history.last_activation().filter(|line| Some(line.generation) == found);
        Err(Error::Lost {
            expected,
            found,
            by: last.map(|line| line.by.clone()),
            at: last.map(|line| line.time.into()),
        })
    }
}

/// Collects what goes wrong once `current` has moved.
#[derive(Default)]
pub(crate) struct AfterCommit {
    pub(crate) warnings: Vec<Warning>,
    /// The intent stays, so that the next writer does what could not be done now.
    owes: bool,
}

impl AfterCommit {
    /// Begins with what is to be told already.
    pub(crate) fn new(warnings: Vec<Warning>) -> AfterCommit {
        AfterCommit { warnings, owes: false }
    }

    /// Notes the end of something that the next writer can do as well. Until it has, a power loss may
    /// take what is told of the commit.
    pub(crate) fn owe(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.owe_for(format!("could not {what}: {}; the next writer does it", chain(&error)));
        }
    }

    fn owe_for(&mut self, message: String) {
        self.owes = true;
        self.warnings.push(Warning { message, not_durable: true });
    }

    pub(crate) fn note(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.warnings.push(Warning {
                message: format!("could not {what}: {}", chain(&error)),
                not_durable: false,
            });
        }
    }

    pub(crate) fn warn(&mut self, message: String) {
        self.warnings.push(Warning { message, not_durable: false });
    }

    /// Tells of an error as of something that stands in the way of what was done for good.
    pub(crate) fn warn_of(&mut self, what: &str, error: &Error) {
        self.warn(format!("{what}: {}", chain(error)));
    }

    /// The commit is there, but the disk did not say that it will stay so.
    pub(crate) fn sealed(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.owe_for(format!(
                "the commit is visible, but the disk did not confirm it: {}; a power loss may undo it \
                 until the next writer has it confirmed",
                chain(&error)
            ));
        }
    }
}

pub(crate) fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

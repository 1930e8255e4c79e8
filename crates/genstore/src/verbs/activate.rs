//! Activation: renews files of a generation if necessary, and makes it current.

use crate::change::expect::{self, Expect};
use crate::change::freshen::{self, InodeSource};
use crate::change::{announce, recover};
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::model::fresh::{self, Freshness, PublishedMtimes};
use crate::model::ids::GenerationId;
use crate::model::records::{Cause, HoldRecord, Intent, Mark, MarkRecord, Moment, Moving, Sequence};
use crate::model::tree::TreeId;
use crate::parts::current::Current;
use crate::parts::deeds::Deed;
use crate::parts::generations::{Generation, Generations};
use crate::parts::hold::HoldFile;
use crate::parts::layout::{HOLD, MARKS, StoreDir};
use crate::parts::locks::{CommitLock, Locks};
use crate::parts::log::{Event, Log};
use crate::parts::pending_write::{PendingWrite, PendingWrites};
use crate::parts::record::wrap;
use crate::parts::records::Records;
use crate::parts::{current_generation, look, suspects};
use crate::repair::rescue;
use crate::threads;
use crate::views::{refresh, shared};
use crate::warning::{AfterCommit, Warning};

/// The result of an activation.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Activation {
    /// The current generation.
    pub generation: GenerationId,
    /// Its tree.
    pub tree: TreeId,
    /// The generation that was current before.
    pub previous: Option<GenerationId>,
    /// The number of files that got an inode of their own, to show a newer mtime.
    pub refreshed: u64,
    /// Whether all changes survive a power loss.
    pub durable: bool,
    /// Failures of later steps.
    pub warnings: Vec<Warning>,
}

/// The marks that an activation writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marks {
    /// No mark changes.
    Keep,
    /// The new current generation is good.
    NextIsGood,
    /// The previous current generation is bad, if there was one: it was rolled back.
    PreviousIsBad,
}

impl Marks {
    /// Returns the mark that is written when `next` replaces `previous`.
    fn mark(
        self,
        next: GenerationId,
        previous: Option<GenerationId>,
        made: Moment,
    ) -> Option<(GenerationId, MarkRecord)> {
        match self {
            Marks::Keep => None,
            Marks::NextIsGood => Some((next, MarkRecord { mark: Mark::Good, made, why: None })),
            Marks::PreviousIsBad => {
                let why = Some(format!("rolled back to {next}"));
                previous.map(|previous| (previous, MarkRecord { mark: Mark::Bad, made, why }))
            }
        }
    }
}

/// The comparison of a kept generation with the current one.
struct Compared {
    tree: TreeId,
    /// Its own published mtimes.
    shown: PublishedMtimes,
    /// The current generation, and the necessary changes.
    base: Option<(Generation, Freshness)>,
    /// Whether every byte of its manifest has been checked.
    is_checked: bool,
}

/// A kept generation that is about to become current.
struct Next<'a> {
    generation: &'a Generation,
    /// Its own published mtimes.
    shown: &'a PublishedMtimes,
    base: Option<&'a mut (Generation, Freshness)>,
}

/// Makes a kept generation current. A rollback holds it until a person activates a generation.
///
/// # Locks
/// Takes the shared store lock, and the commit lock.
///
/// # Durability
/// On return the move is durable, unless a warning says otherwise.
pub(crate) fn activate(
    store: &StoreDir,
    id: GenerationId,
    expect: Expect,
    marks: Marks,
    cause: Cause,
) -> Result<Activation> {
    let _guard = Locks::of(store).share()?;
    let (lock, mut sequence) = recover::lock_and_recover(store)?;
    let previous = Current::of(store).id()?;
    expect::check_expected(store, expect, previous)?;
    let generation = Generations::of(store).open(id)?;
    let made: Moment = store.now().into();
    let marks: Vec<(GenerationId, MarkRecord)> = marks.mark(id, previous, made).into_iter().collect();
    if previous == Some(id) {
        let tree = generation.head()?.tree;
        for (id, mark) in &marks {
            Records::of(store).write_mark(&lock, *id, mark)?;
        }
        HoldFile::of(store).set(&lock, None)?;
        let told = tell_marks(store, &lock, marks);
        let warnings = [told, shared::restore(store, &lock), refresh::check_views(store, &lock)].concat();
        let durable = announce::is_durable(store, &warnings);
        return Ok(Activation { generation: id, tree, previous, refreshed: 0, durable, warnings });
    }
    drop(generation.tree_dir()?);
    let Compared { tree, shown, mut base, is_checked } = compare(store, &lock, &generation, previous)?;
    let check = || if is_checked { Ok(()) } else { generation.check_small_manifest() };
    let hold = previous.filter(|_| cause == Cause::Rollback).map(|left| HoldRecord {
        generation: id,
        left,
        made,
        by: store.options.actor.clone(),
    });
    let mut records = Vec::new();
    for (id, mark) in &marks {
        records.push(PendingWrites::of(store).prepare(
            &lock,
            MARKS,
            id.to_string().as_bytes(),
            &wrap(mark),
        )?);
    }
    if let Some(hold) = &hold {
        records.push(PendingWrites::of(store).prepare(&lock, b"", HOLD, &wrap(hold))?);
    }
    let (is_marked, is_held) = (!marks.is_empty(), hold.is_some());
    let marked = marks.iter().map(|(id, record)| (*id, record.mark)).collect();
    let moving = Moving { cause: Some(cause), marked };
    let by = Some(store.options.actor.clone());
    sequence.intent = Some(Intent::Activate { generation: id, marks, hold, cause: Some(cause), by });
    let next = Next { generation: &generation, shown: &shown, base: base.as_mut() };
    let mut after = AfterCommit::new(shared::restore(store, &lock));
    let end = match make_current(store, &lock, &sequence, &records, next, check) {
        Ok(end) => end,
        Err(error) => {
            // Undoes the change at once. If even that fails, the next writer does it.
            drop(recover::recover(store, &lock));
            return Err(error);
        }
    };
    let refreshed = base.as_ref().map_or(0, |(_, freshness)| freshness.touches.len() as u64);
    after.made_durable(Current::of(store).make_durable(&lock));
    for record in records {
        after.must_finish("write down the mark and the hold", record.put(&lock));
    }
    if !is_held {
        after.must_finish("end the hold", HoldFile::of(store).remove(&lock));
    }
    let event = Event::Activate { previous, moving };
    after.must_finish("write the log", Log::of(store).append(&lock, id, event));
    after.must_finish("make the log and the records durable", announce::sync_told(store, is_marked));
    announce::tell(store, &lock, &mut after, id, tree, end);
    let durable = announce::is_durable(store, &after.warnings);
    let warnings = after.warnings;
    Ok(Activation { generation: id, tree, previous, refreshed, durable, warnings })
}

/// Writes the log's lines about marks that were written without a move of `current`.
fn tell_marks(store: &StoreDir, lock: &CommitLock, marks: Vec<(GenerationId, MarkRecord)>) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    for (id, MarkRecord { mark, why, .. }) in marks {
        after.record("write the log", Log::of(store).tell(lock, Some(id), Deed::Mark { mark, why }));
    }
    after.warnings
}

/// Writes the intent, renews the files, and moves `current`. Returns the record that ends the change.
///
/// # Errors
/// On any error `current` is unchanged. Recovery undoes the other steps.
fn make_current<'h>(
    store: &'h StoreDir,
    lock: &CommitLock,
    sequence: &Sequence,
    records: &[PendingWrite<'h>],
    next: Next<'_>,
    check: impl FnOnce() -> Result<()>,
) -> Result<PendingWrite<'h>> {
    let end = match next.base {
        Some((base, freshness)) => {
            let standing = InodeSource { generation: base, quiet: look::quiet(store)? };
            let kept = (next.generation, next.shown);
            let mut fresh = freshen::stage_fresh(store, lock, &standing, kept, freshness)?;
            let flushes = fresh.flushes()?;
            let done = PendingWrites::of(store)
                .begin_change(lock, sequence, records, flushes)
                .and_then(|begun| check().and_then(|()| begun.write(lock)))
                .and_then(|end| {
                    freshen::put_fresh(store, lock, next.generation, &mut fresh, freshness).map(|()| end)
                });
            let cleared = fresh.clear(store);
            let end = done?;
            cleared?;
            end
        }
        None => {
            let begun = PendingWrites::of(store).begin_change(lock, sequence, records, vec![])?;
            check()?;
            begun.write(lock)?
        }
    };
    Current::of(store).set(lock, next.generation.id())?;
    Ok(end)
}

/// Determines the changes to a kept generation before it may become current.
fn compare(
    store: &StoreDir,
    lock: &CommitLock,
    next: &Generation,
    previous: Option<GenerationId>,
) -> Result<Compared> {
    // The delta is a cache: if this method fails for any reason, the manifests are compared.
    if let Some(previous) = previous
        && let Ok(Some(mut compared)) = compare_neighbours(store, next, previous)
    {
        if let Some((_, freshness)) = &mut compared.base {
            freshen::look_at_stays(store, next, freshness)?;
        }
        return Ok(compared);
    }
    let (tree, base) = threads::join(
        || next.manifest().and_then(|m| next.published_mtimes().map(|shown| (m.tree, shown))),
        || rescue::rescued_base(store, lock, previous),
    );
    let ((tree, shown), (base, _)) = (tree?, base?);
    let base = if base.is_some() { base } else { current_generation::load_lost(store, previous)? };
    let base = base.map(|base| {
        let now = store.now().into();
        let mut freshness = fresh::plan((&base.tree, &base.shown), (&tree, &shown), now);
        freshness.add_own((&tree, &shown));
        freshen::look_at_stays(store, next, &mut freshness)?;
        Ok((base.generation, freshness))
    });
    Ok(Compared { tree: tree.id(), shown, base: base.transpose()?, is_checked: true })
}

/// Does it by the delta, if one of the two was created while the other was current.
fn compare_neighbours(
    store: &StoreDir,
    next: &Generation,
    previous: GenerationId,
) -> Result<Option<Compared>> {
    if suspects::is_suspect_generation(store, previous)?
        || suspects::is_suspect_generation(store, next.id())?
    {
        return Ok(None);
    }
    let Some(base) = Generations::of(store).find(previous)? else { return Ok(None) };
    let ((base_head, base_body), (head, body)) = (base.head_and_body()?, next.head_and_body()?);
    let forward = previous < next.id();
    let ((older, older_body), (newer, newer_body)) =
        if forward { ((&base, base_body), (next, body)) } else { ((next, body), (&base, base_body)) };
    let delta = newer.delta(newer_body)?;
    let Some(delta) = delta.filter(|d| (d.base, d.base_body) == (older.id(), older_body)) else {
        return Ok(None);
    };
    let (from, to) = if forward { (&delta.before, &delta.after) } else { (&delta.after, &delta.before) };
    let (base_shown, shown) = (base.published_mtimes()?, next.published_mtimes()?);
    let is_told = |path: &[u8]| from.find(path).is_some() || to.find(path).is_some();
    let untold = shown.fresh.keys().filter(|path| !is_told(path));
    if !are_shared(store, untold, &base, next)? {
        return Ok(None);
    }
    let now = store.now().into();
    let files = base_head.files.max(head.files);
    let freshness = fresh::plan_by_difference((from, &base_shown), (to, &shown), files, now);
    let Some(freshness) = freshness else { return Ok(None) };
    Ok(Some(Compared { tree: head.tree, shown, base: Some((base, freshness)), is_checked: false }))
}

/// Returns whether paths have the same inodes in the current generation and the next one, unchanged
/// since `current` was moved. If not, the manifests are needed to check them.
fn are_shared<'p>(
    store: &StoreDir,
    paths: impl Iterator<Item = &'p Vec<u8>>,
    base: &Generation,
    next: &Generation,
) -> Result<bool> {
    let (base, next, quiet) = (base.tree_dir()?, next.tree_dir()?, look::quiet(store)?);
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

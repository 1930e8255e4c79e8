//! Collecting: removes unreferenced generations, then unreferenced objects.
//!
//! The live objects are derived from the manifests, never from link counts. An unreadable part
//! ends gc before its first unlink: only ENOENT means absence. A generation that is unreadable because
//! of another user's permissions does not end gc. It stays, and so do all objects, since it may need
//! any of them.

use std::collections::{HashMap, HashSet};

use crate::change::recover;
use crate::change::retain::{self, JudgedGenerations, UnreadGeneration};
use crate::error::{Leftover, Result};
use crate::fs::dir_cursor::DirCursor;
use crate::fs::errno::is_refused;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::retention::{Reason, Retention, Verdict};
use crate::model::tree::ObjectId;
use crate::model::{object_name, relpath};
use crate::parts::deeds::Deed;
use crate::parts::failed::FailedBuilds;
use crate::parts::generations::{Generations, Retired, private_inodes};
use crate::parts::layout::{OBJECTS, STAGING, StoreDir};
use crate::parts::locks::{CommitLock, Locks, StoreExclusive};
use crate::parts::log::Log;
use crate::parts::objects::Objects;
use crate::parts::records::Records;
use crate::parts::stage_debris::{sweep, tolerate};
use crate::parts::stage_dir::grave;
use crate::parts::suspects;
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::warning::{AfterCommit, Warning};

/// The plan of a collection. [`crate::Store::collect`] never removes more than the plan lists.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct GcPlan {
    /// Every generation, newest first, with the reasons that keep it.
    pub verdicts: Vec<Verdict>,
    /// The rule.
    pub retention: Retention,
    /// Objects that no kept generation references.
    pub(crate) objects: Vec<ObjectId>,
    /// Bytes of those objects, and of files that only removed generations have.
    pub freed_bytes: u64,
    /// Bytes of all objects, of files that have an inode of their own, of logs and of `failed/`.
    pub before_bytes: u64,
    /// Generations that this user may not read, oldest first, which have no verdict. They stay. While
    /// there are any, no object is removed.
    pub unread: Vec<UnreadGeneration>,
}

impl GcPlan {
    /// Lists the generations to be removed, newest first.
    pub fn removed(&self) -> Vec<GenerationId> {
        self.verdicts.iter().filter(|verdict| !verdict.keeps()).map(|verdict| verdict.id).collect()
    }

    /// Returns the number of objects to be removed.
    pub fn objects(&self) -> u64 {
        self.objects.len() as u64
    }
}

/// The result of a collection.
#[derive(Clone, Debug, Default)]
#[must_use]
#[non_exhaustive]
pub struct Collected {
    /// Removed generations.
    pub generations: Vec<GenerationId>,
    /// Generations that the plan listed for removal and that have a reason to stay by now.
    pub spared: Vec<GenerationId>,
    /// Number of removed objects.
    pub objects: u64,
    /// Their bytes, and the bytes of files that only removed generations had.
    pub freed_bytes: u64,
    /// The bytes before the collection.
    pub before_bytes: u64,
    /// Paths that could not be removed, of these generations and of earlier removals: mounts, or files
    /// of another user. Later commands that write try again.
    pub left: Vec<Leftover>,
    /// Generations that could not be unlisted or read, and stay complete. Each is in `left`, too.
    pub stuck: Vec<GenerationId>,
    /// Failures after the collection.
    pub warnings: Vec<Warning>,
}

/// The disk usage of generations.
#[derive(Default)]
struct Weighed {
    /// The objects that they reference, by id, each once.
    objects: Vec<Named>,
    /// Inodes of renewed files, each once.
    private: HashMap<u64, Share>,
}

#[derive(Clone, Copy)]
struct Named {
    id: ObjectId,
    share: Share,
}

/// Bytes of one inode, and whether a kept generation has it.
#[derive(Clone, Copy)]
struct Share {
    size: u64,
    kept: bool,
}

impl Weighed {
    fn and(mut self, other: Weighed) -> Weighed {
        for (inode, share) in other.private {
            self.private.entry(inode).or_insert(share).kept |= share.kept;
        }
        Weighed { objects: merge(self.objects, other.objects), private: self.private }
    }
}

/// Merges two sorted lists.
fn merge(a: Vec<Named>, b: Vec<Named>) -> Vec<Named> {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b } else { a };
    }
    let mut all = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
        let order = left.id.cmp(&right.id);
        let left = a.next_if(|_| order.is_le());
        let right = b.next_if(|_| order.is_ge());
        let kept = [left, right].iter().flatten().any(|named| named.share.kept);
        all.extend(left.or(right).map(|named| Named { share: Share { kept, ..named.share }, ..named }));
    }
    all.extend(a);
    all.extend(b);
    all
}

/// Plans a collection, and changes nothing.
pub(crate) fn plan_gc(store: &StoreDir, retention: &Retention) -> Result<GcPlan> {
    let mut judged = retain::judge_all(store, retention)?;
    if let Some(wanted) = retention.free_bytes {
        keep_newer(store, retention, &mut judged, wanted)?;
    }
    plan_objects(store, retention, judged, Verdict::keeps)
}

/// Keeps the newest generations that the rule gives up, if removing the older ones frees enough.
fn keep_newer(
    store: &StoreDir,
    retention: &Retention,
    judged: &mut JudgedGenerations,
    wanted: u64,
) -> Result<()> {
    let given_up: Vec<GenerationId> =
        judged.verdicts.iter().rev().filter(|verdict| !verdict.keeps()).map(|verdict| verdict.id).collect();
    // The more are removed, the more is freed: the smallest number that suffices is searched for.
    let (mut few, mut many) = (0, given_up.len());
    while few < many {
        let half = (few + many) / 2;
        let removed: HashSet<&GenerationId> = given_up[..half].iter().collect();
        let plan =
            plan_objects(store, retention, judged.clone(), |verdict| !removed.contains(&verdict.id))?;
        (few, many) = if plan.freed_bytes < wanted { (half + 1, many) } else { (few, half) };
    }
    let spared: HashSet<&GenerationId> = given_up[few..].iter().collect();
    for verdict in judged.verdicts.iter_mut().filter(|verdict| spared.contains(&verdict.id)) {
        verdict.reasons.push(Reason::Enough(wanted));
    }
    Ok(())
}

/// Plans the removal of objects, together with the generations that are not kept.
fn plan_objects(
    store: &StoreDir,
    retention: &Retention,
    judged: JudgedGenerations,
    keeps: impl Fn(&Verdict) -> bool + Sync,
) -> Result<GcPlan> {
    let JudgedGenerations { verdicts, unread } = judged;
    // Each thread reads one generation after the other, so memory does not grow with their number.
    let weighed = verdicts
        .par_iter()
        .map(|verdict| weigh(store, verdict.id, keeps(verdict)))
        .try_reduce(Weighed::default, |a, b| Ok(a.and(b)))?;
    let objects = Objects::find(store)?;
    let (mut dead, mut before, mut freed) = (Vec::new(), 0, 0);
    let mut named = weighed.objects.iter().peekable();
    let stat = |id| objects.as_ref().map_or(Ok(None), |objects| objects.stat(id));
    for id in objects.as_ref().map_or(Ok(vec![]), Objects::list)?.into_iter().flatten() {
        // Both lists are sorted. `verify` reports referenced objects that are missing.
        while named.next_if(|named| named.id < id).is_some() {}
        let share = match named.next_if(|named| named.id == id) {
            Some(named) => named.share,
            None => Share { size: stat(id)?.map_or(0, |stat| stat.size), kept: !unread.is_empty() },
        };
        before += share.size;
        if !share.kept && unread.is_empty() {
            freed += share.size;
            dead.push(id);
        }
    }
    before += FailedBuilds::of(store).bytes()?;
    for share in weighed.private.values() {
        before += share.size;
        freed += if share.kept { 0 } else { share.size };
    }
    Ok(GcPlan {
        verdicts,
        retention: retention.clone(),
        objects: dead,
        freed_bytes: freed,
        before_bytes: before,
        unread,
    })
}

fn weigh(store: &StoreDir, id: GenerationId, kept: bool) -> Result<Weighed> {
    let Some(generation) = Generations::of(store).find(id)? else {
        // A publish has just recycled it. Then everything is judged again before anything is removed.
        return Ok(Weighed::default());
    };
    let named = |(id, size)| Named { id, share: Share { size, kept } };
    let mut objects: Vec<Named> = generation.objects()?.into_iter().map(named).collect();
    // Two digests with the same beginning are rare, so comparing an integer usually suffices.
    let start = |id: &ObjectId| u64::from_be_bytes(std::array::from_fn(|at| id.digest.as_bytes()[at]));
    objects.sort_unstable_by(|a, b| start(&a.id).cmp(&start(&b.id)).then_with(|| a.id.cmp(&b.id)));
    objects.dedup_by_key(|named| named.id);
    let shown = match generation.published_mtimes() {
        // Only byte counts depend on it.
        Err(e) if is_refused(&e) => PublishedMtimes::default(),
        shown => shown?,
    };
    let private = private_inodes(&generation, &shown)?;
    let private = private.into_iter().map(|(inode, size)| (inode, Share { size, kept })).collect();
    Ok(Weighed { objects, private })
}

/// Plans again under the locks. Manifests never change and numbers are not reused. So if the verdicts
/// are the same, all data that was read for the plan is still valid.
fn plan_again(store: &StoreDir, plan: &GcPlan) -> Result<GcPlan> {
    let judged = retain::judge_all(store, &plan.retention)?;
    let same = |(a, b): (&Verdict, &Verdict)| a.id == b.id && a.keeps() == b.keeps();
    let all_same = judged.verdicts.len() == plan.verdicts.len() && judged.unread == plan.unread;
    if all_same && judged.verdicts.iter().zip(&plan.verdicts).all(same) {
        return Ok(plan.clone());
    }
    plan_gc(store, &plan.retention)
}

/// Removes the generations and objects in the plan that still have no reason to stay.
///
/// # Locks
/// The exclusive store lock, and the commit lock, so that no pin is created meanwhile.
///
/// # Durability
/// A generation is unlisted durably before the first of its objects is removed. After an interruption,
/// the next writer removes the rest of the directories, and the next gc the objects.
pub(crate) fn collect(store: &StoreDir, plan: &GcPlan) -> Result<Collected> {
    let guard = Locks::of(store).exclude()?;
    let (lock, _) = recover::lock_and_recover(store)?;
    // Recovery ignored these failures.
    let left = sweep(store, &lock)?;
    let now = plan_again(store, plan)?;
    let still_dead: HashSet<GenerationId> = now.removed().into_iter().collect();
    let mut done = Collected { before_bytes: now.before_bytes, left, ..Collected::default() };
    done.left.extend(now.unread.iter().map(|unread| unread.left.clone()));
    done.stuck.extend(now.unread.iter().map(|unread| unread.id));
    let (staging, mut graves) = (store.sub(STAGING)?, Vec::new());
    let removed = plan.removed();
    store.options.progress.begin(Phase::Sweep, Some((removed.len() + plan.objects.len()) as u64));
    for id in removed {
        let grave = grave(id);
        if !still_dead.contains(&id) {
            done.spared.push(id);
            continue;
        }
        let retired = match Generations::of(store).retire(&lock, id, (&staging, &grave)) {
            Ok(Retired::Leased) => Ok(false),
            Ok(Retired::Moved) => {
                graves.push((id, Some(grave)));
                Ok(true)
            }
            Ok(Retired::Immovable) => Generations::of(store).unlist(&lock, id).inspect(|is_unlisted| {
                graves.extend(is_unlisted.then_some((id, None)));
            }),
            Err(error) => Err(error),
        };
        match retired {
            Ok(true) => {}
            Ok(false) => {
                done.spared.push(id);
                continue;
            }
            // It keeps its own objects. The other generations are removed.
            Err(error) if is_refused(&error) => {
                done.left.push(retain::leftover_of(store, id, error)?);
                done.stuck.push(id);
                continue;
            }
            Err(error) => return Err(error),
        }
        done.generations.push(id);
        Records::of(store).remove_mark(&lock, id)?;
        suspects::clear_generation_suspect(store, &lock, id)?;
    }
    for (id, grave) in graves {
        // The rest of it is debris, which every later writer tries to remove.
        let removed = match grave {
            Some(grave) => store.fs.remove_all(&staging, &grave),
            None => Generations::of(store).remove_unlisted(&lock, id),
        };
        done.left.extend(tolerate(removed)?);
        store.options.progress.advance(1);
    }
    // A generation that is still listed keeps its objects, whatever its verdict: it was spared, or is
    // not in the plan.
    let after = if done.spared.is_empty() && still_dead.len() == done.generations.len() {
        now
    } else {
        plan_objects(store, &plan.retention, retain::judge_all(store, &plan.retention)?, |_| true)?
    };
    sweep_objects(store, &guard, &lock, plan, &after, &mut done)?;
    sweep_marks(store, &lock)?;
    if !done.generations.is_empty() || done.objects > 0 {
        let mut after = AfterCommit::default();
        let (removed, objects, bytes) = (done.generations.clone(), done.objects, done.freed_bytes);
        let told = Log::of(store).tell(&lock, None, Deed::Gc { removed, objects, bytes });
        after.record("write the log", told);
        done.warnings = after.warnings;
    }
    Log::of(store).compact(&lock, &Generations::of(store).ids()?)?;
    Ok(done)
}

/// Removes the marks of removed generations, which an interrupted collection left.
fn sweep_marks(store: &StoreDir, lock: &CommitLock) -> Result<()> {
    let ids: HashSet<GenerationId> = Generations::of(store).ids()?.into_iter().collect();
    for id in Records::of(store).marks()?.into_keys().filter(|id| !ids.contains(id)) {
        Records::of(store).remove_mark(lock, id)?;
    }
    for id in suspects::suspects(store)?.generations.into_iter().filter(|id| !ids.contains(id)) {
        suspects::clear_generation_suspect(store, lock, id)?;
    }
    Ok(())
}

fn sweep_objects(
    store: &StoreDir,
    _: &StoreExclusive,
    lock: &CommitLock,
    plan: &GcPlan,
    now: &GcPlan,
    done: &mut Collected,
) -> Result<()> {
    let planned: HashSet<&ObjectId> = plan.objects.iter().collect();
    let dir = store.sub(OBJECTS)?;
    let mut folders = DirCursor::new(&dir);
    let suspects = suspects::suspects(store)?;
    for id in now.objects.iter().filter(|id| planned.contains(id)) {
        let path = object_name::name(*id);
        let (folder, name) = relpath::split(&path);
        match folders.dir(folder).and_then(|dir| store.fs.unlink(dir, name)) {
            Err(error) if is_refused(&error) => {
                done.left.push(Leftover::of(dir.join(&path), error)?);
                continue;
            }
            removed => drop(removed?),
        }
        if suspects.objects.contains(id) {
            suspects::clear_object_suspect(store, lock, *id)?;
        }
        done.objects += 1;
        store.options.progress.advance(1);
    }
    done.freed_bytes = if planned.len() == now.objects.len() { now.freed_bytes } else { 0 };
    Ok(())
}

//! Publishing: a plan becomes a staged tree, an audit checks it, `commit` makes it a generation.
//!
//! Until the rename of `current`, every error leaves `current` unchanged. After that, no failure is an
//! error. A listed tree is changed only by freshness and healing: `recycle` unlists its generation
//! durably before its first step. Under the commit lock nothing is hashed or linked, unless another
//! generation became current meanwhile or damage is healed. So the lock is held for milliseconds, or if
//! there are mirrors, until they are up to date.

pub(crate) mod assemble;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod built;
pub(crate) mod candidate;
pub(crate) mod commit;
pub(crate) mod footprint;
pub(crate) mod ingest;
pub(crate) mod options;
pub(crate) mod recycle;
pub(crate) mod stage;
pub(crate) mod staged;
pub(crate) mod unchanged;

use std::time::Instant;

use crate::change::recover;
use crate::error::Result;
use crate::fs::fault::FaultStage;
use crate::fs::folders::Folders;
use crate::model::tree::Tree;
use crate::parts::current::Current;
use crate::parts::current_generation::{self, CurrentGeneration};
use crate::parts::forgotten::Forgotten;
use crate::parts::layout::StoreDir;
use crate::parts::locks::Locks;
use crate::parts::objects::{self, Objects};
use crate::parts::stage_dir::OwnStage;
use crate::parts::suspects;
use crate::plan::Plan;
use crate::publication::Times;
use crate::repair::rescue;
use crate::threads;
use crate::verbs::publish::built::{Files, build};
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::ingest::context::{Ingest, LazyStage};
use crate::verbs::publish::ingest::lossy::Lossy;
use crate::verbs::publish::options::StageOptions;
use crate::verbs::publish::staged::Staged;
use crate::views::shared;

fn add_index(_store: &StoreDir, base: Option<&mut CurrentGeneration>) -> Result<()> {
    if let Some(base) = base {
        base.index = base.generation.index(&base.tree)?;
    }
    Ok(())
}

/// Hashes a plan and returns the tree that it would become. Writes nothing.
pub(crate) fn preview(store: &StoreDir, plan: &Plan) -> Result<Tree> {
    let guard = Locks::of(store).share()?;
    let objects = Objects::new(store)?;
    let folders = Folders::of(plan.paths());
    let mut base = Current::of(store).id()?.and_then(|id| current_generation::load(store, id).ok());
    add_index(store, base.as_mut())?;
    let ingest = Ingest {
        store,
        _lock: &guard,
        objects: &objects,
        plan,
        folders: &folders,
        base: base.as_ref().map(|base| &base.tree),
        standing: None,
        base_id: base.as_ref().map(|base| base.generation.id()),
        index: base.as_ref().and_then(|base| base.index.as_ref()),
        lossy: Lossy::Allow,
        is_private: false,
        rehash: false,
        suspects: &[],
        stage: None,
        consume: false,
    };
    let tree = ingest.run()?.tree;
    Forgotten::of(store).refuse(&tree)?;
    Ok(tree)
}

/// Stages a plan, invisible to readers, in the stage that was begun for it, if there is one.
///
/// # Locks
/// Takes the shared store lock. The returned value holds it.
pub(crate) fn stage<'s>(
    store: &'s StoreDir,
    begun: Option<OwnStage<'s>>,
    plan: &Plan,
    options: StageOptions,
) -> Result<Staged<'s>> {
    let lazy = LazyStage::new(store, begun);
    store.fs.enter(FaultStage::Plan, &store.dir)?;
    if options.consume {
        plan.check_consume()?;
    }
    shared::check(store, &plan.shared)?;
    let guard = Locks::of(store).share()?;
    // The files of dead processes are removed first: they may be the reason why the disk is full.
    let (lock, sequence) = recover::lock_and_recover(store)?;
    store.check_reserve()?;
    let (heals_seen, high_seen, rotations_seen) =
        (sequence.heals, sequence.high, objects::rotations(store)?);
    let (mut base, healed_base) = rescue::rescued_base(store, &lock, Current::of(store).id()?)?;
    drop(lock);
    let (indexed, folders) =
        threads::join(|| add_index(store, base.as_mut()), || Folders::of(plan.paths()));
    indexed?;
    let objects = Objects::new(store)?;
    let suspects = suspects::suspects(store)?;
    // If it is missing, the check of the current generation reports it.
    let standing = base.as_ref().and_then(|base| base.generation.tree_dir().ok());
    store.fs.enter(FaultStage::Write, &store.dir)?;
    let start = Instant::now();
    let ingest = Ingest {
        store,
        _lock: &guard,
        objects: &objects,
        plan,
        folders: &folders,
        base: base.as_ref().map(|base| &base.tree),
        standing: standing.as_ref().zip(base.as_ref().map(|base| &base.shown)),
        base_id: base.as_ref().map(|base| base.generation.id()),
        index: base.as_ref().and_then(|base| base.index.as_ref()),
        lossy: options.lossy,
        is_private: store.is_private()?,
        rehash: options.rehash,
        suspects: &suspects.objects,
        stage: Some(&lazy),
        consume: options.consume,
    };
    let result = ingest.run();
    // An error from here on removes the stage before it releases the lock.
    let stage = lazy.into_stage();
    // It is not needed any more, and it is large.
    base.iter_mut().for_each(|base| base.index = None);
    let ingested = result?;
    Forgotten::of(store).refuse(&ingested.tree)?;
    if options.lossy == Lossy::Refuse {
        ingested.losses.refuse()?;
    }
    let times = Times { store: start.elapsed(), ..Times::default() };
    let mut candidate = Candidate {
        store,
        guard,
        objects,
        ingested,
        parts: plan.roots.names().to_vec(),
        shared: plan.shared.clone(),
        base,
        healed_base,
        heals_seen,
        high_seen,
        rotations_seen,
        options,
        times,
    };
    let files = match candidate.is_unchanged() {
        true => Files::Current(stage),
        false => Files::Built(build(&mut candidate, stage, &folders)?),
    };
    Ok(Staged { files, candidate })
}

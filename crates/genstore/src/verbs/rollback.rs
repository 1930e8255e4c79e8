//! Rollback, with the hold that it creates, and the end of the hold.
//!
//! A rollback goes only to a generation that was current before: a generation that was only kept has
//! never been shown to readers. The log distinguishes them. It is read from its end, and only the
//! manifests of the two generations are opened. So a rollback costs the same however many generations
//! there are.

use std::collections::BTreeSet;

use crate::change::expect::Expect;
use crate::change::recover;
use crate::change::retain;
use crate::check::lost;
use crate::error::{Error, RefusedKind, Result};
use crate::model::delta::Delta;
use crate::model::ids::GenerationId;
use crate::model::records::Cause;
use crate::parts::current::Current;
use crate::parts::deeds::Deed;
use crate::parts::hold::{Hold, HoldFile};
use crate::parts::layout::{DELTA, GENERATIONS, StoreDir};
use crate::parts::log::{Backwards, Event, Log};
use crate::parts::older::Older;
use crate::verbs::activate::{self, Activation, Marks};
use crate::warning::{AfterCommit, Warning};

/// The mark that a rollback leaves on the generation that was current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum MarkLeft {
    /// Mark it as bad, so that neither a rollback nor the end of a hold activates it again.
    #[default]
    Bad,
    /// Leave its mark unchanged.
    Unchanged,
}

/// The result of ending a hold.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct HoldEnded {
    /// The hold that ended. `None` if there was none.
    pub hold: Option<Hold>,
    /// The activation of a newer generation. `None` if there was none to activate.
    pub activation: Option<Activation>,
    /// Failures after the end of the hold, if nothing was activated.
    pub warnings: Vec<Warning>,
}

/// Determines which generations were current.
struct Lived<'h> {
    store: &'h StoreDir,
    log: Backwards,
    /// Generations that were current, by the part of the log read so far.
    live: BTreeSet<GenerationId>,
    /// Generations whose creation is in that part. Their creation is the first line about them.
    made: BTreeSet<GenerationId>,
    /// The generation reached by following the deltas back: each generation was created while its base
    /// was current.
    base: Option<GenerationId>,
    bases: BTreeSet<GenerationId>,
}

impl Lived<'_> {
    /// Returns whether a generation was current. It must be called with one generation after the other,
    /// newest first.
    ///
    /// The log decides. If the log has no line about the generation, since it was lost or damaged, the
    /// deltas decide. Before the last known delta, every generation counts as having been current.
    fn was_current(&mut self, id: GenerationId) -> Result<bool> {
        loop {
            if self.live.contains(&id) {
                return Ok(true);
            }
            if self.made.contains(&id) {
                return Ok(false);
            }
            let Some(line) = self.log.next()? else { break };
            match line.event {
                Event::Publish { .. } => {
                    self.made.insert(line.generation);
                }
                Event::Activate { previous, .. } => {
                    self.live.insert(line.generation);
                    self.live.extend(previous);
                }
            }
        }
        while let Some(at) = self.base.filter(|at| *at > id) {
            self.base = base_of(self.store, at)?.filter(|base| *base < at);
            self.bases.extend(self.base);
        }
        Ok(self.base.is_none() || self.bases.contains(&id))
    }
}

/// The generations of a rollback that was planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RollbackPlan {
    /// The current generation, which a rollback leaves.
    pub from: GenerationId,
    /// The generation that becomes current.
    pub to: GenerationId,
}

/// Finds the newest good generation that is older than the current one and was current before it,
/// `steps` times.
pub(crate) fn plan(store: &StoreDir, steps: u64) -> Result<RollbackPlan> {
    let from = match Current::of(store).id()? {
        Some(current) => current,
        None => lost::required_current(store)?,
    };
    Ok(RollbackPlan { from, to: rollback_target(store, from, steps.max(1))? })
}

/// Activates the generation of a plan, if the generation that it leaves is still current.
pub(crate) fn rollback(store: &StoreDir, plan: RollbackPlan, left: MarkLeft) -> Result<Activation> {
    let RollbackPlan { from: current, to: target } = plan;
    let marks = match left {
        MarkLeft::Bad => Marks::PreviousIsBad,
        MarkLeft::Unchanged => Marks::Keep,
    };
    activate::activate(store, target, Expect::Current(current), marks, Cause::Rollback)
}

fn rollback_target(store: &StoreDir, current: GenerationId, steps: u64) -> Result<GenerationId> {
    let mut lived = Lived {
        store,
        log: Log::of(store).backwards()?,
        live: BTreeSet::new(),
        made: BTreeSet::new(),
        base: Some(current),
        bases: BTreeSet::new(),
    };
    let (mut left, mut kept) = (steps, None);
    for id in Older::than(store, current.get()) {
        let id = id?;
        if !retain::is_good(store, id)? {
            continue;
        }
        if !lived.was_current(id)? {
            kept = kept.or(Some(id));
            continue;
        }
        left -= 1;
        if left == 0 {
            return Ok(id);
        }
    }
    let mut why = match steps {
        1 => format!("there is no good generation older than {current}"),
        _ => format!("there are not {steps} good generations older than {current}"),
    };
    if let Some(kept) = kept {
        why.push_str(&format!(" that was current before ({kept} never was)"));
    }
    Err(Error::refused(RefusedKind::NothingOlder, why))
}

/// Returns the generation that was current when a generation was committed, from its delta. `None` if
/// it has none.
fn base_of(store: &StoreDir, id: GenerationId) -> Result<Option<GenerationId>> {
    let path = [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", DELTA].concat();
    let delta = store.dir.read(&path)?.and_then(|bytes| Delta::decode(&bytes).ok());
    Ok(delta.map(|delta| delta.base))
}

/// Ends a hold, and activates the newest good generation if it is newer than the current one.
pub(crate) fn end_hold(store: &StoreDir) -> Result<HoldEnded> {
    let (lock, _) = recover::lock_and_recover(store)?;
    // An unreadable hold is removed as well.
    let hold = HoldFile::of(store).read().unwrap_or_default();
    let current = Current::of(store).id()?;
    let mut next = None;
    for id in retain::newest_first(store)? {
        let id = id?;
        if current.is_none_or(|current| id <= current) {
            break;
        }
        if retain::is_good(store, id)? {
            next = Some(id);
            break;
        }
    }
    if let (Some(_), Some(next), Some(current)) = (&hold, next, current) {
        drop(lock);
        let activated =
            activate::activate(store, next, Expect::Current(current), Marks::Keep, Cause::Resume)?;
        return Ok(HoldEnded { hold, activation: Some(activated), warnings: vec![] });
    }
    HoldFile::of(store).set(&lock, None)?;
    let mut after = AfterCommit::default();
    if hold.is_some() {
        after.record("write the log", Log::of(store).tell(&lock, current, Deed::Resume {}));
    }
    Ok(HoldEnded { hold, activation: None, warnings: after.warnings })
}

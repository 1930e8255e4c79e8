//! Decides which generations stay: reads the inputs of the retention rule, and applies the rule.
//!
//! The rule itself is pure (`model/retention`). gc, recycling and `Store::verdict` each apply it again under
//! their own locks. A rollback and the end of a hold choose among generations that are not marked
//! as bad.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::check::lost;
use crate::error::{Error, Leftover, Result};
use crate::fs::errno::is_refused;
use crate::model::ids::{GenerationId, PinName};
use crate::model::records::{self, Mark, PinRecord};
use crate::model::retention::{self, Candidate, Retention, Verdict};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::layout::{GENERATIONS, StoreDir};
use crate::parts::log::{Event, Log};
use crate::parts::older::Older;
use crate::parts::records::Records;

/// A generation that this user may not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadGeneration {
    /// Its number.
    pub id: GenerationId,
    /// Its path, and the reason.
    pub left: Leftover,
}

/// The verdicts on all generations.
#[derive(Clone)]
pub(crate) struct JudgedGenerations {
    /// Newest first.
    pub(crate) verdicts: Vec<Verdict>,
    /// Generations without a verdict, oldest first.
    pub(crate) unread: Vec<UnreadGeneration>,
}

/// The input of the retention rule.
#[derive(Default)]
struct Candidates {
    read: Vec<Candidate>,
    /// Generations that are unreadable because they belong to another user.
    unread: Vec<UnreadGeneration>,
}

/// Judges all generations as they are now.
pub(crate) fn judge_all(store: &StoreDir, rule: &Retention) -> Result<JudgedGenerations> {
    let now = store.now();
    let Candidates { read, unread } = candidates(store, now)?;
    Ok(JudgedGenerations { verdicts: retention::judge(&read, rule, now), unread })
}

/// Returns the verdict of a collection about one generation.
///
/// No manifest of the other generations is read: their times matter only if a clock ran ahead.
pub(crate) fn judge_one(store: &StoreDir, id: GenerationId, rule: &Retention) -> Result<Option<Verdict>> {
    let now = store.now();
    let Some(candidate) = candidate_alone(store, id, now)? else { return Ok(None) };
    if !candidate.is_ahead_of(now) && !rule.compares_all() {
        let mut newer = 0;
        for other in newest_first(store)? {
            let other = other?;
            if other <= id || newer >= rule.keep_last {
                break;
            }
            newer += usize::from(is_good(store, other)?);
        }
        return Ok(Some(retention::judge_one(&candidate, newer, rule, now)));
    }
    Ok(judge_all(store, rule)?.verdicts.into_iter().find(|verdict| verdict.id == id))
}

/// Returns all generations, newest first.
pub(crate) fn newest_first(store: &StoreDir) -> Result<Older<'_>> {
    // The sequence has the highest number. It may be damaged, and `verify` reports that.
    let above = match Records::of(store).sequence() {
        Ok(sequence) => sequence.high.saturating_add(1),
        Err(Error::Damaged { .. }) => u64::MAX,
        Err(e) => return Err(e),
    };
    Ok(Older::than(store, above))
}

/// Returns whether a generation is not marked as bad, without reading other marks.
pub(crate) fn is_good(store: &StoreDir, id: GenerationId) -> Result<bool> {
    Ok(Records::of(store).mark(id)?.is_none_or(|record| record.mark == Mark::Good))
}

/// Reads the input of the retention rule.
fn candidates(store: &StoreDir, now: SystemTime) -> Result<Candidates> {
    // If `current` is lost, a repair must decide first which generation it was.
    let current = lost::checked_current(store)?;
    let (pins, marks, history) =
        (Records::of(store).pins()?, Records::of(store).marks()?, Log::of(store).history()?);
    let since = Current::of(store).since()?;
    let last_current = history.last_current(current, since, now);
    let mut candidates = Candidates::default();
    for id in Generations::of(store).ids()? {
        let (created, leased) = match created_and_leased(store, id) {
            Err(error) if is_refused(&error) => {
                let left = leftover_of(store, id, error)?;
                candidates.unread.push(UnreadGeneration { id, left });
                continue;
            }
            found => match found? {
                Some(found) => found,
                None => continue,
            },
        };
        let unknown = !history.knows(id);
        candidates.read.push(Candidate {
            id,
            created: history.made(id, created, now),
            // If the log is lost, every generation counts as current until recently.
            last_current: last_current.get(&id).copied().or(since.filter(|_| unknown)),
            current: current == Some(id),
            good: records::is_good(&marks, id),
            pins: holding(&pins, id, now),
            leased,
        });
    }
    Ok(candidates)
}

/// Reads the same for one generation, without the others.
fn candidate_alone(store: &StoreDir, id: GenerationId, now: SystemTime) -> Result<Option<Candidate>> {
    let Some((created, leased)) = created_and_leased(store, id)? else { return Ok(None) };
    let (current, since) = (lost::checked_current(store)?, Current::of(store).since()?);
    let mut log = Log::of(store).backwards()?;
    // If the log has no line about it, it counts as current until recently.
    let (mut ceased, mut last_current) = (None, since);
    while let Some(line) = log.next_naming(id)? {
        match line.event {
            Event::Activate { previous, .. } if line.generation != id && previous == Some(id) => {
                ceased = ceased.or(Some(line.time.into()));
            }
            Event::Activate { .. } if line.generation == id => {
                last_current = ceased.or(since.filter(|_| current != Some(id)));
                break;
            }
            Event::Publish { .. } if line.generation == id => {
                last_current = ceased;
                break;
            }
            _ => {}
        }
    }
    let (good, pins) = (is_good(store, id)?, holding(&Records::of(store).pins()?, id, now));
    Ok(Some(Candidate { id, created, last_current, current: current == Some(id), good, pins, leased }))
}

/// Returns the time of a generation's creation, and whether a living process has a lease on it. `None`
/// for a removed one.
fn created_and_leased(store: &StoreDir, id: GenerationId) -> Result<Option<(SystemTime, bool)>> {
    let Some(generation) = Generations::of(store).find(id)? else { return Ok(None) };
    let head = generation.head()?;
    drop(generation);
    let leased = match Generations::of(store).exclude_leases(id) {
        Ok(lock) => lock.is_none(),
        // A publish has just recycled it.
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(Some((head.created.into(), leased)))
}

/// Returns the names of the unexpired pins on a generation.
fn holding(pins: &BTreeMap<PinName, PinRecord>, id: GenerationId, now: SystemTime) -> Vec<String> {
    let holds = |pin: &&PinRecord| pin.generation == id && pin.holds(now);
    pins.iter().filter(|(_, pin)| holds(pin)).map(|(name, _)| name.to_string()).collect()
}

/// Returns the leftover for a generation that the system does not let us read or remove.
pub(crate) fn leftover_of(store: &StoreDir, id: GenerationId, error: Error) -> Result<Leftover> {
    Leftover::of(store.dir.join(&[GENERATIONS, b"/", id.to_string().as_bytes()].concat()), error)
}

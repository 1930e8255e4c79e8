//! The commit lock, and the state of the store that was read under it.

use std::time::Instant;

use super::heal::heal;
use crate::change::{expect, recover};
use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::records::Sequence;
use crate::parts::current::Current;
use crate::parts::locks::CommitLock;
use crate::parts::stage_dir::StageDir;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::options::CommitOptions;
use crate::verbs::publish::unchanged::{Looked, look_at_current};

/// The state under the commit lock.
pub(super) struct Locked {
    pub(super) start: Instant,
    pub(super) lock: CommitLock,
    pub(super) sequence: Sequence,
    pub(super) previous: Option<GenerationId>,
    /// The number of damaged objects and generations that were repaired.
    pub(super) healed: u64,
    /// Whether another generation became current since this tree was compared with one.
    pub(super) is_overtaken: bool,
}

/// The work that is left under the commit lock.
pub(super) enum Remaining {
    /// The candidate must become a generation.
    Commit(Locked),
    /// The current generation has the same tree, and was checked.
    Nothing(Locked, Looked),
}

/// Takes the commit lock, and compares the candidate with the generation that is current under it.
pub(super) fn lock(
    candidate: &mut Candidate<'_>,
    stage: Option<&StageDir>,
    options: &CommitOptions,
) -> Result<Remaining> {
    loop {
        let start = Instant::now();
        let looked = candidate.is_unchanged().then(|| look_at_current(candidate)).transpose()?;
        let locked = lock_once(candidate, stage, options, start)?;
        match looked {
            _ if !candidate.is_unchanged() => return Ok(Remaining::Commit(locked)),
            Some(looked) if !locked.is_overtaken => return Ok(Remaining::Nothing(locked, looked)),
            // Another generation with the same tree became current: it is checked as well.
            _ => {}
        }
    }
}

fn lock_once(
    candidate: &mut Candidate<'_>,
    stage: Option<&StageDir>,
    options: &CommitOptions,
    start: Instant,
) -> Result<Locked> {
    let (lock, mut sequence) = recover::lock_and_recover(candidate.store)?;
    let previous = Current::of(candidate.store).id()?;
    expect::check_expected(candidate.store, options.expect, previous)?;
    let healed = heal(candidate, stage, &lock, &mut sequence)?;
    let is_overtaken = candidate.rebase(&lock, previous)?;
    Ok(Locked { start, lock, sequence, previous, healed, is_overtaken })
}

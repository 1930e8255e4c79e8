//! Steps 5 to 7 of a commit: the number, the entry in `generations/`, and `current`.

use std::time::Instant;

use super::describe::describe;
use super::durable::Flushed;
use super::locked::Locked;
use crate::change::recover;
use crate::error::{Error, RefusedKind, Result};
use crate::fs::fault::FaultStage;
use crate::model::ids::{GenerationId, StageId};
use crate::model::records::{Intent, Sequence};
use crate::parts::current::Current;
use crate::parts::layout::{GENERATIONS, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::log::{Event, Log};
use crate::parts::pending_write::{PendingWrite, PendingWrites};
use crate::parts::stage_dir::{NEXT, StageDir};
use crate::publication::Publication;
use crate::verbs::publish::built::Built;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::options::CommitOptions;
use crate::warning::Warning;

/// A generation in its place, which is current if that was requested.
pub(super) struct Placed<'s> {
    pub(super) start: Instant,
    pub(super) lock: CommitLock,
    pub(super) publication: Publication,
    /// The log's line about it, and the record that ends the change. `None` if it is only kept: then
    /// both are written.
    pub(super) untold: Option<(Event, PendingWrite<'s>)>,
}

/// Does steps 5 to 7.
///
/// # Errors
/// On any error the state is as before, or the next writer restores it.
pub(super) fn place<'s>(
    candidate: &Candidate<'s>,
    built: &Built<'s>,
    locked: Locked,
    flushed: Flushed,
    options: &CommitOptions,
    activate: bool,
) -> Result<Placed<'s>> {
    let (store, stage) = (candidate.store, &built.stage);
    let Locked { start, lock, mut sequence, previous, healed, .. } = locked;
    let event = Event::Publish {
        manifest: flushed.written.file.to_string(),
        created: flushed.created.into(),
        note: options.note.clone(),
        facts: options.facts.clone(),
        stage: claimed_id(stage),
        new_bytes: Some(candidate.ingested.new_bytes),
    };
    let describe = || describe(candidate, Some(built), previous, flushed.refreshed, healed);
    let placed = take_place(store, &lock, stage, activate, &mut sequence, describe);
    let placed = placed.and_then(|(id, end, mut publication)| {
        (publication.generation, publication.changed, publication.current) = (id, true, activate);
        if activate {
            return Ok((publication, Some((event, end))));
        }
        if Log::of(store).is_replaced()? {
            let message =
                "the log has no line about this generation: another entry has replaced the log".to_owned();
            publication.warnings.push(Warning { message, not_durable: false });
        } else {
            // A generation that is only kept is complete when its intent is removed. A process that
            // resumes its stage must find the line by then.
            Log::of(store).append(&lock, id, event)?;
            Log::of(store).sync()?;
        }
        end.put(&lock).map(|()| (publication, None))
    });
    match placed {
        Ok((publication, untold)) => Ok(Placed { start, lock, publication, untold }),
        Err(error) => {
            // Undo it at once. If even that fails, the next writer does it.
            drop(recover::recover(store, &lock));
            Err(error)
        }
    }
}

/// From the number to the rename of `current`.
fn take_place<'s>(
    store: &'s StoreDir,
    lock: &CommitLock,
    stage: &StageDir,
    activate: bool,
    sequence: &mut Sequence,
    describe: impl FnOnce() -> Publication,
) -> Result<(GenerationId, PendingWrite<'s>, Publication)> {
    let id = GenerationId::new(sequence.high + 1)
        .ok_or_else(|| Error::refused(RefusedKind::NumbersUsedUp, "no generation number is left"))?;
    store.fs.enter(FaultStage::Number, &store.dir)?;
    sequence.high = id.get();
    let from = claimed_id(stage);
    sequence.intent = Some(Intent::Publish {
        generation: id,
        activate,
        stage: from,
        by: Some(store.options.actor.clone()),
    });
    let begun = PendingWrites::of(store).begin_change(lock, sequence, &[], vec![])?;
    let publication = describe();
    let end = begun.write(lock)?;
    let generations = store.sub(GENERATIONS)?;
    store.fs.rename_to_free((stage.dir(), NEXT), (&generations, id.to_string().as_bytes()))?;
    store.fs.sync_dir(&generations)?;
    if activate {
        store.fs.enter(FaultStage::Pointer, &store.dir)?;
        Current::of(store).set(lock, id)?;
    }
    Ok((id, end, publication))
}

/// Returns the id of a stage that was begun separately from its commit, so that a second commit of it
/// can be recognised.
fn claimed_id(stage: &StageDir) -> Option<StageId> {
    stage.is_claimed().then(|| stage.id())
}

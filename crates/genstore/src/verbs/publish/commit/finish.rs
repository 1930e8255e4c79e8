//! The last steps of a commit, and the end of a publication without one.

use std::time::Instant;

use super::describe::describe;
use super::locked::Locked;
use super::place::Placed;
use crate::change::announce;
use crate::error::Result;
use crate::model::tree::ObjectId;
use crate::parts::current::Current;
use crate::parts::hold::HoldFile;
use crate::parts::log::{Event, Log};
use crate::parts::naming::Naming;
use crate::parts::record;
use crate::parts::stage_dir::OwnStage;
use crate::publication::Publication;
use crate::verbs::publish::built::Built;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::unchanged::{Looked, settle_unchanged};
use crate::views::{refresh, shared};
use crate::warning::AfterCommit;

/// A publication whose lock is released. Its files in the stage are still to be removed.
pub(super) struct Ended {
    start: Instant,
    publication: Publication,
}

/// Does step 8. A failure is only a warning now.
pub(super) fn finish(
    candidate: &Candidate<'_>,
    built: &Built<'_>,
    placed: Placed<'_>,
    mut after: AfterCommit,
) -> Ended {
    let Placed { start, lock, mut publication, untold } = placed;
    let (store, id, previous) = (candidate.store, publication.generation, publication.previous);
    after.warnings.append(&mut publication.warnings);
    if let Some((event, end)) = untold {
        after.made_durable(Current::of(store).make_durable(&lock));
        after.must_finish("write the log", Log::of(store).append(&lock, id, event));
        after.record("end the stage's claim", built.stage.end_claim(store));
        let event = Event::activated(previous);
        after.must_finish("write the log", Log::of(store).append(&lock, id, event));
        after.must_finish("end the hold", HoldFile::of(store).remove(&lock));
        after.must_finish("make the log durable", announce::sync_told(store, false));
        after.record("move a shared path", shared::retarget(store, &lock, &candidate.shared));
        announce::tell(store, &lock, &mut after, id, publication.tree, end);
    } else {
        after.made_durable(record::make_end_durable(store, &lock));
    }
    publication.warnings = after.warnings;
    Ended { start, publication }
}

/// Ends a publication that creates no generation.
pub(super) fn end_unchanged(
    candidate: &Candidate<'_>,
    built: Option<&Built<'_>>,
    locked: Locked,
    looked: Looked,
    refreshed: u64,
    after: AfterCommit,
) -> Result<Ended> {
    let Locked { start, lock, previous, healed, .. } = locked;
    shared::provide(candidate.store, &lock, &candidate.shared)?;
    shared::retarget(candidate.store, &lock, &candidate.shared)?;
    settle_unchanged(candidate, &lock, looked, healed)?;
    let mut publication = describe(candidate, built, previous, refreshed, healed);
    publication.warnings = [after.warnings, refresh::check_views(candidate.store, &lock)].concat();
    Ok(Ended { start, publication })
}

impl Ended {
    /// Removes the emptied stage and the consumed sources.
    pub(super) fn clear_up(self, candidate: Candidate<'_>, stage: Option<OwnStage<'_>>) -> Publication {
        let Ended { start, mut publication } = self;
        let (store, mut after) = (candidate.store, AfterCommit::new(publication.warnings));
        if let Some(stage) = stage {
            after.record("remove the stage", stage.remove());
        }
        for file in candidate.ingested.consumed {
            after.record("remove a consumed file", file.remove(&store.fs));
        }
        publication.warnings = after.warnings;
        publication.durable = announce::is_durable(store, &publication.warnings);
        publication.times.commit = start.elapsed();
        publication
    }
}

/// Removes the tree that was built for a commit that failed, and the objects in `named`, which it added:
/// the next try may need their space.
pub(super) fn take_back(candidate: Candidate<'_>, stage: OwnStage<'_>, named: &[ObjectId]) {
    let (store, high) = (candidate.store, candidate.high_seen);
    // Releases the store lock.
    drop(candidate);
    // A part that cannot be removed now is debris, which the next writer removes, and objects, which gc
    // removes.
    let is_naming = match Naming::of(store).take_back_names(high, named) {
        Ok(true) => Naming::of(store).forget(stage.dir()).is_err(),
        Ok(false) | Err(_) => Naming::of(store).is_open(stage.dir()),
    };
    if is_naming {
        stage.leave();
    }
}

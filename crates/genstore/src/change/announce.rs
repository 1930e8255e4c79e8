//! What comes after `current` has moved: the notice, the end of the intent, a look at the views.

use crate::error::Result;
use crate::fs::Durability;
use crate::fs::fault::FaultStage;
use crate::fs::flush::Flush;
use crate::model::ids::GenerationId;
use crate::model::tree::TreeId;
use crate::parts::current::Current;
use crate::parts::layout::{LOG, MARKS, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::pending_write::PendingWrite;
use crate::views::refresh;
use crate::warning::{AfterCommit, Warning};

/// Returns whether all that was done survives a power loss.
pub(crate) fn is_durable(store: &StoreDir, warnings: &[Warning]) -> bool {
    store.options.durability == Durability::Full && !warnings.iter().any(|warning| warning.not_durable)
}

/// Makes durable what tells of a change: the log, the hold or its end, and the marks, if there are
/// new ones.
pub(crate) fn sync_told(store: &StoreDir, is_marked: bool) -> Result<()> {
    let (log, path) = (store.fs.open_or_create(&store.dir, LOG)?, store.dir.join(LOG));
    let mut all = vec![Flush::Dir(store.dir.open_dir(b"")?), Flush::File(log, path)];
    if is_marked {
        all.push(Flush::Dir(store.sub(MARKS)?));
    }
    store.fs.sync_each(&all)
}

/// Does what comes last: notice, end of the intent, a look at the views. Nothing of it can undo
/// the commit.
pub(crate) fn tell(
    store: &StoreDir,
    lock: &CommitLock,
    after: &mut AfterCommit,
    id: GenerationId,
    tree: TreeId,
    end: PendingWrite<'_>,
) {
    after.must_finish("write the notice", Current::of(store).write_notice(lock, id, tree));
    if !after.owes {
        after.record("end the commit's record", end.put(lock));
    }
    match store.fs.enter(FaultStage::View, &store.dir) {
        Ok(()) => after.warnings.extend(refresh::check_views(store, lock)),
        failed => after.record("look at the views", failed),
    }
}

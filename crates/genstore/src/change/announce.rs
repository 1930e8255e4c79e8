//! The steps after `current` has moved: the notice, the end of the intent, the check of the views.

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

/// Returns whether all changes survive a power loss.
pub(crate) fn is_durable(store: &StoreDir, warnings: &[Warning]) -> bool {
    store.options.durability == Durability::Full && !warnings.iter().any(|warning| warning.not_durable)
}

/// Makes the records that announce a change durable: the log, the hold or its removal, and new marks.
pub(crate) fn sync_told(store: &StoreDir, is_marked: bool) -> Result<()> {
    let (log, path) = (store.fs.open_or_create(&store.dir, LOG)?, store.dir.join(LOG));
    let mut all = vec![Flush::Dir(store.dir.open_dir(b"")?), Flush::File(log, path)];
    if is_marked {
        all.push(Flush::Dir(store.sub(MARKS)?));
    }
    store.fs.sync_each(all)
}

/// Does the last steps: notice, end of the intent, check of the views. No failure here can undo the
/// commit.
pub(crate) fn tell(
    store: &StoreDir,
    lock: &CommitLock,
    after: &mut AfterCommit,
    id: GenerationId,
    tree: TreeId,
    end: PendingWrite<'_>,
) {
    after.must_finish("write the notice", Current::of(store).write_notice(lock, id, tree));
    if !after.unfinished {
        after.record("end the commit's record", end.put(lock));
    }
    match store.fs.enter(FaultStage::View, &store.dir) {
        Ok(()) => after.warnings.extend(refresh::check_views(store, lock)),
        failed => after.record("check the views", failed),
    }
}

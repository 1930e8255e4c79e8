//! The filesystem of a view that is mounted separately from the store's. While it is not mounted, there
//! is an empty directory in its place, in which the view must not be created.

use crate::error::{Error, Result};
use crate::fs::{Dir, mount};
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{DiskRecord, Escaped, ViewRecord, ViewRecords, relative};
use crate::views::place::{self, ViewLocation};

/// Returns the record of the filesystem of a view's directory. `None` if the store is on it or below
/// its mount point: then it is mounted whenever the store exists.
pub(crate) fn disk_of(store: &StoreDir, parent: &Dir) -> Result<Option<DiskRecord>> {
    let store = place::real_path(store)?;
    let found = mount::mount_point_of(parent.path());
    let at = found.map_err(|e| Error::io("find the mount of", parent.path(), e))?;
    if store.starts_with(&at) {
        return Ok(None);
    }
    Ok(Some(DiskRecord { at: Escaped(relative(&store, &at)), id: parent.filesystem_id() }))
}

/// Records the filesystem of a mirror whose record lacks it.
pub(crate) fn note_disk(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<()> {
    if record.disk.is_some() {
        return Ok(());
    }
    match disk_of(store, place.parent()?)? {
        Some(disk) => {
            ViewRecords::of(store).write(lock, &ViewRecord { disk: Some(disk), ..record.clone() })
        }
        None => Ok(()),
    }
}

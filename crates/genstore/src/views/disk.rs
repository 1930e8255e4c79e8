//! The filesystem that a view is on, where it is mounted apart from the store's. While it is not
//! mounted, an empty directory stands in its place, and the view must not be made in there. Floor 3.

use crate::error::{Error, Result, show_path};
use crate::fs::Dir;
use crate::fs::mount;
use crate::parts::layout::Home;
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{DiskRecord, Escaped, ViewKind, ViewRecord, follow, relative};
use crate::views::place::Place;

impl Home {
    /// Returns what is to be noted of the filesystem of a view's directory; `None` where the store
    /// is on it, or below its mount point: then it is there whenever the store is.
    pub(crate) fn disk_of(&self, parent: &Dir) -> Result<Option<DiskRecord>> {
        let store = self.real_path()?;
        let found = mount::mount_point_of(parent.path());
        let at = found.map_err(|e| Error::io("find the mount of", parent.path(), e))?;
        if store.starts_with(&at) {
            return Ok(None);
        }
        Ok(Some(DiskRecord { at: Escaped(relative(&store, &at)), id: parent.filesystem_id() }))
    }

    /// Returns why a view's filesystem is not there: nothing is mounted where it was, or another one.
    pub(crate) fn missing_disk(&self, record: &ViewRecord, place: &Place) -> Result<Option<String>> {
        let Some(disk) = &record.disk else { return Ok(None) };
        let at = follow(&self.real_path()?, &disk.at.0);
        let shown = show_path(&at);
        match mount::is_mount_point(&at) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(format!("nothing is mounted on {shown}"))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                return Ok(Some(format!("there is no {shown}")));
            }
            Err(e) => return Err(Error::io("find the mount of", at, e)),
        }
        let Ok(parent) = place.parent() else { return Ok(None) };
        let is_other = matches!((disk.id, parent.filesystem_id()), (Some(was), Some(is)) if was != is);
        // Some filesystems are numbered by their device: then the view itself tells.
        if is_other && !self.stands_there(record, place, parent)? {
            return Ok(Some(format!("another filesystem is mounted on {shown}")));
        }
        Ok(None)
    }

    fn stands_there(&self, record: &ViewRecord, place: &Place, parent: &Dir) -> Result<bool> {
        let Some(stat) = parent.stat(place.name())? else { return Ok(false) };
        Ok(match record.kind {
            ViewKind::Mirror => self.inventory(&record.key())?.is_some_and(|known| known.root == stat.ino),
            ViewKind::Link => {
                parent.read_link(place.name()).ok().flatten().is_some_and(|to| place.is_ours(&to))
            }
        })
    }

    /// Notes the filesystem of a mirror whose record does not tell of it.
    pub(crate) fn note_disk(&self, lock: &CommitLock, record: &ViewRecord, place: &Place) -> Result<()> {
        if record.disk.is_some() {
            return Ok(());
        }
        match self.disk_of(place.parent()?)? {
            Some(disk) => self.write_view(lock, &ViewRecord { disk: Some(disk), ..record.clone() }),
            None => Ok(()),
        }
    }
}

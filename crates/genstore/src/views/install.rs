//! Installs a view so that its path is never absent.
//!
//! 1. A pending record is made durable, with the names that are used beside the view.
//! 2. The link or the whole mirror is created under a temporary name in the same directory.
//! 3. One rename installs it: to a free name, over the previous link or empty directory, or in exchange
//!    with any other entry.
//! 4. After an exchange, the previous entry is renamed to the name under which it is kept. If it was
//!    ours, it is removed. The directory is flushed.
//! 5. The view's record is made durable, and the pending one is removed.
//!
//! If it is interrupted before 3, the next writer undoes it. After 3, the next writer does 4 and 5.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::errno::{is_errno, is_not_empty};
use crate::fs::{Dir, Kind, Stat};
use crate::model::view::{ViewChange, ViewKind};
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{Escaped, PendingView, ViewRecord, ViewRecords};
use crate::views::mirror;
use crate::views::place::{self, ViewLocation};
use crate::views::view::ViewState;
use crate::warning::AfterCommit;

/// The way in which a view gets its name.
#[derive(Clone, Copy, PartialEq)]
enum InstallMode {
    ToFreeName,
    Over,
    Exchange,
}

/// Does steps 1 to 5. Returns the path under which the previous entry is kept: a foreign entry always
/// is, one of ours only if it contains foreign files.
pub(crate) fn put_in_place(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
    change: ViewChange,
    after: &mut AfterCommit,
) -> Result<Option<PathBuf>> {
    let (parent, name) = (place.parent()?, place.name());
    let temp = mirror::name_beside(store, record, ".genstore-view-");
    if parent.stat(&temp)?.is_some() {
        return Err(Error::io("make the view", parent.join(&temp), Errno::EXIST));
    }
    let is_mirror = record.kind == ViewKind::Mirror;
    let way = match (change, parent.stat(name)?.map(|stat| stat.kind)) {
        (_, None) => InstallMode::ToFreeName,
        (ViewChange::Made, _) => InstallMode::Over,
        (ViewChange::Retargeted, Some(Kind::Symlink)) if !is_mirror => InstallMode::Over,
        _ => InstallMode::Exchange,
    };
    let aside = match change {
        ViewChange::Replaced => Some(Escaped(free_name(parent, name)?)),
        _ => None,
    };
    let mut pending = PendingView { view: record.clone(), temp: Escaped(temp), aside, root: None };
    ViewRecords::of(store).write_pending(lock, &pending)?;
    let made = match record.kind {
        ViewKind::Link => {
            store.fs.within(parent).and_then(|fs| fs.symlink(&place.target, parent, &pending.temp.0))
        }
        ViewKind::Mirror => mirror::build_mirror(store, lock, &mut pending, place),
    };
    let temp = (parent, pending.temp.0.as_slice());
    let placed = made.and_then(|()| match way {
        InstallMode::ToFreeName => store.fs.rename_to_free(temp, (parent, name)),
        InstallMode::Over => store.fs.rename(temp, (parent, name)),
        InstallMode::Exchange => store.fs.exchange(temp, (parent, name)),
    });
    if let Err(error) = placed {
        // Undoes it. If even that fails, the next writer does it.
        drop(settle_view(store, lock, &pending));
        return Err(explain(error, way, is_mirror, place));
    }
    let settled = settle_view(store, lock, &pending);
    let kept = match (&settled, &pending.aside) {
        (Ok(kept), _) => kept.clone(),
        (Err(_), None) => None,
        (Err(_), Some(aside)) if parent.stat(temp.1).is_ok_and(|stat| stat.is_none()) => {
            Some(aside.0.clone())
        }
        (Err(_), Some(_)) => Some(temp.1.to_vec()),
    };
    if let Err(error) = settled {
        let what = format!("the view {} is in place, but not durable yet", show_path(&place.path));
        after.warn_about(&what, &error);
    }
    Ok(kept.map(|kept| parent.join(&kept)))
}

/// Completes or undoes every view that was being installed. A view that cannot be reached now is left
/// for later, and causes no error: it is outside the store.
pub(crate) fn settle_views(store: &StoreDir, lock: &CommitLock) -> Result<()> {
    for key in ViewRecords::of(store).pending_views()? {
        let settled = ViewRecords::of(store).read_pending(&key).and_then(|pending| match pending {
            Some(pending) => settle_view(store, lock, &pending).map(drop),
            None => Ok(()),
        });
        // `check_views` reports it, as the record still exists. `verify` reports damage, too.
        drop(settled);
    }
    mirror::settle_mirrors(store, lock)
}

/// Completes or undoes one view. Returns the name under which the previous entry is kept.
pub(crate) fn settle_view(
    store: &StoreDir,
    lock: &CommitLock,
    pending: &PendingView,
) -> Result<Option<Vec<u8>>> {
    let place = place::place(store, &pending.view)?;
    let (parent, temp) = (place.parent()?, pending.temp.0.as_slice());
    let is_mirror = pending.view.kind == ViewKind::Mirror;
    if is_mirror {
        store.fs.remove_all(parent, &mirror::spare_name(store, &pending.view))?;
    }
    let kept = match parent.stat(temp)? {
        None => None,
        Some(stat) => settle_temp(store, lock, pending, &place, &stat)?,
    };
    store.fs.sync_dir(parent)?;
    let key = pending.view.key();
    let in_place = match parent.stat(place.name())? {
        Some(stat) if is_mirror => stat.kind == Kind::Dir && pending.root == Some(stat.ino),
        _ => !is_mirror && place.standing()? == ViewState::Ok,
    };
    if in_place {
        ViewRecords::of(store).write(lock, &pending.view)?;
    }
    match (is_mirror, in_place) {
        (true, true) => ViewRecords::of(store).promote_inventory(lock, &key)?,
        (true, false) => ViewRecords::of(store).forget_inventory(lock, &key, false)?,
        (false, true) => ViewRecords::of(store).forget_inventory(lock, &key, true)?,
        (false, false) => {}
    }
    ViewRecords::of(store).remove_pending(lock, &key)?;
    Ok(kept)
}

/// Removes a temporary entry, or one of ours that is not a view any more. Any other entry was at the
/// view's path: it is never removed, but renamed.
fn settle_temp(
    store: &StoreDir,
    lock: &CommitLock,
    pending: &PendingView,
    place: &ViewLocation,
    stat: &Stat,
) -> Result<Option<Vec<u8>>> {
    let (parent, temp) = (place.parent()?, pending.temp.0.as_slice());
    match (pending.view.kind, stat.kind) {
        (_, Kind::Symlink) if parent.read_link(temp)?.is_some_and(|target| place.is_ours(&target)) => {
            store.fs.unlink(parent, temp)?;
            return Ok(None);
        }
        (ViewKind::Mirror, Kind::Dir) if pending.root == Some(stat.ino) => {
            store.fs.remove_all(parent, temp)?;
            return Ok(None);
        }
        // Just created, or empty when the view replaced it; or a mirror that is now a link.
        (kind, Kind::Dir) if pending.aside.is_none() => {
            if kind == ViewKind::Link && ViewRecords::of(store).mirrors()?.contains(&pending.view.key()) {
                mirror::clear_mirror(store, lock, &pending.view, place, temp)?;
            }
            match store.fs.remove_dir(parent, temp) {
                Err(e) if is_not_empty(&e) => {}
                removed => return removed.map(|_| None),
            }
        }
        (ViewKind::Mirror, Kind::Dir) if pending.root.is_none() => {
            store.fs.remove_dir(parent, temp)?;
            return Ok(None);
        }
        _ => {}
    }
    let aside = match &pending.aside {
        Some(aside) if parent.stat(&aside.0)?.is_none() => aside.0.clone(),
        _ => free_name(parent, place.name())?,
    };
    store.fs.rename_to_free((parent, temp), (parent, &aside))?;
    Ok(Some(aside))
}

fn explain(error: Error, way: InstallMode, is_mirror: bool, place: &ViewLocation) -> Error {
    let path = show_path(&place.path);
    if is_mirror && matches!(error, Error::Io { op: "link", .. }) && is_errno(&error, Errno::XDEV) {
        let why = format!(
            "{path} is on another filesystem than the store, and hard links cannot cross filesystems"
        );
        return Error::refused(RefusedKind::ViewOtherFilesystem, why);
    }
    const CANNOT: [Errno; 5] = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP, Errno::XDEV];
    if way == InstallMode::Exchange && CANNOT.iter().any(|errno| is_errno(&error, *errno)) {
        let why = format!("the filesystem of {path} cannot exchange two names");
        return Error::refused(RefusedKind::ViewNoExchange, why);
    }
    error
}

/// Finds the name under which the previous entry of a view's path is kept: the first that is free.
fn free_name(parent: &Dir, name: &[u8]) -> Result<Vec<u8>> {
    let base = [name, b".before-genstore"].concat();
    let mut aside = base.clone();
    for nth in 2u64.. {
        if parent.stat(&aside)?.is_none() {
            break;
        }
        aside = [&base, format!("-{nth}").as_bytes()].concat();
    }
    Ok(aside)
}

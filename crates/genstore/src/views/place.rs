//! The location of a view: the path from the store to it and back, and the entry there.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::dir::is_mounted_on;
use crate::fs::errno::is_absence;
use crate::fs::{Dir, Kind, mount, way};
use crate::model::view::ViewKind;
use crate::parts::layout::{CURRENT, GENERATIONS, StoreDir, TREE};
use crate::parts::view_records::{Escaped, ViewRecord, ViewRecords, follow, relative};
use crate::views::view::ViewState;

/// The location of a view's link or mirror.
pub(crate) struct ViewLocation {
    pub(crate) path: PathBuf,
    /// The target of the link.
    pub(crate) target: Vec<u8>,
    /// The same, without the part of the tree.
    current: Vec<u8>,
    /// `None` if the directory does not exist.
    parent: Option<Dir>,
    /// The reason why the path was not followed: another user may have redirected it.
    refused: Option<String>,
    /// The reason why nothing must be created there now: its filesystem is not mounted.
    pub(crate) unmounted: Option<String>,
}

impl ViewLocation {
    pub(crate) fn name(&self) -> &[u8] {
        self.path.file_name().map(OsStrExt::as_bytes).unwrap_or_default()
    }

    pub(crate) fn parent(&self) -> Result<&Dir> {
        if let Some(why) = &self.refused {
            return Err(Error::refused(RefusedKind::ViewWay, why));
        }
        let gone = || match &self.unmounted {
            Some(why) => Error::refused(RefusedKind::ViewNotMounted, why.clone()),
            None => Error::io("open", self.path.parent().unwrap_or(&self.path), Errno::NOENT),
        };
        self.parent.as_ref().ok_or_else(gone)
    }

    /// Returns whether a symlink with this target leads to the store's `current`.
    pub(crate) fn is_ours(&self, target: &[u8]) -> bool {
        target.strip_prefix(self.current.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Checks that no other user may have redirected the path.
    pub(crate) fn check_way(&self) -> Result<()> {
        if self.refused.is_some() { self.parent().map(drop) } else { Ok(()) }
    }

    /// Classifies the entry there. Whether a link's target exists is not checked.
    pub(crate) fn standing(&self) -> Result<ViewState> {
        let Some(parent) = &self.parent else {
            return Ok(if self.unmounted.is_some() { ViewState::Unmounted } else { ViewState::NoParent });
        };
        Ok(match parent.stat(self.name())?.map(|stat| stat.kind) {
            None => ViewState::Missing,
            Some(Kind::Dir) if is_mounted_on(parent, self.name())? => ViewState::Mounted,
            Some(Kind::Dir) => ViewState::Directory,
            Some(Kind::Symlink) => match parent.read_link(self.name())? {
                Some(target) if target == self.target => ViewState::Ok,
                Some(target) => ViewState::Elsewhere(target),
                None => ViewState::Missing,
            },
            Some(_) => ViewState::File,
        })
    }

    /// Recreates a missing link.
    pub(crate) fn make_again(&self, store: &StoreDir) -> Result<()> {
        let parent = self.parent()?;
        store.fs.within(parent)?.symlink(&self.target, parent, self.name())?;
        store.fs.sync_dir(parent)
    }
}

pub(crate) fn real_path(store: &StoreDir) -> Result<PathBuf> {
    let path = store.dir.path();
    std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e))
}

/// Checks that a view may be at this path, and returns the relative path from the store.
pub(crate) fn new_view_path(store: &StoreDir, path: &Path) -> Result<Escaped> {
    let shown = show_path(path);
    if path.file_name().is_none() {
        return Err(Error::refused(RefusedKind::BadViewPath, format!("{shown} does not end with a name")));
    }
    let real = real_place(store, path).map_err(|error| match is_gone(&error) {
        true => {
            let parent = path.parent().unwrap_or(path);
            let why = format!("cannot create {shown}: there is no directory {}", show_path(parent));
            Error::refused(RefusedKind::ViewNoParent, why)
        }
        false => error,
    })?;
    let home = real_path(store)?;
    if let Some(nth) = level_of(store, &real)? {
        return Err(match nth {
            0 => Error::refused(RefusedKind::ViewInStore, format!("{shown} is the store itself")),
            _ => Error::refused(RefusedKind::ViewHoldsStore, format!("{shown} contains the store")),
        });
    }
    if is_part_of_store(store, real.parent().unwrap_or(&real))? {
        return Err(Error::refused(RefusedKind::ViewInStore, format!("{shown} lies in the store")));
    }
    Ok(Escaped(relative(&home, &real)))
}

/// Returns how many levels above the store a path is, if it contains the store, by inodes.
fn level_of(store: &StoreDir, real: &Path) -> Result<Option<usize>> {
    let home = real_path(store)?;
    let Ok(standing) = std::fs::symlink_metadata(real) else { return Ok(None) };
    Ok(home.ancestors().position(|above| {
        std::fs::metadata(above)
            .is_ok_and(|above| (above.dev(), above.ino()) == (standing.dev(), standing.ino()))
    }))
}

/// Returns whether the entry at a path contains the store, for example after a project was moved.
pub(crate) fn holds_store(store: &StoreDir, path: &Path) -> bool {
    !matches!(level_of(store, path), Ok(None))
}

/// Returns whether a directory is inside the store, by inodes: a view shows parts of the store under
/// other names.
pub(crate) fn lies_in_store(store: &StoreDir, real: &Path) -> Result<bool> {
    let own = store.dir.stat_self()?;
    for above in real.ancestors() {
        let meta = std::fs::metadata(above).map_err(|e| Error::io("stat", above, e))?;
        if (meta.dev(), meta.ino()) == (own.dev, own.ino) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens a folder outside the store, through no symlink of another user.
pub(crate) fn open_way(store: &StoreDir, path: &Path) -> Result<Dir> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let owners = [rustix::process::geteuid().as_raw(), 0, store.dir.stat_self()?.uid];
    way::open_way(&absolute, &owners)
}

/// Returns the real path of the parent directory, joined with the entry's own name: the entry itself
/// may be a symlink.
pub(crate) fn real_place(store: &StoreDir, path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::io("find", path, Errno::INVAL))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(open_way(store, parent.unwrap_or(Path::new(".")))?.path().join(name))
}

/// Returns whether a directory is inside the store, or inside a part of the store that is mounted
/// elsewhere. Of a generation's tree only the topmost folder is known, so a mount of a deeper folder is
/// not detected.
pub(crate) fn is_part_of_store(store: &StoreDir, real: &Path) -> Result<bool> {
    if lies_in_store(store, real)? {
        return Ok(true);
    }
    let mut parts: Vec<Vec<u8>> = store.dir.list()?.into_iter().map(|(name, _)| name).collect();
    for (name, _) in store.list(GENERATIONS)? {
        let generation = [GENERATIONS, b"/", &name].concat();
        parts.extend([[&generation[..], b"/", TREE].concat(), generation]);
    }
    let mut inodes = HashSet::new();
    for part in parts {
        if let Some(stat) = store.dir.stat_below(&part)?.filter(|stat| stat.kind == Kind::Dir) {
            inodes.insert((stat.dev, stat.ino));
        }
    }
    for above in real.ancestors() {
        let meta = std::fs::metadata(above).map_err(|e| Error::io("stat", above, e))?;
        if inodes.contains(&(meta.dev(), meta.ino())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that a new path is outside the store and outside all views.
pub(crate) fn check_target(store: &StoreDir, target: &Path) -> Result<()> {
    let shown = show_path(target);
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    // If the folder does not exist, nothing is created.
    let Ok(parent) = std::fs::canonicalize(parent.unwrap_or(Path::new("."))) else { return Ok(()) };
    let real = parent.join(target.file_name().unwrap_or_default());
    if is_part_of_store(store, &parent)? {
        let why = format!("{shown} lies in the store, or in a view of it");
        return Err(Error::refused(RefusedKind::TargetInStore, why));
    }
    let inode = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
        Some((meta.dev(), meta.ino()))
    };
    let own: Vec<_> = real.ancestors().filter_map(inode).collect();
    // `verify` reports damaged records.
    for record in ViewRecords::of(store).list()?.into_iter().flatten() {
        let view = follow(&real_path(store)?, &record.path.0);
        if view == real || inode(&view).is_some_and(|view| own.contains(&view)) {
            let why = format!("{shown} is, or lies in, the view {}", show_path(&view));
            return Err(Error::refused(RefusedKind::TargetInView, why));
        }
    }
    Ok(())
}

/// Finds the location of a record's view.
pub(crate) fn place(store: &StoreDir, record: &ViewRecord) -> Result<ViewLocation> {
    let home = real_path(store)?;
    let path = follow(&home, &record.path.0);
    let above = path.parent().unwrap_or(&path);
    let mut refused = None;
    let parent = match open_way(store, above) {
        // It now leads into the store, where no view is created.
        Ok(dir) if lies_in_store(store, dir.path())? => None,
        Ok(dir) => Some(dir),
        Err(e) if is_gone(&e) => None,
        // The error is reported when the path is used. The record can still be removed.
        Err(Error::Refused { kind: RefusedKind::ViewWay, why }) => {
            refused = Some(why);
            None
        }
        Err(e) => return Err(e),
    };
    let current = relative(above, &home.join(std::ffi::OsStr::from_bytes(CURRENT)));
    let target = record.from().map_or(current.clone(), |from| [&current, &b"/"[..], from].concat());
    let mut place = ViewLocation { path, target, current, parent, refused, unmounted: None };
    place.unmounted = missing_disk(store, record, &place)?;
    if place.unmounted.is_some() {
        place.parent = None;
    }
    Ok(place)
}

/// Returns whether an error means that there is no directory at a path.
pub(crate) fn is_gone(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

impl ViewLocation {
    /// Returns whether a real directory is there.
    pub(crate) fn is_directory(&self) -> Result<bool> {
        match self.parent() {
            Ok(parent) => Ok(parent.stat(self.name())?.is_some_and(|stat| stat.kind == Kind::Dir)
                && !is_mounted_on(parent, self.name())?),
            Err(_) => Ok(false),
        }
    }
}

/// Returns whether a directory is empty.
pub(crate) fn is_empty_directory(parent: &Dir, name: &[u8]) -> Result<bool> {
    match parent.open_dir(name) {
        Ok(dir) => Ok(dir.list()?.is_empty()),
        Err(e) if is_absence(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Returns why a view's filesystem is not available: its mount point is free, or has another
/// filesystem.
pub(crate) fn missing_disk(
    store: &StoreDir,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<Option<String>> {
    let Some(disk) = &record.disk else { return Ok(None) };
    let at = follow(&real_path(store)?, &disk.at.0);
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
    // Some filesystems derive their id from the device. Then the view itself is the evidence.
    if is_other && !stands_there(store, record, place, parent)? {
        return Ok(Some(format!("another filesystem is mounted on {shown}")));
    }
    Ok(None)
}

pub(crate) fn stands_there(
    store: &StoreDir,
    record: &ViewRecord,
    place: &ViewLocation,
    parent: &Dir,
) -> Result<bool> {
    let Some(stat) = parent.stat(place.name())? else { return Ok(false) };
    Ok(match record.kind {
        ViewKind::Mirror => ViewRecords::of(store)
            .inventory(&record.key())?
            .is_some_and(|inventory| inventory.root == stat.ino),
        ViewKind::Link => {
            parent.read_link(place.name()).ok().flatten().is_some_and(|to| place.is_ours(&to))
        }
    })
}

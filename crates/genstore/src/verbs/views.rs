//! Adds, lists and removes views: the paths outside the store that show the current generation.

use std::path::{Path, PathBuf};

use crate::change::recover;
use crate::error::{Error, RefusedKind, Result, show_path};
use crate::model::nearest::nearest_names;
use crate::model::relpath::show;
use crate::model::view::{Action, Recorded, Refusal, ViewAtPath, ViewChange, ViewKind, Wanted, decide};
use crate::parts::layout::{StoreDir, VIEWS};
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{Escaped, ViewRecord, ViewRecords, follow, relative};
use crate::views::place::{self, ViewLocation, is_empty_directory};
use crate::views::state::{look_at_view, mirror_state, shows_something, view};
use crate::views::view::{View, ViewAdded, ViewOptions, ViewRemoved, ViewState};
use crate::views::{disk, install, mirror, parents, refresh};
use crate::warning::AfterCommit;

pub(crate) fn views(store: &StoreDir) -> Result<Vec<View>> {
    let mut views = Vec::new();
    for record in ViewRecords::of(store).list()? {
        views.push(look_at_view(store, &record?)?.0);
    }
    views.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(views)
}

/// Returns the paths of the views, from their records alone. The paths themselves are not checked.
pub(crate) fn view_paths(store: &StoreDir) -> Result<Vec<PathBuf>> {
    let home = place::real_path(store)?;
    // `verify` reports a damaged one.
    let records = ViewRecords::of(store).list()?.into_iter().flatten();
    Ok(records.map(|record| follow(&home, &record.path.0)).collect())
}

/// A requested view, with its location.
struct Asked {
    record: ViewRecord,
    place: ViewLocation,
    /// The record of the existing view.
    previous: Option<ViewRecord>,
}

/// Adds a view, or changes the part of the tree that an existing one shows.
///
/// # Locks
/// The commit lock.
pub(crate) fn add_view(store: &StoreDir, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
    let (lock, _) = recover::lock_and_recover(store)?;
    if options.parents {
        parents::make_parents(store, &lock, path)?;
    }
    let asked = ask(store, &lock, path, options)?;
    let recorded = match &asked.previous {
        None => Recorded::No,
        Some(previous) if previous.asks_the_same(&asked.record) => Recorded::Same,
        Some(_) => Recorded::Other,
    };
    let wanted = Wanted { kind: options.kind, replace: options.replace, recorded };
    let action = decide(wanted, observe(store, &asked)?);
    let Asked { record, place, .. } = asked;
    let mut after = AfterCommit::default();
    let (change, kept) = match action {
        Action::Refuse(why) => return Err(refused(&place, why)),
        Action::Keep => (ViewChange::Unchanged, None),
        Action::Record(change) => {
            ViewRecords::of(store).write(&lock, &record)?;
            (change, None)
        }
        Action::Install(change) => {
            (change, install::put_in_place(store, &lock, &record, &place, change, &mut after)?)
        }
    };
    // The view is in place, even if its state cannot be determined.
    let shows_nothing = matches!(shows_something(store, &record), Ok(false));
    let mut state = if shows_nothing { ViewState::Dangling } else { ViewState::Ok };
    if let (Action::Keep | Action::Record(_), ViewKind::Mirror) = (&action, record.kind) {
        match mirror::update_mirror(store, &lock, &record, &place) {
            Ok(updated) if updated.strangers.is_empty() => {}
            Ok(updated) => state = ViewState::Strangers(updated.strangers),
            Err(error) => {
                let path = show_path(&place.path);
                let what = format!("the view {path} could not be updated");
                after.warn_about(&what, &error);
            }
        }
    }
    let view = view(&record, &place, state);
    Ok(ViewAdded { view, change, kept, warnings: after.warnings })
}

/// Finds the location of a requested view, and the existing record.
fn ask(store: &StoreDir, lock: &CommitLock, path: &Path, options: &ViewOptions) -> Result<Asked> {
    let keep_removed = options.keep_removed.filter(|_| options.kind == ViewKind::Mirror);
    let mut record = ViewRecord {
        path: place::new_view_path(store, path)?,
        from: options.from.as_ref().map(|from| Escaped(from.as_bytes().to_vec())),
        kind: options.kind,
        copy: options.copy && options.kind == ViewKind::Mirror,
        keep_removed: keep_removed.map(|keep| keep.as_secs()).filter(|secs| *secs > 0),
        made: store.now().into(),
        disk: None,
    };
    if let Some(pending) = ViewRecords::of(store).read_pending(&record.key())? {
        // A failure here is reported to the caller: it is what kept earlier writers from completing it.
        install::settle_view(store, lock, &pending)?;
    }
    let place = place::place(store, &record)?;
    place.parent()?;
    // A damaged record counts as missing.
    let previous = ViewRecords::of(store).read(&record.key()).ok().flatten();
    if let Some(previous) = &previous {
        place::place(store, previous)?.parent()?;
    }
    record.disk = disk::disk_of(store, place.parent()?)?;
    Ok(Asked { record, place, previous })
}

/// Observes the entry at the path of a requested view.
fn observe(store: &StoreDir, Asked { record, place, previous }: &Asked) -> Result<ViewAtPath> {
    let was_mirror = previous.as_ref().is_some_and(|previous| previous.kind == ViewKind::Mirror);
    Ok(match place.standing()? {
        ViewState::Missing => ViewAtPath::Nothing,
        ViewState::Ok => ViewAtPath::SameLink,
        ViewState::Elsewhere(target) if place.is_ours(&target) => ViewAtPath::OurLink,
        ViewState::Elsewhere(target) => ViewAtPath::OtherLink(target),
        ViewState::Directory if was_mirror => {
            let strangers = mirror::look_at_mirror(store, record, place)?.1;
            ViewAtPath::Mirror { holds_strangers: !strangers.is_empty() }
        }
        ViewState::Directory
            if record.kind == ViewKind::Mirror && is_empty_directory(place.parent()?, place.name())? =>
        {
            ViewAtPath::EmptyDirectory
        }
        ViewState::File => ViewAtPath::File,
        ViewState::Mounted => ViewAtPath::MountPoint,
        _ => ViewAtPath::Directory,
    })
}

fn refused(place: &ViewLocation, why: Refusal) -> Error {
    let path = show_path(&place.path);
    let taken = |what: &str| Error::refused(RefusedKind::ViewTaken, format!("{path} is {what}"));
    match why {
        Refusal::File => {
            let why = format!("{path} is a file, and a view does not replace a file");
            Error::refused(RefusedKind::ViewFile, why)
        }
        Refusal::MountPoint => taken("a mount point"),
        Refusal::Directory => taken("a directory"),
        Refusal::Symlink(target) => taken(&format!("a symlink to {}", show(&target))),
        Refusal::MirrorWithStrangers => taken("a mirror that contains files that are not genstore's"),
    }
}

pub(crate) fn remove_view(store: &StoreDir, path: &Path) -> Result<ViewRemoved> {
    let (lock, _) = recover::lock_and_recover(store)?;
    let record = find_view(store, path)?;
    if let Some(pending) = ViewRecords::of(store).read_pending(&record.key())? {
        // Recovery could not complete it. Without its directory there is nothing to complete.
        match place::place(store, &record)?.parent() {
            Ok(_) => drop(install::settle_view(store, &lock, &pending)?),
            Err(_) => ViewRecords::of(store).remove_pending(&lock, &record.key())?,
        }
    }
    let place = place::place(store, &record)?;
    if record.kind == ViewKind::Mirror && place.is_directory()? {
        return remove_mirror(store, &lock, &record, &place);
    }
    let (view, place) = look_at_view(store, &record)?;
    let unlinked = match &view.state {
        ViewState::Ok | ViewState::Dangling => true,
        ViewState::Elsewhere(target) => record.kind == ViewKind::Link && place.is_ours(target),
        _ => false,
    };
    let strangers = vec![];
    if !unlinked {
        ViewRecords::of(store).forget_inventory(&lock, &record.key(), true)?;
        ViewRecords::of(store).remove(&lock, &record.key())?;
        return Ok(ViewRemoved { view, unlinked, strangers });
    }
    let (parent, name) = (place.parent()?, place.name());
    let standing = parent.read_link(name)?;
    // The link is removed first: while there is a record, the next publish restores the link.
    let removed = store
        .fs
        .unlink(parent, name)
        .and_then(|_| store.fs.sync_dir(parent))
        .and_then(|()| ViewRecords::of(store).remove(&lock, &record.key()));
    if let (Err(_), Some(target)) = (&removed, standing) {
        // Undoes the removal. If this fails, too, the remaining record decides.
        drop(ViewRecords::of(store).write(&lock, &record));
        drop(store.fs.within(parent).and_then(|fs| fs.symlink(&target, parent, name)));
    }
    removed.map(|()| ViewRemoved { view, unlinked, strangers })
}

pub(crate) fn remove_mirror(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<ViewRemoved> {
    // Only for the report: the current generation may be damaged, and the mirror is removed all the
    // same.
    let state = mirror_state(store, record, place).unwrap_or(ViewState::Behind);
    // Needs no space, and fails on a read-only filesystem, where the record could not be removed.
    store.fs.set_dir_mode(&store.dir, VIEWS)?;
    let removed = mirror::clear_mirror(store, lock, record, place, place.name()).and_then(|strangers| {
        ViewRecords::of(store).remove(lock, &record.key())?;
        Ok(strangers)
    });
    match removed {
        Ok(strangers) => {
            let view = view(record, place, state);
            Ok(ViewRemoved { view, unlinked: true, strangers })
        }
        Err(error) => {
            // Undoes the removal. If this fails, too, the next writer does it while there is a record.
            drop(ViewRecords::of(store).write(lock, record));
            drop(refresh::bring_back(store, lock, record, place));
            Err(error)
        }
    }
}

/// Returns whether there is a view at a path.
pub(crate) fn has_view(store: &StoreDir, path: &Path) -> Result<bool> {
    match find_view(store, path) {
        Ok(_) => Ok(true),
        Err(Error::UnknownView { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Finds the record of the view at a path, whether or not its directory still exists.
pub(crate) fn find_view(store: &StoreDir, path: &Path) -> Result<ViewRecord> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let home = place::real_path(store)?;
    // Without its directory it is found by its text alone.
    let by_text = || follow(Path::new("/"), &relative(Path::new("/"), &absolute));
    let real = place::real_place(store, &absolute).unwrap_or_else(|_| by_text());
    let mut names = Vec::new();
    let pending = ViewRecords::of(store).pending_views()?.into_iter();
    let pending = pending
        .filter_map(|key| Some(ViewRecords::of(store).read_pending(&key).transpose()?.map(|p| p.view)));
    // A damaged record is skipped: it may be another view's, and `verify` removes it.
    for record in ViewRecords::of(store).list()?.into_iter().chain(pending).flatten() {
        let found = follow(&home, &record.path.0);
        if found == real {
            return Ok(record);
        }
        names.push(found);
    }
    // Relative to the store: the common part of all paths must not make names look similar.
    let way = |path: &Path| String::from_utf8_lossy(&relative(&home, path)).into_owned();
    let ways: Vec<String> = names.iter().map(|name| way(name)).collect();
    let near = nearest_names(ways.iter().map(String::as_str), &way(&real));
    let near = near.iter().map(|way| follow(&home, way.as_bytes())).collect();
    Err(Error::UnknownView { path: path.to_owned(), near })
}

//! Views: paths outside the store that show what is current. Floor 3.
//!
//! A link is a relative symlink `…/current[/SUBDIR]`, made once: commits move `current`, and the view
//! with it. A mirror is a directory of real files, which each commit brings up to date (`mirror`). What
//! stood at a view's path is kept beside it, never deleted (`view_put`).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result, show_path};
use crate::model::relpath::{RelPath, show};
use crate::parts::layout::{Home, VIEWS};
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{Escaped, ViewKind, ViewRecord, follow, relative};
use crate::repair::check::is_absence;
use crate::verbs::activate::{AfterCommit, Warning};
use crate::verbs::inspect::nearest_names;
use crate::views::mirror::is_empty_directory;
use crate::views::place::Place;

/// What a view shows, and how it comes to its place.
#[derive(Clone, Debug, Default)]
pub struct ViewOptions {
    /// The part of the tree that it shows; all of it, if there is none.
    pub from: Option<RelPath>,
    /// How it shows it.
    pub kind: ViewKind,
    /// Of a mirror: make private copies, which its readers may write to.
    pub copy: bool,
    /// Take the place of a directory or of somebody else's symlink.
    pub replace: bool,
    /// Make the directories above it that are not there.
    pub parents: bool,
}

/// A view, with what stands at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it is.
    pub path: PathBuf,
    /// How it shows what is current.
    pub kind: ViewKind,
    /// The part of the tree that it shows.
    pub from: Option<RelPath>,
    /// Of a mirror: its files are private copies.
    pub copy: bool,
    /// What its link holds; nothing for a mirror.
    pub target: Vec<u8>,
    /// When it was made.
    pub made: SystemTime,
    /// What stands there.
    pub state: ViewState,
}

/// What stands at a view's path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewState {
    /// The link, and it leads to something; or the mirror of what is current, and nothing else.
    Ok,
    /// The link or the mirror, but what is current has no such path, or nothing is current.
    Dangling,
    /// The mirror, of something else than what is current. The next command that writes mends it.
    Behind,
    /// The mirror of what is current, and these paths in it that are not ours.
    Strangers(Vec<Vec<u8>>),
    /// Nothing.
    Missing,
    /// A symlink that leads elsewhere.
    Elsewhere(Vec<u8>),
    /// A directory.
    Directory,
    /// A file, or whatever else is no directory.
    File,
    /// Not even the directory that it was in.
    NoParent,
    /// A directory on which something is mounted.
    Mounted,
    /// Nothing that counts: the filesystem that it is on is not mounted.
    Unmounted,
}

/// What adding a view did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewChange {
    /// Nothing: it was there.
    Unchanged,
    /// The view is new.
    Made,
    /// It showed another part of the tree before, or showed it in another way.
    Retargeted,
    /// The view stands where something else stood.
    Replaced,
}

/// A view that was added.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViewAdded {
    /// The view.
    pub view: View,
    /// What was done.
    pub change: ViewChange,
    /// Where that is now which stood at its path.
    pub kept: Option<PathBuf>,
    /// What went wrong once the view was in place; the next writer takes it up.
    pub warnings: Vec<Warning>,
}

/// A view that was removed.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViewRemoved {
    /// The view, with what stood at its path.
    pub view: View,
    /// Whether there was a link or a mirror of ours to remove.
    pub unlinked: bool,
    /// What was in a mirror, is not ours, and is still there.
    pub strangers: Vec<Vec<u8>>,
}

impl Home {
    pub(crate) fn views(&self) -> Result<Vec<View>> {
        let mut views = Vec::new();
        for record in self.view_records()? {
            views.push(self.look_at_view(&record?)?.0);
        }
        views.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(views)
    }

    /// Tells where the views are, by their records alone: what stands there is not looked at.
    pub(crate) fn view_paths(&self) -> Result<Vec<PathBuf>> {
        let store = self.real_path()?;
        // A damaged one is `verify`'s to tell.
        let records = self.view_records()?.into_iter().flatten();
        Ok(records.map(|record| follow(&store, &record.path.0)).collect())
    }

    pub(crate) fn look_at_view(&self, record: &ViewRecord) -> Result<(View, Place)> {
        let place = self.place(record)?;
        let state = match place.standing()? {
            ViewState::Directory if record.kind == ViewKind::Mirror => self.mirror_state(record, &place)?,
            // A link is none any more.
            ViewState::Ok if record.kind == ViewKind::Mirror => ViewState::Elsewhere(place.target.clone()),
            ViewState::Ok if !self.shows_something(record)? => ViewState::Dangling,
            state => state,
        };
        Ok((view(record, &place, state), place))
    }

    fn mirror_state(&self, record: &ViewRecord, place: &Place) -> Result<ViewState> {
        let (behind, strangers) = self.look_at_mirror(record, place)?;
        Ok(match (behind, strangers.is_empty()) {
            (true, _) => ViewState::Behind,
            (false, false) => ViewState::Strangers(strangers),
            _ if !self.shows_something(record)? => ViewState::Dangling,
            _ => ViewState::Ok,
        })
    }

    pub(crate) fn shows_something(&self, record: &ViewRecord) -> Result<bool> {
        let Some(id) = self.current()? else {
            return Ok(false);
        };
        let tree = crate::parts::current::tree_path(id);
        let path = record.from().map_or(tree.clone(), |from| [&tree, &b"/"[..], from].concat());
        match self.dir.stat(&path) {
            Ok(stat) => Ok(stat.is_some()),
            Err(e) if is_absence(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn add_view(&self, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
        let (lock, _) = self.begin_commit()?;
        if options.parents {
            self.make_parents(&lock, path)?;
        }
        let mut record = ViewRecord {
            path: self.new_view_path(path)?,
            from: options.from.as_ref().map(|from| Escaped(from.as_bytes().to_vec())),
            kind: options.kind,
            copy: options.copy && options.kind == ViewKind::Mirror,
            made: self.now().into(),
            disk: None,
        };
        if let Some(pending) = self.pending_view(&record.key())? {
            // What kept the writers since from finishing it is for the caller to hear.
            self.settle_view(&lock, &pending)?;
        }
        let place = self.place(&record)?;
        place.parent()?;
        // A damaged record says nothing.
        let known = self.view_record(&record.key()).ok().flatten();
        if let Some(known) = &known {
            self.place(known)?.parent()?;
        }
        record.disk = self.disk_of(place.parent()?)?;
        let was_mirror = known.as_ref().is_some_and(|known| known.kind == ViewKind::Mirror);
        let is_mirror = record.kind == ViewKind::Mirror;
        let taken =
            |what: &str| Err(Error::refused("view-taken", format!("{} is {what}", show_path(&place.path))));
        let change = match place.standing()? {
            ViewState::Missing => ViewChange::Made,
            ViewState::Ok if !is_mirror => ViewChange::Unchanged,
            ViewState::Ok => ViewChange::Retargeted,
            ViewState::Elsewhere(target) if place.is_ours(&target) => ViewChange::Retargeted,
            ViewState::Directory if was_mirror => {
                let foreign = !self.look_at_mirror(&record, &place)?.1.is_empty();
                match (foreign && options.replace, is_mirror) {
                    (true, _) => ViewChange::Replaced,
                    (false, false) if foreign => {
                        return taken("a mirror that holds what genstore did not put there");
                    }
                    (false, false) => ViewChange::Retargeted,
                    (false, true) => ViewChange::Unchanged,
                }
            }
            ViewState::Directory if is_mirror && is_empty_directory(place.parent()?, place.name())? => {
                ViewChange::Made
            }
            ViewState::Elsewhere(_) | ViewState::Directory if options.replace => ViewChange::Replaced,
            ViewState::File => {
                let why = format!("{} is a file, and no view takes a file's place", show_path(&place.path));
                return Err(Error::refused("view-file", why));
            }
            ViewState::Elsewhere(target) => return taken(&format!("a symlink to {}", show(&target))),
            ViewState::Mounted => return taken("a mount point"),
            _ => return taken("a directory"),
        };
        let mut after = AfterCommit::default();
        let (mut kept, mut done) = (None, change);
        match (change, &known) {
            (ViewChange::Unchanged, Some(known)) if known.asks_the_same(&record) => {}
            (ViewChange::Unchanged, known) => {
                let asked_otherwise = is_mirror && known.is_some();
                self.write_view(&lock, &record)?;
                done = if asked_otherwise { ViewChange::Retargeted } else { done };
            }
            _ => kept = self.put_in_place(&lock, &record, &place, change, &mut after)?,
        }
        // The view is in place, whatever keeps us from finding out what it shows.
        let shows_nothing = matches!(self.shows_something(&record), Ok(false));
        let mut state = if shows_nothing { ViewState::Dangling } else { ViewState::Ok };
        if change == ViewChange::Unchanged && is_mirror {
            match self.update_mirror(&lock, &record, &place) {
                Ok(updated) if updated.strangers.is_empty() => {}
                Ok(updated) => state = ViewState::Strangers(updated.strangers),
                Err(error) => {
                    let path = show_path(&place.path);
                    let what = format!("the view {path} could not be brought to what is current");
                    after.warn_of(&what, &error);
                }
            }
        }
        let view = view(&record, &place, state);
        Ok(ViewAdded { view, change: done, kept, warnings: after.warnings })
    }

    pub(crate) fn remove_view(&self, path: &Path) -> Result<ViewRemoved> {
        let (lock, _) = self.begin_commit()?;
        let record = self.find_view(path)?;
        if let Some(pending) = self.pending_view(&record.key())? {
            // Recovery could not finish it. Without its directory there is nothing left to do.
            match self.place(&record)?.parent() {
                Ok(_) => drop(self.settle_view(&lock, &pending)?),
                Err(_) => self.remove_pending_view(&lock, &record.key())?,
            }
        }
        let place = self.place(&record)?;
        if record.kind == ViewKind::Mirror && place.is_directory()? {
            return self.remove_mirror(&lock, &record, &place);
        }
        let (view, place) = self.look_at_view(&record)?;
        let unlinked = match &view.state {
            ViewState::Ok | ViewState::Dangling => true,
            ViewState::Elsewhere(target) => record.kind == ViewKind::Link && place.is_ours(target),
            _ => false,
        };
        let strangers = vec![];
        if !unlinked {
            self.forget_inventory(&lock, &record.key(), true)?;
            self.remove_view_record(&lock, &record.key())?;
            return Ok(ViewRemoved { view, unlinked, strangers });
        }
        let (parent, name) = (place.parent()?, place.name());
        let standing = parent.read_link(name)?;
        // The link first: as long as there is a record, the next publish puts the link back.
        let removed = self
            .fs
            .unlink(parent, name)
            .and_then(|_| self.fs.sync_dir(parent))
            .and_then(|()| self.remove_view_record(&lock, &record.key()));
        if let (Err(_), Some(target)) = (&removed, standing) {
            // As it was; where this fails, too, what there is of a record decides.
            drop(self.write_view(&lock, &record));
            drop(self.fs.within(parent).and_then(|fs| fs.symlink(&target, parent, name)));
        }
        removed.map(|()| ViewRemoved { view, unlinked, strangers })
    }

    fn remove_mirror(&self, lock: &CommitLock, record: &ViewRecord, place: &Place) -> Result<ViewRemoved> {
        // For the report alone: what is current may be damaged, and the mirror goes all the same.
        let state = self.mirror_state(record, place).unwrap_or(ViewState::Behind);
        // Needs no space, and fails where nothing could be forgotten: on a read-only filesystem.
        self.fs.set_dir_mode(&self.dir, VIEWS)?;
        let removed = self.clear_mirror(lock, record, place, place.name()).and_then(|strangers| {
            self.remove_view_record(lock, &record.key())?;
            Ok(strangers)
        });
        match removed {
            Ok(strangers) => {
                let view = view(record, place, state);
                Ok(ViewRemoved { view, unlinked: true, strangers })
            }
            Err(error) => {
                // As it was; where this fails, too, the next writer does it, as long as there is a record.
                drop(self.write_view(lock, record));
                drop(self.bring_back(lock, record, place));
                Err(error)
            }
        }
    }

    /// Returns whether there is a view at a path.
    pub(crate) fn has_view(&self, path: &Path) -> Result<bool> {
        match self.find_view(path) {
            Ok(_) => Ok(true),
            Err(Error::UnknownView { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Finds the record of the view at a path, whether or not there still is a directory for it.
    fn find_view(&self, path: &Path) -> Result<ViewRecord> {
        let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
        let store = self.real_path()?;
        // Without its directory, by its text alone.
        let by_text = || follow(Path::new("/"), &relative(Path::new("/"), &absolute));
        let real = self.real_place(&absolute).unwrap_or_else(|_| by_text());
        let mut names = Vec::new();
        let pending = self.pending_views()?.into_iter();
        let pending = pending.filter_map(|key| Some(self.pending_view(&key).transpose()?.map(|p| p.view)));
        // A damaged one is not the one that is meant, or is `verify`'s to take away.
        for record in self.view_records()?.into_iter().chain(pending).flatten() {
            let found = follow(&store, &record.path.0);
            if found == real {
                return Ok(record);
            }
            names.push(found);
        }
        // As the store sees them: what all paths have in common makes none of them near.
        let way = |path: &Path| String::from_utf8_lossy(&relative(&store, path)).into_owned();
        let ways: Vec<String> = names.iter().map(|name| way(name)).collect();
        let near = nearest_names(ways.iter().map(String::as_str), &way(&real));
        let near = near.iter().map(|way| follow(&store, way.as_bytes())).collect();
        Err(Error::UnknownView { path: path.to_owned(), near })
    }
}

pub(crate) fn view(record: &ViewRecord, place: &Place, state: ViewState) -> View {
    View {
        path: place.path.clone(),
        kind: record.kind,
        copy: record.copy,
        from: record.from().and_then(|from| RelPath::new(from).ok()),
        target: if record.kind == ViewKind::Link { place.target.clone() } else { vec![] },
        made: record.made.into(),
        state,
    }
}

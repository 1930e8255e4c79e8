//! Views: paths outside the store that show what is current. Floor 3.
//!
//! A view is a relative symlink `…/current[/SUBDIR]`, made once: commits move `current`, and the
//! view with it. What stood at its path is kept beside it, never deleted. Putting it in place:
//! 1. a pending record is made durable, with the names that are used beside the view;
//! 2. the link is made under a name of its own, in the same directory;
//! 3. it gets its place by one rename: to a free name, over the link that was there, or in exchange
//!    with a directory;
//! 4. what came out of an exchange gets the name that it is kept under; the directory is flushed;
//! 5. the view's record is made durable, and the pending one ends.
//!
//! Cut before 3, the next writer takes the link back; cut after it, it does 4 and 5.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

use crate::activate::{AfterCommit, Warning};
use crate::check::is_absence;
use crate::error::{Error, Result, show_path};
use crate::fs::{Dir, Kind};
use crate::layout::{CommitLock, Home};
use crate::model::digest::Digest;
use crate::model::relpath::{RelPath, show};
use crate::objects::is_errno;
use crate::query::nearest_names;
use crate::view_place::{Place, real_place};
use crate::views::{Escaped, PendingView, ViewKind, ViewRecord, follow, relative};

/// What a view shows, and how it comes to its place.
#[derive(Clone, Debug, Default)]
pub struct ViewOptions {
    /// The part of the tree that it shows; all of it, if there is none.
    pub from: Option<RelPath>,
    /// How it shows it.
    pub kind: ViewKind,
    /// Take the place of a directory or of somebody else's symlink.
    pub replace: bool,
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
    /// What its link holds.
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
    /// The link, and it leads to something.
    Ok,
    /// The link, but what is current has no such path, or nothing is current.
    Dangling,
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
}

/// What adding a view did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewChange {
    /// Nothing: it was there.
    Unchanged,
    /// The link is new.
    Made,
    /// The link led to another part of the tree before.
    Retargeted,
    /// The link stands where something else stood.
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
    /// What went wrong once the link was in place; the next writer takes it up.
    pub warnings: Vec<Warning>,
}

/// A view that was removed.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViewRemoved {
    /// The view, with what stood at its path.
    pub view: View,
    /// Whether there was a link of ours to remove.
    pub unlinked: bool,
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

    pub(crate) fn look_at_view(&self, record: &ViewRecord) -> Result<(View, Place)> {
        let place = self.place(record)?;
        let state = match place.standing()? {
            ViewState::Ok if !self.shows_something(record)? => ViewState::Dangling,
            state => state,
        };
        Ok((view(record, &place, state), place))
    }

    fn shows_something(&self, record: &ViewRecord) -> Result<bool> {
        let Some(id) = self.current()? else {
            return Ok(false);
        };
        let tree = crate::pointer::tree_path(id);
        let path = record.from().map_or(tree.clone(), |from| [&tree, &b"/"[..], from].concat());
        match self.dir.stat(&path) {
            Ok(stat) => Ok(stat.is_some()),
            Err(e) if is_absence(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn add_view(&self, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
        let (lock, _) = self.begin_commit()?;
        let record = ViewRecord {
            path: self.new_view_path(path)?,
            from: options.from.as_ref().map(|from| Escaped(from.as_bytes().to_vec())),
            kind: options.kind,
            made: self.now().into(),
        };
        if let Some(pending) = self.pending_view(&record.key())? {
            // What kept the writers since from finishing it is for the caller to hear.
            self.settle_view(&lock, &pending)?;
        }
        let place = self.place(&record)?;
        place.parent()?;
        let change = match place.standing()? {
            ViewState::Ok | ViewState::Dangling => ViewChange::Unchanged,
            ViewState::Missing => ViewChange::Made,
            ViewState::Elsewhere(target) if place.is_ours(&target) => ViewChange::Retargeted,
            ViewState::Elsewhere(_) | ViewState::Directory if options.replace => ViewChange::Replaced,
            ViewState::File => {
                let why = format!("{} is a file, and no view takes a file's place", show_path(&place.path));
                return Err(Error::refused("view-file", why));
            }
            standing => {
                let what = match standing {
                    ViewState::Elsewhere(target) => format!("a symlink to {}", show(&target)),
                    _ => "a directory".to_owned(),
                };
                return Err(Error::refused("view-taken", format!("{} is {what}", show_path(&place.path))));
            }
        };
        let mut after = AfterCommit::default();
        let kept = match change {
            ViewChange::Unchanged => {
                let known = self.view_records()?.into_iter().flatten().find(|r| r.path == record.path);
                if known.is_none_or(|known| known.from != record.from || known.kind != record.kind) {
                    self.write_view(&lock, &record)?;
                }
                None
            }
            _ => self.put_in_place(&lock, &record, &place, change, &mut after)?,
        };
        // The link is in place, whatever keeps us from finding out what it shows.
        let shows_nothing = matches!(self.shows_something(&record), Ok(false));
        let state = if shows_nothing { ViewState::Dangling } else { ViewState::Ok };
        let view = view(&record, &place, state);
        Ok(ViewAdded { view, change, kept, warnings: after.warnings })
    }

    /// Steps 1 to 5. Gives the path under which what stood there is kept.
    fn put_in_place(
        &self,
        lock: &CommitLock,
        record: &ViewRecord,
        place: &Place,
        change: ViewChange,
        after: &mut AfterCommit,
    ) -> Result<Option<PathBuf>> {
        let (parent, name) = (place.parent()?, place.name());
        let temp = self.temp_name(record)?;
        if parent.stat(&temp)?.is_some() {
            return Err(Error::io("make the symlink", parent.join(&temp), Errno::EXIST));
        }
        let aside = match change {
            ViewChange::Replaced => Some(Escaped(free_name(parent, name)?)),
            _ => None,
        };
        let pending = PendingView { view: record.clone(), temp: Escaped(temp), aside };
        self.write_pending_view(lock, &pending)?;
        let temp = (parent, pending.temp.0.as_slice());
        let placed = self.fs.symlink(&place.target, parent, temp.1).and_then(|()| match change {
            ViewChange::Made => self.fs.rename_to_free(temp, (parent, name)),
            ViewChange::Replaced => self.fs.exchange(temp, (parent, name)),
            _ => self.fs.rename(temp, (parent, name)),
        });
        if let Err(error) = placed {
            // Takes the link back; if even that fails, the next writer does it.
            drop(self.settle_view(lock, &pending));
            let no_exchange = change == ViewChange::Replaced
                && (is_errno(&error, Errno::INVAL) || is_errno(&error, Errno::NOSYS));
            return Err(match no_exchange {
                true => Error::refused(
                    "view-no-exchange",
                    format!("the filesystem of {} cannot exchange two names", show_path(&place.path)),
                ),
                false => error,
            });
        }
        let settled = self.settle_view(lock, &pending);
        let kept = pending.aside.as_ref().map(|aside| match (&settled, parent.stat(temp.1)) {
            (Ok(Some(kept)), _) => parent.join(kept),
            (Err(_), Ok(Some(_))) => parent.join(temp.1),
            _ => parent.join(&aside.0),
        });
        if let Err(error) = settled {
            let what = format!("the view {} is in place, but not for good yet", show_path(&place.path));
            after.warn_of(&what, &error);
        }
        Ok(kept)
    }

    /// Finishes or takes back every view that was being put in place. What cannot be reached now
    /// stays for later, and keeps nobody out: it is outside the store.
    pub(crate) fn settle_views(&self, lock: &CommitLock) -> Result<()> {
        for key in self.pending_views()? {
            let settled = self.pending_view(&key).and_then(|pending| match pending {
                Some(pending) => self.settle_view(lock, &pending).map(drop),
                None => Ok(()),
            });
            // Told by `check_views`, which finds the record still there; damage by `verify`, too.
            drop(settled);
        }
        Ok(())
    }

    /// Does what is left of one view: gives the name that what stood there got.
    fn settle_view(&self, lock: &CommitLock, pending: &PendingView) -> Result<Option<Vec<u8>>> {
        let place = self.place(&pending.view)?;
        let (parent, temp) = (place.parent()?, pending.temp.0.as_slice());
        let mut kept = None;
        if let Some(stat) = parent.stat(temp)? {
            let is_link =
                stat.kind == Kind::Symlink && parent.read_link(temp)?.as_ref() == Some(&place.target);
            if is_link {
                self.fs.unlink(parent, temp)?;
            } else {
                // Never debris: it is what stood at the view's path.
                let aside = match &pending.aside {
                    Some(aside) if parent.stat(&aside.0)?.is_none() => aside.0.clone(),
                    _ => free_name(parent, place.name())?,
                };
                self.fs.rename_to_free((parent, temp), (parent, &aside))?;
                kept = Some(aside);
            }
        }
        self.fs.sync_dir(parent)?;
        if place.standing()? == ViewState::Ok {
            self.write_view(lock, &pending.view)?;
        }
        self.remove_pending_view(lock, &pending.view.key())?;
        Ok(kept)
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
        let (view, place) = self.look_at_view(&record)?;
        let unlinked = match &view.state {
            ViewState::Ok | ViewState::Dangling => true,
            ViewState::Elsewhere(target) => place.is_ours(target),
            _ => false,
        };
        if !unlinked {
            self.remove_view_record(&lock, &record.key())?;
            return Ok(ViewRemoved { view, unlinked });
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
            drop(self.fs.symlink(&target, parent, name));
        }
        removed.map(|()| ViewRemoved { view, unlinked })
    }

    /// Finds the record of the view at a path, whether or not there still is a directory for it.
    fn find_view(&self, path: &Path) -> Result<ViewRecord> {
        let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
        let store = self.real_path()?;
        // Without its directory, by its text alone.
        let by_text = || follow(Path::new("/"), &relative(Path::new("/"), &absolute));
        let real = real_place(&absolute).unwrap_or_else(|_| by_text());
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

    /// Names the link until it is in place. No other store uses the name.
    fn temp_name(&self, record: &ViewRecord) -> Result<Vec<u8>> {
        let stat = self.dir.stat_self()?;
        let bytes = [&stat.dev.to_le_bytes()[..], &stat.ino.to_le_bytes(), &record.path.0].concat();
        Ok(format!(".genstore-view-{}", Digest::of(&bytes).short()).into_bytes())
    }
}

fn view(record: &ViewRecord, place: &Place, state: ViewState) -> View {
    View {
        path: place.path.clone(),
        kind: record.kind,
        from: record.from().and_then(|from| RelPath::new(from).ok()),
        target: place.target.clone(),
        made: record.made.into(),
        state,
    }
}

/// Finds the name under which what stood at a view's path is kept: the first that is free.
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

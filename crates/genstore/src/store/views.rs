//! Views: paths outside the store that show the current generation.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::store::Store;
use crate::verbs::views;
use crate::views::view::{View, ViewAdded, ViewOptions, ViewRemoved};

impl Store {
    /// Lists the views with the states of their paths, sorted by path. Changes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::view::{ViewOptions, ViewState};
    ///
    /// drop(store.add_view(&dir.path().join("site"), &ViewOptions::link())?);
    /// assert_eq!(store.views()?[0].state, ViewState::Ok);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) for a record that differs from what was written.
    pub fn views(&self) -> Result<Vec<View>> {
        views::views(&self.store)
    }

    /// Returns the paths of the views. The paths themselves are not checked. Damaged records are left
    /// out.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::view::ViewOptions;
    ///
    /// drop(store.add_view(&dir.path().join("site"), &ViewOptions::link())?);
    /// assert_eq!(store.view_paths()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn view_paths(&self) -> Result<Vec<PathBuf>> {
        views::view_paths(&self.store)
    }

    /// Returns whether there is a view at `path`, whatever its state is.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(!store.has_view(&dir.path().join("site"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn has_view(&self, path: &Path) -> Result<bool> {
        views::has_view(&self.store, path)
    }

    /// Makes `path` a view of the current generation, or of a part of it: a symlink that is created
    /// once, or a mirror, which each commit updates.
    ///
    /// An existing entry is replaced only if the options say so. The path is never absent during the
    /// change, and the previous entry is kept beside it under another name.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::view::ViewOptions;
    ///
    /// let site = dir.path().join("site");
    /// let added = store.add_view(&site, &ViewOptions::mirror())?;
    /// assert!(added.warnings.is_empty());
    /// assert_eq!(std::fs::read(site.join("index.html"))?, b"two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Codes `bad-view-path`, `view-in-store`, `view-holds-store`, `view-no-parent`, `view-taken`,
    /// `view-file`, `view-no-exchange`, `view-other-filesystem`;
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io). Then the previous
    /// entry is unchanged.
    ///
    /// # Durability
    /// On return the view and its record survive a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn add_view(&self, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
        views::add_view(&self.store, path, options)
    }

    /// Removes a view: its link, or our entries of its mirror, and its record. Foreign entries at the
    /// path or in the mirror are left alone.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::view::ViewOptions;
    ///
    /// let site = dir.path().join("site");
    /// drop(store.add_view(&site, &ViewOptions::link())?);
    /// drop(store.remove_view(&site)?);
    /// assert!(!site.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownView`](crate::Error::UnknownView) with similar paths of views;
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    ///
    /// # Durability
    /// On return the removal survives a power loss.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn remove_view(&self, path: &Path) -> Result<ViewRemoved> {
        views::remove_view(&self.store, path)
    }
}

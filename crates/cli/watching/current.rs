//! The current generation, which this watch or another program moves; and the children that run on it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use genstore::Rev;
use genstore::view::{View, ViewOptions, ViewState};
use genstore_watch::Target;

use super::events::Event;
use super::state::{Message, Watch};
use crate::command::notice;
use crate::project::config::RunIn;
use crate::text::escape::show;

impl Watch<'_> {
    /// Handles a move of `current` by another program.
    pub(super) fn look_at_current(&mut self) {
        self.look_at_views();
        let current = match self.store.current() {
            Ok(current) => current,
            Err(error) => return self.fail(&error.into()),
        };
        if current == self.current {
            return;
        }
        let previous = std::mem::replace(&mut self.current, current);
        self.tell(&Event::Activated { generation: current, previous, held: self.is_held() });
        self.show();
    }

    /// Creates removed views again, and watches the folders that contain them.
    pub(super) fn look_at_views(&mut self) {
        if self.current.is_none() || self.ending.is_some() {
            return;
        }
        // The next commit reports a record that cannot be read.
        let paths = self.store.view_paths().unwrap_or_default();
        let mut folders: Vec<PathBuf> =
            paths.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
        folders.sort();
        folders.dedup();
        if self.views.0 != folders {
            let tell = self.sender.clone();
            let wake = move || tell.send(Message::Notice).unwrap_or_default();
            let watcher = notice::watch_paths(self.context, "the views", &folders, wake);
            self.views = (folders, watcher);
        }
        let is_gone = |path: &PathBuf| {
            let looked = std::fs::symlink_metadata(path);
            looked.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        if paths.iter().any(is_gone) && !self.is_store_gone() {
            self.mend_views();
        }
    }

    fn mend_views(&mut self) {
        let views = match self.store.views() {
            Ok(views) => views,
            Err(error) => return self.fail(&error.into()),
        };
        for view in views.into_iter().filter(|view| view.state == ViewState::Missing) {
            let View { path, kind, from, copy, keep_removed, .. } = view;
            let mut options = ViewOptions::default().parents();
            (options.kind, options.from, options.copy) = (kind, from, copy);
            options.keep_removed = keep_removed;
            match self.store.add_view(&path, &options) {
                Ok(_) => self.warn(format!("the view {} was removed and is created again", show(&path))),
                Err(error) => self.fail(&error.into()),
            }
        }
    }

    /// Returns whether the store was removed, and nothing is in its place.
    pub(super) fn is_store_gone(&self) -> bool {
        match std::fs::read_dir(self.store.path()) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        match self.store.hold() {
            Ok(hold) => hold.is_some(),
            Err(error) => {
                self.fail(&error.into());
                false
            }
        }
    }

    /// Starts the children on the current generation.
    pub(super) fn show(&mut self) {
        let Some(id) = self.current.filter(|id| self.shown != Some(*id) && self.ending.is_none()) else {
            return;
        };
        // The lease keeps the generation as long as a child may read it.
        let lease = match self.store.open_generation(&Rev::Number(id)) {
            Ok(generation) => generation,
            Err(error) => return self.fail(&error.into()),
        };
        let root = self.store.tree_path(id);
        let env = vec![
            ("GENSTORE_ROOT".into(), root.clone().into()),
            ("GENSTORE_GENERATION".into(), id.to_string().into()),
        ];
        let cwd = (self.settings.run_in == RunIn::Generation).then_some(root);
        self.shown = Some(id);
        let (own, on_commit) = (&self.own, &self.on_commit);
        self.due_restarts.retain(|at, _| !on_commit.contains(&own[*at].0));
        let news = self.children.show(Target { env, cwd, lease }, Instant::now());
        self.tell_of_children(news);
    }
}

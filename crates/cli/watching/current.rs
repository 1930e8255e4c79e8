//! What is current: moved by our own commits, or by somebody else; and the children that run on it.

use std::time::Instant;

use genstore::Rev;
use genstore_watch::Target;

use super::events::Event;
use super::state::Watch;
use crate::project::config::RunIn;

impl Watch<'_> {
    /// Takes in that somebody else made another generation current.
    pub(super) fn look_at_current(&mut self) {
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

    /// Starts the children on what is current.
    pub(super) fn show(&mut self) {
        let Some(id) = self.current.filter(|id| self.shown != Some(*id) && self.ending.is_none()) else {
            return;
        };
        // The lease keeps it as long as a child may read it.
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
        let news = self.children.show(Target { env, cwd, lease }, Instant::now());
        self.tell_of_children(news);
    }
}

//! The window of skew: paths that the current generation lacks, of generations that were current not long
//! ago. An open page goes on loading its files from there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genstore::tree::{FileNode, Tree};

use crate::held::{Held, Lease};

/// The number of generations in the window. Each has a lease, so gc keeps it.
pub(crate) const MOST: usize = 32;

/// Generations that were current within the window, and the files that only they have.
#[derive(Default)]
pub(crate) struct Window {
    /// The oldest first, with the time at which each ceased to be current.
    left: Vec<(Arc<Lease>, SystemTime)>,
    files: HashMap<Box<[u8]>, (Arc<Lease>, FileNode)>,
}

impl Window {
    /// Takes over a generation that has ceased to be current.
    pub(crate) fn leave(&mut self, held: &Held, at: SystemTime) {
        self.left.retain(|(lease, _)| lease.id() != held.id());
        self.left.push((Arc::clone(&held.lease), at));
        for (path, file) in held.tree.iter_files() {
            self.files.insert(path.into(), (Arc::clone(&held.lease), file));
        }
        if self.left.len() > MOST {
            let gone = self.left.remove(0).0.id();
            self.files.retain(|_, (lease, _)| lease.id() != gone);
        }
    }

    /// Drops the files that the new current generation has.
    pub(crate) fn enter(&mut self, tree: &Tree, id: genstore::GenerationId) {
        self.left.retain(|(lease, _)| lease.id() != id);
        self.files.retain(|path, (lease, _)| lease.id() != id && tree.find(path).is_none());
    }

    /// Drops the generations that left before this time.
    pub(crate) fn expire(&mut self, now: SystemTime, skew: Duration) {
        let is_in = |at: &SystemTime| now.duration_since(*at).unwrap_or_default() < skew;
        if self.left.iter().all(|(_, at)| is_in(at)) {
            return;
        }
        self.left.retain(|(_, at)| is_in(at));
        let ids: Vec<_> = self.left.iter().map(|(lease, _)| lease.id()).collect();
        self.files.retain(|_, (lease, _)| ids.contains(&lease.id()));
    }

    /// Finds a file.
    pub(crate) fn find(&self, path: &[u8]) -> Option<(Arc<Lease>, FileNode)> {
        self.files.get(path).cloned()
    }
}

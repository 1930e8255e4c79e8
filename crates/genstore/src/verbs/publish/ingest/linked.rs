//! Sources that have several names: a change through one of them changes all, but the caller may report
//! only one.

use std::collections::{BTreeSet, HashSet};

use crate::model::index::SourceStat;
use crate::model::relpath;
use crate::plan::Plan;
use crate::plan::item::{ItemSource, ScannedRoot, What};
use crate::threads::lock;
use crate::verbs::publish::ingest::context::{Ingest, Shared};
use crate::verbs::publish::ingest::reuse::Reuse;

/// The folders of a plan with such sources.
pub(crate) struct LinkedFolders<'a> {
    plan: &'a Plan,
    inodes: HashSet<u64>,
    folders: BTreeSet<Vec<u8>>,
}

impl<'a> LinkedFolders<'a> {
    pub(crate) fn new(plan: &'a Plan, inodes: HashSet<u64>) -> LinkedFolders<'a> {
        LinkedFolders { plan, inodes, folders: BTreeSet::new() }
    }

    /// Records the folder of an entry if its source is one of them. It may have been found through
    /// another name.
    pub(crate) fn note(&mut self, entry: usize, source: Option<SourceStat>) {
        if !self.inodes.is_empty() && source.is_some_and(|source| self.inodes.contains(&source.ino)) {
            let folder = relpath::split(self.plan.path(entry)).0;
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_vec());
            }
        }
    }

    pub(crate) fn finish(self) -> BTreeSet<Vec<u8>> {
        self.folders
    }
}

impl Ingest<'_> {
    /// Returns whether files of this root are taken in without reading their metadata.
    pub(crate) fn believes(&self, root: &ScannedRoot) -> bool {
        root.indexed_by.is_some() && root.indexed_by == self.base_id
    }

    /// Finds the entries, folder by folder, that were taken in unread and turned out to be files with
    /// another name.
    pub(crate) fn believed_and_linked(&self, shared: &Shared, reuse: &Reuse<'_>) -> Vec<Vec<u32>> {
        let inodes = lock(&shared.linked);
        if inodes.is_empty() {
            return vec![];
        }
        let is_one = |entry: &u32| {
            let entry = *entry as usize;
            let What::File { source: ItemSource::Scanned(root), .. } = &self.plan.what[entry] else {
                return false;
            };
            let source = reuse.before(entry).and_then(|before| before.source);
            self.believes(root) && source.is_some_and(|source| inodes.contains(&source.ino))
        };
        let those = self.folders.members().map(|all| all.iter().copied().filter(is_one).collect());
        those.filter(|some: &Vec<u32>| !some.is_empty()).collect()
    }
}

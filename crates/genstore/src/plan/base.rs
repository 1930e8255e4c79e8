//! The base of a plan: entries of a generation that the plan keeps, without reading their bytes.
//!
//! An entry of the plan replaces the entry of the base at its path. A root replaces everything of the base at
//! and below its name. Links of shared paths are not taken over: the plan has its own.

use crate::error::ProblemKind;
use crate::model::tree::Node;
use crate::model::{relpath, shared};
use crate::plan::builder::PlanBuilder;
use crate::plan::item::{ItemSource, What};
use crate::plan::kept::Base;

impl PlanBuilder {
    /// Keeps entries of a generation, below and beside those of the plan. Paths that the base names and does not
    /// have are reported by [`PlanBuilder::build`].
    pub fn base(mut self, base: Base) -> PlanBuilder {
        self.base = Some(base);
        self
    }

    /// Adds the entries of the base that nothing replaces. The entries of the plan are sorted.
    pub(super) fn settle_base(&mut self) {
        let Some(base) = self.base.take() else { return };
        let id = base.kept.generation.id();
        for path in base.only.iter().chain(&base.without).filter(|path| !base.has(path)) {
            self.problem(path.as_bytes(), ProblemKind::Base, format!("is not in generation {id}"));
        }
        let given = self.items.len();
        let is_in_root = |path: &[u8]| self.roots.names.iter().any(|root| relpath::is_within(path, root));
        let are_roots = self.items.iter().all(|item| is_in_root(self.path(item)));
        for (index, entry) in base.kept.tree.iter().enumerate() {
            let is_in_root = self.roots.names.iter().any(|root| relpath::is_within(entry.path, root));
            if is_in_root
                || !base.keeps(entry.path)
                || shared::is_shared(entry.path, &entry.node)
                || self.is_replaced(given, are_roots, entry.path)
            {
                continue;
            }
            let what = match entry.node {
                Node::Symlink(target) => What::Symlink(target.into()),
                Node::EmptyDir => What::Dir,
                Node::File(file) => What::File {
                    source: ItemSource::Kept(base.kept.clone(), index as u32),
                    executable: file.executable,
                },
            };
            self.add_checked(b"", entry.path, what);
        }
    }

    /// Returns whether one of the first, sorted items is at a path, below it, or something other than a folder above
    /// it. If all items are in roots, none is above a path that is in no root.
    fn is_replaced(&self, given: usize, are_roots: bool, path: &[u8]) -> bool {
        let items = &self.items[..given];
        let at = items.partition_point(|item| relpath::compare(self.path(item), path).is_lt());
        let is_here = items.get(at).is_some_and(|item| relpath::is_within(self.path(item), path));
        let mut above = relpath::split(path).0;
        while !is_here && !are_roots && !above.is_empty() {
            if let Ok(at) = items.binary_search_by(|item| relpath::compare(self.path(item), above)) {
                return !matches!(items[at].what, What::Dir);
            }
            above = relpath::split(above).0;
        }
        is_here
    }
}

//! The generation that a plan keeps entries of.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::model::relpath::{self, RelPath};
use crate::model::tree::Tree;
use crate::parts::generations::Generation;

/// A generation whose entries a plan keeps. It is leased as long as the plan lives.
#[derive(Clone, Debug)]
#[must_use]
pub struct Base {
    pub(crate) kept: Arc<Kept>,
    pub(super) only: Vec<RelPath>,
    pub(super) without: Vec<RelPath>,
}

/// The generation of a base.
pub(crate) struct Kept {
    pub(crate) generation: Generation,
    pub(crate) tree: Tree,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.generation.id())
    }
}

impl Base {
    /// Reads the entries of a generation.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if its manifest differs from what was written.
    pub fn of(generation: Generation) -> Result<Base> {
        let tree = generation.manifest()?.tree;
        Ok(Base { kept: Arc::new(Kept { generation, tree }), only: vec![], without: vec![] })
    }

    /// Keeps nothing but this path, with everything below it, and other paths that are named so.
    pub fn only(mut self, path: RelPath) -> Base {
        self.only.push(path);
        self
    }

    /// Leaves out this path, with everything below it.
    pub fn without(mut self, path: RelPath) -> Base {
        self.without.push(path);
        self
    }

    /// Returns whether the base has entries at or below a path.
    pub(super) fn has(&self, path: &RelPath) -> bool {
        self.kept.tree.below(path.as_bytes()).next().is_some()
    }

    pub(super) fn keeps(&self, path: &[u8]) -> bool {
        let within = |outer: &RelPath| relpath::is_within(path, outer.as_bytes());
        (self.only.is_empty() || self.only.iter().any(within)) && !self.without.iter().any(within)
    }
}

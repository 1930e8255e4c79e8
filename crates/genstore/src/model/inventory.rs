//! The inventory of a mirror: what genstore put there, and by what it is known again.

use std::collections::BTreeSet;

use super::ids::GenerationId;
use super::tree::Tree;

/// What a mirror shows, and how.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shows {
    /// What was current.
    pub(crate) generation: Option<GenerationId>,
    /// What of its tree is shown.
    pub(crate) from: Option<Vec<u8>>,
    /// Files are private copies.
    pub(crate) copies: bool,
}

/// What was put into a mirror, or is about to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inventory {
    pub(crate) shows: Shows,
    /// How often damaged objects had been replaced: since then a linked inode may be a damaged one.
    pub(crate) heals: u64,
    /// The inode of the mirror's directory. In another one, a copy of it, inodes say nothing.
    pub(crate) root: u64,
    /// Files, with the mtimes that they have, and symlinks; paths in the mirror.
    pub(crate) tree: Tree,
    /// The inode of each file, in the tree's order; 0 for a copy.
    pub(crate) inodes: Vec<u64>,
    /// The folders that were made.
    pub(crate) folders: BTreeSet<Vec<u8>>,
}

impl Inventory {
    /// Gives the inode of entry `index` of its tree; 0 for a copy, and for a symlink.
    pub(crate) fn inode(&self, index: usize) -> u64 {
        self.tree.file_rank(index).map_or(0, |rank| self.inodes[rank])
    }
}

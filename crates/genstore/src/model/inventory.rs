//! The inventory of a mirror: the entries that genstore created there, and the values by which it
//! recognises them.

use std::collections::BTreeSet;

use super::ids::GenerationId;
use super::tree::Tree;

/// The source and the mode of a mirror.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shows {
    /// The generation that was current.
    pub(crate) generation: Option<GenerationId>,
    /// The folder of its tree that is shown. `None`: all of it.
    pub(crate) from: Option<Vec<u8>>,
    /// Whether files are private copies.
    pub(crate) copies: bool,
}

/// The entries that genstore created in a mirror, or is about to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inventory {
    pub(crate) shows: Shows,
    /// The number of replacements of damaged objects so far. If it grew since, a linked inode may be a
    /// damaged one.
    pub(crate) heals: u64,
    /// The inode of the mirror's directory. In a copy of the directory it differs, and the recorded
    /// inodes are meaningless.
    pub(crate) root: u64,
    /// Files with their mtimes, and symlinks. Paths are relative to the mirror.
    pub(crate) tree: Tree,
    /// The inode of each file, in the tree's order. 0 for a copy.
    pub(crate) inodes: Vec<u64>,
    /// The folders that genstore created.
    pub(crate) folders: BTreeSet<Vec<u8>>,
}

impl Inventory {
    /// Returns the inode of entry `index` of its tree. 0 for a copy and for a symlink.
    pub(crate) fn inode(&self, index: usize) -> u64 {
        self.tree.file_rank(index).map_or(0, |rank| self.inodes[rank])
    }
}

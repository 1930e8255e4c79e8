//! The wanted state of a mirror.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::fs::Dir;
use crate::model::inventory::Shows;
use crate::model::tree::Tree;
use crate::parts::generations::Generation;

/// The wanted state of a mirror.
pub(crate) struct MirrorTarget {
    pub(crate) shows: Shows,
    pub(crate) heals: u64,
    /// Files with their published mtimes, and symlinks.
    pub(crate) tree: Tree,
    /// All folders except the mirror itself.
    pub(crate) folders: BTreeSet<Vec<u8>>,
    /// The generation with its files, which is leased.
    pub(crate) source: Option<(Generation, Dir)>,
}

impl MirrorTarget {
    /// Opens a folder of the generation.
    pub(crate) fn folder(&self, path: &[u8]) -> Result<Dir> {
        let source = self.source.as_ref().map(|(_, dir)| dir);
        source.expect("a target with files has a source").open_dir(path)
    }
}

impl MirrorTarget {
    pub(crate) fn nothing(heals: u64) -> MirrorTarget {
        MirrorTarget {
            shows: Shows::default(),
            heals,
            tree: Tree::empty(),
            folders: BTreeSet::new(),
            source: None,
        }
    }
}

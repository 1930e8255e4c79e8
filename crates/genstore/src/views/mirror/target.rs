//! What a mirror is to show.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::fs::Dir;
use crate::model::inventory::Shows;
use crate::model::tree::Tree;
use crate::parts::generations::Generation;

/// What a mirror is to show.
pub(crate) struct MirrorTarget {
    pub(crate) shows: Shows,
    pub(crate) heals: u64,
    /// Files, with the mtimes that are shown, and symlinks.
    pub(crate) tree: Tree,
    /// All folders but the mirror itself.
    pub(crate) folders: BTreeSet<Vec<u8>>,
    /// Where the files are; the generation is leased.
    pub(crate) source: Option<(Generation, Dir)>,
}

impl MirrorTarget {
    /// Opens a folder of what is shown.
    pub(crate) fn folder(&self, path: &[u8]) -> Result<Dir> {
        let source = self.source.as_ref().map(|(_, dir)| dir);
        source.expect("what is wanted comes from somewhere").open_dir(path)
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

//! The wanted state of a mirror.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_absence;
use crate::model::inventory::Shows;
use crate::model::relpath::{self, show};
use crate::model::tree::Tree;
use crate::parts::generations::Generation;
use crate::views::mirror::earlier::Earlier;

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
    /// Files of earlier generations. The tree and the folders contain them, too.
    pub(crate) earlier: Earlier,
}

impl MirrorTarget {
    /// Opens the folder with the file of an entry. A target without a source has none.
    pub(crate) fn folder_of(&self, path: &[u8]) -> Result<Dir> {
        let folder = relpath::split(path).0;
        match self.source_of(path) {
            Some((_, dir)) => dir.open_dir(folder),
            None => Err(Error::io("open", OsStr::from_bytes(folder), io::ErrorKind::NotFound)),
        }
    }

    fn source_of(&self, path: &[u8]) -> Option<&(Generation, Dir)> {
        self.earlier.source(path).or(self.source.as_ref())
    }

    /// Returns the reason for a failure to show an entry: damage if the generation lacks it.
    pub(crate) fn explain(&self, error: Error, path: &[u8]) -> Error {
        let Some((generation, dir)) = self.source_of(path).filter(|_| is_absence(&error)) else {
            return error;
        };
        let found = open_parent(dir, path).and_then(|(dir, name)| dir.stat(name));
        match found {
            Err(e) if !is_absence(&e) => error,
            Ok(Some(_)) => error,
            _ => generation.damaged(&format!("it lacks {}", show(path))),
        }
    }

    pub(crate) fn nothing(heals: u64) -> MirrorTarget {
        MirrorTarget {
            shows: Shows::default(),
            heals,
            tree: Tree::empty(),
            folders: BTreeSet::new(),
            source: None,
            earlier: Earlier::default(),
        }
    }
}

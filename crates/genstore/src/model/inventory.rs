//! The inventory of a mirror: what genstore put there, and by what it is known again.

use std::collections::BTreeSet;

use super::ids::GenerationId;
use super::tree::{Mtime, Tree};

/// Grains in which filesystems keep mtimes, in nanoseconds: NTFS, exFAT, whole seconds. By a coarser
/// one, as FAT's, two files in a row could not be told apart: freshness moves mtimes by one second.
const GRAINS: [i128; 3] = [100, 10_000_000, 1_000_000_000];

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

/// Tells whether a file whose mtime was set to `set` has the mtime `found`, on a filesystem of
/// whatever grain.
pub(crate) fn is_mtime_as_set(set: Mtime, found: Mtime) -> bool {
    let nanos = |time: Mtime| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let (set, found) = (nanos(set), nanos(found));
    set == found || GRAINS.iter().any(|grain| set.div_euclid(*grain) * grain == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtime_is_known_again_on_any_filesystem() {
        let at = |secs, nanos| Mtime { secs, nanos };
        let check = |set, found, same| assert_eq!(is_mtime_as_set(set, found), same, "{set:?} {found:?}");
        check(at(7, 123_456_789), at(7, 123_456_789), true);
        check(at(7, 123_456_789), at(7, 123_456_700), true);
        check(at(7, 123_456_789), at(7, 120_000_000), true);
        check(at(7, 123_456_789), at(7, 0), true);
        check(at(7, 123_456_789), at(6, 0), false);
        check(at(7, 0), at(6, 0), false);
        check(at(7, 123_456_789), at(7, 123_456_788), false);
        check(at(7, 123_456_789), at(8, 0), false);
        check(at(-7, 5), at(-7, 0), true);
    }
}

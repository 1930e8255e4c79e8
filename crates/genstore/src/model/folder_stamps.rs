//! The folder stamps: the stat values of a tree's folders when its generation was completed. They
//! reveal names that were added, removed or replaced since, without a look at the files.

use super::digest::Digest;
use super::index::SourceStat;

/// The folder stamps of a generation's tree, and the counters on which its inodes depend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FolderStamps {
    /// BLAKE3 of the body of the generation's manifest.
    pub(crate) body: Digest,
    /// The number of replacements of damaged objects when its tree was begun.
    pub(crate) heals: u64,
    /// The number of times that an object's name had passed to another inode because the old one had
    /// too many links.
    pub(crate) rotations: u64,
    /// Whether the whole tree was flushed.
    pub(crate) flushed: bool,
    /// The stat values of each folder, in the order of [`super::patch::folders`]. Inode 0 if a change
    /// might have gone unnoticed.
    pub(crate) folders: Vec<SourceStat>,
}

//! What the folders of a tree looked like when its generation was sealed: by that, names that were
//! added, removed or replaced since are seen without looking at the files.

use super::digest::Digest;
use super::index::SourceStat;

/// What is known of the folders of a generation's tree, and of what its files' inodes rest on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sealed {
    /// BLAKE3 of the body of the generation's manifest.
    pub(crate) body: Digest,
    /// How often damaged objects had been replaced when its tree was begun.
    pub(crate) heals: u64,
    /// How often an object's name had passed to another inode for want of links.
    pub(crate) rotations: u64,
    /// Whether all of it was flushed.
    pub(crate) flushed: bool,
    /// What stat told of each folder, in the order of [`super::patch::folders`]; inode 0 where a
    /// change might have passed unseen.
    pub(crate) folders: Vec<SourceStat>,
}

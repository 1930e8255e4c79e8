//! The result of a publication.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::diff::DiffSummary;
use crate::model::ids::GenerationId;
use crate::model::tree::TreeId;
use crate::warning::Warning;

/// The duration of each part of a publication.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Times {
    /// Hashing the sources and writing new objects.
    pub store: Duration,
    /// Linking the tree.
    pub assemble: Duration,
    /// Auditing it.
    pub audit: Duration,
    /// Flushing to the disk.
    pub sync: Duration,
    /// From the commit lock to the end.
    pub commit: Duration,
}

/// The result of a publication.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Publication {
    /// The new generation, or the current one if nothing changed.
    pub generation: GenerationId,
    /// Its tree.
    pub tree: TreeId,
    /// The generation that was current before.
    pub previous: Option<GenerationId>,
    /// Whether there is a new generation.
    pub changed: bool,
    /// Whether the generation is current now.
    pub current: bool,
    /// Whether all changes survive a power loss.
    pub durable: bool,
    /// Number of files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Number of files whose bytes were written: those that were new to the store.
    pub written: u64,
    /// Number of unchanged paths, for which nothing was written.
    pub unchanged: u64,
    /// Number of objects that the store did not have.
    pub new_objects: u64,
    /// The sum of their sizes.
    pub new_bytes: u64,
    /// The difference from the previous current generation.
    pub diff: DiffSummary,
    /// Number of files that got an inode of their own, to show a newer mtime.
    pub refreshed: u64,
    /// Number of damaged objects and generations that were repaired.
    pub healed: u64,
    /// The generation that was recycled: it had no reason to stay, and its tree became the new one.
    pub recycled: Option<GenerationId>,
    /// The duration of each part.
    pub times: Times,
    /// Folders of the plan with files that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// Failures after the commit.
    pub warnings: Vec<Warning>,
}

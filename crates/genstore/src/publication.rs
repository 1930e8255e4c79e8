//! What a publication did.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::diff::DiffSummary;
use crate::model::ids::GenerationId;
use crate::model::tree::TreeId;
use crate::warning::Warning;

/// How long the parts of a publication took.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Times {
    /// Hashing the sources and writing new objects.
    pub store: Duration,
    /// Linking the tree.
    pub assemble: Duration,
    /// Judging it.
    pub audit: Duration,
    /// Flushing to the disk.
    pub sync: Duration,
    /// From the commit lock to the end.
    pub commit: Duration,
}

/// What a publication did.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Publication {
    /// The new generation; or the current one if nothing changed.
    pub generation: GenerationId,
    /// Its tree.
    pub tree: TreeId,
    /// What was current before.
    pub previous: Option<GenerationId>,
    /// Whether there is a new generation.
    pub changed: bool,
    /// Whether the generation is current now.
    pub current: bool,
    /// Whether all of it survives a power loss.
    pub durable: bool,
    /// Number of files.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
    /// Files whose bytes were written: those that were new to the store.
    pub written: u64,
    /// Paths that are as they were: nothing was written for them.
    pub unchanged: u64,
    /// Objects that the store did not have.
    pub new_objects: u64,
    /// Their sizes, added up.
    pub new_bytes: u64,
    /// The difference from what was current.
    pub diff: DiffSummary,
    /// Files that got an inode of their own, to show a newer mtime.
    pub refreshed: u64,
    /// Damaged objects and generations that were mended in passing.
    pub healed: u64,
    /// The generation that retention gave up, and that is gone so that its tree could become the
    /// new one.
    pub recycled: Option<GenerationId>,
    /// How long it took.
    pub times: Times,
    /// Folders of the plan with files that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// What went wrong after the commit.
    pub warnings: Vec<Warning>,
}

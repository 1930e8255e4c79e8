//! The results of a check of a store.

use std::path::PathBuf;

use crate::check::owners::Foreign;
use crate::check::tree::Fault;
use crate::error::ObjectUse;
use crate::model::ids::GenerationId;
use crate::model::tree::ObjectId;

/// The causes of damaged objects that repair distinguishes.
pub(crate) const MISSING: &str = "it is missing";

pub(crate) const MODE_DIFFERS: &str = "its mode differs";

/// A damaged object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedObject {
    /// Its id.
    pub id: ObjectId,
    /// Its recorded size in bytes.
    pub size: u64,
    /// The cause.
    pub cause: &'static str,
    /// Every path that needs it. Empty for an object that gc has not removed yet.
    pub uses: Vec<ObjectUse>,
}

/// A generation that cannot be read, or whose files beside the tree are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedGeneration {
    /// Its number.
    pub id: GenerationId,
    /// The cause.
    pub cause: String,
}

/// A path of a generation that differs from its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationFault {
    /// The generation.
    pub generation: GenerationId,
    /// The path and the difference.
    pub fault: Fault,
}

/// A file or folder of the store that is damaged, lost or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedFile {
    /// Its path.
    pub path: PathBuf,
    /// The cause.
    pub cause: String,
}

impl DamagedFile {
    pub(crate) fn new(path: PathBuf, cause: impl Into<String>) -> DamagedFile {
        DamagedFile { path, cause: cause.into() }
    }
}

/// A shared path that leads to nothing. The store's own data are whole, so this is no damage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedFault {
    /// The path in the trees.
    pub path: Vec<u8>,
    /// The cause.
    pub cause: String,
    /// The checked generations that show it, in ascending order.
    pub generations: Vec<GenerationId>,
}

/// The result of `verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Objects that are missing or have wrong bytes.
    pub objects: Vec<DamagedObject>,
    /// Generations whose manifest, or a file beside it, is damaged.
    pub generations: Vec<DamagedGeneration>,
    /// Paths of generations that differ from their manifests for other reasons than a damaged object.
    pub faults: Vec<GenerationFault>,
    /// Other files of the store that are damaged or unknown.
    pub files: Vec<DamagedFile>,
    /// Shared paths that lead to nothing. This is not damage.
    pub shared: Vec<SharedFault>,
    /// Paths that could share an inode and do not. This is not damage.
    pub unshared: Unshared,
    /// The names with a foreign owner. After the check of one generation: only those in its directory, and
    /// those of its objects. This is not damage.
    pub foreign: Foreign,
    /// The number of checked generations.
    pub checked_generations: u64,
    /// The number of checked objects.
    pub checked_objects: u64,
    /// The sum of their sizes.
    pub checked_bytes: u64,
}

impl VerifyReport {
    /// Returns whether no damage was found.
    pub fn is_clean(&self) -> bool {
        self.objects.is_empty()
            && self.generations.is_empty()
            && self.faults.is_empty()
            && self.files.is_empty()
    }
}

/// Paths of generations that have an inode of their own for no known reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unshared {
    /// Their number.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Whether no object at all is shared: the store was copied without its hard links.
    pub(crate) all: bool,
}

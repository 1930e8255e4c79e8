//! What a check of a store found.

use std::path::PathBuf;

use crate::check::tree::Fault;
use crate::model::ids::GenerationId;
use crate::model::tree::ObjectId;

/// The causes of damaged objects that step by step repair distinguishes.
pub(crate) const MISSING: &str = "it is missing";

pub(crate) const MODE_DIFFERS: &str = "its mode differs";

/// An object that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedObject {
    /// Which one.
    pub id: ObjectId,
    /// Its recorded size in bytes.
    pub size: u64,
    /// What is wrong with it.
    pub cause: &'static str,
    /// Every generation that needs it, and the path there; empty for an object that gc has not removed
    /// yet.
    pub uses: Vec<(GenerationId, Vec<u8>)>,
}

/// What `verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects with wrong bytes, or none.
    pub objects: Vec<DamagedObject>,
    /// Generations whose manifest, or what is kept beside it, is damaged.
    pub generations: Vec<(GenerationId, String)>,
    /// Paths of generations that differ from their manifests for other reasons than a damaged
    /// object.
    pub faults: Vec<(GenerationId, Fault)>,
    /// Other files of the store that are damaged or do not belong there.
    pub files: Vec<(PathBuf, String)>,
    /// Paths that could share an inode and do not. It is no damage.
    pub unshared: Unshared,
    /// How many generations were looked at.
    pub checked_generations: u64,
    /// How many objects were looked at.
    pub checked_objects: u64,
    /// Their sizes, added up.
    pub checked_bytes: u64,
}

impl VerifyReport {
    /// Returns whether everything is as it ought to be.
    pub fn is_clean(&self) -> bool {
        self.objects.is_empty()
            && self.generations.is_empty()
            && self.faults.is_empty()
            && self.files.is_empty()
    }
}

/// Paths of generations that have an inode of their own for no reason that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unshared {
    /// How many.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
    /// Whether no object at all is shared: the store was copied without its links.
    pub(crate) all: bool,
}

//! The shared paths of a plan, and the first content of their places.

use crate::model::relpath;
use crate::model::shared::{SharedPath, SharedPaths};
use crate::plan::item::What;

/// The shared paths of a plan.
#[derive(Default, Debug)]
pub(crate) struct PlannedShared {
    pub(crate) paths: SharedPaths,
    /// The first content of places, in path order.
    pub(crate) seeds: Vec<Seed>,
}

/// An entry of a plan at or below a shared path.
#[derive(Debug)]
pub(crate) struct Seed {
    /// The path in the plan.
    pub(crate) path: Vec<u8>,
    pub(crate) what: What,
}

impl PlannedShared {
    /// Returns the first content of one place.
    pub(crate) fn seeds_of(&self, shared: &SharedPath) -> &[Seed] {
        let path = shared.path.as_bytes();
        let start = self.seeds.partition_point(|seed| relpath::compare(&seed.path, path).is_lt());
        let count =
            self.seeds[start..].iter().take_while(|seed| relpath::is_within(&seed.path, path)).count();
        &self.seeds[start..start + count]
    }
}

//! The folder that a builder keeps: what was found in it is remembered from build to build.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use genstore::plan::{ScanMemory, ScanRules};
use genstore::{Plan, Publication};
use genstore_watch::{NoEvents, Witness};

use crate::command::stale::Stale;

/// A build after which fewer than one of so many folders changed was no full run.
const FEW: usize = 20;

/// What is known of it.
pub(super) struct KnownOutput {
    witness: Witness,
    memory: ScanMemory,
}

impl KnownOutput {
    /// Knows nothing of it yet.
    ///
    /// # Errors
    /// Where the system gives no events.
    pub(super) fn new(dir: &Path, rules: ScanRules) -> Result<KnownOutput, NoEvents> {
        Ok(KnownOutput { witness: Witness::begin(dir)?, memory: ScanMemory::new(dir, rules) })
    }

    /// Makes a plan of it, by a look at where something happened. `find_stale` looks at all of it, and is
    /// called where much happened.
    pub(super) fn plan(
        &mut self,
        find_stale: impl FnOnce() -> Result<Option<Stale>>,
        stale: &mut Option<Stale>,
    ) -> Result<Plan> {
        // What is told as stirred is looked at by the scan that follows, or is not remembered any more.
        let unchanged = self.witness.ask(Instant::now());
        let known = self.memory.folders().count();
        let changed = known - self.memory.folders().filter(|folder| unchanged(folder)).count();
        if known == 0 || changed.saturating_mul(FEW) >= known {
            *stale = find_stale()?;
        }
        // Nobody heard yet that files were removed.
        let removed = stale.as_ref().filter(|stale| stale.removed);
        let is_pruned = |folder: &[u8]| removed.is_some_and(|stale| stale.touches(folder));
        Ok(self.memory.scan(|folder| unchanged(folder) && !is_pruned(folder))?)
    }

    /// Takes in what became of the last plan.
    pub(super) fn published(&mut self, done: &Publication) {
        self.memory.published(done);
    }

    /// Watches the folders that the last plan was made of.
    ///
    /// # Errors
    /// Where not all can be watched.
    pub(super) fn follow(&mut self) -> Result<(), NoEvents> {
        self.witness.watch(self.memory.folders())
    }
}

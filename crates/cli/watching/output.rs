//! The folder that a builder keeps: its content is remembered from build to build.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use genstore::plan::{ScanMemory, ScanRules};
use genstore::{Plan, Publication};
use genstore_watch::{NoEvents, Witness};

use crate::command::stale::Stale;

/// A build is no full run if fewer than one of this many folders changed.
const FEW: usize = 20;

/// The remembered content.
pub(super) struct KnownOutput {
    witness: Witness,
    memory: ScanMemory,
}

impl KnownOutput {
    /// Starts with no knowledge of the folder.
    ///
    /// # Errors
    /// If the system gives no events.
    pub(super) fn new(dir: &Path, rules: ScanRules) -> Result<KnownOutput, NoEvents> {
        Ok(KnownOutput { witness: Witness::begin(dir)?, memory: ScanMemory::new(dir, rules) })
    }

    /// Creates a plan of the folder by scanning only folders with events. `find_stale` scans all of it, and
    /// is called after many events.
    pub(super) fn plan(
        &mut self,
        find_stale: impl FnOnce() -> Result<Option<Stale>>,
        stale: &mut Option<Stale>,
    ) -> Result<Plan> {
        // A folder with events is read by the following scan, or is no longer remembered.
        let unchanged = self.witness.ask(Instant::now());
        let known = self.memory.folders().count();
        let changed = known - self.memory.folders().filter(|folder| unchanged(folder)).count();
        if known == 0 || changed.saturating_mul(FEW) >= known {
            *stale = find_stale()?;
        }
        // The removals have caused no event yet.
        let removed = stale.as_ref().filter(|stale| stale.removed);
        let is_pruned = |folder: &[u8]| removed.is_some_and(|stale| stale.touches(folder));
        Ok(self.memory.scan(|folder| unchanged(folder) && !is_pruned(folder))?)
    }

    /// Records the result of the last plan.
    pub(super) fn published(&mut self, done: &Publication) {
        self.memory.published(done);
    }

    /// Watches the folders of the last plan.
    ///
    /// # Errors
    /// If not all can be watched.
    pub(super) fn follow(&mut self) -> Result<(), NoEvents> {
        self.witness.watch(self.memory.folders())
    }
}

//! The folder that a builder keeps: what was found in it is remembered from build to build.

use std::path::Path;
use std::time::Instant;

use genstore::plan::{ScanMemory, ScanRules};
use genstore::{Plan, Publication};
use genstore_watch::{NoEvents, Witness};

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

    /// Makes a plan of it: by a look at where something happened.
    pub(super) fn plan(&mut self) -> genstore::Result<Plan> {
        // What is told as stirred is looked at by the scan that follows, or is not remembered any more.
        let unchanged = self.witness.ask(Instant::now());
        self.memory.scan(unchanged)
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

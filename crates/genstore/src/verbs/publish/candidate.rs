//! The candidate for the next generation: a tree whose bytes were all ingested, and the generation that it
//! was compared with.

use std::sync::Arc;

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::parts::current_generation::CurrentGeneration;
use crate::parts::layout::StoreDir;
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::look::{self, Quiet};
use crate::parts::objects::Objects;
use crate::plan::emptied::{self, Emptying};
use crate::plan::planned::PlannedShared;
use crate::publication::Times;
use crate::repair::rescue;
use crate::verbs::publish::ingest::context::Ingested;
use crate::verbs::publish::options::StageOptions;

/// A tree that may become the next generation. While it exists, gc waits.
pub(crate) struct Candidate<'s> {
    pub(crate) store: &'s StoreDir,
    pub(crate) guard: StoreShared,
    pub(crate) objects: Objects<'s>,
    pub(crate) ingested: Ingested,
    /// The names of the plan's roots.
    pub(crate) parts: Vec<Vec<u8>>,
    /// The plan's shared paths.
    pub(crate) shared: Arc<PlannedShared>,
    pub(crate) base: Option<CurrentGeneration>,
    /// Whether the current generation's manifest had to be rebuilt.
    pub(crate) healed_base: bool,
    /// The number of healings when it was begun. A later one by another process would leave damaged
    /// inodes in this tree.
    pub(crate) heals_seen: u64,
    /// The highest generation number when it was begun.
    pub(crate) high_seen: u64,
    pub(crate) rotations_seen: u64,
    pub(crate) options: StageOptions,
    pub(crate) times: Times,
}

impl Candidate<'_> {
    /// Returns whether the tree is the current one, as far as is known.
    pub(crate) fn is_current(&self) -> bool {
        // If the current manifest is unreadable, only a new generation restores it.
        let base = self.base.as_ref().filter(|base| base.body.is_some());
        base.is_some_and(|base| base.tree.id() == self.ingested.tree.id())
    }

    /// Returns whether there is nothing to commit.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.is_current() && !self.options.always
    }

    /// Checks that the tree would not empty a part of the current generation. An unreadable current
    /// generation counts as empty.
    pub(crate) fn check_emptying(&self, emptying: Emptying) -> Result<()> {
        match (&self.base, emptying) {
            (Some(base), Emptying::Refuse) => {
                emptied::check(&self.parts, &self.ingested.tree, base.generation.id(), &base.tree)
            }
            _ => Ok(()),
        }
    }

    /// Returns until which ctime files of the current generation are known to be unchanged.
    pub(crate) fn quiet(&self) -> Result<Quiet> {
        if self.options.rehash { Ok(Quiet::Unknown) } else { look::quiet(self.store) }
    }

    /// Reads the current generation under the commit lock. Returns whether it is another one.
    pub(crate) fn rebase(&mut self, lock: &CommitLock, current: Option<GenerationId>) -> Result<bool> {
        if self.base.as_ref().map(|base| base.generation.id()) == current {
            return Ok(false);
        }
        self.base = rescue::rescued_base(self.store, lock, current)?.0;
        Ok(true)
    }
}

//! A tree in the store that readers do not see yet.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use crate::error::Result;
use crate::fs::folders::Folders;
use crate::model::ids::GenerationId;
use crate::model::index::SourceStat;
use crate::model::retention::Retention;
use crate::model::tree::{ObjectId, Tree};
use crate::parts::current_generation::CurrentGeneration;
use crate::parts::layout::StoreDir;
use crate::parts::locks::StoreShared;
use crate::parts::naming::Naming;
use crate::parts::objects::Objects;
use crate::parts::stage_dir::StageDir;
use crate::plan::emptied::{self, Emptying};
use crate::publication::Times;
use crate::threads::lock;
use crate::verbs::publish::assemble::assemble;
use crate::verbs::publish::ingest::context::Ingested;

/// The changes to a recycled tree.
pub(crate) struct Recycled {
    /// Folders of the new tree in which names changed.
    pub(crate) changed: BTreeSet<Vec<u8>>,
    /// Empty files that were created.
    pub(crate) made: Vec<u32>,
    /// The stamps of the folders of the new tree; inode 0 for changed folders.
    pub(crate) folders: Vec<SourceStat>,
    /// Whether the unchanged part was flushed when it was created.
    pub(crate) flushed: bool,
}

/// A tree in the store that readers do not see yet. Dropping it removes the stage.
#[must_use]
pub struct Staged<'s> {
    pub(crate) store: &'s StoreDir,
    pub(crate) guard: StoreShared,
    pub(crate) objects: Objects<'s>,
    pub(crate) ingested: Ingested,
    /// The names of the plan's roots.
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) base: Option<CurrentGeneration>,
    pub(crate) stage: Option<StageDir>,
    pub(crate) assembled: bool,
    pub(crate) always: bool,
    /// Whether bytes are read whatever the stat values are.
    pub(crate) rehash: bool,
    /// Whether the audit of this tree was skipped, as it was current already. Then it may only be
    /// committed as unchanged.
    pub(crate) audit_skipped: bool,
    /// Whether the current generation's manifest had to be rebuilt.
    pub(crate) healed_base: bool,
    /// The number of healings when it was begun. A later one by another process would leave damaged
    /// inodes in this tree.
    pub(crate) heals_seen: u64,
    /// The highest generation number when it was begun.
    pub(crate) high_seen: u64,
    /// Objects whose names it created.
    pub(crate) named: Mutex<Vec<ObjectId>>,
    pub(crate) rotations_seen: u64,
    /// The rule by which a generation may be recycled.
    pub(crate) retention: Option<Retention>,
    /// The generation that was unlisted for recycling.
    pub(crate) retired: Option<GenerationId>,
    /// The changes to the recycled tree. `None` if the tree was assembled.
    pub(crate) recycled: Option<Recycled>,
    pub(crate) times: Times,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            // A part that cannot be removed now is debris, which the next writer removes.
            drop(stage.give_up(self.store));
        }
    }
}

impl Staged<'_> {
    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        &self.ingested.tree
    }

    /// Returns the directory with the tree's files at their final relative paths. `None` if the tree is
    /// the current one: then read that one.
    pub fn path(&self) -> Option<&Path> {
        self.stage.as_ref().filter(|_| self.assembled).map(|stage| stage.tree().path())
    }

    /// Returns whether the tree is the one that was current when it was staged.
    pub fn is_current(&self) -> bool {
        // If the current manifest is unreadable, only a new generation restores it.
        let base = self.base.as_ref().filter(|base| base.body.is_some());
        base.is_some_and(|base| base.tree.id() == self.ingested.tree.id())
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

    /// Removes what was assembled for a commit that failed, and the objects that it added: the next try
    /// may need their space.
    pub(crate) fn take_back(mut self) {
        let named = std::mem::take(&mut *lock(&self.named));
        let (store, high, stage) = (self.store, self.high_seen, self.stage.take());
        // Releases the store lock.
        drop(self);
        let Some(stage) = stage else { return };
        // A part that cannot be removed now is debris, which the next writer removes, and objects,
        // which gc removes.
        let is_naming = match Naming::of(store).take_back_names(high, &named) {
            Ok(true) => Naming::of(store).forget(stage.dir()).is_err(),
            Ok(false) | Err(_) => Naming::of(store).is_open(stage.dir()),
        };
        if !is_naming {
            drop(stage.give_up(store));
        }
    }

    /// Assembles the tree of links in the stage, or recycles another tree.
    pub(crate) fn assemble(&mut self, folders: &Folders<'_>) -> Result<()> {
        let start = Instant::now();
        if self.stage.is_none() {
            self.stage = Some(StageDir::create(self.store)?);
        }
        if !self.recycle(folders)? {
            let stage = self.stage.as_ref().expect("made just now");
            assemble(self.store, &self.guard, &self.objects, folders, &mut self.ingested, stage)?;
        }
        self.assembled = true;
        self.times.assemble = start.elapsed();
        Ok(())
    }
}

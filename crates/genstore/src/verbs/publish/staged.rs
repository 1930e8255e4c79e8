//! A tree in the store that no reader sees yet.

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

/// What was done to the tree of a generation that is no more.
pub(crate) struct Recycled {
    /// Folders of the new tree in which names changed.
    pub(crate) changed: BTreeSet<Vec<u8>>,
    /// Empty files that were made.
    pub(crate) made: Vec<u32>,
    /// What is known of the folders of the new tree; inode 0 for those that changed.
    pub(crate) folders: Vec<SourceStat>,
    /// Whether what was not changed was flushed when it was made.
    pub(crate) flushed: bool,
}

/// A tree in the store that no reader sees yet. Dropping it takes it back.
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
    /// Bytes are read, whatever stat says of them.
    pub(crate) rehash: bool,
    /// Nobody judged this tree, since it was current already: so it may only be found to be that.
    pub(crate) audit_skipped: bool,
    /// Whether the current generation's manifest had to be made anew.
    pub(crate) healed_base: bool,
    /// Healing by others since we began would leave their damaged inodes in our tree.
    pub(crate) heals_seen: u64,
    /// The highest number that was taken when it was begun.
    pub(crate) high_seen: u64,
    /// Objects to which it gave their names.
    pub(crate) named: Mutex<Vec<ObjectId>>,
    pub(crate) rotations_seen: u64,
    /// The rule by which a generation may be recycled.
    pub(crate) retention: Option<Retention>,
    /// The generation that was taken off the list for it.
    pub(crate) retired: Option<GenerationId>,
    /// How its tree became this one; `None` where it was assembled.
    pub(crate) recycled: Option<Recycled>,
    pub(crate) times: Times,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            // What cannot be removed now is debris, which the next writer removes.
            drop(stage.give_up(self.store));
        }
    }
}

impl Staged<'_> {
    /// Gives the staged tree.
    pub fn tree(&self) -> &Tree {
        &self.ingested.tree
    }

    /// Gives the directory in which every file of the tree has its path already; `None` when the
    /// tree is the current one, which is where to look then.
    pub fn path(&self) -> Option<&Path> {
        self.stage.as_ref().filter(|_| self.assembled).map(|stage| stage.tree().path())
    }

    /// Returns whether the tree is what was current when it was staged.
    pub fn is_current(&self) -> bool {
        // Without its manifest, a new generation is the only way to have one.
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

    /// Takes back what a commit that failed had put together, and the objects that it brought: they
    /// are what the next try may have no space for.
    pub(crate) fn take_back(mut self) {
        let named = std::mem::take(&mut *lock(&self.named));
        let (store, high, stage) = (self.store, self.high_seen, self.stage.take());
        // Lets go of the store.
        drop(self);
        let Some(stage) = stage else { return };
        // What cannot be done now is debris, which the next writer removes, and objects for gc.
        let is_naming = match Naming::of(store).take_back_names(high, &named) {
            Ok(true) => Naming::of(store).forget(stage.dir()).is_err(),
            Ok(false) | Err(_) => Naming::of(store).is_open(stage.dir()),
        };
        if !is_naming {
            drop(stage.give_up(store));
        }
    }

    /// Links the tree together in the stage, or makes it of one that nothing needs any more.
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

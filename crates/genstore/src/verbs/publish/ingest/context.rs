//! The context of an ingest: the plan, the current generation, the state that all threads share, and
//! the result for each file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use crate::error::{Error, Problem, Result};
use crate::fs::Dir;
use crate::fs::folders::Folders;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::relpath;
use crate::model::tree::{FileNode, ObjectId, Tree};
use crate::parts::layout::StoreDir;
use crate::parts::locks::StoreShared;
use crate::parts::objects::Objects;
use crate::parts::stage_dir::{OwnStage, StageDir};
use crate::plan::Plan;
use crate::threads::lock;
use crate::verbs::publish::ingest::claims::Claims;
use crate::verbs::publish::ingest::consumed::Consumed;
use crate::verbs::publish::ingest::lossy::{Losses, Lossy};

/// Where the inode of a new tree entry comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntrySource {
    /// It is in the stage's tree already, new to the store.
    Placed,
    /// The store has the object.
    Object,
    /// The same bytes were placed at another path of this stage.
    Twin,
    /// A symlink, an empty directory, or an empty file that existed before: created anew.
    Made,
}

/// A plan whose bytes have all been read.
#[derive(Default)]
pub(crate) struct Ingested {
    pub(crate) tree: Tree,
    /// One per entry of the tree.
    pub(crate) how: Vec<EntrySource>,
    /// For each new object the entry at which it was placed.
    pub(crate) placed: HashMap<ObjectId, u32>,
    /// Objects of the store with wrong bytes. The right bytes were placed.
    pub(crate) damaged: Vec<ObjectId>,
    /// The number of objects whose mode or mtime differed from the record and was restored.
    pub(crate) restored: u64,
    /// Files that `consume` moved in, to be removed once they are committed.
    pub(crate) consumed: Vec<Consumed>,
    pub(crate) new_bytes: u64,
    /// The stat values of the sources that stay where they are, for the next publish.
    pub(crate) sources: Option<SourceIndex>,
    /// Folders with sources that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// The attributes of the sources that are not kept.
    pub(crate) losses: Losses,
}

/// The inputs of an ingest.
pub(crate) struct Ingest<'a> {
    pub(crate) store: &'a StoreDir,
    pub(crate) _lock: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) folders: &'a Folders<'a>,
    /// The current generation's tree, as far as it can be read.
    pub(crate) base: Option<&'a Tree>,
    /// The directory of its files, and the mtimes that they show there.
    pub(crate) standing: Option<(&'a Dir, &'a PublishedMtimes)>,
    /// The number of that generation.
    pub(crate) base_id: Option<GenerationId>,
    /// The index of the current generation's sources.
    pub(crate) index: Option<&'a SourceIndex>,
    /// The handling of sources with attributes that a generation does not keep.
    pub(crate) lossy: Lossy,
    /// Whether only the store's owner reads the generations.
    pub(crate) is_private: bool,
    /// Whether every source and every object is read, even if it is known.
    pub(crate) rehash: bool,
    /// Objects that `verify` found wrong. They are checked again whatever their size and mtime are.
    pub(crate) suspects: &'a [ObjectId],
    /// The stage for new objects. `None`: nothing is written.
    pub(crate) stage: Option<&'a LazyStage<'a>>,
    pub(crate) consume: bool,
}

/// A stage that is created when the first object needs it. Dropping it gives it up.
pub(crate) struct LazyStage<'a> {
    store: &'a StoreDir,
    begun: Option<OwnStage<'a>>,
    made: OnceLock<StageDir>,
    making: Mutex<()>,
}

impl<'a> LazyStage<'a> {
    /// Uses the given stage, or creates one when it is needed.
    pub(crate) fn new(store: &'a StoreDir, begun: Option<OwnStage<'a>>) -> LazyStage<'a> {
        LazyStage { store, begun, made: OnceLock::new(), making: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Result<&StageDir> {
        if let Some(begun) = &self.begun {
            return Ok(begun);
        }
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let _one = lock(&self.making);
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = StageDir::create(self.store)?;
        // No other thread sets it while this one holds the mutex.
        Ok(self.made.get_or_init(|| made))
    }

    pub(crate) fn into_stage(mut self) -> Option<OwnStage<'a>> {
        self.take()
    }

    fn take(&mut self) -> Option<OwnStage<'a>> {
        let made = self.made.take().map(|dir| OwnStage::new(self.store, dir));
        self.begun.take().or(made)
    }
}

impl Drop for LazyStage<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The state that the threads of an ingest share.
pub(crate) struct Shared {
    /// The filesystem of the first source, if it is local.
    pub(crate) dev: OnceLock<Option<u64>>,
    pub(crate) claims: Claims,
    pub(crate) problems: Mutex<Vec<Problem>>,
    pub(crate) damaged: Mutex<Vec<ObjectId>>,
    pub(crate) consumed: Mutex<Vec<Consumed>>,
    /// Inodes of sources that have more than one name.
    pub(crate) linked: Mutex<HashSet<u64>>,
    pub(crate) losses: Mutex<Losses>,
    pub(crate) can_reflink: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            dev: OnceLock::new(),
            claims: Claims::new(),
            problems: Mutex::default(),
            damaged: Mutex::default(),
            consumed: Mutex::default(),
            linked: Mutex::default(),
            losses: Mutex::default(),
            can_reflink: true.into(),
        }
    }

    /// Fails if any source has a problem.
    ///
    /// # Errors
    /// [`Error::BadPlan`].
    pub(crate) fn refuse_problems(&self) -> Result<()> {
        let mut problems = std::mem::take(&mut *lock(&self.problems));
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| relpath::compare(&a.path, &b.path));
        Err(Error::BadPlan { problems })
    }
}

/// The result for a file of the plan. Mostly it is unchanged, and then it takes no space.
pub(crate) enum Done {
    /// The file and its source are unchanged, and the store has its bytes.
    AsBefore,
    New(Box<Taken>),
}

/// A file that was taken in.
pub(crate) struct Taken {
    pub(crate) node: FileNode,
    pub(crate) how: EntrySource,
    /// The stat values of its source, if the source stays where it is.
    pub(crate) source: Option<SourceStat>,
}

//! What ingest works on: the plan, what is current, what all threads share, and what comes of each file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use crate::error::{Error, Problem, Result};
use crate::fs::Dir;
use crate::fs::folders::Folders;
use crate::model::ids::GenerationId;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::relpath;
use crate::model::tree::{FileNode, ObjectId, Tree};
use crate::parts::layout::StoreDir;
use crate::parts::locks::StoreShared;
use crate::parts::objects::Objects;
use crate::parts::stage_dir::StageDir;
use crate::plan::Plan;
use crate::threads::lock;
use crate::verbs::publish::ingest::claims::Claims;
use crate::verbs::publish::ingest::consumed::Consumed;
use crate::verbs::publish::ingest::lossy::{Losses, Lossy};

/// Where the inode of a new tree entry comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntrySource {
    /// It stands in the stage's tree already, new to the store.
    Placed,
    /// The store has the object.
    Object,
    /// The same bytes were placed at another path of this stage.
    Twin,
    /// A symlink, an empty directory, or an empty file that was there before: made anew.
    Made,
}

/// A plan whose every byte has been read.
#[derive(Default)]
pub(crate) struct Ingested {
    pub(crate) tree: Tree,
    /// Per entry of the tree.
    pub(crate) how: Vec<EntrySource>,
    /// For each new object the entry that it was placed at.
    pub(crate) placed: HashMap<ObjectId, u32>,
    /// Objects of the store whose bytes turned out to be wrong; the right ones are placed.
    pub(crate) damaged: Vec<ObjectId>,
    /// How many objects had another mode or mtime than recorded, which was put right.
    pub(crate) restored: u64,
    /// Files that `consume` moved in: what to remove once they are committed.
    pub(crate) consumed: Vec<Consumed>,
    pub(crate) new_bytes: u64,
    /// What stat told of the sources, where they stay: for the next publish.
    pub(crate) sources: Option<SourceIndex>,
    /// Folders with sources that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// The attributes of the sources that are not kept.
    pub(crate) losses: Losses,
}

/// What ingest may take for granted, and where it may write.
pub(crate) struct Ingest<'a> {
    pub(crate) store: &'a StoreDir,
    pub(crate) _lock: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) folders: &'a Folders<'a>,
    /// What is current, as far as it can be read.
    pub(crate) base: Option<&'a Tree>,
    /// The directory that holds its files.
    pub(crate) standing: Option<&'a Dir>,
    /// Which generation that is.
    pub(crate) base_id: Option<GenerationId>,
    /// What is known of the sources of what is current.
    pub(crate) index: Option<&'a SourceIndex>,
    /// How to handle sources with attributes that a generation does not keep.
    pub(crate) lossy: Lossy,
    /// Only the store's owner reads what is published.
    pub(crate) is_private: bool,
    /// Every source and every object is read, whatever is known of it.
    pub(crate) rehash: bool,
    /// Objects that `verify` found wrong: looked at again whatever their size and mtime say.
    pub(crate) suspects: &'a [ObjectId],
    /// Where new objects are written; without one, nothing is.
    pub(crate) stage: Option<&'a LazyStage<'a>>,
    pub(crate) consume: bool,
}

/// A stage that is made when the first object needs it.
pub(crate) struct LazyStage<'a> {
    store: &'a StoreDir,
    stage: OnceLock<StageDir>,
    making: Mutex<()>,
}

impl<'a> LazyStage<'a> {
    /// Gives the stage that there is already, or else one when it is needed.
    pub(crate) fn new(store: &'a StoreDir, begun: Option<StageDir>) -> LazyStage<'a> {
        let stage = begun.map_or_else(OnceLock::new, OnceLock::from);
        LazyStage { store, stage, making: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Result<&StageDir> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let _one = lock(&self.making);
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let stage = StageDir::create(self.store)?;
        // No other thread sets it while this one holds the mutex.
        Ok(self.stage.get_or_init(|| stage))
    }

    pub(crate) fn into_stage(mut self) -> Option<StageDir> {
        self.stage.take()
    }
}

impl Drop for LazyStage<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            // What cannot be removed now is debris, which the next writer removes.
            drop(stage.give_up(self.store));
        }
    }
}

/// What the threads of an ingest write to.
pub(crate) struct Shared {
    /// The filesystem of the first source, if it is one of this machine's.
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

    /// Refuses the plan if something is wrong with one of its sources.
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

/// What became of a file of the plan. Mostly nothing did, so that takes no room.
pub(crate) enum Done {
    /// It and its source are as in what is current, and the store has its bytes.
    AsBefore,
    New(Box<Taken>),
}

/// A file that was taken in.
pub(crate) struct Taken {
    pub(crate) node: FileNode,
    pub(crate) how: EntrySource,
    /// What stat told of its source, if that stays where it is.
    pub(crate) source: Option<SourceStat>,
}

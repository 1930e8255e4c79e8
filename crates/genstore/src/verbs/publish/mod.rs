//! Publishing: a plan becomes a staged tree, an audit judges it, `commit` makes it a generation.
//! Floor 3.

pub(crate) mod assemble;
pub(crate) mod audit;
pub(crate) mod commit;
pub(crate) mod emptied;
pub(crate) mod footprint;
pub(crate) mod ingest;
pub(crate) mod recycle;
pub(crate) mod stage;
pub(crate) mod unchanged;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::fs::fault::FaultStage;
use crate::fs::folders::Folders;
use crate::model::diff::DiffSummary;
use crate::model::ids::GenerationId;
use crate::model::retention::Retention;
use crate::model::tree::ObjectId;
use crate::model::tree::{Tree, TreeId};
use crate::parts::hold::Activate;
use crate::parts::layout::Home;
use crate::parts::locks::StoreShared;
use crate::parts::objects::Objects;
use crate::parts::stage_dir::StageDir;
use crate::plan::Plan;
use crate::threads;
use crate::verbs::activate::{Base, Expect, Warning};
use crate::verbs::publish::assemble::assemble;
use crate::verbs::publish::emptied::Emptying;
use crate::verbs::publish::ingest::lossy::Lossy;
use crate::verbs::publish::ingest::{Ingest, Ingested, LazyStage, lock};
use crate::verbs::publish::recycle::Recycled;

/// How a plan is staged.
#[derive(Clone, Debug, Default)]
pub struct StageOptions {
    /// Make a generation even if its tree is the current one's.
    pub always: bool,
    /// Move the files of the plan's roots in, where that is possible, and remove all of them once
    /// they are committed. No root may lie in another: see [`Plan::check_consume`].
    pub consume: bool,
    /// Read every source and every object, whatever the index and stat say of them.
    pub rehash: bool,
    /// Make the new tree of that of a generation which this rule gives up, if there is one: that
    /// generation is gone then, as if it had been collected. Its objects are left to gc.
    pub recycle: Option<Retention>,
    /// How to handle files with access rights or attributes that a generation does not keep.
    pub lossy: Lossy,
}

/// How a staged tree is committed.
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// A person's words.
    pub note: String,
    /// Facts by key.
    pub facts: BTreeMap<String, String>,
    /// What must be current for the commit to happen.
    pub expect: Expect,
    /// Whether the new generation becomes current, or is only kept.
    pub activate: Activate,
    /// Whether it may become current where it is empty.
    pub emptying: Emptying,
}

impl Default for CommitOptions {
    /// No note, whatever is current, and the new generation becomes it unless it is empty.
    fn default() -> CommitOptions {
        CommitOptions {
            note: String::new(),
            facts: BTreeMap::new(),
            expect: Expect::Any,
            activate: Activate::Always,
            emptying: Emptying::Refuse,
        }
    }
}

/// How long the parts of a publication took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Hashing the sources and writing new objects.
    pub store: Duration,
    /// Linking the tree.
    pub assemble: Duration,
    /// Judging it.
    pub audit: Duration,
    /// Flushing to the disk.
    pub sync: Duration,
    /// From the commit lock to the end.
    pub commit: Duration,
}

/// What a publication did.
#[derive(Clone, Debug)]
#[must_use]
pub struct Publication {
    /// The new generation; or the current one if nothing changed.
    pub generation: GenerationId,
    /// Its tree.
    pub tree: TreeId,
    /// What was current before.
    pub previous: Option<GenerationId>,
    /// Whether there is a new generation.
    pub changed: bool,
    /// Whether the generation is current now.
    pub current: bool,
    /// Whether all of it survives a power loss.
    pub durable: bool,
    /// Number of files.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
    /// Files whose bytes were written: those that were new to the store.
    pub written: u64,
    /// Paths that are as they were: nothing was written for them.
    pub unchanged: u64,
    /// Objects that the store did not have.
    pub new_objects: u64,
    /// Their sizes, added up.
    pub new_bytes: u64,
    /// The difference from what was current.
    pub diff: DiffSummary,
    /// Files that got an inode of their own, to show a newer mtime.
    pub refreshed: u64,
    /// Damaged objects and generations that were mended in passing.
    pub healed: u64,
    /// The generation that retention gave up, and that is gone so that its tree could become the
    /// new one.
    pub recycled: Option<GenerationId>,
    /// How long it took.
    pub times: Times,
    /// Folders of the plan with files that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// What went wrong after the commit.
    pub warnings: Vec<Warning>,
}

/// A tree in the store that no reader sees yet. Dropping it takes it back.
#[must_use]
pub struct Staged<'s> {
    pub(crate) home: &'s Home,
    pub(crate) guard: StoreShared,
    pub(crate) objects: Objects<'s>,
    pub(crate) ingested: Ingested,
    /// The names of the plan's roots.
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) base: Option<Base>,
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
            drop(stage.give_up(self.home));
        }
    }
}

impl Home {
    fn add_index(&self, base: Option<&mut Base>) -> Result<()> {
        if let Some(base) = base {
            base.index = base.generation.index(&base.tree)?;
        }
        Ok(())
    }

    /// Hashes a plan and tells what its tree would be; writes nothing.
    pub(crate) fn preview(&self, plan: &Plan) -> Result<Tree> {
        let guard = self.share()?;
        let objects = Objects::new(self)?;
        let folders = Folders::of(plan.paths());
        let mut base = self.current()?.and_then(|id| self.base(id).ok());
        self.add_index(base.as_mut())?;
        let ingest = Ingest {
            home: self,
            _lock: &guard,
            objects: &objects,
            plan,
            folders: &folders,
            base: base.as_ref().map(|base| &base.tree),
            standing: None,
            base_id: base.as_ref().map(|base| base.generation.id()),
            index: base.as_ref().and_then(|base| base.index.as_ref()),
            lossy: Lossy::Allow,
            is_private: false,
            rehash: false,
            suspects: &[],
            stage: None,
            consume: false,
        };
        Ok(ingest.run()?.tree)
    }

    /// Brings a plan into the store, out of readers' sight; into the stage that was begun for it,
    /// if one was.
    ///
    /// # Locks
    /// Takes the store lock, shared; what is returned holds it.
    pub(crate) fn stage(
        &self,
        begun: Option<StageDir>,
        plan: &Plan,
        options: StageOptions,
    ) -> Result<Staged<'_>> {
        let lazy = LazyStage::new(self, begun);
        self.fs.enter(FaultStage::Plan, &self.dir)?;
        if options.consume {
            plan.check_consume()?;
        }
        let guard = self.share()?;
        // What a dead process left goes first: it may be what fills the disk.
        let (lock, sequence) = self.begin_commit()?;
        let (heals_seen, high_seen, rotations_seen) = (sequence.heals, sequence.high, self.rotations()?);
        let (mut base, healed_base) = self.rescued_base(&lock, self.current()?)?;
        drop(lock);
        let (indexed, folders) =
            threads::join(|| self.add_index(base.as_mut()), || Folders::of(plan.paths()));
        indexed?;
        let objects = Objects::new(self)?;
        let suspects = self.suspects()?;
        // Where it is gone, the look at what is current says so.
        let standing = base.as_ref().and_then(|base| base.generation.tree_dir().ok());
        self.fs.enter(FaultStage::Write, &self.dir)?;
        let start = Instant::now();
        let ingest = Ingest {
            home: self,
            _lock: &guard,
            objects: &objects,
            plan,
            folders: &folders,
            base: base.as_ref().map(|base| &base.tree),
            standing: standing.as_ref(),
            base_id: base.as_ref().map(|base| base.generation.id()),
            index: base.as_ref().and_then(|base| base.index.as_ref()),
            lossy: options.lossy,
            is_private: self.is_private()?,
            rehash: options.rehash,
            suspects: &suspects.objects,
            stage: Some(&lazy),
            consume: options.consume,
        };
        let result = ingest.run();
        // It has served, and is large.
        base.iter_mut().for_each(|base| base.index = None);
        let mut staged = Staged {
            home: self,
            guard,
            objects,
            // On an error the stage still wants to be taken back, which is what dropping does.
            ingested: Ingested::default(),
            parts: plan.roots.names().to_vec(),
            base,
            stage: lazy.into_stage(),
            assembled: false,
            always: options.always,
            rehash: options.rehash,
            audit_skipped: false,
            healed_base,
            heals_seen,
            high_seen,
            named: Mutex::default(),
            rotations_seen,
            retention: options.recycle,
            retired: None,
            recycled: None,
            times: Times::default(),
        };
        staged.ingested = result?;
        if options.lossy == Lossy::Refuse {
            staged.ingested.losses.refuse()?;
        }
        staged.times.store = start.elapsed();
        if options.always || !staged.is_current() {
            staged.assemble(&folders)?;
        }
        Ok(staged)
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

    /// Takes back what a commit that failed had put together, and the objects that it brought: they
    /// are what the next try may have no space for.
    pub(crate) fn take_back(mut self) {
        let named = std::mem::take(&mut *lock(&self.named));
        let (home, high, stage) = (self.home, self.high_seen, self.stage.take());
        // Lets go of the store.
        drop(self);
        let Some(stage) = stage else { return };
        // What cannot be done now is debris, which the next writer removes, and objects for gc.
        let is_naming = match home.take_back_names(high, &named) {
            Ok(true) => home.forget_naming(stage.dir()).is_err(),
            Ok(false) | Err(_) => home.is_naming(stage.dir()),
        };
        if !is_naming {
            drop(stage.give_up(home));
        }
    }

    /// Links the tree together in the stage, or makes it of one that nothing needs any more.
    pub(crate) fn assemble(&mut self, folders: &Folders<'_>) -> Result<()> {
        let start = Instant::now();
        if self.stage.is_none() {
            self.stage = Some(StageDir::create(self.home)?);
        }
        if !self.recycle(folders)? {
            let stage = self.stage.as_ref().expect("made just now");
            assemble(self.home, &self.guard, &self.objects, folders, &mut self.ingested, stage)?;
        }
        self.assembled = true;
        self.times.assemble = start.elapsed();
        Ok(())
    }
}

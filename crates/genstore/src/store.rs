//! The public API of a store: open it, publish, roll back, collect, verify. Each verb is implemented in
//! the module of its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::change::expect::Expect;
use crate::change::{begin, retain};
use crate::check::lost;
use crate::check::report::VerifyReport;
use crate::check::tree::Depth;
use crate::error::{Error, RefusedKind, Result};
use crate::model::audit::{AuditRules, Finding};
use crate::model::ids::{GenerationId, PinName, Rev, StageId};
use crate::model::records::{Mark, MarkRecord, PinRecord};
use crate::model::retention::{Retention, Verdict};
use crate::model::tree::Tree;
use crate::parts::current::Current;
use crate::parts::generations::Generation;
use crate::parts::hold::{Hold, HoldFile};
use crate::parts::layout::{Audience, Options, StoreDir};
use crate::parts::locks::{Locks, WatchLock};
use crate::parts::records::Records;
use crate::plan::Plan;
use crate::plan::scan::StoreIdentity;
use crate::repair::owners::{self, Foreign, GivenBack};
use crate::verbs::activate::{self, Activation, HoldAfter, Marks};
use crate::verbs::collect::{self, Collected, GcPlan};
use crate::verbs::export::{self, Exported};
use crate::verbs::inspect::{self, Listed, Listing, Pin};
use crate::verbs::publish::options::StageOptions;
use crate::verbs::publish::stage::{self, Stage};
use crate::verbs::publish::staged::Staged;
use crate::verbs::publish::{self, audit};
use crate::verbs::rollback::{self, HoldEnded, MarkLeft};
use crate::verbs::usage::{self, UsageReport};
use crate::verbs::verify::{self, Repaired};
use crate::verbs::views;
use crate::views::view::{View, ViewAdded, ViewOptions, ViewRemoved};

/// A store of generations, on one filesystem.
///
/// Opening takes no lock and changes nothing. Every method that writes takes the locks it needs, waits
/// for them as long as the options say, and first completes or undoes the unfinished change of a dead
/// process. A store may be open many times, in one process and in many.
#[derive(Clone)]
pub struct Store {
    store: Arc<StoreDir>,
}

/// The result of [`Store::init`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Initialized {
    /// The store.
    pub store: Store,
    /// Whether it is new.
    pub is_new: bool,
}

impl Store {
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::NewerFormat`].
    pub fn open(path: &Path, options: Options) -> Result<Store> {
        StoreDir::open(path, options).map(|store| Store { store: Arc::new(store) })
    }

    /// Creates a store at `path`, which must be absent or empty, or opens an existing one. Returns
    /// whether it is new.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::NewerFormat`].
    ///
    /// # Durability
    /// The store survives a crash on return. After an interruption, the next call completes it.
    pub fn init(path: &Path, options: Options) -> Result<Initialized> {
        Store::init_for(path, options, Audience::Everybody)
    }

    /// Creates a store for these users at `path`, which must be absent or empty, or opens an existing
    /// one. Returns whether it is new. An existing one is closed for [`Audience::Owner`].
    ///
    /// # Errors
    /// As [`Store::init`]; code `store-not-shared` for [`Audience::Group`] if an existing store is not
    /// shared, `store-shared` for [`Audience::Owner`] if it is.
    ///
    /// # Durability
    /// As [`Store::init`].
    pub fn init_for(path: &Path, options: Options, audience: Audience) -> Result<Initialized> {
        let (store, made) = StoreDir::create(path, options, audience)?;
        // If another process has the lock, that process writes it.
        if made && let Some(lock) = Locks::of(&store).try_commit()? {
            Current::of(&store).restore_notice(&lock)?;
        }
        Ok(Initialized { store: Store { store: Arc::new(store) }, is_new: made })
    }

    /// Returns the real path of the store.
    pub fn path(&self) -> &Path {
        self.store.dir.path()
    }

    /// Returns the identity by which scans recognise the store: see [`crate::plan::ScanRules::store`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn identity(&self) -> Result<StoreIdentity> {
        let stat = self.store.dir.stat_self()?;
        Ok(StoreIdentity { dev: stat.dev, ino: stat.ino })
    }

    /// Returns the current generation: one readlink.
    ///
    /// # Errors
    /// [`Error::Damaged`] if `current` is not a symlink of ours.
    pub fn current(&self) -> Result<Option<GenerationId>> {
        Current::of(&self.store).id()
    }

    /// Returns the current generation, and checks that it exists.
    ///
    /// # Errors
    /// [`Error::Damaged`] if `current` is missing although a generation was current, or names one that
    /// does not exist.
    pub fn checked_current(&self) -> Result<Option<GenerationId>> {
        lost::checked_current(&self.store)
    }

    /// Returns the current generation.
    ///
    /// # Errors
    /// As [`Store::checked_current`]; codes `no-current` if nothing was published, `not-activated` if
    /// all generations are only kept.
    pub fn required_current(&self) -> Result<GenerationId> {
        lost::required_current(&self.store)
    }

    /// Returns the directory of a generation's files.
    pub fn tree_path(&self, id: GenerationId) -> PathBuf {
        Current::of(&self.store).tree_path(id)
    }

    /// Returns the file that is written in place after each commit and activation.
    pub fn notice_path(&self) -> PathBuf {
        self.store.dir.join(crate::parts::layout::NOTICE)
    }

    /// Finds the generation of a reference.
    ///
    /// # Errors
    /// [`Error::UnknownRev`] with similar names.
    pub fn resolve(&self, rev: &Rev) -> Result<GenerationId> {
        inspect::resolve(&self.store, rev)
    }

    /// Opens a generation, with a lease on it.
    ///
    /// # Errors
    /// [`Error::UnknownRev`].
    pub fn open_generation(&self, rev: &Rev) -> Result<Generation> {
        inspect::open_named(&self.store, rev)
    }

    /// Hashes a plan and returns the tree that it would become. Writes nothing.
    ///
    /// # Errors
    /// [`Error::BadPlan`], [`Error::SourceChanged`], [`Error::Io`].
    pub fn preview(&self, plan: &Plan) -> Result<Tree> {
        publish::preview(&self.store, plan)
    }

    /// Returns the findings of an audit of a tree by these rules. Writes nothing.
    ///
    /// # Errors
    /// Only if the audit cannot be done.
    pub fn judge(&self, tree: &Tree, rules: &AuditRules) -> Result<Vec<Finding>> {
        audit::judge(&self.store, tree, rules)
    }

    /// Stages a plan, invisible to readers. See [`Staged::audit`] and
    /// [`crate::audit::Audited::commit`].
    ///
    /// # Errors
    /// [`Error::BadPlan`], [`Error::SourceChanged`], [`Error::Locked`], [`Error::Io`].
    ///
    /// # Locks
    /// Takes the shared store lock, and keeps it as long as the staged tree lives.
    pub fn stage(&self, plan: &Plan, options: StageOptions) -> Result<Staged<'_>> {
        publish::stage(&self.store, None, plan, options)
    }

    /// Begins a stage: a directory that any program may write to, invisible to readers. See
    /// [`Stage::seal`].
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Io`].
    pub fn begin(&self) -> Result<Stage<'_>> {
        stage::begin(&self.store)
    }

    /// Takes over a stage that was left to an owner.
    ///
    /// # Errors
    /// Codes `stage-unknown`, `stage-expired`, `stage-committed`, `stage-refused`, `stage-foreign`;
    /// [`Error::Locked`] if another process works on it.
    pub fn resume(&self, id: &StageId) -> Result<Stage<'_>> {
        stage::resume(&self.store, id)
    }

    /// Makes a kept generation current, older or newer, and clears a bad mark on it.
    ///
    /// # Errors
    /// [`Error::UnknownRev`], [`Error::Lost`], [`Error::Locked`], [`Error::Damaged`].
    ///
    /// # Durability
    /// On return the move survives a power loss, unless a warning says otherwise.
    pub fn activate(&self, rev: &Rev, expect: Expect) -> Result<Activation> {
        let id = self.resolve(rev)?;
        let marks = if retain::is_good(&self.store, id)? { Marks::Keep } else { Marks::NextIsGood };
        activate::activate(&self.store, id, expect, marks, HoldAfter::Free)
    }

    /// Rolls back: makes the newest good generation current that is older than the current one and was
    /// current before it. Does this `steps` times, and marks the generation that it leaves as bad
    /// unless `keep_good`. The new current generation is held: see
    /// [`crate::publish::Activate::UnlessHeld`]. Generations that were only kept are skipped.
    ///
    /// # Errors
    /// Code `nothing-older` if there are not enough; otherwise as [`Store::activate`].
    pub fn rollback(&self, steps: u64, left: MarkLeft) -> Result<Activation> {
        rollback::rollback(&self.store, steps, left)
    }

    /// Returns the hold of a rollback, if there is one: see [`crate::publish::Activate::UnlessHeld`].
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn hold(&self) -> Result<Option<Hold>> {
        HoldFile::of(&self.store).read()
    }

    /// Ends the hold of a rollback, and makes the newest good generation current if it is newer than
    /// the current one: the last build since the rollback. Returns the hold that ended.
    ///
    /// # Errors
    /// As [`Store::activate`].
    pub fn end_hold(&self) -> Result<HoldEnded> {
        rollback::end_hold(&self.store)
    }

    /// Takes the watch lock of this store: one process at a time watches sources for it.
    ///
    /// # Errors
    /// [`Error::Locked`] at once, with the process that has it.
    pub fn lock_watch(&self) -> Result<WatchLock> {
        Locks::of(&self.store).watch()
    }

    /// Marks a generation as good or bad.
    ///
    /// # Errors
    /// [`Error::UnknownRev`], [`Error::Locked`].
    pub fn mark(&self, rev: &Rev, mark: Mark, why: Option<String>) -> Result<GenerationId> {
        let (lock, _) = begin::begin_commit(&self.store)?;
        let id = self.resolve(rev)?;
        let made = self.store.now().into();
        Records::of(&self.store).write_mark(&lock, id, &MarkRecord { mark, made, why })?;
        Ok(id)
    }

    /// Lists all pins, expired ones too.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn pins(&self) -> Result<Vec<Pin>> {
        inspect::pins(&self.store)
    }

    /// Pins a generation under a name, until `until` or forever. A pin of that name on the same
    /// generation is replaced.
    ///
    /// # Errors
    /// Code `pin-taken` if the name is used for another generation; [`Error::UnknownRev`].
    ///
    /// # Durability
    /// On return the pin survives a power loss.
    pub fn pin(
        &self,
        rev: &Rev,
        name: &PinName,
        why: Option<String>,
        until: Option<SystemTime>,
    ) -> Result<GenerationId> {
        // Under the commit lock, which gc holds too, so the pinned generation exists and stays.
        let (lock, _) = begin::begin_commit(&self.store)?;
        let generation = self.resolve(rev)?;
        if let Some(taken) =
            Records::of(&self.store).pins()?.get(name).filter(|pin| pin.generation != generation)
        {
            let why = format!("the pin {name} is used for generation {} already", taken.generation);
            return Err(Error::refused(RefusedKind::PinTaken, why));
        }
        let made = self.store.now().into();
        let record = PinRecord { generation, made, why, until: until.map(Into::into) };
        Records::of(&self.store).write_pin(&lock, name, &record)?;
        Ok(generation)
    }

    /// Removes a pin.
    ///
    /// # Errors
    /// Code `no-such-pin`.
    pub fn unpin(&self, name: &PinName) -> Result<()> {
        let (lock, _) = begin::begin_commit(&self.store)?;
        match Records::of(&self.store).remove_pin(&lock, name)? {
            true => Ok(()),
            false => Err(Error::refused(RefusedKind::NoSuchPin, format!("there is no pin {name}"))),
        }
    }

    /// Lists the views with the states of their paths, sorted by path. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a record that differs from what was written.
    pub fn views(&self) -> Result<Vec<View>> {
        views::views(&self.store)
    }

    /// Returns the paths of the views. The paths themselves are not checked. Damaged records are left
    /// out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn view_paths(&self) -> Result<Vec<PathBuf>> {
        views::view_paths(&self.store)
    }

    /// Returns whether there is a view at `path`, whatever its state is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_view(&self, path: &Path) -> Result<bool> {
        views::has_view(&self.store, path)
    }

    /// Makes `path` a view of the current generation, or of a part of it: a symlink that is created
    /// once, or a mirror, which each commit updates.
    ///
    /// An existing entry is replaced only if the options say so. The path is never absent during the
    /// change, and the previous entry is kept beside it under another name.
    ///
    /// # Errors
    /// Codes `bad-view-path`, `view-in-store`, `view-holds-store`, `view-no-parent`, `view-taken`,
    /// `view-file`, `view-no-exchange`, `view-other-filesystem`; [`Error::Locked`], [`Error::Io`]. Then
    /// the previous entry is unchanged.
    ///
    /// # Durability
    /// On return the view and its record survive a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn add_view(&self, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
        views::add_view(&self.store, path, options)
    }

    /// Removes a view: its link, or our entries of its mirror, and its record. Foreign entries at the
    /// path or in the mirror are left alone.
    ///
    /// # Errors
    /// [`Error::UnknownView`] with similar paths of views; [`Error::Locked`], [`Error::Io`].
    ///
    /// # Durability
    /// On return the removal survives a power loss.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn remove_view(&self, path: &Path) -> Result<ViewRemoved> {
        views::remove_view(&self.store, path)
    }

    /// Lists the generations, newest first; damaged ones separately.
    ///
    /// # Errors
    /// [`Error::Damaged`] for pins and marks that differ from what was written.
    pub fn list(&self) -> Result<Listing> {
        inspect::list_generations(&self.store)
    }

    /// Returns the entry of [`Store::list`] for one generation, or `None` if it is missing or
    /// unreadable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn listed(&self, id: GenerationId) -> Result<Option<Listed>> {
        inspect::listed(&self.store, id)
    }

    /// Returns the sum of the sizes of all objects, of files that have an inode of their own, of
    /// builds' logs and of `failed/`, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stored_bytes(&self) -> Result<u64> {
        usage::stored_bytes(&self.store)
    }

    /// Counts the disk usage of each generation, newest first; damaged ones separately.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn usage(&self) -> Result<UsageReport> {
        usage::usage(&self.store)
    }

    /// Returns the verdict of a collection with this rule about a generation.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn verdict(&self, id: GenerationId, retention: &Retention) -> Result<Option<Verdict>> {
        retain::judge_one(&self.store, id, retention)
    }

    /// Plans a collection. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`]: an unreadable generation may reference objects.
    pub fn plan_gc(&self, retention: &Retention) -> Result<GcPlan> {
        collect::plan_gc(&self.store, retention)
    }

    /// Removes the generations and objects in the plan that still have no reason to stay.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Damaged`], [`Error::Io`].
    ///
    /// # Locks
    /// The exclusive store lock: waits for publishers.
    pub fn collect(&self, plan: &GcPlan) -> Result<Collected> {
        collect::collect(&self.store, plan)
    }

    /// Compares the store, or one generation, with its records.
    ///
    /// # Errors
    /// Only if the check cannot be done: damage is in the report.
    pub fn verify(&self, only: Option<GenerationId>, depth: Depth) -> Result<VerifyReport> {
        verify::verify(&self.store, only, depth)
    }

    /// Repairs damage from intact copies, and moves the other damaged objects to quarantine. Returns
    /// the findings before the repair and those that are left.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Io`].
    pub fn repair(&self) -> Result<Repaired> {
        verify::repair(&self.store)
    }

    /// Counts the entries with a foreign owner. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn foreign(&self) -> Result<Foreign> {
        owners::foreign(&self.store)
    }

    /// Changes the owner of foreign entries to the store's owner, or their group to the group that
    /// shares it. Returns the findings before and those that are left.
    ///
    /// # Errors
    /// Code `needs-root`; [`Error::Locked`], [`Error::Io`].
    ///
    /// # Locks
    /// The exclusive store lock, and the commit lock.
    pub fn give_back(&self) -> Result<GivenBack> {
        owners::give_back(&self.store)
    }

    /// Copies a generation's tree to a directory that is absent or empty. Returns the number of files
    /// and bytes.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Damaged`], [`Error::Io`], and [`Error::Refused`] with the codes
    /// `bad-target`, `target-in-store` and `target-in-view`. Then there is no copy.
    pub fn export(&self, generation: &Generation, to: &Path) -> Result<Exported> {
        export::export(&self.store, generation, to)
    }
}

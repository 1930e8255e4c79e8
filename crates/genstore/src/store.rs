//! The store as callers see it: open it, publish, roll back, collect, verify. Each verb's
//! story is in the module of its name.

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
/// Opening takes no lock and changes nothing. Every method that writes takes the locks it needs,
/// waits for them as long as the options say, and finishes or takes back whatever a dead process
/// left. A store may be open many times, in one process and in many.
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

    /// Makes a store at `path`, absent or empty, or opens the one that is there; tells whether it
    /// is a new one.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::NewerFormat`].
    ///
    /// # Durability
    /// The store survives a crash on return; cut short, the next call completes it.
    pub fn init(path: &Path, options: Options) -> Result<Initialized> {
        Store::init_for(path, options, Audience::Everybody)
    }

    /// Makes a store for somebody in particular at `path`, absent or empty, or opens the one that is
    /// there; tells whether it is a new one. One that is there is closed for [`Audience::Owner`].
    ///
    /// # Errors
    /// As [`Store::init`]; code `store-not-shared` for [`Audience::Group`] where one is there already that
    /// is not shared, `store-shared` for [`Audience::Owner`] where it is.
    ///
    /// # Durability
    /// As [`Store::init`].
    pub fn init_for(path: &Path, options: Options, audience: Audience) -> Result<Initialized> {
        let (store, made) = StoreDir::create(path, options, audience)?;
        // Where somebody else has the lock already, that one writes it.
        if made && let Some(lock) = Locks::of(&store).try_commit()? {
            Current::of(&store).restore_notice(&lock)?;
        }
        Ok(Initialized { store: Store { store: Arc::new(store) }, is_new: made })
    }

    /// Gives the real path of the store.
    pub fn path(&self) -> &Path {
        self.store.dir.path()
    }

    /// Gives what scans know the store by: see [`crate::plan::ScanRules::store`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn identity(&self) -> Result<StoreIdentity> {
        let stat = self.store.dir.stat_self()?;
        Ok(StoreIdentity { dev: stat.dev, ino: stat.ino })
    }

    /// Tells which generation is current: one readlink.
    ///
    /// # Errors
    /// [`Error::Damaged`] when `current` is not a symlink of ours.
    pub fn current(&self) -> Result<Option<GenerationId>> {
        Current::of(&self.store).id()
    }

    /// Returns the generation that is current, which is there.
    ///
    /// # Errors
    /// [`Error::Damaged`] if `current` is missing although a generation was current, or names one that is
    /// not there.
    pub fn checked_current(&self) -> Result<Option<GenerationId>> {
        lost::checked_current(&self.store)
    }

    /// Returns the generation that is current.
    ///
    /// # Errors
    /// As [`Store::checked_current`]; codes `no-current` if nothing was published, `not-activated` if all
    /// generations are only kept.
    pub fn required_current(&self) -> Result<GenerationId> {
        lost::required_current(&self.store)
    }

    /// Gives the directory of a generation's files.
    pub fn tree_path(&self, id: GenerationId) -> PathBuf {
        Current::of(&self.store).tree_path(id)
    }

    /// Gives the file that is written in place after each commit and activation.
    pub fn notice_path(&self) -> PathBuf {
        self.store.dir.join(crate::parts::layout::NOTICE)
    }

    /// Finds the generation that a person names.
    ///
    /// # Errors
    /// [`Error::UnknownRev`] with the nearest names.
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

    /// Hashes a plan and gives the tree it would make. Writes nothing.
    ///
    /// # Errors
    /// [`Error::BadPlan`], [`Error::SourceChanged`], [`Error::Io`].
    pub fn preview(&self, plan: &Plan) -> Result<Tree> {
        publish::preview(&self.store, plan)
    }

    /// Tells what an audit by these rules would find in a tree. Writes nothing.
    ///
    /// # Errors
    /// Only what kept it from finding out.
    pub fn judge(&self, tree: &Tree, rules: &AuditRules) -> Result<Vec<Finding>> {
        audit::judge(&self.store, tree, rules)
    }

    /// Brings a plan into the store, where no reader sees it. See [`Staged::audit`] and
    /// [`crate::audit::Audited::commit`].
    ///
    /// # Errors
    /// [`Error::BadPlan`], [`Error::SourceChanged`], [`Error::Locked`], [`Error::Io`].
    ///
    /// # Locks
    /// Takes the store lock, shared, and keeps it as long as the staged tree lives.
    pub fn stage(&self, plan: &Plan, options: StageOptions) -> Result<Staged<'_>> {
        publish::stage(&self.store, None, plan, options)
    }

    /// Begins a stage: a directory that any program may write to, out of readers' sight. See
    /// [`Stage::seal`].
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Io`].
    pub fn begin(&self) -> Result<Stage<'_>> {
        stage::begin(&self.store)
    }

    /// Goes on with a stage that was left to an owner.
    ///
    /// # Errors
    /// Codes `stage-unknown`, `stage-expired`, `stage-committed`, `stage-refused`, `stage-foreign`;
    /// [`Error::Locked`] when another process works on it.
    pub fn resume(&self, id: &StageId) -> Result<Stage<'_>> {
        stage::resume(&self.store, id)
    }

    /// Makes a kept generation current, in either direction, and clears a bad mark on it.
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

    /// Makes the newest good generation that is older than the current one and was current before it
    /// current, `steps` times, and marks the one it leaves as bad unless `keep_good`. What is current
    /// then is held: see [`crate::publish::Activate::UnlessHeld`]. What was only kept is passed over.
    ///
    /// # Errors
    /// Code `nothing-older` when there are not so many; else as [`Store::activate`].
    pub fn rollback(&self, steps: u64, left: MarkLeft) -> Result<Activation> {
        rollback::rollback(&self.store, steps, left)
    }

    /// Returns whether a rollback holds what is current: see [`crate::publish::Activate::UnlessHeld`].
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn hold(&self) -> Result<Option<Hold>> {
        HoldFile::of(&self.store).read()
    }

    /// Ends the hold of a rollback, and makes the newest good generation that is newer than current
    /// the current one, if there is one: what was built meanwhile. Gives the hold that ended.
    ///
    /// # Errors
    /// As [`Store::activate`].
    pub fn end_hold(&self) -> Result<HoldEnded> {
        rollback::end_hold(&self.store)
    }

    /// Begins to watch sources for this store, which one process at a time does.
    ///
    /// # Errors
    /// [`Error::Locked`] at once, with who watches.
    pub fn lock_watch(&self) -> Result<WatchLock> {
        Locks::of(&self.store).watch()
    }

    /// Says of a generation that it is good or bad.
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

    /// Keeps a generation under a name, until `until` or for ever. A pin of that name on the same
    /// generation is replaced.
    ///
    /// # Errors
    /// Code `pin-taken` when the name holds another generation; [`Error::UnknownRev`].
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
        // Under the commit lock, which gc holds too: so what is pinned is there and stays.
        let (lock, _) = begin::begin_commit(&self.store)?;
        let generation = self.resolve(rev)?;
        if let Some(taken) =
            Records::of(&self.store).pins()?.get(name).filter(|pin| pin.generation != generation)
        {
            let why = format!("the pin {name} holds generation {} already", taken.generation);
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

    /// Lists the views with what stands at their paths, sorted by path. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a record that is not as it was written.
    pub fn views(&self) -> Result<Vec<View>> {
        views::views(&self.store)
    }

    /// Tells where the views are, without a look at what stands there. Damaged records are left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn view_paths(&self) -> Result<Vec<PathBuf>> {
        views::view_paths(&self.store)
    }

    /// Returns whether there is a view at `path`, whatever stands there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_view(&self, path: &Path) -> Result<bool> {
        views::has_view(&self.store, path)
    }

    /// Makes `path` show what is current, or a part of it: a symlink that is made once, or a mirror,
    /// which each commit brings up to date.
    ///
    /// What stands there is replaced only if the options say so, without a moment in which the
    /// path is absent, and it is kept beside under another name.
    ///
    /// # Errors
    /// Codes `bad-view-path`, `view-in-store`, `view-holds-store`, `view-no-parent`, `view-taken`,
    /// `view-file`, `view-no-exchange`, `view-other-filesystem`; [`Error::Locked`], [`Error::Io`]. Then what stood there
    /// stands there.
    ///
    /// # Durability
    /// On return the view and its record survive a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn add_view(&self, path: &Path, options: &ViewOptions) -> Result<ViewAdded> {
        views::add_view(&self.store, path, options)
    }

    /// Removes a view: its link, or what was put into its mirror, and its record. What else stands
    /// at the path, or in the mirror, is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownView`] with views that are near; [`Error::Locked`], [`Error::Io`].
    ///
    /// # Durability
    /// On return the removal survives a power loss.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn remove_view(&self, path: &Path) -> Result<ViewRemoved> {
        views::remove_view(&self.store, path)
    }

    /// Lists the generations, newest first; those that are damaged apart.
    ///
    /// # Errors
    /// [`Error::Damaged`] for pins and marks that are not as they were written.
    pub fn list(&self) -> Result<Listing> {
        inspect::list_generations(&self.store)
    }

    /// Returns what [`Store::list`] says of one generation, or `None` if there is none that can be read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn listed(&self, id: GenerationId) -> Result<Option<Listed>> {
        inspect::listed(&self.store, id)
    }

    /// Adds up the sizes of all objects, of files that have an inode of their own, of builds' logs and of
    /// what is kept under `failed/`, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stored_bytes(&self) -> Result<u64> {
        usage::stored_bytes(&self.store)
    }

    /// Counts what each generation uses, newest first; those that are damaged apart.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn usage(&self) -> Result<UsageReport> {
        usage::usage(&self.store)
    }

    /// Tells what a collection with this rule would say of a generation now.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn verdict(&self, id: GenerationId, retention: &Retention) -> Result<Option<Verdict>> {
        retain::judge_one(&self.store, id, retention)
    }

    /// Plans a collection. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`]: what cannot be read may name objects.
    pub fn plan_gc(&self, retention: &Retention) -> Result<GcPlan> {
        collect::plan_gc(&self.store, retention)
    }

    /// Removes what the plan gives up, as far as nothing keeps it by now.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Damaged`], [`Error::Io`].
    ///
    /// # Locks
    /// The store lock, exclusively: waits for publishers.
    pub fn collect(&self, plan: &GcPlan) -> Result<Collected> {
        collect::collect(&self.store, plan)
    }

    /// Compares the store, or one generation, with what it ought to be.
    ///
    /// # Errors
    /// Only what kept it from finding out: damage is in the report.
    pub fn verify(&self, only: Option<GenerationId>, depth: Depth) -> Result<VerifyReport> {
        verify::verify(&self.store, only, depth)
    }

    /// Mends what it can and puts damaged objects into quarantine; gives what was found before and
    /// what is left.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Io`].
    pub fn repair(&self) -> Result<Repaired> {
        verify::repair(&self.store)
    }

    /// Counts what belongs to somebody else than the store does. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn foreign(&self) -> Result<Foreign> {
        owners::foreign(&self.store)
    }

    /// Gives what belongs to somebody else to the owner of the store, or the group that shares it;
    /// returns what was found, and what is left.
    ///
    /// # Errors
    /// Code `needs-root`; [`Error::Locked`], [`Error::Io`].
    ///
    /// # Locks
    /// The store lock, exclusively, and the commit lock.
    pub fn give_back(&self) -> Result<GivenBack> {
        owners::give_back(&self.store)
    }

    /// Copies a generation's tree to a directory that is absent or empty; gives the number of
    /// files and bytes.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Damaged`], [`Error::Io`], and [`Error::Refused`] with the codes
    /// `bad-target`, `target-in-store` and `target-in-view`; then there is no copy.
    pub fn export(&self, generation: &Generation, to: &Path) -> Result<Exported> {
        export::export(&self.store, generation, to)
    }
}

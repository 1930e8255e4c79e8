//! Generations over time: which one is current, marks, pins and lists.

use std::time::SystemTime;

use crate::change::expect::Expect;
use crate::change::retain;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::model::ids::{GenerationId, PinName, Rev};
use crate::model::records::{Cause, Mark};
use crate::parts::hold::{Hold, HoldFile};
use crate::store::Store;
use crate::verbs::activate::{self, Activation, Marks};
use crate::verbs::follow::{Follower, Move};
use crate::verbs::history::{self, HistoryEntry};
use crate::verbs::inspect::{self, Listed, Listing, Pin};
use crate::verbs::names::{self, Recorded, Unpinned};
use crate::verbs::rollback::{self, HoldEnded, MarkLeft, RollbackPlan};
use crate::verbs::usage::{self, Usage, UsageReport};

impl Store {
    /// Makes a kept generation current, older or newer, and clears a bad mark on it.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::Expect;
    ///
    /// let done = store.activate(&"1".parse()?, Expect::Any)?;
    /// assert_eq!((done.generation.get(), done.previous.map(|id| id.get())), (1, Some(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownRev`], [`Error::Lost`], [`Error::Locked`], [`Error::Damaged`].
    ///
    /// # Durability
    /// On return the move survives a power loss, unless a warning says otherwise.
    pub fn activate(&self, rev: &Rev, expect: Expect) -> Result<Activation> {
        let id = self.resolve(rev)?;
        let marks = if retain::is_good(&self.store, id)? { Marks::Keep } else { Marks::NextIsGood };
        activate::activate(&self.store, id, expect, marks, Cause::Switch)
    }

    /// Rolls back: makes the newest good generation current that is older than the current one and was
    /// current before it. Does this `steps` times, and marks the generation that it leaves as bad
    /// unless `keep_good`. The new current generation is held: see
    /// [`crate::publish::Activate::UnlessHeld`]. Generations that were only kept are skipped.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::MarkLeft;
    ///
    /// let done = store.rollback(1, MarkLeft::Bad)?;
    /// assert_eq!(done.generation.get(), 1);
    /// assert!(store.hold()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Code `nothing-older` if there are not enough; otherwise as [`Store::activate`].
    pub fn rollback(&self, steps: u64, left: MarkLeft) -> Result<Activation> {
        rollback::rollback(&self.store, rollback::plan(&self.store, steps)?, left)
    }

    /// Returns what [`Store::rollback`] would do now, without doing it.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let plan = store.plan_rollback(1)?;
    /// assert_eq!((plan.from.get(), plan.to.get()), (2, 1));
    /// assert_eq!(store.current()?, Some(plan.from));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Code `nothing-older` if there are not enough.
    pub fn plan_rollback(&self, steps: u64) -> Result<RollbackPlan> {
        rollback::plan(&self.store, steps)
    }

    /// Rolls back as planned.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::MarkLeft;
    ///
    /// let plan = store.plan_rollback(1)?;
    /// let done = store.rollback_to(plan, MarkLeft::Unchanged)?;
    /// assert_eq!(done.generation, plan.to);
    /// assert!(store.rollback_to(plan, MarkLeft::Unchanged).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`] if another generation is current by now; otherwise as [`Store::activate`].
    pub fn rollback_to(&self, plan: RollbackPlan, left: MarkLeft) -> Result<Activation> {
        rollback::rollback(&self.store, plan, left)
    }

    /// Returns the hold of a rollback, if there is one: see [`crate::publish::Activate::UnlessHeld`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::MarkLeft;
    ///
    /// assert!(store.hold()?.is_none());
    /// drop(store.rollback(1, MarkLeft::Bad)?);
    /// assert_eq!(store.hold()?.map(|hold| hold.left.get()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn hold(&self) -> Result<Option<Hold>> {
        HoldFile::of(&self.store).read()
    }

    /// Ends the hold of a rollback, and makes the newest good generation current if it is newer than
    /// the current one: the last build since the rollback. Returns the hold that ended.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::MarkLeft;
    ///
    /// drop(store.rollback(1, MarkLeft::Unchanged)?);
    /// let ended = store.end_hold()?;
    /// assert!(ended.hold.is_some());
    /// assert_eq!(ended.activation.map(|done| done.generation.get()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::activate`].
    pub fn end_hold(&self) -> Result<HoldEnded> {
        rollback::end_hold(&self.store)
    }

    /// Marks a generation as good or bad.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::generation::Mark;
    ///
    /// let done = store.mark(&"2".parse()?, Mark::Bad, Some("broken links".to_owned()))?;
    /// assert_eq!(done.generation.get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownRev`], [`Error::Locked`].
    pub fn mark(&self, rev: &Rev, mark: Mark, why: Option<String>) -> Result<Recorded> {
        names::mark(&self.store, rev, mark, why)
    }

    /// Lists all pins, expired ones too.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// store.pin(&"1".parse()?, &"release".parse()?, None, None)?;
    /// assert_eq!(store.pins()?[0].name, "release");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn pins(&self) -> Result<Vec<Pin>> {
        inspect::pins(&self.store)
    }

    /// Pins a generation under a name, until `until` or forever. A pin of that name on the same
    /// generation is replaced.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::Retention;
    ///
    /// store.pin(&"1".parse()?, &"release".parse()?, Some("shipped".to_owned()), None)?;
    /// // A collection keeps it.
    /// assert!(store.plan_gc(&Retention::only_last(1))?.removed().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ) -> Result<Recorded> {
        names::pin(&self.store, rev, name, why, until)
    }

    /// Removes a pin.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// store.pin(&"1".parse()?, &"release".parse()?, None, None)?;
    /// store.unpin(&"release".parse()?)?;
    /// assert!(store.pins()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Code `no-such-pin`.
    pub fn unpin(&self, name: &PinName) -> Result<Unpinned> {
        names::unpin(&self.store, name)
    }

    /// Lists who did what, newest first: at most `limit` events, and only those since a time. Events are as old as
    /// the log, which gc shortens by the lines of removed generations once it is long.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::history::HistoryEvent;
    ///
    /// store.pin(&"1".parse()?, &"release".parse()?, None, None)?;
    /// let history = store.history(2, None)?;
    /// assert!(matches!(&history[0].event, HistoryEvent::Pinned { name, .. } if name == "release"));
    /// assert!(matches!(history[1].event, HistoryEvent::Published { activated: true, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn history(&self, limit: usize, since: Option<SystemTime>) -> Result<Vec<HistoryEntry>> {
        history::history(&self.store, limit, since)
    }

    /// Lists the generations, newest first; damaged ones separately.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let listing = store.list()?;
    /// let numbers: Vec<u64> = listing.generations.iter().map(|listed| listed.id.get()).collect();
    /// assert_eq!(numbers, [2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`] for pins and marks that differ from what was written.
    pub fn list(&self) -> Result<Listing> {
        inspect::list_generations(&self.store)
    }

    /// Follows the moves of `current` from now on, or from after the last activation of a generation on.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::Expect;
    ///
    /// let mut follower = store.follow(None)?;
    /// drop(store.activate(&"1".parse()?, Expect::Any)?);
    /// let moves = store.moves(&mut follower)?;
    /// assert_eq!((moves.len(), moves[0].generation.get()), (1, 1));
    /// assert!(store.moves(&mut follower)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn follow(&self, after: Option<GenerationId>) -> Result<Follower> {
        Follower::new(&self.store, after)
    }

    /// Returns the moves of `current` that were recorded since the last call, oldest first.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let mut follower = store.follow(Some(store.resolve(&"1".parse()?)?))?;
    /// let moves = store.moves(&mut follower)?;
    /// assert_eq!(moves.iter().map(|moved| moved.generation.get()).collect::<Vec<_>>(), [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn moves(&self, follower: &mut Follower) -> Result<Vec<Move>> {
        follower.next(&self.store)
    }

    /// Returns the entry of [`Store::list`] for one generation, or `None` if it is missing or
    /// unreadable.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let listed = store.listed(store.required_current()?)?.expect("it can be read");
    /// assert!(listed.current);
    /// assert_eq!(listed.head.files, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn listed(&self, id: GenerationId) -> Result<Option<Listed>> {
        inspect::listed(&self.store, id)
    }

    /// Returns the sum of the sizes of all objects, of files that have an inode of their own, of
    /// builds' logs and of `failed/`, in bytes.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(store.stored_bytes()? >= 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stored_bytes(&self) -> Result<u64> {
        usage::stored_bytes(&self.store)
    }

    /// Counts the disk usage of each generation, newest first; damaged ones separately.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert_eq!(store.usage()?.generations.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn usage(&self) -> Result<UsageReport> {
        usage::usage(&self.store)
    }

    /// Counts the disk usage of one generation by its hard links. Returns `None` if it is missing.
    ///
    /// The cost does not depend on the number of generations. Bytes that another generation has in an
    /// inode of its own count as exclusive here, and as shared in [`Store::usage`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let usage = store.usage_of(store.required_current()?)?.expect("it is there");
    /// assert_eq!(usage.apparent, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`] if the generation differs from its records; [`Error::Io`].
    pub fn usage_of(&self, id: GenerationId) -> Result<Option<Usage>> {
        usage::usage_of(&self.store, id)
    }
}

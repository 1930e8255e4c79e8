//! Commit: makes a staged tree a generation, and the current one.
//!
//! The order of a commit, which may be interrupted after each step (`store-layout.md`, "Commit"):
//! 1. New objects, the tree and the manifest are written in the stage (`ingest`, `assemble`).
//! 2. One flush makes all of that durable.
//! 3. The new objects get their names: an object with a name is durable.
//! 4. Paths that need a newer mtime get inodes of their own, durably (`change/freshen`).
//! 5. Under the commit lock, the intent and the number are made durable.
//! 6. The stage becomes `generations/<id>`, and the folders with new names are flushed.
//! 7. `current` is replaced by a rename, which is the commit, and the store's folder is flushed.
//! 8. The log, the notice and the end of the intent follow. If these fail, the commit stands.
//!
//! Each value proves that the steps before it are done: [`Flushed`] (4), [`Locked`] (the lock is held
//! and the current generation is known), [`Placed`] (7).

mod durable;
mod finish;
mod heal;
mod place;

use std::time::Instant;

use crate::change::{announce, expect, recover};
use crate::error::{Error, RefusedKind, Result};
use crate::fs::folders::Folders;
use crate::model::codec::{MAX_FACTS_LEN, MAX_NOTE_LEN};
use crate::model::ids::GenerationId;
use crate::model::records::Sequence;
use crate::parts::current::Current;
use crate::parts::hold::HoldFile;
use crate::parts::locks::CommitLock;
use crate::publication::Publication;
use crate::repair::owners;
use crate::verbs::publish::audit::Audited;
use crate::verbs::publish::options::CommitOptions;
use crate::verbs::publish::staged::Staged;
use crate::verbs::publish::unchanged::Looked;
use crate::views::refresh;
use crate::warning::AfterCommit;

/// The state under the commit lock.
struct Locked {
    start: Instant,
    lock: CommitLock,
    sequence: Sequence,
    previous: Option<GenerationId>,
    /// The number of damaged objects and generations that were repaired.
    healed: u64,
    /// Whether another generation became current since this tree was compared with one.
    is_overtaken: bool,
}

impl Audited<'_> {
    /// Makes the tree a generation, and current.
    ///
    /// # Errors
    /// [`Error::Refused`] if the tree is empty and the current one is not: see
    /// [`crate::publish::Emptying`]. [`Error::Lost`] if the current generation is not the expected one.
    /// On any error `current` is unchanged, and a resumed stage still exists, for another try.
    ///
    /// # Durability
    /// On return the generation survives a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn commit(self, options: &CommitOptions) -> Result<Publication> {
        let mut staged = self.into_staged();
        let done = staged.commit(options);
        if done.is_err() {
            staged.take_back();
        }
        done
    }
}

impl<'s> Staged<'s> {
    fn commit(&mut self, options: &CommitOptions) -> Result<Publication> {
        check_texts(options)?;
        let store = self.store;
        let after = AfterCommit::new(
            [
                self.ingested.losses.warnings(),
                owners::check_owners(store),
                refresh::check_written_to(store, self.base.as_ref()),
            ]
            .concat(),
        );
        let created = store.now();
        let mut flushed = if self.assembled { Some(self.flush(options, created)?) } else { None };
        loop {
            let start = Instant::now();
            let looked = if self.is_unchanged() { self.look_at_current()? } else { Looked::default() };
            let locked = self.lock(start, options)?;
            if self.is_unchanged() {
                if locked.is_overtaken {
                    // Another generation with the same tree became current: it is checked as well.
                    continue;
                }
                let refreshed = flushed.as_ref().map_or(0, |flushed| flushed.refreshed);
                return self.end_unchanged(locked, looked, refreshed, after);
            }
            let Some(mut flushed) = flushed.take() else {
                // The generation that was current when the tree was staged is not current any more, so
                // the tree must be assembled.
                drop(locked);
                self.assemble_overtaken()?;
                flushed = Some(self.flush(options, created)?);
                continue;
            };
            if locked.is_overtaken {
                self.flush_again(options, &mut flushed)?;
            }
            let activate = HoldFile::of(store).activates(&locked.lock, options.activate)?;
            if activate {
                self.check_emptying(options.emptying)?;
            }
            let placed = self.place(locked, flushed, options, activate)?;
            return Ok(self.finish(placed, after));
        }
    }

    /// Returns whether there is nothing to commit.
    fn is_unchanged(&self) -> bool {
        self.is_current() && !self.always
    }

    /// Takes the commit lock, and reads the current generation under it.
    fn lock(&mut self, start: Instant, options: &CommitOptions) -> Result<Locked> {
        let (lock, mut sequence) = recover::lock_and_recover(self.store)?;
        let previous = Current::of(self.store).id()?;
        expect::check_expected(self.store, options.expect, previous)?;
        let healed = self.heal(&lock, &mut sequence)?;
        let is_overtaken = self.rebase(&lock, previous)?;
        Ok(Locked { start, lock, sequence, previous, healed, is_overtaken })
    }

    /// Assembles the tree of a publication that is not unchanged any more.
    fn assemble_overtaken(&mut self) -> Result<()> {
        if self.audit_skipped {
            return Err(Error::refused(
                RefusedKind::MovedMeanwhile,
                "this tree was current and so was not audited, but now it no longer is; publish again",
            ));
        }
        let tree = self.ingested.tree.clone();
        self.assemble(&Folders::of((0..tree.len()).map(|index| tree.path(index))))
    }

    /// Ends a publication that creates no generation.
    fn end_unchanged(
        &mut self,
        locked: Locked,
        looked: Looked,
        refreshed: u64,
        after: AfterCommit,
    ) -> Result<Publication> {
        let Locked { start, lock, previous, healed, .. } = locked;
        self.settle_unchanged(&lock, looked, healed)?;
        let mut publication = self.describe(previous, refreshed, healed);
        publication.warnings = [after.warnings, refresh::check_views(self.store, &lock)].concat();
        drop(lock);
        publication.warnings.extend(self.clear_up());
        publication.durable = announce::is_durable(self.store, &publication.warnings);
        publication.times.commit = start.elapsed();
        Ok(publication)
    }
}

fn check_texts(options: &CommitOptions) -> Result<()> {
    let facts: usize = options.facts.iter().map(|(key, value)| key.len() + value.len()).sum();
    if options.note.len() > MAX_NOTE_LEN {
        return Err(Error::refused(
            RefusedKind::NoteTooLong,
            format!("the note is longer than {MAX_NOTE_LEN} bytes"),
        ));
    }
    if facts > MAX_FACTS_LEN {
        return Err(Error::refused(
            RefusedKind::FactsTooLong,
            format!("the facts are longer than {MAX_FACTS_LEN} bytes"),
        ));
    }
    Ok(())
}

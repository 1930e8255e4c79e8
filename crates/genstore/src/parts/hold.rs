//! The hold: after a rollback, automatic publications are kept, but do not become current until a
//! person activates a generation.
//!
//! Owns `hold` in the store's root, a record. A rollback writes it and every other activation removes
//! it, both as part of their intent. So after a crash it exists if and only if the rollback took
//! effect.

use std::time::SystemTime;

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::records::HoldRecord;
use crate::parts::layout::{HOLD, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::record::{self, wrap};

/// A hold: `current` must stay where a rollback put it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Hold {
    /// The generation that was rolled back to.
    pub generation: GenerationId,
    /// The generation that was current before.
    pub left: GenerationId,
    /// The time of the rollback.
    pub since: SystemTime,
    /// The actor of the rollback.
    pub by: String,
}

/// Whether a new generation becomes current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activate {
    /// It becomes current, and a hold ends.
    #[default]
    Always,
    /// It is only kept.
    Never,
    /// It becomes current unless there is a hold. For automatic publications.
    UnlessHeld,
}

/// The hold of a store.
#[derive(Clone, Copy)]
pub(crate) struct HoldFile<'s> {
    store: &'s StoreDir,
}

impl<'s> HoldFile<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> HoldFile<'s> {
        HoldFile { store }
    }

    /// Reads the hold, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Hold>> {
        let record = record::read::<HoldRecord>(self.store, HOLD)?;
        Ok(record.map(|HoldRecord { generation, left, made, by }| Hold {
            generation,
            left,
            since: made.into(),
            by,
        }))
    }

    /// Writes the hold, or removes it; durable on return.
    pub(crate) fn set(&self, lock: &CommitLock, hold: Option<&HoldRecord>) -> Result<()> {
        match hold {
            Some(hold) => record::replace(self.store, lock, b"", HOLD, &wrap(hold)),
            None if self.store.dir.stat(HOLD)?.is_none() => Ok(()),
            None => {
                record::make_end_durable(self.store, lock)?;
                self.remove(lock)?;
                self.store.fs.sync_dir(&self.store.dir)
            }
        }
    }

    /// Removes the hold as a part of a change, if there is one. It is durable once the store's folder
    /// is flushed.
    pub(crate) fn remove(&self, _: &CommitLock) -> Result<()> {
        match self.store.dir.stat(HOLD)? {
            Some(_) => self.store.fs.unlink(&self.store.dir, HOLD).map(drop),
            None => Ok(()),
        }
    }

    /// Returns whether a new generation becomes current, given the state under the lock.
    pub(crate) fn activates(&self, _: &CommitLock, wish: Activate) -> Result<bool> {
        Ok(match wish {
            Activate::Always => true,
            Activate::Never => false,
            Activate::UnlessHeld => self.read()?.is_none(),
        })
    }
}

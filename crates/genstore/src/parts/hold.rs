//! The hold: after a rollback, what is built by itself is kept, but not made current, until a person
//! says otherwise.
//!
//! Owns `hold` in the store's root, a record. A rollback writes it and every other activation removes
//! it, both as part of their intent: so it is there after a crash if and only if the rollback is.

use std::time::SystemTime;

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::records::HoldRecord;
use crate::parts::layout::{HOLD, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::record::{self, wrap};

/// Says that `current` is to stay where a rollback put it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// What was rolled back to.
    pub generation: GenerationId,
    /// What was left.
    pub left: GenerationId,
    /// When.
    pub since: SystemTime,
    /// Who did it.
    pub by: String,
}

/// Whether a new generation becomes current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activate {
    /// It does; and a hold ends.
    #[default]
    Always,
    /// It is only kept.
    Never,
    /// It does, unless somebody rolled back since and did not say that it goes on: for what publishes
    /// without being asked.
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

    /// Writes the hold, or removes the one that is there; durable on return.
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

    /// Removes the hold, if there is one, as a part of a change. Durable once the store's folder is
    /// flushed.
    pub(crate) fn remove(&self, _: &CommitLock) -> Result<()> {
        match self.store.dir.stat(HOLD)? {
            Some(_) => self.store.fs.unlink(&self.store.dir, HOLD).map(drop),
            None => Ok(()),
        }
    }

    /// Returns whether a new generation becomes current, as things are under the lock.
    pub(crate) fn activates(&self, _: &CommitLock, wish: Activate) -> Result<bool> {
        Ok(match wish {
            Activate::Always => true,
            Activate::Never => false,
            Activate::UnlessHeld => self.read()?.is_none(),
        })
    }
}

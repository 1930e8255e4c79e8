//! Records that are written and durable before they get their names, so that a change needs as few
//! consecutive flushes as possible.
//!
//! A change with an intent in `sequence` takes these flushes: one for all its records, in parallel; one
//! each for the intent and for the change itself; and one for all records that announce the change.
//! Each waits for the disk, and the waits are the whole duration. Then the intent is removed, without a
//! wait: if a power loss brings it back, recovery finds the change complete. The next change replaces
//! the intent by its own. Another command that overwrites a record of the last change makes the end of
//! that change durable first ([`make_end_durable`](crate::parts::record::make_end_durable)).

use std::fs::File;

use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::fs::flush::{Flush, Flushing};
use crate::model::records::Sequence;
use crate::parts::layout::{SEQUENCE, STAGING, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::record::wrap;

/// A temporary record in staging. Dropping it removes the file.
#[must_use]
pub(crate) struct PendingWrite<'s> {
    store: &'s StoreDir,
    staging: Dir,
    temp: Option<Vec<u8>>,
    file: File,
    dir: Dir,
    name: Vec<u8>,
}

impl Drop for PendingWrite<'_> {
    fn drop(&mut self) {
        if let Some(temp) = self.temp.take() {
            // If this fails, the next holder of the commit lock removes it.
            drop(self.store.fs.unlink(&self.staging, &temp));
        }
    }
}

/// Records of a store that are durable before they get their names.
#[derive(Clone, Copy)]
pub(crate) struct PendingWrites<'s> {
    store: &'s StoreDir,
}

/// A change whose intent is being flushed. No intent is written if it is dropped.
#[must_use]
pub(crate) struct BegunChange<'s> {
    flush: Flushing,
    note: PendingWrite<'s>,
    end: PendingWrite<'s>,
}

impl<'s> PendingWrites<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> PendingWrites<'s> {
        PendingWrites { store }
    }

    /// Writes the future content of `folder/name`; not yet durable.
    pub(crate) fn prepare(
        &self,
        _: &CommitLock,
        folder: &[u8],
        name: &[u8],
        bytes: &[u8],
    ) -> Result<PendingWrite<'s>> {
        let (staging, dir) = (self.store.sub(STAGING)?, self.store.sub(folder)?);
        let (temp, file) = self.store.fs.write_temp(&staging, &dir.join(name), bytes)?;
        Ok(PendingWrite { store: self.store, staging, temp: Some(temp), file, dir, name: name.to_vec() })
    }

    /// Prepares the intent of a change, and begins to make it durable, with its records and `more`.
    pub(crate) fn begin_change(
        &self,
        lock: &CommitLock,
        sequence: &Sequence,
        records: &[PendingWrite<'s>],
        more: Vec<Flush>,
    ) -> Result<BegunChange<'s>> {
        let ended = Sequence { intent: None, ..sequence.clone() };
        let note = self.prepare(lock, b"", SEQUENCE, &wrap(sequence))?;
        let end = self.prepare(lock, b"", SEQUENCE, &wrap(&ended))?;
        let mut all = more;
        for record in records.iter().chain([&note, &end]) {
            all.push(record.flush()?);
        }
        Ok(BegunChange { flush: self.store.fs.begin_flush(all), note, end })
    }

    /// Installs a record of `sequence`, durably: the intent of a change, or the record that ends a
    /// change if nothing else shows that it happened.
    pub(crate) fn install_sequence(&self, lock: &CommitLock, record: PendingWrite<'_>) -> Result<()> {
        record.put(lock)?;
        self.store.fs.sync_dir(&self.store.dir)
    }
}

impl<'s> BegunChange<'s> {
    /// Waits for the flush, and writes the intent durably. Returns the record that removes the intent.
    pub(crate) fn write(self, lock: &CommitLock) -> Result<PendingWrite<'s>> {
        let BegunChange { flush, note, end } = self;
        flush.wait()?;
        PendingWrites::of(end.store).install_sequence(lock, note)?;
        Ok(end)
    }
}

impl PendingWrite<'_> {
    /// Returns the item that must be flushed before the rename.
    pub(crate) fn flush(&self) -> Result<Flush> {
        let path = self.dir.join(&self.name);
        let file = self.file.try_clone().map_err(|e| Error::io("open", &path, e))?;
        Ok(Flush::File(file, path))
    }

    /// Renames it to its name, replacing an existing file. Durable once the folder is flushed.
    pub(crate) fn put(mut self, _: &CommitLock) -> Result<()> {
        if let Some(temp) = &self.temp {
            self.store.fs.rename((&self.staging, temp), (&self.dir, &self.name))?;
        }
        self.temp = None;
        Ok(())
    }
}

//! Records that are written and durable before they get their names: so that a change takes as few
//! flushes as it can, one after the other.
//!
//! A change that is noted in `sequence` first takes: one flush of all its records, side by side; one
//! each for the note and for the change itself; and one for all that tells of the change. Each waits for
//! the disk, and that is all the time it takes. Then the note ends, and nobody waits for that: should a
//! power loss bring it back, recovery finds everything done as it says. The next change puts its own note
//! in its place. Whoever else says anew what a change has told makes its end durable first
//! ([`record::make_end_durable`]).

use std::fs::File;

use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::fs::flush::Flush;
use crate::model::records::Sequence;
use crate::parts::layout::{SEQUENCE, STAGING, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::record::wrap;

/// A record on its way, in staging. Dropping it takes it back.
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
            // Should this fail, the next holder of the commit lock removes it.
            drop(self.store.fs.unlink(&self.staging, &temp));
        }
    }
}

/// Records of a store that are durable before they get their names.
#[derive(Clone, Copy)]
pub(crate) struct PendingWrites<'s> {
    store: &'s StoreDir,
}

impl<'s> PendingWrites<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> PendingWrites<'s> {
        PendingWrites { store }
    }

    /// Writes what is to stand at `folder/name`; not yet durable.
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

    /// Notes a change, durably, and makes its records and what else it needs durable with it. Gives the
    /// record that ends the note.
    ///
    /// What is done meanwhile takes no time of its own. Where it fails nothing is noted.
    pub(crate) fn begin_change<T>(
        &self,
        lock: &CommitLock,
        sequence: &Sequence,
        records: &[PendingWrite<'s>],
        more: Vec<Flush>,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<(PendingWrite<'s>, T)> {
        let ended = Sequence { intent: None, ..sequence.clone() };
        let note = self.prepare(lock, b"", SEQUENCE, &wrap(sequence))?;
        let end = self.prepare(lock, b"", SEQUENCE, &wrap(&ended))?;
        let mut all = more;
        for record in records.iter().chain([&note, &end]) {
            all.push(record.flush()?);
        }
        let done = self.store.fs.sync_each_while(&all, meanwhile)?;
        self.install_sequence(lock, note)?;
        Ok((end, done))
    }

    /// Puts a record of `sequence` in its place, durably: the note of a change, or the one that ends a
    /// change which nothing else tells to have happened.
    pub(crate) fn install_sequence(&self, lock: &CommitLock, record: PendingWrite<'_>) -> Result<()> {
        record.put(lock)?;
        self.store.fs.sync_dir(&self.store.dir)
    }
}

impl PendingWrite<'_> {
    /// Gives what is to be flushed before it gets its name.
    pub(crate) fn flush(&self) -> Result<Flush> {
        let path = self.dir.join(&self.name);
        let file = self.file.try_clone().map_err(|e| Error::io("open", &path, e))?;
        Ok(Flush::File(file, path))
    }

    /// Gives it its name, in place of what has it. Durable once the folder is flushed.
    pub(crate) fn put(mut self, _: &CommitLock) -> Result<()> {
        if let Some(temp) = &self.temp {
            self.store.fs.rename((&self.staging, temp), (&self.dir, &self.name))?;
        }
        self.temp = None;
        Ok(())
    }
}

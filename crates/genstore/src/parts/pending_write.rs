//! Records that are written and durable before they get their names: so that a change takes as few
//! flushes as it can, one after the other. Floor 2.
//!
//! A change that is noted in `sequence` first takes: one flush of all its records, side by side; one
//! each for the note and for the change itself; and one for all that tells of the change. Each waits for
//! the disk, and that is all the time it takes. Then the note ends, and nobody waits for that: should a
//! power loss bring it back, recovery finds everything done as it says. The next change puts its own note
//! in its place. Whoever else says anew what a change has told makes its end durable first
//! ([`Home::seal_end`]).

use std::fs::File;

use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::fs::flush::Flush;
use crate::parts::layout::{Home, SEQUENCE, STAGING};
use crate::parts::locks::CommitLock;
use crate::parts::records::{Sequence, wrap};

/// A record on its way, in staging. Dropping it takes it back.
#[must_use]
pub(crate) struct Prepared<'h> {
    home: &'h Home,
    staging: Dir,
    temp: Option<Vec<u8>>,
    file: File,
    dir: Dir,
    name: Vec<u8>,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(temp) = self.temp.take() {
            // Should this fail, the next holder of the commit lock removes it.
            drop(self.home.fs.unlink(&self.staging, &temp));
        }
    }
}

impl Home {
    /// Writes what is to stand at `folder/name`; not yet durable.
    pub(crate) fn prepare(
        &self,
        _: &CommitLock,
        folder: &[u8],
        name: &[u8],
        bytes: &[u8],
    ) -> Result<Prepared<'_>> {
        let (staging, dir) = (self.sub(STAGING)?, self.sub(folder)?);
        let (temp, file) = self.fs.write_temp(&staging, &dir.join(name), bytes)?;
        Ok(Prepared { home: self, staging, temp: Some(temp), file, dir, name: name.to_vec() })
    }

    /// Notes a change, durably, and makes its records and what else it needs durable with it. Gives the
    /// record that ends the note.
    ///
    /// What is done meanwhile takes no time of its own. Where it fails nothing is noted.
    pub(crate) fn begin_change<'h>(
        &'h self,
        lock: &CommitLock,
        sequence: &Sequence,
        records: &[Prepared<'h>],
        more: Vec<Flush>,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<Prepared<'h>> {
        let ended = Sequence { intent: None, ..sequence.clone() };
        let note = self.prepare(lock, b"", SEQUENCE, &wrap(sequence))?;
        let end = self.prepare(lock, b"", SEQUENCE, &wrap(&ended))?;
        let mut all = more;
        for record in records.iter().chain([&note, &end]) {
            all.push(record.flush()?);
        }
        self.fs.sync_each_while(&all, meanwhile)?;
        self.put_sequence(lock, note)?;
        Ok(end)
    }

    /// Puts a record of `sequence` in its place, durably: the note of a change, or the one that ends a
    /// change which nothing else tells to have happened.
    pub(crate) fn put_sequence(&self, lock: &CommitLock, record: Prepared<'_>) -> Result<()> {
        record.put(lock)?;
        self.fs.sync_dir(&self.dir)
    }

    /// Makes the end of the last change durable: a power loss may bring back the note of it, and recovery
    /// would say again what it said.
    pub(crate) fn seal_end(&self, _: &CommitLock) -> Result<()> {
        self.fs.sync_dir(&self.dir)
    }
}

impl Prepared<'_> {
    /// Gives what is to be flushed before it gets its name.
    pub(crate) fn flush(&self) -> Result<Flush> {
        let path = self.dir.join(&self.name);
        let file = self.file.try_clone().map_err(|e| Error::io("open", &path, e))?;
        Ok(Flush::File(file, path))
    }

    /// Gives it its name, in place of what has it. Durable once the folder is flushed.
    pub(crate) fn put(mut self, _: &CommitLock) -> Result<()> {
        if let Some(temp) = &self.temp {
            self.home.fs.rename((&self.staging, temp), (&self.dir, &self.name))?;
        }
        self.temp = None;
        Ok(())
    }
}

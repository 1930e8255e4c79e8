//! Records: small files of local state, in text that any language can read.
//!
//! One line of JSON, then the BLAKE3 of that line (without its newline) as 64 hex characters. Owns
//! `pins/`, `marks/` and `sequence`. All are written atomically under the commit lock, and durable on
//! return.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::ids::{GenerationId, PinName};
use crate::model::records::{MarkRecord, PinRecord, Sequence};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::hold::HoldFile;
use crate::parts::layout::{MARKS, PINS, QUARANTINE, SEQUENCE, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::log::Log;
use crate::parts::record;

/// The records of a folder.
pub(crate) struct Readable<K, T> {
    pub(crate) records: BTreeMap<K, T>,
    /// One error for each damaged record.
    pub(crate) damage: Vec<Error>,
}

impl<K, T> Readable<K, T> {
    /// Returns the records if none is damaged.
    pub(crate) fn whole(self) -> Result<BTreeMap<K, T>> {
        self.damage.into_iter().next().map_or(Ok(self.records), Err)
    }
}

/// The records of a store: the sequence, pins and marks.
#[derive(Clone, Copy)]
pub(crate) struct Records<'s> {
    store: &'s StoreDir,
}

impl<'s> Records<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Records<'s> {
        Records { store }
    }

    /// Reads the sequence. If the file is missing, the highest number is derived from all other parts
    /// that name a generation.
    pub(crate) fn sequence(&self) -> Result<Sequence> {
        if let Some(sequence) = record::read(self.store, SEQUENCE)? {
            return Ok(sequence);
        }
        Ok(Sequence { high: self.highest_number()?, ..Sequence::default() })
    }

    /// Returns the highest number that any part other than the sequence names, or 0.
    pub(crate) fn highest_number(&self) -> Result<u64> {
        let newest = Generations::of(self.store).ids()?.last().map_or(0, |id| id.get());
        let pinned = self.pins()?.values().map(|pin| pin.generation.get()).max().unwrap_or(0);
        let marked = self.marks()?.keys().map(|id| id.get()).max().unwrap_or(0);
        let aside: Vec<u64> = self
            .store
            .list(QUARANTINE)?
            .iter()
            .filter_map(|(name, _)| {
                let number = name.strip_prefix(b"generation-")?.split(|&b| b == b'-').next()?;
                std::str::from_utf8(number).ok()?.parse().ok()
            })
            .collect();
        let hold = HoldFile::of(self.store).read()?.map_or(0, |hold| hold.generation.max(hold.left).get());
        let shown = Current::of(self.store)
            .noticed()?
            .max(Current::of(self.store).id().unwrap_or_default())
            .map_or(0, |id| id.get());
        // Generations that are still being removed had a number, too.
        let removed = Generations::of(self.store).unlisted()?.last().map_or(0, |id| id.get());
        let taken =
            [newest, pinned, marked, hold, shown, removed, Log::of(self.store).history()?.highest()];
        Ok(aside.into_iter().chain(taken).max().unwrap_or(0))
    }

    pub(crate) fn write_sequence(&self, lock: &CommitLock, sequence: &Sequence) -> Result<()> {
        record::replace(self.store, lock, b"", SEQUENCE, &record::wrap(sequence))
    }

    pub(crate) fn pins(&self) -> Result<BTreeMap<PinName, PinRecord>> {
        self.readable_pins()?.whole()
    }

    /// Reads the readable pins, with an error for each of the others.
    pub(crate) fn readable_pins(&self) -> Result<Readable<PinName, PinRecord>> {
        let parse = |name: &[u8]| std::str::from_utf8(name).ok()?.parse().ok();
        self.readable(PINS, parse, "it is not a pin's name")
    }

    fn readable<K: Ord, T: DeserializeOwned>(
        &self,
        folder: &[u8],
        parse: impl Fn(&[u8]) -> Option<K>,
        otherwise: &str,
    ) -> Result<Readable<K, T>> {
        let mut found = Readable { records: BTreeMap::new(), damage: vec![] };
        let names = match self.store.list(folder) {
            Err(damage @ Error::Damaged { .. }) => {
                found.damage.push(damage);
                return Ok(found);
            }
            names => names?,
        };
        for (name, _) in names {
            let path = [folder, b"/", &name].concat();
            let Some(key) = parse(&name) else {
                found.damage.push(Error::damaged_file(&self.store.dir.join(&path), otherwise));
                continue;
            };
            match record::read(self.store, &path) {
                Err(damage @ Error::Damaged { .. }) => found.damage.push(damage),
                record => found.records.extend(record?.map(|record| (key, record))),
            }
        }
        Ok(found)
    }

    pub(crate) fn write_pin(&self, lock: &CommitLock, name: &PinName, record: &PinRecord) -> Result<()> {
        record::replace(self.store, lock, PINS, name.as_str().as_bytes(), &record::wrap(record))
    }

    /// Removes a pin. Returns `Ok(false)` if there was none.
    pub(crate) fn remove_pin(&self, _: &CommitLock, name: &PinName) -> Result<bool> {
        let dir = self.store.sub(PINS)?;
        let removed = self.store.fs.unlink(&dir, name.as_str().as_bytes())?;
        self.store.fs.sync_dir(&dir)?;
        Ok(removed)
    }

    pub(crate) fn marks(&self) -> Result<BTreeMap<GenerationId, MarkRecord>> {
        self.readable_marks()?.whole()
    }

    /// Reads the readable marks, with an error for each of the others.
    pub(crate) fn readable_marks(&self) -> Result<Readable<GenerationId, MarkRecord>> {
        let parse = |name: &[u8]| GenerationId::parse(std::str::from_utf8(name).ok()?);
        self.readable(MARKS, parse, "it is not a generation's number")
    }

    /// Reads the mark of one generation.
    pub(crate) fn mark(&self, id: GenerationId) -> Result<Option<MarkRecord>> {
        record::read(self.store, &[MARKS, b"/", id.to_string().as_bytes()].concat())
    }

    /// Writes a mark that is not part of a change; durable on return.
    pub(crate) fn write_mark(
        &self,
        lock: &CommitLock,
        id: GenerationId,
        record: &MarkRecord,
    ) -> Result<()> {
        record::make_end_durable(self.store, lock)?;
        record::replace(self.store, lock, MARKS, id.to_string().as_bytes(), &record::wrap(record))
    }

    /// Removes the mark of a removed generation.
    pub(crate) fn remove_mark(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let dir = self.store.sub(MARKS)?;
        self.store.fs.unlink(&dir, id.to_string().as_bytes())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::records::{Mark, Moment};

    #[test]
    fn a_record_is_what_the_layout_says() {
        let mark = MarkRecord { mark: Mark::Bad, made: Moment { secs: 7, nanos: 8 }, why: None };
        let expected = "{\"mark\":\"bad\",\"made\":{\"secs\":7,\"nanos\":8}}";
        let bytes = record::wrap(&mark);
        assert_eq!(bytes, format!("{expected}\n{}\n", Digest::of(expected.as_bytes())).into_bytes());
        assert_eq!(record::unwrap(&bytes), Ok(mark));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(record::unwrap::<MarkRecord>(&damaged).is_err(), "byte {at}");
            assert!(record::unwrap::<MarkRecord>(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}

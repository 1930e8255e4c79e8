//! Records: small files of local state, in text that any language reads.
//!
//! One line of JSON, then the BLAKE3 of that line (without its newline) as 64 hex characters.
//! Owns `pins/`, `marks/` and `sequence`; all are written under the commit lock, whole or not at
//! all, and durable on return. Floor 2.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs::Kind;
use crate::model::digest::Digest;
use crate::model::ids::{GenerationId, PinName, StageId};
use crate::model::tree::Mtime;
use crate::parts::hold::HoldRecord;
use crate::parts::layout::{GENERATIONS, Home, MARKS, PINS, QUARANTINE, SEQUENCE, STAGING};
use crate::parts::locks::CommitLock;

/// A moment, as records and the log write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) secs: i64,
    pub(crate) nanos: u32,
}

impl Moment {
    pub(crate) fn from_mtime(Mtime { secs, nanos }: Mtime) -> Moment {
        Moment { secs, nanos }
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Moment {
        let Mtime { secs, nanos } = time.into();
        Moment { secs, nanos }
    }
}

impl From<Moment> for SystemTime {
    fn from(Moment { secs, nanos }: Moment) -> SystemTime {
        Mtime { secs, nanos: nanos.min(999_999_999) }.into()
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PinRecord {
    pub(crate) generation: GenerationId,
    pub(crate) made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Moment>,
}

impl PinRecord {
    pub(crate) fn holds(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| SystemTime::from(until) > now)
    }
}

/// What a person or a rollback says of a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Fit to be rolled back to; what every generation is until it is marked.
    Good,
    /// Passed over by `rollback`, and not counted among the last ones to keep.
    Bad,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct MarkRecord {
    pub(crate) mark: Mark,
    pub(crate) made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// Returns whether nobody said of a generation that it is bad.
pub(crate) fn is_good(marks: &BTreeMap<GenerationId, MarkRecord>, id: GenerationId) -> bool {
    marks.get(&id).is_none_or(|mark| mark.mark == Mark::Good)
}

/// The highest number ever taken, and the one change that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) high: u64,
    /// How often damaged objects were replaced: a stage that began before may hold the old inode.
    #[serde(default)]
    pub(crate) heals: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<Intent>,
}

/// A change that is durable before its first step, so that whoever comes after a crash knows
/// whether to finish it or to take it back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Intent {
    /// A new generation is on its way to `generations/`, and to `current` if `activate`.
    Publish {
        generation: GenerationId,
        activate: bool,
        /// The stage that was begun for it apart from its commit, which goes when it is committed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
    },
    /// A kept generation is made ready to be current; afterwards `marks` are written, and the hold,
    /// or its end.
    Activate {
        generation: GenerationId,
        marks: Vec<(GenerationId, MarkRecord)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldRecord>,
    },
}

/// The records of a folder.
pub(crate) struct Readable<K, T> {
    pub(crate) records: BTreeMap<K, T>,
    /// One error for each that is damaged.
    pub(crate) damage: Vec<Error>,
}

impl<K, T> Readable<K, T> {
    /// Returns them if none is damaged.
    pub(crate) fn whole(self) -> Result<BTreeMap<K, T>> {
        self.damage.into_iter().next().map_or(Ok(self.records), Err)
    }
}

pub(crate) fn wrap(value: &impl Serialize) -> Vec<u8> {
    let line = serde_json::to_string(value).expect("records are plain values");
    format!("{line}\n{}\n", Digest::of(line.as_bytes())).into_bytes()
}

pub(crate) fn unwrap<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("{}\n", Digest::of(line.as_bytes())) {
        return Err("the hash differs");
    }
    serde_json::from_str(line).map_err(|_| "it is not a record of this kind")
}

impl Home {
    pub(crate) fn read_record<T: DeserializeOwned>(&self, path: &[u8]) -> Result<Option<T>> {
        let Some(bytes) = self.dir.read(path)? else {
            return Ok(None);
        };
        unwrap(&bytes).map(Some).map_err(|why| Error::damaged_file(&self.dir.join(path), why))
    }

    /// Reads the sequence. Where the file is gone, everything that ever named a generation tells
    /// how far the numbers went.
    pub(crate) fn sequence(&self) -> Result<Sequence> {
        if let Some(sequence) = self.read_record(SEQUENCE)? {
            return Ok(sequence);
        }
        Ok(Sequence { high: self.highest_number()?, ..Sequence::default() })
    }

    /// Returns the highest number that anything but the sequence names, 0 if nothing does.
    pub(crate) fn highest_number(&self) -> Result<u64> {
        let newest = self.generation_ids()?.last().map_or(0, |id| id.get());
        let pinned = self.pins()?.values().map(|pin| pin.generation.get()).max().unwrap_or(0);
        let marked = self.marks()?.keys().map(|id| id.get()).max().unwrap_or(0);
        let aside: Vec<u64> = self
            .list(QUARANTINE)?
            .iter()
            .filter_map(|(name, _)| {
                let number = name.strip_prefix(b"generation-")?.split(|&b| b == b'-').next()?;
                std::str::from_utf8(number).ok()?.parse().ok()
            })
            .collect();
        let hold = self.hold()?.map_or(0, |hold| hold.generation.max(hold.left).get());
        let shown = self.noticed()?.max(self.current().unwrap_or_default()).map_or(0, |id| id.get());
        // What is still being removed had a number, too.
        let removed = self.unlisted()?.last().map_or(0, |id| id.get());
        let known = [newest, pinned, marked, hold, shown, removed, self.history()?.highest()];
        Ok(aside.into_iter().chain(known).max().unwrap_or(0))
    }

    /// Puts a file of the store's own under `folder/name`, whole or not at all, durably.
    pub(crate) fn replace(&self, _: &CommitLock, folder: &[u8], name: &[u8], bytes: &[u8]) -> Result<()> {
        let (staging, dir) = (self.sub(STAGING)?, self.sub(folder)?);
        self.fs.replace_file(&staging, &dir, name, bytes)?;
        self.fs.sync_dir(&dir)
    }

    pub(crate) fn write_sequence(&self, lock: &CommitLock, sequence: &Sequence) -> Result<()> {
        self.replace(lock, b"", SEQUENCE, &wrap(sequence))
    }

    /// Returns whether there is a generation of this number.
    pub(crate) fn has_generation(&self, id: GenerationId) -> Result<bool> {
        let name = [GENERATIONS, b"/", id.to_string().as_bytes()].concat();
        Ok(self.dir.stat(&name)?.is_some_and(|stat| stat.kind == Kind::Dir))
    }

    /// Lists the generations, oldest first. Names that are no numbers are `verify`'s to report.
    pub(crate) fn generation_ids(&self) -> Result<Vec<GenerationId>> {
        let listed = self.list(GENERATIONS)?;
        // Looked at last: what is taken off the list goes after that.
        let unlisted = self.unlisted()?;
        let mut ids: Vec<_> = listed
            .iter()
            .filter(|(_, kind)| *kind == Kind::Dir)
            .filter_map(|(name, _)| GenerationId::parse(std::str::from_utf8(name).ok()?))
            .filter(|id| !unlisted.contains(id))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    pub(crate) fn pins(&self) -> Result<BTreeMap<PinName, PinRecord>> {
        self.readable_pins()?.whole()
    }

    /// Reads the pins that can be read, and what is wrong with the others.
    pub(crate) fn readable_pins(&self) -> Result<Readable<PinName, PinRecord>> {
        let parse = |name: &[u8]| std::str::from_utf8(name).ok()?.parse().ok();
        self.readable(PINS, parse, "it is no pin's name")
    }

    fn readable<K: Ord, T: DeserializeOwned>(
        &self,
        folder: &[u8],
        parse: impl Fn(&[u8]) -> Option<K>,
        otherwise: &str,
    ) -> Result<Readable<K, T>> {
        let mut found = Readable { records: BTreeMap::new(), damage: vec![] };
        let names = match self.list(folder) {
            Err(damage @ Error::Damaged { .. }) => {
                found.damage.push(damage);
                return Ok(found);
            }
            names => names?,
        };
        for (name, _) in names {
            let path = [folder, b"/", &name].concat();
            let Some(key) = parse(&name) else {
                found.damage.push(Error::damaged_file(&self.dir.join(&path), otherwise));
                continue;
            };
            match self.read_record(&path) {
                Err(damage @ Error::Damaged { .. }) => found.damage.push(damage),
                record => found.records.extend(record?.map(|record| (key, record))),
            }
        }
        Ok(found)
    }

    pub(crate) fn write_pin(&self, lock: &CommitLock, name: &PinName, record: &PinRecord) -> Result<()> {
        self.replace(lock, PINS, name.as_str().as_bytes(), &wrap(record))
    }

    /// Removes a pin; `Ok(false)` when there was none.
    pub(crate) fn remove_pin(&self, _: &CommitLock, name: &PinName) -> Result<bool> {
        let dir = self.sub(PINS)?;
        let removed = self.fs.unlink(&dir, name.as_str().as_bytes())?;
        self.fs.sync_dir(&dir)?;
        Ok(removed)
    }

    pub(crate) fn marks(&self) -> Result<BTreeMap<GenerationId, MarkRecord>> {
        self.readable_marks()?.whole()
    }

    /// Reads the marks that can be read, and what is wrong with the others.
    pub(crate) fn readable_marks(&self) -> Result<Readable<GenerationId, MarkRecord>> {
        let parse = |name: &[u8]| GenerationId::parse(std::str::from_utf8(name).ok()?);
        self.readable(MARKS, parse, "it is no generation's number")
    }

    /// Writes a mark that is no part of a change; durable on return.
    pub(crate) fn write_mark(
        &self,
        lock: &CommitLock,
        id: GenerationId,
        record: &MarkRecord,
    ) -> Result<()> {
        self.seal_end(lock)?;
        self.replace(lock, MARKS, id.to_string().as_bytes(), &wrap(record))
    }

    /// Removes the mark of a generation that is gone.
    pub(crate) fn remove_mark(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let dir = self.sub(MARKS)?;
        self.fs.unlink(&dir, id.to_string().as_bytes())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_the_layout_says() {
        let mark = MarkRecord { mark: Mark::Bad, made: Moment { secs: 7, nanos: 8 }, why: None };
        let expected = "{\"mark\":\"bad\",\"made\":{\"secs\":7,\"nanos\":8}}";
        let bytes = wrap(&mark);
        assert_eq!(bytes, format!("{expected}\n{}\n", Digest::of(expected.as_bytes())).into_bytes());
        assert_eq!(unwrap(&bytes), Ok(mark));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(unwrap::<MarkRecord>(&damaged).is_err(), "byte {at}");
            assert!(unwrap::<MarkRecord>(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}

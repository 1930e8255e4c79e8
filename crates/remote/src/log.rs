//! The log: create-only records with dense numbers, each with the hash of the one before (RMT-2).

use genstore::tree::Digest;

use crate::check::Check;
use crate::codec::names;
use crate::codec::record::{Change, Head, MAX_RECORD, Record};
use crate::error::{Error, Result};
use crate::requests::Remote;
use crate::transport::{Created, Failure, Got, Transport};
use crate::trust::check_change;

/// A record with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    pub(crate) bytes: Vec<u8>,
}

/// The result of an attempt to append.
pub(crate) enum Appended {
    /// The record is in the log.
    Done(Box<Entry>),
    /// Another record has the number.
    Overtaken,
}

/// The number of records after which the hint is written.
const HINT_EVERY: u64 = 8;

impl Entry {
    /// Decodes a record.
    fn decode(bytes: Vec<u8>) -> std::result::Result<Entry, crate::codec::Bad> {
        Ok(Entry { record: Record::decode(&bytes)?, bytes })
    }

    /// Returns BLAKE3 of its bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

impl Remote {
    /// Reads a record, if it is there.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`], [`Error::Request`].
    pub fn record(&self, number: u64) -> Result<Option<Entry>> {
        let key = names::record(number);
        let entry = self.get(&key, MAX_RECORD as u64, Entry::decode)?;
        match entry {
            Some(entry) if entry.record.number != number => Err(Error::Distrusted {
                check: Check::Forked,
                why: format!("{key} is record {}", entry.record.number),
            }),
            entry => Ok(entry),
        }
    }

    /// Returns the newest record, or `None` if the log is empty.
    ///
    /// # Errors
    /// [`Error::Distrusted`] if the log is another one than was seen before; [`Error::NotARemote`].
    pub fn newest(&self) -> Result<Option<Entry>> {
        let seen = match &self.options.cache {
            Some(cache) => cache.seen()?.and_then(|bytes| Entry::decode(bytes).ok()),
            None => None,
        };
        let is_known = seen.is_some();
        let from = match seen {
            Some(seen) => Some(seen),
            None => {
                self.check_format(false)?;
                self.find()?
            }
        };
        let Some(from) = from else { return Ok(None) };
        let newest = self.after(&from)?.pop();
        if newest.is_none() {
            self.verify(&from.record)?;
        }
        if let Some(newest) = newest.as_ref().or((!is_known).then_some(&from)) {
            self.note_seen(newest)?;
        }
        Ok(newest.or(Some(from)))
    }

    /// Keeps a record as the newest one that was seen.
    pub(crate) fn note_seen(&self, entry: &Entry) -> Result<()> {
        self.options.cache.as_ref().map_or(Ok(()), |cache| cache.set_seen(&entry.bytes))
    }

    /// Reads the records after one, and checks that each names the one before.
    pub(crate) fn after(&self, entry: &Entry) -> Result<Vec<Entry>> {
        self.after_with(entry, None)
    }

    /// Does the same. The first of the records may have been read already.
    fn after_with(&self, entry: &Entry, mut first: Option<Entry>) -> Result<Vec<Entry>> {
        let mut found: Vec<Entry> = vec![];
        loop {
            let last = found.last().unwrap_or(entry);
            let next = match first.take() {
                Some(first) => Some(first),
                None => self.record(last.record.number + 1)?,
            };
            let Some(next) = next else { return Ok(found) };
            if next.record.previous != Some(last.digest()) {
                let number = last.record.number;
                let why =
                    format!("record {} does not follow the record {number} that was seen", number + 1);
                return Err(Error::Distrusted { check: Check::Forked, why });
            }
            if let Err(why) = check_change(&last.record, &next.record) {
                let why = format!("record {}: {why}", next.record.number);
                return Err(Error::Distrusted { check: Check::Heads, why });
            }
            self.verify(&next.record)?;
            found.push(next);
        }
    }

    /// Finds a recent record of a log that was never seen. Numbers are dense, so a search by halves works;
    /// the hint only makes it shorter (RMT-9).
    fn find(&self) -> Result<Option<Entry>> {
        let hint = self.get(names::HINT, 64, |bytes| Ok(names::hint(&bytes)))?.flatten();
        let (mut low, mut found) = (0, None);
        let mut step = hint.unwrap_or(1).max(1);
        // Doubles until there is no such record.
        let mut high = loop {
            match self.record(step)? {
                Some(entry) => (low, found, step) = (step, Some(entry), step.saturating_mul(2)),
                None => break step,
            }
            if low == hint.unwrap_or(0) {
                // The caller reads on from here.
                return Ok(found);
            }
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.record(middle)? {
                Some(entry) => (low, found) = (middle, Some(entry)),
                None => high = middle,
            }
        }
        Ok(found)
    }

    /// Returns the newest record for a writer. It is checked that the newest record that was seen before is
    /// still there, so that no record is appended to a log that went back.
    pub(crate) fn newest_standing(&self) -> Result<Option<Entry>> {
        let Some(cache) = &self.options.cache else { return self.newest() };
        let Some(seen) = cache.seen()?.and_then(|bytes| Entry::decode(bytes).ok()) else {
            return self.newest();
        };
        let number = seen.record.number;
        let keys = [names::record(number), names::record(number + 1)];
        let [standing, next] = self.transport.get_two([&keys[0], &keys[1]], MAX_RECORD as u64);
        let entry = |got: Got, number| match got.map(|bytes| bytes.map(Entry::decode)) {
            Ok(None) => Ok(None),
            Ok(Some(Ok(entry))) if entry.record.number == number => Ok(Some(entry)),
            // Again, with patience.
            _ => self.record(number),
        };
        match entry(standing, number)? {
            Some(found) if found.bytes == seen.bytes => {}
            Some(_) => {
                let why = format!("record {number} is another one than was seen before");
                return Err(Error::Distrusted { check: Check::Forked, why });
            }
            None => {
                let why = format!("record {number} was seen before, and is gone");
                return Err(Error::Distrusted { check: Check::WentBack, why });
            }
        }
        let Some(next) = entry(next, number + 1)? else {
            self.verify(&seen.record)?;
            return Ok(Some(seen));
        };
        let newest = self.after_with(&seen, Some(next))?.pop().unwrap_or(seen);
        self.note_seen(&newest)?;
        Ok(Some(newest))
    }

    /// Checks the record of a head, if this remote is used with a list of signers. The newest record, which
    /// names the head, may be signed by somebody who may not move this channel.
    pub(crate) fn verify_head(&self, name: Option<&str>, head: Head, newest: &Entry) -> Result<()> {
        if self.options.trust.is_none() {
            return Ok(());
        }
        let read = match head.number == newest.record.number {
            true => Some(newest.clone()),
            false => self.record(head.number)?,
        };
        let entry = read.ok_or_else(|| Error::Missing { key: names::record(head.number) })?;
        let change = &entry.record.change;
        let is_its = match change {
            Change::Push { channel, of } | Change::Promote { channel, of } => {
                of.bundle == head.bundle && name.is_none_or(|name| name == channel)
            }
            _ => false,
        };
        if !is_its {
            let why = format!("record {} is not the one that set this head", head.number);
            return Err(Error::Distrusted { check: Check::Heads, why });
        }
        self.verify(&entry.record)
    }

    /// Appends a record. An ambiguous answer decides nothing: the same bytes are sent again, and if the
    /// number is taken then, the record there is compared.
    pub(crate) fn append(&self, mut record: Record) -> Result<Appended> {
        let key = names::record(record.number);
        self.sign(&mut record)?;
        let bytes = record.encode().map_err(|why| Error::Unfit { why: why.to_string() })?;
        let created = self.repeat(("append", &key), |_| self.transport.create(&key, &bytes))?;
        let done = Entry { record, bytes };
        if created == Created::New {
            return Ok(Appended::Done(Box::new(done)));
        }
        // The store has just said that it is there.
        let found = self.repeat(("read", &key), |_| match self.transport.get(&key, MAX_RECORD as u64)? {
            Some(found) => Ok(found),
            None => Err(Failure::ambiguous("the number is taken, and the record is not there")),
        });
        match found {
            Ok(found) if found == done.bytes => Ok(Appended::Done(Box::new(done))),
            Ok(_) => Ok(Appended::Overtaken),
            Err(Error::Request { cause, .. }) if cause.is_ambiguous => {
                Err(Error::Distrusted { check: Check::Visible, why: format!("{key}: {cause}") })
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the number of a recent record. It only makes a search shorter, so a failure is no error.
    pub(crate) fn write_hint(&self, number: u64) {
        if number.is_multiple_of(HINT_EVERY) {
            self.transport.put_unheard(names::HINT, format!("{number}\n").as_bytes());
        }
    }
}

//! Records that bring no files: promote, pin and unpin.

use crate::codec::names;
use crate::codec::record::{Change, Generation, Head};
use crate::error::{Error, Result};
use crate::log::{Appended, Entry};
use crate::pull::Wanted;
use crate::requests::Remote;

impl Remote {
    /// Makes the head of one channel the head of another. Returns the record of that head, and whether it is
    /// new.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Lost`] if another writer moved one of the channels meanwhile.
    pub fn promote(&self, from: &str, to: &str) -> Result<(u64, bool)> {
        check_name(to)?;
        let mut expected = None;
        loop {
            let base = self.base()?;
            let heads = &base.record.heads;
            let unknown =
                || Error::Unknown { name: from.to_owned(), near: heads.keys().cloned().collect() };
            let (head, now) = (*heads.get(from).ok_or_else(unknown)?, heads.get(to).copied());
            if let Some(now) = now.filter(|now| now.bundle == head.bundle) {
                return Ok((now.number, false));
            }
            let (first, target) = *expected.get_or_insert((head, now));
            if (first, target) != (head, now) {
                let (channel, was, is) = match first == head {
                    true => (to, target, now),
                    false => (from, Some(first), Some(head)),
                };
                let number = |head: Option<Head>| head.map_or(0, |head| head.number);
                let (expected, found) = (number(was), number(is));
                return Err(Error::Lost { channel: channel.to_owned(), expected, found });
            }
            self.verify_head(Some(from), head, &base)?;
            let of = self.generation_of(head)?;
            let mut record =
                self.next_record(Some(&base), Change::Promote { channel: to.to_owned(), of })?;
            record.expected = now.map_or(0, |now| now.number);
            let head = Head { number: record.number, bundle: head.bundle };
            record.heads.insert(to.to_owned(), head);
            if let Appended::Done(entry) = self.append(record)? {
                self.done(&entry)?;
                return Ok((entry.record.number, true));
            }
        }
    }

    /// Keeps a generation under a name, which replaces an earlier pin of this name. Returns the pin.
    ///
    /// # Errors
    /// [`Error::Unknown`], also if a barrier gave the generation up.
    pub fn pin(&self, wanted: &Wanted, name: &str) -> Result<Head> {
        check_name(name)?;
        loop {
            let head = self.resolve(wanted)?;
            let base = self.base()?;
            let record = &base.record;
            let is_named = record.heads.values().chain(record.pins.values()).any(|it| *it == head);
            if !is_named && !self.existing(&base)?.iter().any(|kept| kept.bundle == head.bundle) {
                return Err(Error::Unknown { name: wanted.0.clone(), near: vec![] });
            }
            let of = self.generation_of(head)?;
            let mut record = self.next_record(Some(&base), Change::Pin { name: name.to_owned(), of })?;
            record.pins.insert(name.to_owned(), head);
            if let Appended::Done(entry) = self.append(record)? {
                self.done(&entry)?;
                return Ok(head);
            }
        }
    }

    /// Removes a pin.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn unpin(&self, name: &str) -> Result<()> {
        loop {
            let base = self.base()?;
            let mut record = self.next_record(Some(&base), Change::Unpin { name: name.to_owned() })?;
            if record.pins.remove(name).is_none() {
                let near = record.pins.into_keys().collect();
                return Err(Error::Unknown { name: name.to_owned(), near });
            }
            if let Appended::Done(entry) = self.append(record)? {
                return self.done(&entry);
            }
        }
    }

    /// Returns the newest record of a log that has some.
    fn base(&self) -> Result<Entry> {
        let place = self.options.place.clone();
        self.newest_to_append(false)?.ok_or(Error::NotARemote { place })
    }

    fn done(&self, entry: &Entry) -> Result<()> {
        self.write_hint(entry.record.number);
        self.note_seen(entry)
    }

    /// Returns the generation of a head, as its record says.
    fn generation_of(&self, head: Head) -> Result<Generation> {
        let key = names::record(head.number);
        let entry = self.record(head.number)?.ok_or(Error::Missing { key })?;
        let of = entry.record.change.generation().filter(|of| of.bundle == head.bundle);
        of.cloned().ok_or_else(|| {
            let why = crate::codec::Bad::Malformed("it is not the record of its head");
            Error::bad(&names::record(head.number), why)
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    names::check(name).map_err(|why| Error::Unfit { why: format!("{name}: {why}") })
}

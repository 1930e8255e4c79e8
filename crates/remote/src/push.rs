//! Push: files first, record last.
//!
//! The location tables of the heads say which objects are on the remote already: no listing, no look at
//! single files. Only packs that a head of the superseded record references are used again (RMT-5).

use std::collections::BTreeSet;

use genstore::Generation;
use genstore::Store;

use crate::codec::condemned::{Condemned, MAX_LIST};
use crate::codec::names;
use crate::codec::record::{self, Change, Head, Record};
use crate::error::{Error, Result};
use crate::log::{Appended, Entry};
use crate::nonce::random;
use crate::requests::{Remote, has_digest};

/// The options of a push.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PushOptions {
    /// Only count the objects and bytes that would be sent.
    pub dry_run: bool,
    /// The time after which readers refuse the record as the newest one, in seconds since 1970; 0: none.
    pub best_before: i64,
    /// Damaged files. The generation is pushed even if the head has its tree, and its record does not
    /// reference them.
    pub again: BTreeSet<String>,
}

impl PushOptions {
    /// Only counts the objects and bytes that would be sent.
    pub fn dry_run(mut self, dry_run: bool) -> PushOptions {
        self.dry_run = dry_run;
        self
    }
}

/// The result of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The record of the channel's head. 0: a dry run of a first push.
    pub record: u64,
    /// Whether the record is a new one. The head had this tree otherwise.
    pub changed: bool,
    /// The number of objects that the remote did not have.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
}

/// Files on the remote that a record is about to reference.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The generation of the record.
    pub of: record::Generation,
    /// The keys of all files that the record references, directly or through its bundle.
    pub references: BTreeSet<String>,
}

impl Remote {
    /// Pushes a generation to a channel.
    ///
    /// # Errors
    /// [`Error::Lost`] if another writer moved the channel meanwhile; [`Error::Distrusted`],
    /// [`Error::Request`]. A push that failed may have reached the log if the answer was lost: the same push
    /// again finds that out.
    pub fn push(
        &self,
        store: &Store,
        generation: &Generation,
        channel: &str,
        options: &PushOptions,
    ) -> Result<Pushed> {
        names::check(channel).map_err(|why| Error::Unfit { why: format!("channel {channel}: {why}") })?;
        let head = generation.head()?;
        let newest = self.newest_to_append(!options.dry_run)?;
        if let Some(entry) = &newest
            && options.again.is_empty()
            && let Some(at) = entry.record.heads.get(channel)
            && self.tree_of(entry, *at)? == head.tree.digest()
        {
            return Ok(Pushed { record: at.number, ..Pushed::default() });
        }
        let mut pushed = Pushed { changed: true, ..Pushed::default() };
        let needed = self.needed(generation, (newest.as_ref(), channel), &options.again)?;
        pushed.objects = needed.new.len() as u64;
        pushed.bytes = needed.new.iter().map(|(_, size)| size).sum();
        if options.dry_run {
            pushed.record = newest.map_or(0, |entry| entry.record.number);
            return Ok(pushed);
        }
        let mut needed = Some(needed);
        let mut prepare = |base: Option<&Entry>| {
            let needed = match needed.take() {
                Some(needed) => needed,
                None => self.needed(generation, (base, channel), &options.again)?,
            };
            let made = self.prepare(store, needed)?;
            self.upload(&made)?;
            Ok(made.prepared)
        };
        let entry = self.push_prepared((newest, options.best_before), channel, &mut prepare)?;
        pushed.record = entry.record.number;
        if let Some(cache) = &self.options.cache {
            cache.prune(None);
        }
        Ok(pushed)
    }

    /// Returns the newest record, and makes sure that the log did not go back.
    pub(crate) fn newest_to_append(&self, create: bool) -> Result<Option<Entry>> {
        match self.newest_standing() {
            Err(Error::NotARemote { .. }) => {
                // The first push makes it one.
                if create {
                    self.check_format(true)?;
                }
                Ok(None)
            }
            newest => newest,
        }
    }

    /// Returns the tree of a head.
    fn tree_of(&self, newest: &Entry, head: Head) -> Result<genstore::tree::Digest> {
        if let Some(of) = newest.record.change.generation()
            && of.bundle == head.bundle
        {
            return Ok(of.tree);
        }
        Ok(self.remembered(head.bundle)?.manifest.head.tree.digest())
    }

    /// Appends the record of a push. `prepare` puts the files there, and is called again if a barrier
    /// condemned some of them.
    ///
    /// # Errors
    /// [`Error::Lost`] if the channel moved since `newest`; [`Error::Request`].
    pub fn push_prepared(
        &self,
        (newest, best_before): (Option<Entry>, i64),
        channel: &str,
        prepare: &mut dyn FnMut(Option<&Entry>) -> Result<Prepared>,
    ) -> Result<Entry> {
        let head_of =
            |entry: Option<&Entry>| entry.and_then(|entry| entry.record.heads.get(channel).copied());
        let expected = head_of(newest.as_ref());
        let mut base = newest;
        let mut prepared = prepare(base.as_ref())?;
        loop {
            let found = head_of(base.as_ref());
            if found != expected {
                let number = |head: Option<Head>| head.map_or(0, |head| head.number);
                let (expected, found) = (number(expected), number(found));
                return Err(Error::Lost { channel: channel.to_owned(), expected, found });
            }
            let mut record = self.next_record(
                base.as_ref(),
                Change::Push { channel: channel.to_owned(), of: prepared.of.clone() },
            )?;
            record.expected = found.map_or(0, |head| head.number);
            if best_before != 0 {
                record.best_before = best_before;
            }
            let head = Head { number: record.number, bundle: prepared.of.bundle };
            record.heads.insert(channel.to_owned(), head);
            match self.append(record)? {
                Appended::Done(entry) => {
                    self.note_seen(&entry)?;
                    self.write_hint(entry.record.number);
                    return Ok(*entry);
                }
                Appended::Overtaken => {
                    let since = self.since(base.as_ref())?;
                    let forgets = since.iter().any(|entry| entry.record.change == Change::Forget);
                    if forgets || self.is_condemned(&since, &prepared.references)? {
                        // Its files may be gone at any moment, or may have what must not come back.
                        base = since.last().cloned().or(base);
                        prepared = prepare(base.as_ref())?;
                    } else {
                        base = since.last().cloned().or(base);
                    }
                }
            }
        }
    }

    /// Reads the records after one, or all of them.
    pub(crate) fn since(&self, base: Option<&Entry>) -> Result<Vec<Entry>> {
        match base {
            Some(base) => self.after(base),
            None => {
                let Some(first) = self.record(1)? else { return Ok(vec![]) };
                let rest = self.after(&first)?;
                Ok([vec![first], rest].concat())
            }
        }
    }

    /// Creates the record after another one, with its heads and pins.
    pub(crate) fn next_record(&self, base: Option<&Entry>, change: Change) -> Result<Record> {
        let is_barrier = matches!(change, Change::Barrier { .. });
        let before = base.map(|base| &base.record);
        Ok(Record {
            number: before.map_or(0, |before| before.number) + 1,
            previous: base.map(Entry::digest),
            nonce: random().map_err(Error::local("get random bytes"))?,
            change,
            time: self.now(),
            best_before: match self.options.best_before.as_secs() {
                0 => 0,
                seconds => self.now().saturating_add(seconds.try_into().unwrap_or(i64::MAX)),
            },
            epoch: before.map_or(0, |before| before.epoch) + u64::from(is_barrier),
            expected: 0,
            heads: before.map(|before| before.heads.clone()).unwrap_or_default(),
            pins: before.map(|before| before.pins.clone()).unwrap_or_default(),
            forgotten: before.and_then(|before| before.forgotten),
            signature: vec![],
        })
    }

    /// Returns whether a barrier among the records condemns one of these files (RMT-5).
    fn is_condemned(&self, records: &[Entry], references: &BTreeSet<String>) -> Result<bool> {
        #[cfg(feature = "controls")]
        if self.options.control == Some(crate::requests::Control::NoWriterCheck) {
            return Ok(false);
        }
        for entry in records {
            let Change::Barrier { .. } = entry.record.change else { continue };
            match self.condemned(entry)? {
                Some(list) if list.keys.is_disjoint(references) => {}
                // Without the list, nothing is certain to stay.
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Reads the list of a barrier. Returns `None` if it is missing, or if the record is no barrier.
    pub(crate) fn condemned(&self, entry: &Entry) -> Result<Option<Condemned>> {
        let Change::Barrier { list } = entry.record.change else { return Ok(None) };
        let decode = |bytes: Vec<u8>| {
            has_digest(&bytes, list)?;
            Condemned::decode(&bytes)
        };
        match self.must_get((&names::barrier(list), 0, MAX_LIST), decode) {
            Err(Error::Missing { .. }) => Ok(None),
            list => list.map(Some),
        }
    }
}

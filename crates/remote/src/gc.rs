//! gc of a remote: a barrier in the log fences every writer, then the condemned files go (RMT-10).
//!
//! Neither a lock nor a grace time helps against a writer that stalls. The barrier is a record like any
//! other, so each writer either comes before it, and is rescued, or finds it, and begins again.

use std::collections::{BTreeMap, BTreeSet};

use genstore::tree::Digest;

use crate::codec::condemned::{Condemned, Kept};
use crate::codec::names::{self, COLLECTED};
use crate::codec::record::Change;
use crate::error::{Error, Result};
use crate::load::Bundle;
use crate::log::{Appended, Entry};
use crate::nonce::random;
use crate::requests::Remote;
use crate::transport::Transport;

/// Why a generation on a remote stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is the head of a channel.
    Head(String),
    /// It is pinned under this name.
    Pinned(String),
    /// It is among the last ones of its channel.
    Last,
}

/// The result of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The generations that stay, newest first, with the reasons.
    pub kept: Vec<(Kept, Vec<Stays>)>,
    /// The generations that nothing keeps, newest first.
    pub removed: Vec<Kept>,
    /// The number of the barrier. `None`: there was nothing to remove, or it was a dry run.
    pub barrier: Option<u64>,
    /// The number of files that were removed, or would be.
    pub files: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
}

impl Remote {
    /// Removes the generations that are neither heads, nor pinned, nor among the last ones of their channel,
    /// and the files that no generation references then.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Missing`], [`Error::Distrusted`]. Nothing that a generation needs was
    /// removed.
    pub fn collect(&self, keep_last: usize, dry_run: bool) -> Result<Collected> {
        self.collect_if(dry_run, |_, from_last| from_last < keep_last)
    }

    /// Removes the generations with these bundles, unless they are heads or pinned.
    pub(crate) fn collect_without(&self, bundles: &BTreeSet<Digest>) -> Result<Collected> {
        self.collect_if(false, |generation, _| !bundles.contains(&generation.bundle))
    }

    /// Removes the generations that are neither heads nor pinned, and that `stays` does not keep. It gets the number
    /// of newer ones of the channel, too.
    fn collect_if(&self, dry_run: bool, stays: impl Fn(&Kept, usize) -> bool) -> Result<Collected> {
        let Some(newest) = self.newest_to_append(false)? else { return Ok(Collected::default()) };
        let existing = self.existing(&newest)?;
        let (kept, removed) = decide(&newest, existing, stays);
        let mut done = Collected { kept, removed, ..Collected::default() };
        let bundles = done.kept.iter().map(|(kept, _)| kept.bundle);
        let record = &newest.record;
        let heads = record.heads.values().chain(record.pins.values()).map(|head| head.bundle);
        let needed = self.references(bundles.chain(heads))?;
        let mut condemned = self.collected()?;
        condemned.retain(|key, _| !needed.contains(key));
        if condemned.is_empty() || dry_run {
            (done.files, done.bytes) = (condemned.len() as u64, condemned.values().sum());
            return Ok(done);
        }
        #[cfg(feature = "controls")]
        if self.options.control == Some(crate::requests::Control::Grace) {
            self.remove(condemned.into_keys(), &BTreeSet::new())?;
            return Ok(done);
        }
        let list = Condemned {
            nonce: random().map_err(Error::local("get random bytes"))?,
            base: record.number,
            kept: done.kept.iter().map(|(kept, _)| kept.clone()).collect(),
            keys: condemned.keys().cloned().collect(),
        };
        let barrier = self.append_barrier(&newest, &list)?;
        let rescued = self.rescued(&newest, &barrier)?;
        condemned.retain(|key, _| !rescued.contains(key));
        done.barrier = Some(barrier.record.number);
        (done.files, done.bytes) = (condemned.len() as u64, condemned.values().sum());
        self.remove(condemned.into_keys(), &rescued)?;
        #[cfg(feature = "controls")]
        if self.options.control == Some(crate::requests::Control::Compact) {
            let old = (1..barrier.record.number).map(names::record);
            self.remove(old, &BTreeSet::new())?;
        }
        Ok(done)
    }

    /// Lists the files that gc may remove, with their lengths in bytes.
    pub(crate) fn collected(&self) -> Result<BTreeMap<String, u64>> {
        let mut files = BTreeMap::new();
        for folder in COLLECTED {
            let listed = self.repeat(("list", folder), |_| self.transport.list(folder))?;
            let fits = listed.into_iter().filter(|file| names::is_collected(&file.key));
            files.extend(fits.map(|file| (file.key, file.bytes)));
        }
        Ok(files)
    }

    /// Puts the list there, and appends the barrier at the next free number.
    fn append_barrier(&self, newest: &Entry, list: &Condemned) -> Result<Entry> {
        let bytes = list.encode().map_err(|why| Error::Unfit { why: why.to_string() })?;
        let digest = Digest::of(&bytes);
        self.create_own(&names::barrier(digest), &bytes)?;
        let mut base = newest.clone();
        loop {
            let record = self.next_record(Some(&base), Change::Barrier { list: digest })?;
            match self.append(record)? {
                Appended::Done(entry) => {
                    self.note_seen(&entry)?;
                    self.write_hint(entry.record.number);
                    return Ok(*entry);
                }
                Appended::Overtaken => base = self.after(&base)?.pop().unwrap_or(base),
            }
        }
    }

    /// Returns the files that generations need whose records came between the list and its barrier. It is a
    /// function of the log up to the barrier, so every reader gets the same.
    fn rescued(&self, base: &Entry, barrier: &Entry) -> Result<BTreeSet<String>> {
        let mut bundles = vec![];
        for number in base.record.number + 1..barrier.record.number {
            let key = names::record(number);
            let entry = self.record(number)?.ok_or(Error::Missing { key })?;
            bundles.extend(entry.record.change.generation().map(|of| of.bundle));
        }
        self.references(bundles.into_iter())
    }

    fn remove(&self, keys: impl Iterator<Item = String>, rescued: &BTreeSet<String>) -> Result<()> {
        for key in keys.filter(|key| !rescued.contains(key)) {
            self.repeat(("remove", &key), |_| self.transport.delete(&key))?;
        }
        Ok(())
    }

    /// Lists the generations that no barrier gave up: those that the last one kept, and those that later
    /// records brought.
    pub fn existing(&self, newest: &Entry) -> Result<BTreeSet<Kept>> {
        let mut existing = BTreeSet::new();
        let mut entry = newest.clone();
        let mut until = 0;
        loop {
            if until == 0
                && let Change::Barrier { list } = entry.record.change
            {
                let key = names::barrier(list);
                let list = self.condemned(&entry)?.ok_or(Error::Missing { key })?;
                // Records between the list and the barrier were rescued.
                until = list.base;
                existing.extend(list.kept);
            }
            if let Change::Push { channel, of } | Change::Promote { channel, of } = &entry.record.change {
                let (number, channel) = (entry.record.number, channel.clone());
                existing.insert(Kept { number, channel, bundle: of.bundle });
            }
            let before = entry.record.number - 1;
            if before <= until {
                return Ok(existing);
            }
            let key = names::record(before);
            entry = self.record(before)?.ok_or(Error::Missing { key })?;
        }
    }

    /// Lists the files of a generation that are missing. None of their bytes is read.
    ///
    /// # Errors
    /// [`Error::Missing`] for the bundle itself.
    pub fn missing_of(&self, bundle: Digest) -> Result<Vec<String>> {
        let mut missing = vec![];
        for key in self.references([bundle].into_iter())? {
            match self.must_get((&key, 0, 1), Ok) {
                Err(Error::Missing { key }) => missing.push(key),
                read => drop(read?),
            }
        }
        Ok(missing)
    }

    /// Returns the keys of all files that generations need.
    pub(crate) fn references(&self, bundles: impl Iterator<Item = Digest>) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        for id in bundles.collect::<BTreeSet<Digest>>() {
            keys.extend(self.references_of(&self.bundle(id)?)?);
        }
        Ok(keys)
    }

    /// Returns the keys of all files that one generation needs.
    pub(crate) fn references_of(&self, bundle: &Bundle) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::from([names::bundle(bundle.id)]);
        keys.extend(bundle.header.checkpoint.map(names::bundle));
        keys.extend(self.table(bundle)?.packs().iter().map(|pack| pack.key(bundle.id)));
        Ok(keys)
    }
}

/// Divides generations into those that stay, with the reasons, and the others. Newest first.
fn decide(
    newest: &Entry,
    existing: BTreeSet<Kept>,
    stays: impl Fn(&Kept, usize) -> bool,
) -> (Vec<(Kept, Vec<Stays>)>, Vec<Kept>) {
    let record = &newest.record;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut kept, mut removed) = (vec![], vec![]);
    for generation in existing.into_iter().rev() {
        let count = counts.entry(generation.channel.clone()).or_default();
        let from_last = *count;
        *count += 1;
        let of = |(name, _): (&String, _)| name.clone();
        let heads = record.heads.iter().filter(|(_, head)| head.bundle == generation.bundle);
        let pins = record.pins.iter().filter(|(_, head)| head.bundle == generation.bundle);
        let mut reasons: Vec<Stays> = heads.map(of).map(Stays::Head).collect();
        reasons.extend(pins.map(of).map(Stays::Pinned));
        if stays(&generation, from_last) {
            reasons.push(Stays::Last);
        }
        match reasons.is_empty() {
            true => removed.push(generation),
            false => kept.push((generation, reasons)),
        }
    }
    (kept, removed)
}

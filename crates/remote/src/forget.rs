//! Forgetting on a remote: contents that it must not hold any more.
//!
//! A record names the list of all forgotten contents, and every later record repeats it, so that each writer and
//! each reader of the newest record has it. No file of a remote ever changes: a head that shares a file with such
//! a content is pushed again without that file, and gc removes the files behind a barrier (RMT-12).

use std::collections::BTreeSet;

use genstore::plan::Symlinks;
use genstore::tree::{Digest, Node, Tree};
use genstore::{Rev, Store};

use crate::cache::Part;
use crate::codec::condemned::Kept;
use crate::codec::record::{Change, Record};
use crate::codec::{forgotten, names};
use crate::error::{Error, Result};
use crate::log::{Appended, Entry};
use crate::pull::{PullOptions, Wanted};
use crate::push::PushOptions;
use crate::requests::{Remote, has_digest};

/// The options of forgetting.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// Only find out what would be removed.
    pub dry_run: bool,
    /// The symlinks that a tree may have which is pulled, because it is pushed again.
    pub symlinks: Symlinks,
}

impl ForgetOptions {
    /// Only finds out what would be removed.
    pub fn dry_run(mut self, dry_run: bool) -> ForgetOptions {
        self.dry_run = dry_run;
        self
    }

    /// Sets the symlinks that a tree may have which is pulled.
    pub fn symlinks(mut self, symlinks: Symlinks) -> ForgetOptions {
        self.symlinks = symlinks;
        self
    }
}

/// The result of forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForgotRemotely {
    /// The newest record that names the list. `None`: a dry run, or a remote without records.
    pub record: Option<u64>,
    /// The channels whose heads were pushed again, as they shared files with the contents.
    pub pushed: BTreeSet<String>,
    /// The generations that were removed, the oldest first.
    pub removed: BTreeSet<Kept>,
    /// The number of removed files.
    pub files: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
}

/// Where a remote has contents.
#[derive(Default)]
struct Found {
    /// The files that have them: packs and bundles.
    files: BTreeSet<String>,
    /// The generations that need one of these files, the oldest first.
    generations: BTreeSet<Kept>,
    /// The channels and pins that cannot do without, for people.
    blocked: Vec<String>,
    /// The channels whose heads need such a file, but not the contents.
    again: Vec<String>,
}

impl Remote {
    /// Returns the contents that the remote has forgotten by a record.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], [`Error::Request`].
    pub fn forgotten(&self, record: &Record) -> Result<BTreeSet<Digest>> {
        let Some(list) = record.forgotten else { return Ok(BTreeSet::new()) };
        let cache = self.options.cache.as_ref();
        let copy = cache.and_then(|cache| cache.part(list, Part::Forgotten));
        if let Some(contents) = copy.filter(|copy| Digest::of(copy) == list)
            && let Ok(contents) = forgotten::decode(&contents)
        {
            return Ok(contents);
        }
        let (bytes, contents) =
            self.must_get((&names::forgotten(list), 0, forgotten::MAX_LIST), |bytes| {
                has_digest(&bytes, list)?;
                forgotten::decode(&bytes).map(|contents| (bytes, contents))
            })?;
        if let Some(cache) = cache {
            cache.keep(list, Part::Forgotten, &bytes);
        }
        Ok(contents)
    }

    /// Fails if a tree has a content that the remote has forgotten.
    ///
    /// # Errors
    /// [`Error::Forgotten`]; as [`Remote::forgotten`].
    pub(crate) fn refuse_forgotten(&self, record: &Record, tree: &Tree) -> Result<()> {
        let contents = self.forgotten(record)?;
        match tree.iter_files().find(|(_, file)| contents.contains(&file.digest)) {
            Some((path, file)) => Err(Error::Forgotten { digest: file.digest, path: path.to_vec() }),
            None => Ok(()),
        }
    }

    /// Lists the contents that generations of the remote have at a path. Empty files are left out.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Missing`], [`Error::Request`].
    pub fn contents_at(&self, path: &[u8]) -> Result<BTreeSet<Digest>> {
        let mut contents = BTreeSet::new();
        let Some(newest) = self.newest()? else { return Ok(contents) };
        for kept in self.existing(&newest)? {
            if let Some(Node::File(file)) = self.remembered(kept.bundle)?.manifest.tree.find(path)
                && file.size > 0
            {
                contents.insert(file.digest);
            }
        }
        Ok(contents)
    }

    /// Takes contents off the remote, and refuses pushes of them from now on. Generations that have one are removed,
    /// and of the others those that share a file with one; heads of channels among these are pushed again first, from
    /// the store, which pulls them if it has to. It ends when no file of the remote has one of the contents.
    ///
    /// If it is interrupted, the same call does the rest; so does one with other contents, or none.
    ///
    /// # Errors
    /// [`Error::Remembered`] if a head has one of the contents, or if a pin needs a file with one: nothing was changed
    /// then. [`Error::Lost`], [`Error::Distrusted`], [`Error::Request`]. By then a part may be done.
    pub fn forget(
        &self,
        store: &Store,
        contents: &BTreeSet<Digest>,
        options: &ForgetOptions,
    ) -> Result<ForgotRemotely> {
        let mut done = ForgotRemotely::default();
        loop {
            let Some(newest) = self.newest_to_append(false)? else { return Ok(done) };
            let list = self.forgotten(&newest.record)?;
            let contents: BTreeSet<Digest> = list.union(contents).copied().collect();
            if contents.is_empty() {
                return Ok(done);
            }
            let found = self.search(&newest, &contents)?;
            if !found.blocked.is_empty() {
                return Err(Error::Remembered { names: found.blocked });
            }
            if options.dry_run {
                done.pushed.extend(found.again);
                done.removed.extend(found.generations);
                let files = self.collected()?.into_iter().filter(|(key, _)| found.files.contains(key));
                for (_, bytes) in files {
                    done.files += 1;
                    done.bytes += bytes;
                }
                return Ok(done);
            }
            if let Some(channel) = found.again.first() {
                self.push_again(store, (channel, &newest), &found.files, options)?;
                done.pushed.insert(channel.clone());
                continue;
            }
            let entry = match contents.len() == list.len() {
                true => newest,
                false => match self.append_forgotten(&newest, &contents)? {
                    Some(entry) => entry,
                    None => continue,
                },
            };
            done.record = Some(entry.record.number);
            let bundles = found.generations.iter().map(|kept| kept.bundle).collect();
            let collected = self.collect_without(&bundles)?;
            done.removed.extend(collected.removed);
            done.files += collected.files;
            done.bytes += collected.bytes;
            // No record after the list needs one of them. It is looked at all the same.
            if !self.collected()?.keys().any(|key| found.files.contains(key)) {
                return Ok(done);
            }
        }
    }

    /// Finds the files with contents, and who needs them.
    fn search(&self, newest: &Entry, contents: &BTreeSet<Digest>) -> Result<Found> {
        let record = &newest.record;
        let mut found = Found::default();
        let (mut having, mut needed) = (BTreeSet::new(), vec![]);
        for kept in self.existing(newest)? {
            let read = self.remembered(kept.bundle).and_then(|of| Ok((self.locations(&of)?, of)));
            let (locations, of) = match read {
                Ok(read) => read,
                // Its content cannot be read, so it cannot be pulled either.
                Err(Error::Damaged { .. } | Error::Missing { .. }) => {
                    having.insert(kept.bundle);
                    needed.push((kept, BTreeSet::new()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let places = contents.iter().filter_map(|digest| locations.get(digest));
            found.files.extend(places.map(|location| location.pack.key(kept.bundle)));
            if of.objects.iter().any(|(digest, _)| contents.contains(digest)) {
                // Its patch may have them, too.
                found.files.insert(names::bundle(kept.bundle));
                having.insert(kept.bundle);
            }
            let references = self.references_of(&of.bundle)?;
            needed.push((kept, references));
        }
        for (kept, references) in needed {
            if having.contains(&kept.bundle) || !references.is_disjoint(&found.files) {
                found.generations.insert(kept);
            }
        }
        let touched = |bundle: Digest| found.generations.iter().any(|kept| kept.bundle == bundle);
        for (channel, head) in &record.heads {
            match touched(head.bundle) {
                true if having.contains(&head.bundle) => found.blocked.push(format!("channel {channel}")),
                true => found.again.push(channel.clone()),
                false => {}
            }
        }
        let pins = record.pins.iter().filter(|(_, head)| touched(head.bundle));
        found.blocked.extend(pins.map(|(name, _)| format!("pin {name}")));
        Ok(found)
    }

    /// Pushes the head of a channel again, without some files.
    fn push_again(
        &self,
        store: &Store,
        (channel, newest): (&str, &Entry),
        files: &BTreeSet<String>,
        options: &ForgetOptions,
    ) -> Result<()> {
        let head = newest.record.heads.get(channel).map_or(0, |head| head.number);
        let pull = PullOptions::default().symlinks(options.symlinks);
        let pulled = self.pull(store, &Wanted(channel.to_owned()), &pull)?;
        let lost = |found| Error::Lost { channel: channel.to_owned(), expected: head, found };
        let id = pulled.generation.filter(|_| pulled.record == head).ok_or_else(|| lost(pulled.record))?;
        let generation = store.open_generation(&Rev::Number(id))?;
        let again = PushOptions { again: files.clone(), ..PushOptions::default() };
        self.push(store, &generation, channel, &again).map(drop)
    }

    /// Appends the record that names the contents. Returns `None` if another record came first.
    fn append_forgotten(&self, newest: &Entry, contents: &BTreeSet<Digest>) -> Result<Option<Entry>> {
        let bytes = forgotten::encode(contents).map_err(|why| Error::Unfit { why: why.to_string() })?;
        let digest = Digest::of(&bytes);
        self.create_own(&names::forgotten(digest), &bytes)?;
        let mut record = self.next_record(Some(newest), Change::Forget)?;
        record.forgotten = Some(digest);
        match self.append(record)? {
            Appended::Done(entry) => {
                self.note_seen(&entry)?;
                self.write_hint(entry.record.number);
                Ok(Some(*entry))
            }
            Appended::Overtaken => Ok(None),
        }
    }
}

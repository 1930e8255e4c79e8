//! Fetching the objects that a store lacks: by the patch of the bundle, or out of packs.

use std::collections::{HashMap, HashSet};

use genstore::Store;
use genstore::objects::Receiving;
use genstore::tree::{Digest, Mtime, Node, ObjectId};

use crate::codec::bundle::Section;
use crate::codec::table::Place;
use crate::codec::{names, squeeze};
use crate::error::{Error, Result};
use crate::load::Remembered;
use crate::objects::{open_object, read_object, sides};
use crate::packs::{self, Job, Long};
use crate::report::Way;
use crate::requests::Remote;

/// After this number of bytes, the objects so far get their names, so that an interruption loses no more.
const BATCH: u64 = 64 << 20;

/// The objects that a pull fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The number of objects that the store did not have.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// Whether they came as a patch.
    pub by_patch: bool,
}

/// Objects on their way into the store.
struct Receiver<'s> {
    store: &'s Store,
    wanted: HashMap<Digest, Vec<(ObjectId, Mtime)>>,
    receiving: Option<Receiving<'s>>,
    remote: &'s Remote,
}

impl Receiver<'_> {
    /// Takes the bytes of a wanted object. They are hashed before anything has a name.
    fn take(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        let Some(ids) = self.wanted.remove(&digest) else { return Ok(()) };
        let mut receiving = match self.receiving.take() {
            Some(receiving) => receiving,
            None => self.store.receive()?,
        };
        for (id, mtime) in ids {
            receiving.put(id, mtime, &mut &*bytes)?;
        }
        self.remote.advance(bytes.len() as u64);
        match receiving.bytes() >= BATCH {
            true => drop(receiving.finish()?),
            false => self.receiving = Some(receiving),
        }
        Ok(())
    }

    /// Takes a large object as it comes. It is hashed before it has a name.
    fn take_long(&mut self, remote: &Remote, job: &Job) -> Result<()> {
        let Some((_, size, digest)) = job.objects.first().copied() else { return Ok(()) };
        for (id, mtime) in self.wanted.remove(&digest).into_iter().flatten() {
            packs::twice(|_| self.receive_long(remote, job, (id, mtime)))?;
            remote.advance(size);
        }
        Ok(())
    }

    fn receive_long(&mut self, remote: &Remote, job: &Job, (id, mtime): (ObjectId, Mtime)) -> Result<()> {
        // If this fails, the objects so far are still kept.
        let mut long = Long::open(remote, job)?;
        let mut receiving = match self.receiving.take() {
            Some(receiving) => receiving,
            None => self.store.receive()?,
        };
        if let Err(error) = receiving.put(id, mtime, &mut long) {
            self.receiving = Some(receiving);
            return Err(match (long.failed, error.code()) {
                (Some(failed), _) => failed,
                (None, "wrong-bytes") => {
                    Error::bad(&job.key, crate::codec::Bad::Malformed("the bytes of an object differ"))
                }
                (None, _) => error.into(),
            });
        }
        match receiving.bytes() >= BATCH {
            true => drop(receiving.finish()?),
            false => self.receiving = Some(receiving),
        }
        Ok(())
    }

    /// Takes objects of which the store has the twin, executable or not.
    fn take_twins(&mut self) -> Result<()> {
        let digests: Vec<Digest> = self.wanted.keys().copied().collect();
        for digest in digests {
            if self.store.open_object(digest)?.is_none() {
                continue;
            }
            let mut receiving = match self.receiving.take() {
                Some(receiving) => receiving,
                None => self.store.receive()?,
            };
            for (id, mtime) in self.wanted.remove(&digest).into_iter().flatten() {
                receiving.put(id, mtime, &mut open_object(self.store, digest)?)?;
            }
            self.receiving = Some(receiving);
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if let Some(receiving) = self.receiving {
            receiving.finish()?;
        }
        Ok(())
    }
}

impl Remote {
    /// Brings the objects of a generation into the store, or only counts those that are missing.
    pub(crate) fn fetch<'s>(&'s self, store: &'s Store, of: &Remembered, dry_run: bool) -> Result<Fetched> {
        let mut wanted: HashMap<Digest, Vec<(ObjectId, Mtime)>> = HashMap::new();
        let mut seen = HashSet::new();
        for entry in of.manifest.tree.iter() {
            let Node::File(file) = entry.node else { continue };
            let id = file.object();
            if file.size > 0 && seen.insert(id) && !store.has_object(id)? {
                wanted.entry(file.digest).or_default().push((id, file.mtime));
            }
        }
        let mut receiver = Receiver { store, wanted, receiving: None, remote: self };
        let is_wanted = |receiver: &Receiver<'_>| {
            let missing = of.objects.iter().filter(|(digest, _)| receiver.wanted.contains_key(digest));
            missing.copied().collect::<Vec<_>>()
        };
        if dry_run {
            receiver.wanted.retain(|digest, _| matches!(store.open_object(*digest), Ok(None)));
            let missing = is_wanted(&receiver);
            return Ok(counted(&missing));
        }
        let done = receiver.take_twins().and_then(|()| {
            let missing = is_wanted(&receiver);
            self.begin(Way::Pull, missing.iter().map(|(_, size)| size).sum());
            let by_patch = self.fetch_patch(&mut receiver, of, &missing)?;
            self.fetch_packs(&mut receiver, of)?;
            Ok(Fetched { by_patch, ..counted(&missing) })
        });
        // After an error, too: the objects that arrived need not be fetched again.
        let finished = receiver.finish();
        let fetched = done?;
        finished.map(|()| fetched)
    }

    /// Takes the objects out of the patch, if the store has everything that it needs. A patch that does not
    /// fit is passed over: the packs have the same objects.
    fn fetch_patch(
        &self,
        receiver: &mut Receiver<'_>,
        of: &Remembered,
        missing: &[(Digest, u64)],
    ) -> Result<bool> {
        let header = &of.bundle.header;
        let stored = header.section(Section::Patch).stored;
        let total: u64 = missing.iter().map(|(_, size)| size).sum();
        let parent = header.parent.zip(header.parent_manifest);
        let Some((parent, digest)) = parent.filter(|_| stored > 0 && stored < total) else {
            return Ok(false);
        };
        let Some(parent) = self.copy(parent, digest) else { return Ok(false) };
        let Some(parent) = genstore::generation::Manifest::decode(&parent).ok() else { return Ok(false) };
        let Ok((before, after)) = sides(&parent.tree, &of.manifest.tree) else { return Ok(false) };
        let in_patch: HashSet<Digest> = after.iter().map(|(digest, _)| *digest).collect();
        let len: u64 = after.iter().map(|(_, size)| size).sum();
        let fits = before.iter().map(|(_, size)| size).sum::<u64>() == header.prefix
            && len == header.section(Section::Patch).plain
            && missing.iter().all(|(digest, _)| in_patch.contains(digest));
        if !fits {
            return Ok(false);
        }
        let mut prefix = vec![];
        for object in &before {
            match read_object(receiver.store, *object) {
                Ok(bytes) => prefix.extend(bytes),
                Err(_) => return Ok(false),
            }
        }
        let patch = self.section(&of.bundle, Section::Patch)?;
        let Ok(payload) = squeeze::decompress(&prefix, &patch, len) else { return Ok(false) };
        let mut at = 0;
        for (digest, size) in &after {
            let bytes = &payload[at..at + *size as usize];
            at += *size as usize;
            if Digest::of(bytes) != *digest {
                return Ok(false);
            }
            receiver.take(*digest, bytes)?;
        }
        Ok(true)
    }

    /// Takes the objects that are still wanted out of packs.
    fn fetch_packs(&self, receiver: &mut Receiver<'_>, of: &Remembered) -> Result<()> {
        if receiver.wanted.is_empty() {
            return Ok(());
        }
        let locations = self.locations(of)?;
        let mut jobs: HashMap<_, Vec<_>> = HashMap::new();
        for (digest, size) in of.objects.iter().filter(|(digest, _)| receiver.wanted.contains_key(digest)) {
            let location = locations.get(digest).ok_or_else(|| {
                let why = crate::codec::Bad::Malformed("an object has no location");
                Error::bad(&names::bundle(of.bundle.id), why)
            })?;
            jobs.entry(location.pack).or_default().push((location.start, *size, *digest));
        }
        let mut jobs: Vec<Job> = jobs
            .into_iter()
            .map(|(pack, mut objects)| {
                objects.sort_unstable();
                Job { pack, key: pack.key(of.bundle.id), objects }
            })
            .collect();
        jobs.sort_by(|a, b| a.key.cmp(&b.key));
        let (long, short): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job.pack.place, Place::Big(..)));
        packs::fetch_all((self, &of.bundle), &short, &mut |digest, bytes| receiver.take(digest, &bytes))?;
        long.iter().try_for_each(|job| receiver.take_long(self, job))
    }
}

fn counted(missing: &[(Digest, u64)]) -> Fetched {
    let bytes = missing.iter().map(|(_, size)| size).sum();
    Fetched { objects: missing.len() as u64, bytes, by_patch: false }
}

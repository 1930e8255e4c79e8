//! The files of a push: packs, the patch, the table and the bundle.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use genstore::generation::Manifest;
use genstore::tree::Digest;
use genstore::{Generation, Store};

use crate::cache::Part;
use crate::codec::bundle::{Header, MAX_INLINE, SECTIONS, Section, Sections, Stored};
use crate::codec::pack::{self, Builder};
use crate::codec::record::{self, Head, short_note};
use crate::codec::squeeze::MAX_PATCH;
use crate::codec::table::{self, Location, PackRef, Place, Table};
use crate::codec::{Bad, names, squeeze};
use crate::error::{Error, Result};
use crate::load::Remembered;
use crate::log::Entry;
use crate::nonce::random;
use crate::objects::{damaged, open_object, read_object, sides};
use crate::push::Prepared;
use crate::report::Way;
use crate::requests::Remote;
use crate::transport::{Failure, Transport};

/// From this size on, a file is stored by itself, in bytes.
const BIG: u64 = 8 << 20;
/// The level of compressions, and that of large ones.
const LEVEL: i32 = 12;
const FAST_LEVEL: i32 = 3;
/// From this length on, the fast level is used.
const LARGE: usize = 4 << 20;
/// The number of packs that are sent at once.
const SENDING: usize = 4;
/// The number of heads whose tables are read.
const MAX_HEADS: usize = 4;

/// The bundle of a push, whose packs are on the remote already.
pub(crate) struct Made {
    bundle: Vec<u8>,
    header: Header,
    manifest: Vec<u8>,
    pub(crate) prepared: Prepared,
}

/// The parts of a push, before anything is sent.
pub(crate) struct Needed {
    manifest: Manifest,
    bytes: Vec<u8>,
    objects: Vec<(Digest, u64)>,
    heads: Vec<Remembered>,
    at: HashMap<Digest, Location>,
    /// The objects that the remote does not have.
    pub(crate) new: Vec<(Digest, u64)>,
    /// The bundle against whose manifest this one may be compressed, and that manifest's digest.
    checkpoint: Option<(Digest, Digest)>,
}

/// The bytes of the objects that the parent lacks, against those of the parent that are most like them.
#[derive(Default)]
struct Patch {
    bytes: Vec<u8>,
    prefix: u64,
    plain: u64,
}

/// New packs. They are sent while further ones are made.
struct Packing<'s, 'e> {
    remote: &'e Remote,
    scope: &'s Scope<'s, 'e>,
    sending: VecDeque<ScopedJoinHandle<'s, Result<()>>>,
    at: HashMap<Digest, Location>,
    /// Whether there is a pack outside the bundle.
    has_files: bool,
    /// The only pack, if it is small.
    inline: Vec<u8>,
}

fn unfit(why: Bad) -> Error {
    Error::Unfit { why: why.to_string() }
}

impl Remote {
    /// Finds out what a push of a generation onto a record has to send.
    pub(crate) fn needed(
        &self,
        generation: &Generation,
        (base, channel): (Option<&Entry>, &str),
        damaged: &BTreeSet<String>,
    ) -> Result<Needed> {
        let manifest = generation.manifest()?;
        let bytes = generation.manifest_bytes()?;
        let objects = table::objects(&manifest.tree).map_err(unfit)?;
        if let Some(base) = base {
            self.refuse_forgotten(&base.record, &manifest.tree)?;
        }
        let heads = self.heads(base, channel, damaged)?;
        let needed: HashSet<Digest> = objects.iter().map(|(digest, _)| *digest).collect();
        let mut at = HashMap::new();
        // The parent comes first, and its locations count.
        for head in heads.iter().rev() {
            let locations = self.locations(head)?.into_iter();
            let is_intact = |location: &Location| !damaged.contains(&location.pack.key(head.bundle.id));
            at.extend(locations.filter(|(digest, at)| needed.contains(digest) && is_intact(at)));
        }
        let is_new = |(digest, _): &&(Digest, u64)| !at.contains_key(digest);
        let new = objects.iter().filter(is_new).copied().collect();
        let checkpoint = heads.first().map(checkpoint);
        let checkpoint = checkpoint.filter(|(id, _)| !damaged.contains(&names::bundle(*id)));
        Ok(Needed { manifest, bytes, objects, heads, at, new, checkpoint })
    }

    /// Puts the packs on the remote, and makes the bundle.
    pub(crate) fn prepare(&self, store: &Store, needed: Needed) -> Result<Made> {
        let Needed { manifest, bytes, objects, heads, at, new, checkpoint } = needed;
        store.check_forgotten(&manifest.tree)?;
        self.begin(Way::Push, new.iter().map(|(_, size)| size).sum());
        let (at, inline) = thread::scope(|scope| {
            let sending = VecDeque::new();
            let mut packing =
                Packing { remote: self, scope, sending, at, has_files: false, inline: vec![] };
            packing.pack(store, &new)?;
            while let Some(thread) = packing.sending.pop_front() {
                joined(thread)?;
            }
            Ok::<_, Error>((packing.at, packing.inline))
        })?;
        let parent = heads.first();
        let patch = parent.map(|parent| patch(store, parent, &manifest)).transpose()?.unwrap_or_default();
        let mut header = header((parent, checkpoint), &bytes, patch.prefix)?;
        let table = Table::of(&objects, &at).map_err(unfit)?;
        let sections = self.sections(&mut header, (&bytes, &table), patch, inline)?;
        header.describe(&sections);
        let encoded = header.encode();
        let id = Digest::of(&encoded);
        let mut references: BTreeSet<String> = table.packs().iter().map(|pack| pack.key(id)).collect();
        references.insert(names::bundle(id));
        references.extend(header.checkpoint.map(names::bundle));
        let (tree, note) = (manifest.head.tree.digest(), short_note(&manifest.head.note));
        let of = record::Generation { bundle: id, tree, note };
        let mut bundle = encoded;
        sections.into_iter().for_each(|(section, _)| bundle.extend(section));
        Ok(Made { bundle, header, manifest: bytes, prepared: Prepared { of, references } })
    }

    /// Puts the bundle there.
    pub(crate) fn upload(&self, made: &Made) -> Result<()> {
        let id = made.prepared.of.bundle;
        self.create_own(&names::bundle(id), &made.bundle)?;
        if let Some(cache) = &self.options.cache {
            cache.keep(id, Part::Header, &made.header.encode());
            cache.keep(id, Part::Manifest, &made.manifest);
            let range = made.header.range(Section::Table);
            cache.keep(id, Part::Table, &made.bundle[range.start as usize..range.end as usize]);
        }
        Ok(())
    }

    /// Reads the generations that are heads: that of the channel first, then the newest.
    fn heads(
        &self,
        base: Option<&Entry>,
        channel: &str,
        damaged: &BTreeSet<String>,
    ) -> Result<Vec<Remembered>> {
        let Some(base) = base else { return Ok(vec![]) };
        let mut heads: Vec<_> = base.record.heads.iter().collect();
        heads.sort_by_key(|(name, head)| (*name != channel, u64::MAX - head.number));
        let mut seen = HashSet::new();
        heads.retain(|(_, head)| seen.insert(head.bundle));
        let read = |head: Head| match self.remembered(head.bundle) {
            // A new bundle takes its place.
            Err(Error::Damaged { key, .. } | Error::Missing { key }) if damaged.contains(&key) => Ok(None),
            read => read.map(Some),
        };
        let read = heads.into_iter().take(MAX_HEADS).map(|(_, head)| read(*head));
        read.filter_map(Result::transpose).collect()
    }

    /// Makes the sections of a bundle. A manifest that differs much from the checkpoint's becomes a
    /// checkpoint itself.
    fn sections(
        &self,
        header: &mut Header,
        (manifest, table): (&[u8], &Table),
        patch: Patch,
        inline: Vec<u8>,
    ) -> Result<Sections> {
        let against = |id: Option<Digest>| -> Result<Vec<u8>> {
            let Some(id) = id else { return Ok(vec![]) };
            compress(&self.remembered(id)?.bytes, manifest)
        };
        let mut from_parent = against(header.parent)?;
        let mut whole = match header.checkpoint == header.parent {
            // One difference is enough.
            true => std::mem::take(&mut from_parent),
            false => against(header.checkpoint)?,
        };
        let is_far = whole.is_empty() || whole.len() > manifest.len() / 16 + 4096;
        if is_far {
            if header.checkpoint == header.parent {
                from_parent = whole;
            }
            (header.checkpoint, header.checkpoint_manifest) = (None, None);
            whole = compress(&[], manifest)?;
        } else if whole.len() <= from_parent.len() + from_parent.len() / 4 {
            // Most of both is the digests of new files then, and readers of one have the other's manifest too.
            from_parent.clear();
        }
        let table = table.encode();
        let (plain, table_len) = (manifest.len() as u64, table.len() as u64);
        let inline_len = inline.len() as u64;
        Ok([
            (from_parent, plain),
            (patch.bytes, patch.plain),
            (compress(&[], &table)?, table_len),
            (whole, plain),
            (inline, inline_len),
        ])
    }
}

/// Returns the checkpoint of a parent: another bundle, or itself; and the digest of its manifest.
fn checkpoint(parent: &Remembered) -> (Digest, Digest) {
    let header = &parent.bundle.header;
    let above = header.checkpoint.zip(header.checkpoint_manifest);
    above.unwrap_or((parent.bundle.id, header.manifest))
}

/// Begins the header of a bundle.
fn header(
    (parent, checkpoint): (Option<&Remembered>, Option<(Digest, Digest)>),
    manifest: &[u8],
    prefix: u64,
) -> Result<Header> {
    let own = parent.map(|parent| (parent.bundle.id, parent.bundle.header.manifest));
    Ok(Header {
        nonce: random().map_err(Error::local("get random bytes"))?,
        manifest: Digest::of(manifest),
        manifest_len: manifest.len() as u64,
        parent: own.map(|(id, _)| id),
        parent_manifest: own.map(|(_, digest)| digest),
        checkpoint: checkpoint.map(|(id, _)| id),
        checkpoint_manifest: checkpoint.map(|(_, digest)| digest),
        prefix,
        sections: [Stored::NONE; SECTIONS],
    })
}

fn compress(prefix: &[u8], payload: &[u8]) -> Result<Vec<u8>> {
    let level = if payload.len() >= LARGE { FAST_LEVEL } else { LEVEL };
    squeeze::compress(level, prefix, payload).map_err(Error::local("compress"))
}

/// Waits for a thread that sends a pack.
fn joined(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    let lost = |_| Err(Error::Local { op: "send a pack", cause: std::io::ErrorKind::Other.into() });
    thread.join().unwrap_or_else(lost)
}

impl<'s, 'e> Packing<'s, 'e> {
    /// Packs objects of the store in this order, and large ones each by itself.
    fn pack(&mut self, store: &Store, objects: &[(Digest, u64)]) -> Result<()> {
        let mut builder = Builder::new(pack::FRAME_LOG);
        let mut open: Vec<(Digest, u64)> = vec![];
        for (digest, size) in objects {
            if *size >= BIG {
                self.pack_big(store, (*digest, *size))?;
                continue;
            }
            let bytes = read_object(store, (*digest, *size))?;
            self.remote.advance(*size);
            open.push((*digest, builder.push(&bytes).map_err(Error::local("compress"))?));
            if builder.stored() >= pack::TARGET {
                let full = std::mem::replace(&mut builder, Builder::new(pack::FRAME_LOG));
                self.close(full, std::mem::take(&mut open))?;
            }
        }
        if builder.run() == 0 {
            return Ok(());
        }
        if builder.stored() < MAX_INLINE as u64 && !self.has_files {
            let bytes = builder.finish().map_err(Error::local("compress"))?;
            let pack = PackRef { place: Place::Bundle(None), offset: 0, stored: bytes.len() as u64 };
            self.locate(pack, open);
            self.inline = bytes;
            return Ok(());
        }
        self.close(builder, open)
    }

    fn locate(&mut self, pack: PackRef, objects: Vec<(Digest, u64)>) {
        self.at.extend(objects.into_iter().map(|(digest, start)| (digest, Location { pack, start })));
        self.has_files = true;
    }

    /// Completes a pack, and sends it while the next one is made.
    fn close(&mut self, builder: Builder, objects: Vec<(Digest, u64)>) -> Result<()> {
        let bytes = builder.finish().map_err(Error::local("compress"))?;
        let place = Place::Pack(Digest::of(&bytes), random().map_err(Error::local("get random bytes"))?);
        let pack = PackRef { place, offset: 0, stored: bytes.len() as u64 };
        self.locate(pack, objects);
        while self.sending.len() >= SENDING {
            self.sending.pop_front().map_or(Ok(()), joined)?;
        }
        let (remote, key, bytes) = (self.remote, pack.key(Digest::of(b"")), Arc::new(bytes));
        let (own_key, own_bytes) = (key.clone(), Arc::clone(&bytes));
        let send = move || remote.create_own(&own_key, &own_bytes);
        match thread::Builder::new().spawn_scoped(self.scope, send) {
            Ok(thread) => self.sending.push_back(thread),
            // If the system refuses a thread, one pack comes after the other.
            Err(_) => remote.create_own(&key, &bytes)?,
        }
        Ok(())
    }

    /// Compresses and sends a large object, part by part.
    fn pack_big(&mut self, store: &Store, (digest, size): (Digest, u64)) -> Result<()> {
        let nonce = random().map_err(Error::local("get random bytes"))?;
        let place = Place::Big(digest, nonce);
        let key = PackRef { place, offset: 0, stored: 0 }.key(digest);
        let mut found = Ok(0);
        let sent = self.remote.repeat(("create", &key), |_| {
            let mut long = match Long::open(store, digest, size) {
                Ok(long) => long,
                Err(error) => {
                    found = Err(error);
                    return Err(Failure::final_one("the object cannot be read"));
                }
            };
            let sent = self.remote.transport.create_long(&key, &mut || {
                let before = long.hasher.count();
                let part = long.part();
                self.remote.advance(long.hasher.count() - before);
                part
            });
            found = match long.is_damaged {
                true => Err(damaged(digest)),
                false => Ok(long.stored),
            };
            sent
        });
        let stored = found?;
        sent?;
        self.locate(PackRef { place, offset: 0, stored }, vec![(digest, 0)]);
        Ok(())
    }
}

/// A large object on its way: it is read, compressed and hashed frame by frame.
struct Long {
    file: File,
    builder: Option<Builder>,
    hasher: blake3::Hasher,
    wanted: (Digest, u64),
    stored: u64,
    is_damaged: bool,
}

impl Long {
    fn open(store: &Store, digest: Digest, size: u64) -> Result<Long> {
        let file = open_object(store, digest)?;
        let builder = Some(Builder::new(pack::BIG_FRAME_LOG));
        let hasher = blake3::Hasher::new();
        Ok(Long { file, builder, hasher, wanted: (digest, size), stored: 0, is_damaged: false })
    }

    /// Returns the next compressed bytes. The last ones come only if all bytes were the right ones.
    fn part(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(mut builder) = self.builder.take() else { return Ok(None) };
        let mut chunk = vec![];
        if self.file.by_ref().take(1 << pack::BIG_FRAME_LOG).read_to_end(&mut chunk)? > 0 {
            self.hasher.update(&chunk);
            builder.push(&chunk)?;
            let part = builder.take();
            self.stored += part.len() as u64;
            self.builder = Some(builder);
            return Ok(Some(part));
        }
        let (digest, size) = self.wanted;
        if Digest::from(self.hasher.finalize()) != digest || builder.run() != size {
            self.is_damaged = true;
            return Err(std::io::Error::other("its hash differs"));
        }
        let part = builder.finish()?;
        self.stored += part.len() as u64;
        Ok(Some(part))
    }
}

/// Makes the patch from a parent. It is empty if the store lacks objects of the parent, or if the bytes are
/// too many for a window.
fn patch(store: &Store, parent: &Remembered, manifest: &Manifest) -> Result<Patch> {
    let (before, after) = sides(&parent.manifest.tree, &manifest.tree).map_err(unfit)?;
    let len = |side: &[(Digest, u64)]| side.iter().map(|(_, size)| size).sum::<u64>();
    let (prefix, plain) = (len(&before), len(&after));
    if plain == 0 || prefix == 0 || prefix.saturating_add(plain) > MAX_PATCH {
        return Ok(Patch::default());
    }
    let mut bytes = Vec::with_capacity(prefix as usize);
    for object in &before {
        match read_object(store, *object) {
            Ok(object) => bytes.extend(object),
            // The parent was pushed by another machine, or its objects were collected.
            Err(_) => return Ok(Patch::default()),
        }
    }
    let mut payload = Vec::with_capacity(plain as usize);
    for object in &after {
        payload.extend(read_object(store, *object)?);
    }
    Ok(Patch { bytes: compress(&bytes, &payload)?, prefix, plain })
}

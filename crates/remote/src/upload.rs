//! The files of a push: packs, the patch, the table and the bundle.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;

use genstore::tree::Digest;
use genstore::{Generation, Store};

use crate::cache::Part;
use crate::codec::bundle::{Header, MAX_INLINE, SECTIONS, Section, Sections, Stored};
use crate::codec::pack::{self, Builder};
use crate::codec::record::{self, short_note};
use crate::codec::squeeze::MAX_PATCH;
use crate::codec::table::{self, Location, PackRef, Place, Table};
use crate::codec::{Bad, names, squeeze};
use crate::error::{Error, Result};
use crate::load::Remembered;
use crate::log::Entry;
use crate::nonce::random;
use crate::objects::{damaged, open_object, read_object, sides};
use crate::push::Prepared;
use crate::requests::Remote;

/// From this size on, a file is stored by itself, in bytes.
const BIG: u64 = 8 << 20;
/// The level of compressions, and that of large ones.
const LEVEL: i32 = 12;
const FAST_LEVEL: i32 = 3;
/// From this length on, the fast level is used.
const LARGE: usize = 4 << 20;
/// The number of heads whose tables are read.
const MAX_HEADS: usize = 4;

/// The files of a push, in memory.
pub(crate) struct Made {
    /// The packs and large files, with their keys.
    files: Vec<(String, Vec<u8>)>,
    bundle: Vec<u8>,
    header: Header,
    manifest: Vec<u8>,
    pub(crate) prepared: Prepared,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// The bytes of the objects that the parent lacks, against those that only the parent has.
#[derive(Default)]
struct Patch {
    bytes: Vec<u8>,
    prefix: u64,
    plain: u64,
}

/// New packs.
#[derive(Default)]
struct Packing {
    at: HashMap<Digest, Location>,
    files: Vec<(String, Vec<u8>)>,
    /// The only pack, if it is small.
    inline: Vec<u8>,
}

fn unfit(why: Bad) -> Error {
    Error::Unfit { why: why.to_string() }
}

impl Remote {
    /// Makes the files for a push of a generation onto a record.
    pub(crate) fn prepare(
        &self,
        store: &Store,
        generation: &Generation,
        (base, channel): (Option<&Entry>, &str),
    ) -> Result<Made> {
        let manifest = generation.manifest()?;
        let bytes = generation.manifest_bytes()?;
        let objects = table::objects(&manifest.tree).map_err(unfit)?;
        let heads = self.heads(base, channel)?;
        let needed: HashSet<Digest> = objects.iter().map(|(digest, _)| *digest).collect();
        let mut packing = Packing::default();
        // The parent comes first, and its locations count.
        for head in heads.iter().rev() {
            let locations = self.locations(head)?.into_iter();
            packing.at.extend(locations.filter(|(digest, _)| needed.contains(digest)));
        }
        let is_new = |(digest, _): &&(Digest, u64)| !packing.at.contains_key(digest);
        let new: Vec<(Digest, u64)> = objects.iter().filter(is_new).copied().collect();
        packing.pack(store, &new)?;
        let parent = heads.first();
        let patch = parent.map(|parent| patch(store, parent, &objects)).transpose()?.unwrap_or_default();
        let mut header = header(parent, &bytes, patch.prefix)?;
        let table = Table::of(&objects, &packing.at).map_err(unfit)?;
        let sections = self.sections(&mut header, (&bytes, &table), patch, &mut packing)?;
        header.describe(&sections);
        let encoded = header.encode();
        let id = Digest::of(&encoded);
        let mut references: BTreeSet<String> = table.packs().iter().map(|pack| pack.key(id)).collect();
        references.insert(names::bundle(id));
        references.extend(header.checkpoint.map(names::bundle));
        let (tree, note) = (manifest.head.tree.digest(), short_note(&manifest.head.note));
        let of = record::Generation { bundle: id, tree, note };
        Ok(Made {
            files: packing.files,
            bundle: sections.into_iter().fold(encoded, |all, (section, _)| [all, section].concat()),
            header,
            manifest: bytes,
            prepared: Prepared { of, references },
            objects: new.len() as u64,
            bytes: new.iter().map(|(_, size)| size).sum(),
        })
    }

    /// Puts the files there, the bundle last.
    pub(crate) fn upload(&self, made: &Made) -> Result<()> {
        for (key, bytes) in &made.files {
            self.create_own(key, bytes)?;
        }
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
    fn heads(&self, base: Option<&Entry>, channel: &str) -> Result<Vec<Remembered>> {
        let Some(base) = base else { return Ok(vec![]) };
        let mut heads: Vec<_> = base.record.heads.iter().collect();
        heads.sort_by_key(|(name, head)| (*name != channel, u64::MAX - head.number));
        let mut seen = HashSet::new();
        heads.retain(|(_, head)| seen.insert(head.bundle));
        heads.into_iter().take(MAX_HEADS).map(|(_, head)| self.remembered(head.bundle)).collect()
    }

    /// Makes the sections of a bundle. A manifest that differs much from the checkpoint's becomes a
    /// checkpoint itself.
    fn sections(
        &self,
        header: &mut Header,
        (manifest, table): (&[u8], &Table),
        patch: Patch,
        packing: &mut Packing,
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
        }
        let table = table.encode();
        let (plain, table_len) = (manifest.len() as u64, table.len() as u64);
        let inline = std::mem::take(&mut packing.inline);
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

/// Begins the header of a bundle.
fn header(parent: Option<&Remembered>, manifest: &[u8], prefix: u64) -> Result<Header> {
    let parent = parent.map(|parent| &parent.bundle);
    let own = parent.map(|parent| (parent.id, parent.header.manifest));
    let above = parent.and_then(|parent| parent.header.checkpoint.zip(parent.header.checkpoint_manifest));
    let checkpoint = above.or(own);
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

impl Packing {
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
            open.push((*digest, builder.push(&bytes).map_err(Error::local("compress"))?));
            if builder.stored() >= pack::TARGET {
                let full = std::mem::replace(&mut builder, Builder::new(pack::FRAME_LOG));
                self.close(full, std::mem::take(&mut open))?;
            }
        }
        if builder.run() == 0 {
            return Ok(());
        }
        if builder.stored() < MAX_INLINE && self.files.is_empty() {
            let bytes = builder.finish().map_err(Error::local("compress"))?;
            let pack = PackRef { place: Place::Bundle(None), offset: 0, stored: bytes.len() as u64 };
            self.at.extend(open.into_iter().map(|(digest, start)| (digest, Location { pack, start })));
            self.inline = bytes;
            return Ok(());
        }
        self.close(builder, open)
    }

    /// Completes a pack.
    fn close(&mut self, builder: Builder, objects: Vec<(Digest, u64)>) -> Result<()> {
        let bytes = builder.finish().map_err(Error::local("compress"))?;
        let place = Place::Pack(Digest::of(&bytes), random().map_err(Error::local("get random bytes"))?);
        self.add(place, bytes, objects);
        Ok(())
    }

    fn add(&mut self, place: Place, bytes: Vec<u8>, objects: Vec<(Digest, u64)>) {
        let pack = PackRef { place, offset: 0, stored: bytes.len() as u64 };
        self.at.extend(objects.into_iter().map(|(digest, start)| (digest, Location { pack, start })));
        self.files.push((pack.key(Digest::of(b"")), bytes));
    }

    fn pack_big(&mut self, store: &Store, (digest, size): (Digest, u64)) -> Result<()> {
        let mut builder = Builder::new(pack::BIG_FRAME_LOG);
        let mut file = open_object(store, digest)?;
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![];
        loop {
            chunk.clear();
            let read = file.by_ref().take(1 << 20).read_to_end(&mut chunk);
            if read.map_err(Error::local("read an object"))? == 0 {
                break;
            }
            hasher.update(&chunk);
            builder.push(&chunk).map_err(Error::local("compress"))?;
        }
        if Digest::from(hasher.finalize()) != digest || builder.run() != size {
            return Err(damaged(digest));
        }
        let nonce = random().map_err(Error::local("get random bytes"))?;
        let bytes = builder.finish().map_err(Error::local("compress"))?;
        self.add(Place::Big(digest, nonce), bytes, vec![(digest, 0)]);
        Ok(())
    }
}

/// Makes the patch from a parent. It is empty if the store lacks objects of the parent, or if the bytes are
/// too many for a window.
fn patch(store: &Store, parent: &Remembered, objects: &[(Digest, u64)]) -> Result<Patch> {
    let (before, after) = sides(&parent.objects, objects);
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

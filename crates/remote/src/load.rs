//! Bundles on the remote, with their manifests and tables.

use std::collections::HashMap;

use genstore::generation::Manifest;
use genstore::tree::Digest;

use crate::cache::Part;
use crate::codec::bundle::{Header, Section};
use crate::codec::table::{self, Location, Table};
use crate::codec::{Bad, names, squeeze};
use crate::error::{Error, Result};
use crate::requests::{Remote, has_digest};

/// The number of bytes of a bundle that the first request reads: header, patch and table of a small change.
const FIRST_READ: u64 = 64 << 10;

/// A bundle of which some bytes are here.
pub(crate) struct Bundle {
    pub(crate) id: Digest,
    pub(crate) header: Header,
    /// The beginning of the file, as far as it was read.
    begin: Vec<u8>,
}

impl Bundle {
    /// Returns a part of the file, if it was read already.
    pub(crate) fn held(&self, start: u64, len: u64) -> Option<&[u8]> {
        self.begin.get(start as usize..start.checked_add(len)? as usize)
    }
}

/// A generation on the remote.
pub(crate) struct Remembered {
    pub(crate) bundle: Bundle,
    /// The manifest as bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    /// Its objects with their sizes, each once.
    pub(crate) objects: Vec<(Digest, u64)>,
}

impl Remote {
    /// Reads the header of a bundle.
    pub(crate) fn bundle(&self, id: Digest) -> Result<Bundle> {
        let cached = self.options.cache.as_ref().and_then(|cache| cache.part(id, Part::Header));
        if let Some(header) = cached.and_then(|bytes| Header::decode(&bytes, id).ok()) {
            return Ok(Bundle { id, header, begin: vec![] });
        }
        let decode = |bytes: Vec<u8>| Header::decode(&bytes, id).map(|header| (header, bytes));
        let (header, begin) = self.must_get((&names::bundle(id), 0, FIRST_READ), decode)?;
        Ok(Bundle { id, header, begin })
    }

    /// Reads a section of a bundle, and checks its digest.
    pub(crate) fn section(&self, bundle: &Bundle, section: Section) -> Result<Vec<u8>> {
        let range = bundle.header.range(section);
        if range.is_empty() {
            return Ok(vec![]);
        }
        let check = |bytes: Vec<u8>| bundle.header.check(section, &bytes).map(|()| bytes);
        let held = bundle.held(range.start, range.end - range.start);
        if let Some(Ok(bytes)) = held.map(|bytes| check(bytes.to_vec())) {
            return Ok(bytes);
        }
        self.must_get((&names::bundle(bundle.id), range.start, range.end - range.start), check)
    }

    /// Reads a generation's manifest: a copy, or the difference from a manifest of which there is a copy, or
    /// the difference from the checkpoint's.
    pub(crate) fn remembered(&self, id: Digest) -> Result<Remembered> {
        let bundle = self.bundle(id)?;
        let bytes = self.manifest_bytes(&bundle, true)?;
        let bad = |why| Error::bad(&names::bundle(id), why);
        let malformed = |_| bad(Bad::Malformed("its manifest is malformed"));
        let manifest = Manifest::decode(&bytes).map_err(malformed)?;
        let objects = table::objects(&manifest.tree).map_err(bad)?;
        if let Some(cache) = &self.options.cache {
            cache.keep(id, Part::Manifest, &bytes);
            cache.keep(id, Part::Header, &bundle.header.encode());
        }
        Ok(Remembered { bundle, bytes, manifest, objects })
    }

    fn manifest_bytes(&self, bundle: &Bundle, may_have_checkpoint: bool) -> Result<Vec<u8>> {
        let header = &bundle.header;
        let bad = |why| Error::bad(&names::bundle(bundle.id), why);
        if let Some(copy) = self.copy(bundle.id, header.manifest) {
            return Ok(copy);
        }
        let parent = header.parent.zip(header.parent_manifest);
        let (prefix, section) = match parent.and_then(|(id, digest)| self.copy(id, digest)) {
            Some(parent) if header.section(Section::FromParent).stored > 0 => (parent, Section::FromParent),
            _ => match header.checkpoint.zip(header.checkpoint_manifest) {
                None => (vec![], Section::Manifest),
                Some(_) if !may_have_checkpoint => {
                    return Err(bad(Bad::Malformed("a checkpoint has a checkpoint")));
                }
                Some((id, digest)) => {
                    let checkpoint = self.manifest_bytes(&self.bundle(id)?, false)?;
                    has_digest(&checkpoint, digest).map_err(bad)?;
                    // The next generations are differences from it, too.
                    if let Some(cache) = &self.options.cache {
                        cache.keep(id, Part::Manifest, &checkpoint);
                    }
                    (checkpoint, Section::Manifest)
                }
            },
        };
        let packed = self.section(bundle, section)?;
        let bytes = squeeze::decompress(&prefix, &packed, header.manifest_len).map_err(bad)?;
        has_digest(&bytes, header.manifest).map_err(bad)?;
        Ok(bytes)
    }

    /// Returns the copy of a manifest, if there is one with this digest.
    pub(crate) fn copy(&self, bundle: Digest, manifest: Digest) -> Option<Vec<u8>> {
        let copy = self.options.cache.as_ref()?.part(bundle, Part::Manifest)?;
        (Digest::of(&copy) == manifest).then_some(copy)
    }

    /// Reads the table of a generation.
    pub(crate) fn table(&self, bundle: &Bundle) -> Result<Table> {
        let bad = |why| Error::bad(&names::bundle(bundle.id), why);
        let header = &bundle.header;
        let cache = self.options.cache.as_ref();
        let cached = cache.and_then(|cache| cache.part(bundle.id, Part::Table));
        let packed = match cached.filter(|bytes| header.check(Section::Table, bytes).is_ok()) {
            Some(packed) => packed,
            None => {
                let packed = self.section(bundle, Section::Table)?;
                if let Some(cache) = cache {
                    cache.keep(bundle.id, Part::Table, &packed);
                }
                packed
            }
        };
        let plain = header.section(Section::Table).plain;
        let table = squeeze::decompress(&[], &packed, plain.min(table::MAX_TABLE)).map_err(bad)?;
        Table::decode(&table).map_err(bad)
    }

    /// Returns the location of each object of a generation.
    pub(crate) fn locations(&self, of: &Remembered) -> Result<HashMap<Digest, Location>> {
        let table = self.table(&of.bundle)?;
        let bad = |why| Error::bad(&names::bundle(of.bundle.id), why);
        let start = of.bundle.header.range(Section::Pack).start;
        table.locations(&of.objects, (of.bundle.id, start)).map_err(bad)
    }
}

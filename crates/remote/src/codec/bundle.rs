//! Bundles: one generation's metadata, its patch against the generation before, and its pack if that is
//! small.
//!
//! A header of fixed length holds the length and the digest of each section. The bundle's id is the BLAKE3
//! of the header, so a reader can check each section by itself (RMT-3).

use std::ops::Range;

use genstore::tree::Digest;

use super::wire::{Reader, Writer};
use super::{Bad, Nonce};

const MAGIC: &[u8; 8] = b"gstbundl";

/// The length of the header, in bytes.
pub const HEADER: usize = 8 + 4 + 16 + 32 + 8 + 4 * 32 + 8 + SECTIONS * (8 + 8 + 32);
/// The number of sections.
pub const SECTIONS: usize = 5;
/// The longest section, in bytes.
pub const MAX_SECTION: u64 = 1 << 31;
/// The longest pack that lies in a bundle, in bytes.
pub const MAX_INLINE: usize = 1 << 20;

/// The sections, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Section {
    /// The manifest, compressed against the parent's manifest.
    FromParent = 0,
    /// The bytes of the objects that the parent lacks, compressed against those that they replace.
    Patch = 1,
    /// The location table, compressed.
    Table = 2,
    /// The manifest, compressed against the checkpoint's manifest, or alone.
    Manifest = 3,
    /// A pack.
    Pack = 4,
}

/// The header's data about a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its length in the bundle, in bytes; 0: there is none.
    pub stored: u64,
    /// Its length when decompressed.
    pub plain: u64,
    /// BLAKE3 of its bytes in the bundle.
    pub digest: Digest,
}

impl Stored {
    /// No section.
    pub const NONE: Stored = Stored { stored: 0, plain: 0, digest: Digest::from_bytes([0; 32]) };

    /// Describes the bytes of a section.
    fn of(bytes: &[u8], plain: u64) -> Stored {
        match bytes {
            [] => Stored::NONE,
            _ => Stored { stored: bytes.len() as u64, plain, digest: Digest::of(bytes) },
        }
    }
}

/// The header of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// It makes the id of each bundle a new one.
    pub nonce: Nonce,
    /// BLAKE3 of the manifest.
    pub manifest: Digest,
    /// The length of the manifest in bytes.
    pub manifest_len: u64,
    /// The bundle of the generation before.
    pub parent: Option<Digest>,
    /// BLAKE3 of its manifest.
    pub parent_manifest: Option<Digest>,
    /// The bundle against whose manifest this one is compressed. `None`: it is compressed alone.
    pub checkpoint: Option<Digest>,
    /// BLAKE3 of its manifest.
    pub checkpoint_manifest: Option<Digest>,
    /// The length of the patch's prefix, in bytes.
    pub prefix: u64,
    /// The sections.
    pub sections: [Stored; SECTIONS],
}

/// The sections of a new bundle, each with its length when decompressed.
pub type Sections = [(Vec<u8>, u64); SECTIONS];

impl Header {
    /// Sets the data about the sections.
    pub fn describe(&mut self, sections: &Sections) {
        self.sections = std::array::from_fn(|at| Stored::of(&sections[at].0, sections[at].1));
    }

    /// Returns where a section lies in the bundle.
    pub fn range(&self, section: Section) -> Range<u64> {
        let before = &self.sections[..section as usize];
        let start = HEADER as u64 + before.iter().map(|section| section.stored).sum::<u64>();
        start..start + self.section(section).stored
    }

    /// Returns the data about a section.
    pub fn section(&self, section: Section) -> &Stored {
        &self.sections[section as usize]
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(MAGIC);
        out.u32(1);
        out.bytes(&self.nonce);
        out.digest(self.manifest);
        out.u64(self.manifest_len);
        out.maybe(self.parent);
        out.maybe(self.parent_manifest);
        out.maybe(self.checkpoint);
        out.maybe(self.checkpoint_manifest);
        out.u64(self.prefix);
        for Stored { stored, plain, digest } in &self.sections {
            out.u64(*stored);
            out.u64(*plain);
            out.digest(*digest);
        }
        out.0
    }

    /// Decodes the header of the bundle with this id.
    ///
    /// # Errors
    /// [`Bad`] if it is another bundle's, or if a length is beyond the limits.
    pub fn decode(bytes: &[u8], id: Digest) -> Result<Header, Bad> {
        let bytes = bytes.get(..HEADER).ok_or(Bad::Malformed("it is too short"))?;
        let mut from = Reader::new(bytes);
        from.magic(MAGIC, "a bundle")?;
        if Digest::of(bytes) != id {
            return Err(Bad::Malformed("its hash is not its name"));
        }
        let (nonce, manifest, manifest_len) = (from.nonce()?, from.digest()?, from.u64()?);
        let (parent, parent_manifest) = (from.maybe()?, from.maybe()?);
        let (checkpoint, checkpoint_manifest) = (from.maybe()?, from.maybe()?);
        let prefix = from.u64()?;
        let mut sections = [Stored::NONE; SECTIONS];
        for section in &mut sections {
            *section = Stored { stored: from.u64()?, plain: from.u64()?, digest: from.digest()? };
            if section.stored == 0 && *section != Stored::NONE {
                return Err(Bad::Malformed("it is not in canonical form"));
            }
            if section.stored > MAX_SECTION || section.plain > MAX_SECTION {
                return Err(Bad::Malformed("a section is too long"));
            }
        }
        from.end()?;
        if manifest_len > MAX_SECTION || prefix > super::squeeze::MAX_PATCH {
            return Err(Bad::Malformed("a section is too long"));
        }
        Ok(Header {
            nonce,
            manifest,
            manifest_len,
            parent,
            parent_manifest,
            checkpoint,
            checkpoint_manifest,
            prefix,
            sections,
        })
    }

    /// Checks the bytes of a section.
    ///
    /// # Errors
    /// [`Bad`] if they are others.
    pub fn check(&self, section: Section, bytes: &[u8]) -> Result<(), Bad> {
        let wanted = self.section(section);
        match wanted.stored == bytes.len() as u64 && wanted.digest == Digest::of(bytes) {
            true => Ok(()),
            false => Err(Bad::Malformed("the hash of a section differs")),
        }
    }
}

//! The framed binary files of the store: manifests and the files beside them (`store-layout.md`,
//! "Frame").
//!
//! A frame is a magic, a format version, the lengths and the BLAKE3 of what follows, then a head and a
//! rest in bincode. The head comes first and has a digest of its own, so `list` reads it without the
//! entries. This is the only module that uses bincode. It decodes from slices whose length was checked
//! before, with fixed-width little-endian integers, and refuses trailing bytes. Every accepted input
//! encodes to the same bytes.

mod beside;
mod inventory;

use std::collections::BTreeMap;
use std::time::SystemTime;
use std::{fmt, io};

use bincode::Options as _;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, Hashing};
use super::little_endian::{u32_at, u64_at};
use super::tree::{Columns, KIND_EXECUTABLE, KIND_FILE, Mtime, ObjectId, Tree, TreeId};

const FORMAT_VERSION: u32 = 1;
const FRAME_LEN: usize = 88;
const MANIFEST_MAGIC: &[u8; 8] = b"gstmanif";

/// A head is small. It is read into memory before its digest is checked.
const MAX_HEAD_LEN: u64 = 4 << 20;
/// Limits the allocation for a damaged length.
const MAX_BODY_LEN: u64 = 8 << 30;

/// Longest note, in bytes.
pub(crate) const MAX_NOTE_LEN: usize = 64 << 10;
/// Longest list of facts, in bytes of all keys and values.
pub(crate) const MAX_FACTS_LEN: usize = 256 << 10;

/// The head of a manifest: the facts about a generation without its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Head {
    /// Id of the tree.
    pub tree: TreeId,
    /// The time of the generation's creation.
    pub created: Mtime,
    /// Number of files.
    pub files: u64,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the sizes of all files, in bytes.
    pub bytes: u64,
    /// A note by a person.
    pub note: String,
    /// Facts by key.
    pub facts: BTreeMap<String, String>,
}

/// The immutable description of one generation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Manifest {
    /// Id, counts, note and facts.
    pub head: Head,
    /// The entries.
    pub tree: Tree,
}

impl Manifest {
    /// Creates the manifest of `tree`.
    pub fn new(tree: Tree, created: SystemTime, note: String, facts: BTreeMap<String, String>) -> Manifest {
        Manifest { head: Head::of(&tree, created, note, facts), tree }
    }

    /// Encodes the manifest.
    pub fn encode(&self) -> Vec<u8> {
        frame(MANIFEST_MAGIC, &encode(&WireHead::from(&self.head)), &WireTree::from(&self.tree))
    }

    /// Decodes a whole manifest.
    ///
    /// # Errors
    /// [`Malformed`] if a single bit differs from the output of [`Manifest::encode`]. It does not check
    /// that the tree's id is the id of the entries: `verify` does.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Malformed> {
        Manifest::from_bytes(&Bytes::copy_from_slice(bytes))
    }

    /// Decodes a whole manifest. Its tree shares the bytes.
    ///
    /// # Errors
    /// As [`Manifest::decode`].
    pub(crate) fn from_bytes(bytes: &Bytes) -> Result<Manifest, Malformed> {
        let (head, rest) = unframe(MANIFEST_MAGIC, bytes)?;
        let head = Head::from_wire(decode(head)?)?;
        let wire: WireTree<'_> = decode(rest)?;
        // The id is in the head, which was hashed with everything else.
        let tree = wire.tree(|column| bytes.slice_ref(column), Some(head.tree))?;
        if (tree.files(), tree.len() as u64, tree.bytes()) != (head.files, head.entries, head.bytes) {
            return malformed("the head does not fit the entries");
        }
        Ok(Manifest { head, tree })
    }

    /// Lists the objects of a manifest's files with their sizes, without decoding the entries. The hash
    /// of all bytes is checked, the paths are not. An object is listed once per file that has it. Empty
    /// files have none.
    pub(crate) fn objects(bytes: &[u8]) -> Result<Vec<(ObjectId, u64)>, Malformed> {
        let (_, rest) = unframe(MANIFEST_MAGIC, bytes)?;
        let wire: WireTree<'_> = decode(rest)?;
        let files = wire.kinds.iter().filter(|kind| matches!(**kind, KIND_FILE | KIND_EXECUTABLE));
        let (sizes, digests) = (wire.sizes.as_chunks().0, wire.digests.as_chunks().0);
        let count = files.clone().count();
        if wire.sizes.len() != count * 8 || wire.digests.len() != count * 32 {
            return malformed("columns of different lengths");
        }
        let object = |((kind, size), digest): ((&u8, &[u8; 8]), &[u8; 32])| {
            let (size, digest) = (u64::from_le_bytes(*size), Digest::from_bytes(*digest));
            (size > 0).then_some((ObjectId { digest, executable: *kind == KIND_EXECUTABLE }, size))
        };
        Ok(files.zip(sizes).zip(digests).filter_map(object).collect())
    }
}

impl Head {
    /// Creates the head for a generation of `tree`.
    pub(crate) fn of(
        tree: &Tree,
        created: SystemTime,
        note: String,
        facts: BTreeMap<String, String>,
    ) -> Head {
        Head {
            tree: tree.id(),
            created: created.into(),
            files: tree.files(),
            entries: tree.len() as u64,
            bytes: tree.bytes(),
            note,
            facts,
        }
    }

    /// Writes the manifest of this head and its tree piece by piece, as it may be large. Returns the
    /// BLAKE3 of its body.
    pub(crate) fn write_with(&self, tree: &Tree, out: &mut impl io::Write) -> io::Result<Digest> {
        write_frame(MANIFEST_MAGIC, &encode(&WireHead::from(self)), &WireTree::from(tree), out)
    }

    /// Number of bytes at the start of a manifest that contain the length of its head.
    pub(crate) const PREFIX_LEN: usize = FRAME_LEN;

    /// Returns the length of the head, from a manifest's first [`Head::PREFIX_LEN`] bytes.
    pub(crate) fn len_from_prefix(prefix: &[u8]) -> Result<usize, Malformed> {
        Ok(Frame::parse(MANIFEST_MAGIC, prefix)?.head_len)
    }

    /// Returns the expected BLAKE3 and the length of all bytes after the prefix.
    pub(crate) fn body_from_prefix(prefix: &[u8]) -> Result<(Digest, u64), Malformed> {
        Frame::parse(MANIFEST_MAGIC, prefix).map(|frame| (frame.body_digest, frame.body_len as u64))
    }

    /// Decodes a head from the prefix and the bytes that follow it.
    pub(crate) fn decode(prefix: &[u8], head: &[u8]) -> Result<Head, Malformed> {
        let frame = Frame::parse(MANIFEST_MAGIC, prefix)?;
        if Digest::of(head) != frame.head_digest {
            return malformed("the head's hash differs");
        }
        Head::from_wire(decode(head)?)
    }

    fn from_wire(wire: WireHead) -> Result<Head, Malformed> {
        let facts: BTreeMap<_, _> = wire.facts.iter().cloned().collect();
        // One spelling per set of facts: sorted, no key twice.
        if wire.created_nanos >= 1_000_000_000 || !facts.iter().eq(wire.facts.iter().map(|(k, v)| (k, v))) {
            return malformed("the head is not in canonical form");
        }
        Ok(Head {
            tree: TreeId::from_digest(Digest::from_bytes(wire.tree)),
            created: Mtime { secs: wire.created_secs, nanos: wire.created_nanos },
            files: wire.files,
            entries: wire.entries,
            bytes: wire.bytes,
            note: wire.note,
            facts,
        })
    }
}

/// The bytes are not a file of this kind, or differ from the ones that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub(crate) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

fn malformed<T>(why: &str) -> Result<T, Malformed> {
    Err(Malformed(why.to_owned()))
}

#[derive(Serialize, Deserialize)]
struct WireHead {
    tree: [u8; 32],
    created_secs: i64,
    created_nanos: u32,
    files: u64,
    entries: u64,
    bytes: u64,
    note: String,
    facts: Vec<(String, String)>,
}

impl From<&Head> for WireHead {
    fn from(head: &Head) -> WireHead {
        WireHead {
            tree: head.tree.digest().0,
            created_secs: head.created.secs,
            created_nanos: head.created.nanos,
            files: head.files,
            entries: head.entries,
            bytes: head.bytes,
            note: head.note.clone(),
            facts: head.facts.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireTree<'a> {
    #[serde(with = "serde_bytes")]
    paths: &'a [u8],
    #[serde(with = "serde_bytes")]
    kinds: &'a [u8],
    #[serde(with = "serde_bytes")]
    sizes: &'a [u8],
    #[serde(with = "serde_bytes")]
    digests: &'a [u8],
    #[serde(with = "serde_bytes")]
    targets: &'a [u8],
    #[serde(with = "serde_bytes")]
    mtimes: &'a [u8],
}

impl<'a> From<&'a Tree> for WireTree<'a> {
    fn from(tree: &'a Tree) -> WireTree<'a> {
        let Columns { paths, kinds, sizes, digests, targets, mtimes } = tree.columns();
        WireTree { paths, kinds, sizes, digests, targets, mtimes }
    }
}

impl WireTree<'_> {
    fn tree(&self, keep: impl Fn(&[u8]) -> Bytes, id: Option<TreeId>) -> Result<Tree, Malformed> {
        let columns = Columns {
            paths: keep(self.paths),
            kinds: keep(self.kinds),
            sizes: keep(self.sizes),
            digests: keep(self.digests),
            targets: keep(self.targets),
            mtimes: keep(self.mtimes),
        };
        Tree::from_columns(columns, id).map_err(|why| Malformed(why.to_string()))
    }
}

fn options() -> impl bincode::Options {
    // bincode needs no limit: it decodes from a slice, so no length can exceed the slice.
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian().reject_trailing_bytes()
}

fn serialize_into<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()> {
    options().serialize_into(out, value).map_err(|error| match *error {
        bincode::ErrorKind::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// Returns the bytes that `write` writes.
fn in_memory<T>(write: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).expect("values of the store always encode, and memory takes all bytes");
    out
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    in_memory(|out| serialize_into(value, out))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    options().deserialize(bytes).map_err(|why| Malformed(why.to_string()))
}

struct Frame {
    head_len: usize,
    body_len: usize,
    body_digest: Digest,
    head_digest: Digest,
}

impl Frame {
    fn parse(magic: &[u8; 8], bytes: &[u8]) -> Result<Frame, Malformed> {
        let Some((frame, _)) = bytes.split_at_checked(FRAME_LEN) else {
            return malformed("shorter than its frame");
        };
        if &frame[..8] != magic {
            return malformed("the magic differs");
        }
        let (head_len, body_len) = (u64::from(u32_at(frame, 12)), u64_at(frame, 16));
        if u32_at(frame, 8) != FORMAT_VERSION {
            // The store's `format` file holds the version of all its files, so this is damage.
            return malformed("the format version differs from the store's");
        }
        if head_len > MAX_HEAD_LEN || body_len > MAX_BODY_LEN || head_len > body_len {
            return malformed("the lengths cannot be right");
        }
        let digest = |at: usize| Digest::from_bytes(frame[at..].as_chunks().0[0]);
        Ok(Frame {
            head_len: head_len as usize,
            body_len: body_len as usize,
            body_digest: digest(24),
            head_digest: digest(56),
        })
    }
}

/// Encodes a frame with its content.
fn frame<T: Serialize>(magic: &[u8; 8], head: &[u8], rest: &T) -> Vec<u8> {
    let rest_len = options().serialized_size(rest).unwrap_or_default() as usize;
    in_memory(|out| {
        out.reserve_exact(FRAME_LEN + head.len() + rest_len);
        write_frame(magic, head, rest, out)
    })
}

/// Writes a frame with its content piece by piece. Returns the BLAKE3 of the content.
fn write_frame<T: Serialize>(
    magic: &[u8; 8],
    head: &[u8],
    rest: &T,
    out: &mut impl io::Write,
) -> io::Result<Digest> {
    let mut body = Hashing::default();
    body.update(head);
    serialize_into(rest, &mut body)?;
    let digest = body.digest();
    let mut prefix = Vec::with_capacity(FRAME_LEN);
    prefix.extend(magic);
    prefix.extend(FORMAT_VERSION.to_le_bytes());
    prefix.extend((head.len() as u32).to_le_bytes());
    prefix.extend(body.count().to_le_bytes());
    prefix.extend(digest.as_bytes());
    prefix.extend(Digest::of(head).as_bytes());
    out.write_all(&prefix)?;
    out.write_all(head)?;
    serialize_into(rest, out).map(|()| digest)
}

fn unframe<'a>(magic: &[u8; 8], bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let frame = Frame::parse(magic, bytes)?;
    let body = &bytes[FRAME_LEN..];
    if body.len() != frame.body_len {
        return malformed("the length differs");
    }
    let (head, rest) = body.split_at(frame.head_len);
    if Digest::of(body) != frame.body_digest || Digest::of(head) != frame.head_digest {
        return malformed("the hash differs");
    }
    Ok((head, rest))
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;

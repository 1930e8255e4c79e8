//! Records: the entries of the log.

use std::collections::BTreeMap;

use genstore::tree::Digest;

use super::wire::{Reader, Writer};
use super::{Bad, Nonce, names};

const MAGIC: &[u8; 8] = b"gstrecrd";

/// The longest record, in bytes.
pub const MAX_RECORD: usize = 4096;
/// The highest number of a record.
pub const MAX_NUMBER: u64 = 1 << 62;
/// The longest note, in bytes. The manifest has the whole note.
pub const MAX_NOTE: usize = 400;
/// The longest signature, in bytes.
pub const MAX_SIGNATURE: usize = 2048;

/// The change that a record makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new generation becomes the head of the channel.
    Push {
        /// The channel.
        channel: String,
        /// The generation.
        of: Generation,
    },
    /// A generation of another channel becomes the head of the channel.
    Promote {
        /// The channel.
        channel: String,
        /// The generation.
        of: Generation,
    },
    /// A generation is kept under a name.
    Pin {
        /// The name.
        name: String,
        /// The generation.
        of: Generation,
    },
    /// A name is removed.
    Unpin {
        /// The name.
        name: String,
    },
    /// gc condemns the files in a list: see [`super::condemned`].
    Barrier {
        /// BLAKE3 of the list.
        list: Digest,
    },
    /// The remote forgets contents: the field `forgotten` names a longer list.
    Forget,
}

/// The generation of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The bundle.
    pub bundle: Digest,
    /// The tree's id.
    pub tree: Digest,
    /// The beginning of the note.
    pub note: String,
}

/// A name in a record: a channel or a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the record that set it.
    pub number: u64,
    /// The bundle.
    pub bundle: Digest,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The number, from 1 on.
    pub number: u64,
    /// BLAKE3 of the record before, as it lies on the remote. `None` for the first.
    pub previous: Option<Digest>,
    /// It tells two records with the same content apart.
    pub nonce: Nonce,
    /// The change.
    pub change: Change,
    /// The time by the writer's clock, in seconds. It is for people.
    pub time: i64,
    /// The time after which readers refuse the record as the newest one; 0: none.
    pub best_before: i64,
    /// The number of barriers up to here, this record included.
    pub epoch: u64,
    /// The record of the channel's head that this one supersedes; 0: none.
    pub expected: u64,
    /// The heads of all channels after the change.
    pub heads: BTreeMap<String, Head>,
    /// All pins after the change.
    pub pins: BTreeMap<String, Head>,
    /// BLAKE3 of the list of all forgotten contents after the change (see [`super::forgotten`]). `None`: there
    /// are none.
    pub forgotten: Option<Digest>,
    /// The signature of all bytes before it.
    pub signature: Vec<u8>,
}

impl Change {
    /// Returns the number of the kind.
    fn kind(&self) -> u8 {
        match self {
            Change::Push { .. } => 1,
            Change::Promote { .. } => 2,
            Change::Pin { .. } => 4,
            Change::Unpin { .. } => 5,
            Change::Barrier { .. } => 6,
            Change::Forget => 9,
        }
    }

    /// Returns the name of the kind, for people.
    pub fn verb(&self) -> &'static str {
        match self {
            Change::Push { .. } => "push",
            Change::Promote { .. } => "promote",
            Change::Pin { .. } => "pin",
            Change::Unpin { .. } => "unpin",
            Change::Barrier { .. } => "barrier",
            Change::Forget => "forget",
        }
    }

    /// Returns the channel or the pin.
    pub fn name(&self) -> &str {
        match self {
            Change::Push { channel: name, .. }
            | Change::Promote { channel: name, .. }
            | Change::Pin { name, .. }
            | Change::Unpin { name } => name,
            Change::Barrier { .. } | Change::Forget => "",
        }
    }

    /// Returns the generation.
    pub fn generation(&self) -> Option<&Generation> {
        match self {
            Change::Push { of, .. } | Change::Promote { of, .. } | Change::Pin { of, .. } => Some(of),
            Change::Unpin { .. } | Change::Barrier { .. } | Change::Forget => None,
        }
    }
}

impl Record {
    /// Returns the bytes that a signature covers.
    ///
    /// # Errors
    /// [`Bad::Malformed`] if a field is too long.
    pub fn signed_part(&self) -> Result<Vec<u8>, Bad> {
        let mut out = Writer::default();
        out.bytes(MAGIC);
        out.u32(1);
        out.u64(self.number);
        out.maybe(self.previous);
        out.bytes(&self.nonce);
        out.u8(self.change.kind());
        out.i64(self.time);
        out.i64(self.best_before);
        out.u64(self.epoch);
        out.u64(self.expected);
        let of = self.change.generation();
        out.maybe(of.map(|of| of.tree));
        out.maybe(of.map(|of| of.bundle));
        let list = if let Change::Barrier { list } = &self.change { Some(*list) } else { None };
        out.maybe(list);
        out.short(self.change.name())?;
        out.long(of.map_or("", |of| &of.note).as_bytes())?;
        for names in [&self.heads, &self.pins] {
            out.u16(names.len().try_into().map_err(|_| Bad::Malformed("too many names"))?);
            for (name, head) in names {
                out.short(name)?;
                out.u64(head.number);
                out.digest(head.bundle);
            }
        }
        out.maybe(self.forgotten);
        Ok(out.0)
    }

    /// Encodes it.
    ///
    /// # Errors
    /// [`Bad::Malformed`] if it would be longer than [`MAX_RECORD`].
    pub fn encode(&self) -> Result<Vec<u8>, Bad> {
        let mut out = Writer(self.signed_part()?);
        out.long(&self.signature)?;
        let bytes = out.seal();
        match bytes.len() <= MAX_RECORD {
            true => Ok(bytes),
            false => Err(Bad::Malformed("a record is longer than 4 KiB: too many channels and pins")),
        }
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`Bad`] if a single bit differs from the output of [`Record::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Record, Bad> {
        if bytes.len() > MAX_RECORD {
            return Err(Bad::Malformed("a record is longer than 4 KiB"));
        }
        let mut from = Reader::sealed(bytes, MAGIC, "a record")?;
        let (number, previous, nonce, kind) = (from.u64()?, from.maybe()?, from.nonce()?, from.u8()?);
        let (time, best_before, epoch, expected) = (from.i64()?, from.i64()?, from.u64()?, from.u64()?);
        let (tree, bundle, list) = (from.maybe()?, from.maybe()?, from.maybe()?);
        let name = from.short()?.to_owned();
        let note =
            std::str::from_utf8(from.long()?).map_err(|_| Bad::Malformed("the note is not UTF-8"))?;
        let note = note.to_owned();
        let (heads, pins) = (heads(&mut from)?, heads(&mut from)?);
        let forgotten = from.maybe()?;
        let signature = from.long()?.to_vec();
        from.end()?;
        if number == 0 || number > MAX_NUMBER || (number == 1) != previous.is_none() {
            return Err(Bad::Malformed("the record before is not named"));
        }
        if note.len() > MAX_NOTE || signature.len() > MAX_SIGNATURE {
            return Err(Bad::Malformed("a text is too long"));
        }
        let of = tree.zip(bundle).map(|(tree, bundle)| Generation { bundle, tree, note: note.clone() });
        let change = match (kind, of, list) {
            (1, Some(of), None) => Change::Push { channel: name, of },
            (2, Some(of), None) => Change::Promote { channel: name, of },
            (4, Some(of), None) => Change::Pin { name, of },
            (5, None, None) => Change::Unpin { name },
            (6, None, Some(list)) if name.is_empty() => Change::Barrier { list },
            (9, None, None) if name.is_empty() && forgotten.is_some() => Change::Forget,
            (1..=6 | 9, ..) => return Err(Bad::Malformed("the fields do not fit the kind")),
            _ => return Err(Bad::Newer("a record")),
        };
        match &change {
            Change::Barrier { .. } | Change::Forget => {}
            change => names::check(change.name())?,
        }
        let record = Record {
            number,
            previous,
            nonce,
            change,
            time,
            best_before,
            epoch,
            expected,
            heads,
            pins,
            forgotten,
            signature,
        };
        // One spelling per record.
        match record.encode()? == bytes {
            true => Ok(record),
            false => Err(Bad::Malformed("it is not in canonical form")),
        }
    }
}

fn heads(from: &mut Reader<'_>) -> Result<BTreeMap<String, Head>, Bad> {
    let mut heads = BTreeMap::new();
    for _ in 0..from.u16()? {
        let name = from.short()?;
        names::check(name)?;
        let head = Head { number: from.u64()?, bundle: from.digest()? };
        if heads.last_key_value().is_some_and(|(last, _): (&String, _)| **last >= *name) {
            return Err(Bad::Malformed("names are not in order"));
        }
        heads.insert(name.to_owned(), head);
    }
    Ok(heads)
}

/// Returns the beginning of a note: its first line, at most [`MAX_NOTE`] bytes.
pub fn short_note(note: &str) -> String {
    let line = note.lines().next().unwrap_or_default();
    let end = (0..=MAX_NOTE.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    line[..end.unwrap_or(0)].to_owned()
}

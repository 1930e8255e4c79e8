//! The list of the contents that a remote has forgotten.

use std::collections::BTreeSet;

use genstore::tree::Digest;

use super::Bad;
use super::wire::{Reader, Writer};

const MAGIC: &[u8; 8] = b"gstforgt";
/// The longest list, in bytes.
pub const MAX_LIST: u64 = 1 << 22;

/// Encodes the BLAKE3 digests of contents.
///
/// # Errors
/// [`Bad::Malformed`] if the list would be longer than [`MAX_LIST`].
pub fn encode(contents: &BTreeSet<Digest>) -> Result<Vec<u8>, Bad> {
    let mut out = Writer::default();
    out.bytes(MAGIC);
    out.u32(1);
    out.u32(contents.len() as u32);
    contents.iter().for_each(|digest| out.digest(*digest));
    let bytes = out.seal();
    match bytes.len() as u64 <= MAX_LIST {
        true => Ok(bytes),
        false => Err(Bad::Malformed("too many contents are forgotten")),
    }
}

/// Decodes a list.
///
/// # Errors
/// [`Bad`] if it differs from the output of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<BTreeSet<Digest>, Bad> {
    let mut from = Reader::sealed(bytes, MAGIC, "a list of forgotten contents")?;
    let mut contents = BTreeSet::new();
    for _ in 0..from.u32()? {
        contents.insert(from.digest()?);
    }
    from.end()?;
    match encode(&contents)? == bytes {
        true => Ok(contents),
        false => Err(Bad::Malformed("it is not in canonical form")),
    }
}

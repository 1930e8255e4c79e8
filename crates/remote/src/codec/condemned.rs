//! The list of a barrier: the generations that gc keeps, and the files that it condemns.

use std::collections::BTreeSet;

use genstore::tree::Digest;

use super::record::Head;
use super::wire::{Reader, Writer};
use super::{Bad, Nonce, names};

const MAGIC: &[u8; 8] = b"gstcondm";
/// The longest list, in bytes.
pub const MAX_LIST: u64 = 1 << 28;

/// A generation that a barrier keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The number of the record that pushed it.
    pub number: u64,
    /// Its channel.
    pub channel: String,
    /// Its bundle.
    pub bundle: Digest,
}

impl Kept {
    /// Returns it as a head.
    pub fn head(&self) -> Head {
        Head { number: self.number, bundle: self.bundle }
    }
}

/// The list of a barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    /// It makes each list a new one.
    pub nonce: Nonce,
    /// The number of the newest record that gc had read when it made the list.
    pub base: u64,
    /// The generations that stay.
    pub kept: BTreeSet<Kept>,
    /// The keys of the files that nothing needed then.
    pub keys: BTreeSet<String>,
}

impl Condemned {
    /// Encodes it.
    ///
    /// # Errors
    /// [`Bad`] if a name is too long.
    pub fn encode(&self) -> Result<Vec<u8>, Bad> {
        let mut out = Writer::default();
        out.bytes(MAGIC);
        out.u32(1);
        out.bytes(&self.nonce);
        out.u64(self.base);
        out.u32(self.kept.len() as u32);
        for Kept { number, channel, bundle } in &self.kept {
            out.u64(*number);
            out.short(channel)?;
            out.digest(*bundle);
        }
        out.u32(self.keys.len() as u32);
        for key in &self.keys {
            out.short(key)?;
        }
        Ok(out.seal())
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`Bad`] if it differs from the output of [`Condemned::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Condemned, Bad> {
        let mut from = Reader::sealed(bytes, MAGIC, "a barrier")?;
        let (nonce, base) = (from.nonce()?, from.u64()?);
        let (mut kept, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..from.u32()? {
            let (number, channel, bundle) = (from.u64()?, from.short()?.to_owned(), from.digest()?);
            names::check(&channel)?;
            kept.insert(Kept { number, channel, bundle });
        }
        for _ in 0..from.u32()? {
            let key = from.short()?;
            if !names::is_collected(key) {
                return Err(Bad::Malformed("a barrier condemns what gc may not remove"));
            }
            keys.insert(key.to_owned());
        }
        from.end()?;
        let list = Condemned { nonce, base, kept, keys };
        match list.encode()? == bytes {
            true => Ok(list),
            false => Err(Bad::Malformed("it is not in canonical form")),
        }
    }
}

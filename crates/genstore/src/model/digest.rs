//! Digests: the names of file contents.

use std::str::FromStr;
use std::{fmt, io};

/// From this length on, all threads hash. Below 128 KiB splitting costs more than it gains, according
/// to the documentation of `blake3::Hasher::update_rayon`. This is twice that.
const LARGE: usize = 1 << 18;

/// BLAKE3-256 of a file's bytes; prints and parses as 64 lower-case hex characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hashing = Hashing::default();
        hashing.update(bytes);
        hashing.digest()
    }

    /// Wraps 32 raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Returns the 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first eight hex characters, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

/// A digest in progress. A large buffer in memory is hashed by all threads.
#[derive(Default)]
pub(crate) struct Hashing(blake3::Hasher);

impl Hashing {
    /// Hashes more bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match bytes.len() {
            0..LARGE => self.0.update(bytes),
            _ => {
                crate::threads::ready();
                self.0.update_rayon(bytes)
            }
        };
    }

    /// Returns the number of bytes so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.count()
    }

    /// Returns the digest of the bytes so far.
    pub(crate) fn digest(&self) -> Digest {
        self.0.finalize().into()
    }
}

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 lower-case hex characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Digest, NotADigest> {
        // One spelling per digest: file names are compared as bytes.
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotADigest);
        }
        let hash = blake3::Hash::from_hex(text).map_err(|_| NotADigest)?;
        Ok(hash.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_large_and_small_pieces_alike() {
        let bytes: Vec<u8> = (0..3 * LARGE as u32).flat_map(u32::to_le_bytes).collect();
        for cut in [0, 1, LARGE - 1, LARGE, LARGE + 1, bytes.len()] {
            let mut hashing = Hashing::default();
            hashing.update(&bytes[..cut]);
            hashing.update(&bytes[cut..]);
            assert_eq!(hashing.digest(), blake3::hash(&bytes).into(), "cut at {cut}");
            assert_eq!(hashing.count(), bytes.len() as u64);
        }
        assert_eq!(Digest::of(&bytes), blake3::hash(&bytes).into());
    }

    #[test]
    fn prints_and_parses_one_spelling() {
        let empty = Digest::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(empty.to_string(), text);
        assert_eq!(text.parse(), Ok(empty));
        assert_eq!(empty.short(), "af1349b9");
        for bad in ["", "af13", &text.to_uppercase(), &text[1..], &format!("{text}0")] {
            assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad:?}");
        }
    }
}

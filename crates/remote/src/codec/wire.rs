//! Fields of fixed width, little-endian, one after the other.

use genstore::tree::Digest;

use super::{Bad, Nonce};

/// Writes fields.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub(super) fn digest(&mut self, digest: Digest) {
        self.0.extend(digest.as_bytes());
    }

    /// Writes a digest, or 32 zero bytes.
    pub(super) fn maybe(&mut self, digest: Option<Digest>) {
        self.digest(digest.unwrap_or(NONE));
    }

    /// Writes a text of at most 255 bytes with its length.
    pub(super) fn short(&mut self, text: &str) -> Result<(), Bad> {
        self.u8(u8::try_from(text.len()).map_err(|_| Bad::Malformed("a text is too long"))?);
        self.bytes(text.as_bytes());
        Ok(())
    }

    /// Writes a text of at most 65,535 bytes with its length.
    pub(super) fn long(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        self.u16(u16::try_from(bytes.len()).map_err(|_| Bad::Malformed("a text is too long"))?);
        self.bytes(bytes);
        Ok(())
    }

    /// Ends with the BLAKE3 of all fields.
    pub(super) fn seal(mut self) -> Vec<u8> {
        let digest = Digest::of(&self.0);
        self.digest(digest);
        self.0
    }
}

/// The digest that stands for no digest.
const NONE: Digest = Digest::from_bytes([0; 32]);

/// Reads fields.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Checks the BLAKE3 at the end, the magic and the version, and reads on after them.
    pub(super) fn sealed(bytes: &'a [u8], magic: &[u8; 8], what: &'static str) -> Result<Reader<'a>, Bad> {
        let Some((body, seal)) = bytes.split_last_chunk::<32>() else {
            return Err(Bad::Malformed("it is too short"));
        };
        let mut reader = Reader(body);
        reader.magic(magic, what)?;
        match Digest::of(body) == Digest::from_bytes(*seal) {
            true => Ok(reader),
            false => Err(Bad::Malformed("its hash differs")),
        }
    }

    /// Checks the magic and the version.
    pub(super) fn magic(&mut self, magic: &[u8; 8], what: &'static str) -> Result<(), Bad> {
        if self.array::<8>()? != *magic {
            return Err(Bad::Malformed("it is another kind of file"));
        }
        match self.u32()? {
            1 => Ok(()),
            _ => Err(Bad::Newer(what)),
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Bad::Malformed("it is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Bad::Malformed("it is too short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Bad> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Bad> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Bad> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Bad> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Bad> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn nonce(&mut self) -> Result<Nonce, Bad> {
        self.array()
    }

    pub(super) fn digest(&mut self) -> Result<Digest, Bad> {
        self.array().map(Digest::from_bytes)
    }

    /// Reads a digest. Returns `None` for 32 zero bytes.
    pub(super) fn maybe(&mut self) -> Result<Option<Digest>, Bad> {
        self.digest().map(|digest| (digest != NONE).then_some(digest))
    }

    pub(super) fn short(&mut self) -> Result<&'a str, Bad> {
        let len = self.u8()?;
        std::str::from_utf8(self.take(len.into())?).map_err(|_| Bad::Malformed("a text is not UTF-8"))
    }

    pub(super) fn long(&mut self) -> Result<&'a [u8], Bad> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// Returns the number of bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), Bad> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Bad::Malformed("something follows it")),
        }
    }
}

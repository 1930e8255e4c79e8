//! Compressed archives, recognised by their first bytes: gzip, zstd and xz. No more bytes are
//! unpacked than the archive's members have.

use std::io::{Cursor, Read};

use anyhow::Result;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::source::cannot_read;

/// The number of bytes by which a format is recognised.
const START: usize = 6;

/// Returns the bytes of an archive, decompressed if it is compressed.
/// Other formats are left to the reader of the archive, which names them.
pub(crate) fn open(mut input: Box<dyn Read>, name: &str) -> Result<Box<dyn Read>> {
    let mut start = Vec::with_capacity(START);
    input.by_ref().take(START as u64).read_to_end(&mut start).map_err(|e| cannot_read(name, e))?;
    let all = Cursor::new(start.clone()).chain(input);
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(all)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::stream::read::Decoder::new(all).map_err(|e| cannot_read(name, e))?)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(XzReader::new(all, true)),
        _ => Box::new(all),
    })
}

//! Compression by zstd: alone, or against a prefix that the reader has.
//!
//! A prefix works only with long-distance matching and a window over both sides: without them the result is
//! hundreds of times larger (a test pins that by size).

use std::io::{self, Read, Write};

use super::Bad;

/// The longest prefix and payload together, in bytes: the window that every decoder grants.
pub const MAX_PATCH: u64 = 1 << 28;

const MIN_WINDOW_LOG: u32 = 10;
const MAX_WINDOW_LOG: u32 = 28;

/// Compresses bytes, against a prefix that may be empty.
///
/// # Errors
/// If zstd fails, for example without memory.
pub fn compress(level: i32, prefix: &[u8], payload: &[u8]) -> io::Result<Vec<u8>> {
    let total = (prefix.len() + payload.len()).max(1) as u64;
    let window_log = (u64::BITS - (total - 1).leading_zeros()).clamp(MIN_WINDOW_LOG, MAX_WINDOW_LOG);
    let mut out = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), level, prefix)?;
    if !prefix.is_empty() {
        out.long_distance_matching(true)?;
        out.window_log(window_log)?;
    }
    out.include_contentsize(true)?;
    out.set_pledged_src_size(Some(payload.len() as u64))?;
    out.write_all(payload)?;
    out.finish()
}

/// Decompresses bytes that must be `len` long in the end.
///
/// # Errors
/// [`Bad::Malformed`] if they are not, or if the prefix is another.
pub fn decompress(prefix: &[u8], bytes: &[u8], len: u64) -> Result<Vec<u8>, Bad> {
    let malformed = |_: io::Error| Bad::Malformed("it cannot be decompressed");
    let mut from = zstd::stream::read::Decoder::with_ref_prefix(bytes, prefix).map_err(malformed)?;
    from.window_log_max(MAX_WINDOW_LOG).map_err(malformed)?;
    // The memory grows with the bytes that arrive, not with a length that somebody wrote.
    let mut plain = Vec::new();
    from.take(len.saturating_add(1)).read_to_end(&mut plain).map_err(malformed)?;
    match plain.len() as u64 == len {
        true => Ok(plain),
        false => Err(Bad::Malformed("it has another length when decompressed")),
    }
}

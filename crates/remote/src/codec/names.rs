//! The keys of a remote's files, and the names of channels and pins.

use std::fmt::Write as _;

use genstore::tree::Digest;

use super::{Bad, Nonce};

/// The key of the file that makes it a remote.
pub const FORMAT: &str = "format";
/// The content of [`FORMAT`].
pub const FORMAT_1: &[u8] = b"genstore-remote 1\n";
/// The key of the file with the number of a recent record.
pub const HINT: &str = "hint";
/// The folders of the files that gc may remove.
pub const COLLECTED: [&str; 3] = ["bundle/", "pack/", "big/"];

/// The longest key, in bytes.
pub(super) const MAX_KEY: usize = 128;
/// The longest name of a channel or a pin, in bytes.
const MAX_NAME: usize = 64;

/// Returns the key of a record.
pub fn record(number: u64) -> String {
    format!("log/{number:020}")
}

/// Returns the key of a bundle.
pub fn bundle(id: Digest) -> String {
    hashed("bundle", id, None)
}

/// Returns the key of a pack.
pub fn pack(digest: Digest, nonce: &Nonce) -> String {
    hashed("pack", digest, Some(nonce))
}

/// Returns the key of a large file.
pub fn big(digest: Digest, nonce: &Nonce) -> String {
    hashed("big", digest, Some(nonce))
}

/// Returns the key of a barrier's list.
pub fn barrier(digest: Digest) -> String {
    hashed("barrier", digest, None)
}

/// Returns the key of a list of forgotten contents.
pub fn forgotten(digest: Digest) -> String {
    hashed("forgotten", digest, None)
}

fn hashed(folder: &str, digest: Digest, nonce: Option<&Nonce>) -> String {
    let hex = digest.to_string();
    let mut key = format!("{folder}/{}/{hex}", &hex[..2]);
    for (at, byte) in nonce.into_iter().flatten().enumerate() {
        let dash = if at == 0 { "-" } else { "" };
        // Writing to a string does not fail.
        let _: Result<(), _> = write!(key, "{dash}{byte:02x}");
    }
    key
}

/// Checks the name of a channel or a pin.
///
/// # Errors
/// If it is not 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or a digit.
pub fn check(name: &str) -> Result<(), Bad> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match begins && name.len() <= MAX_NAME && name.bytes().all(is_fit) {
        true => Ok(()),
        false => Err(Bad::Malformed("a name has other characters than A-Z a-z 0-9 . _ -, or is too long")),
    }
}

/// Returns whether a key may be in the list of a barrier: a file that gc may remove.
pub fn is_collected(key: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || b"-/".contains(&byte);
    let rest = COLLECTED.iter().find_map(|folder| key.strip_prefix(folder));
    key.len() <= MAX_KEY && rest.is_some_and(|rest| rest.len() > 60 && rest.bytes().all(is_fit))
}

/// Parses the content of [`HINT`].
pub fn hint(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim_end().parse().ok()
}

/// Checks the content of [`FORMAT`].
///
/// # Errors
/// [`Bad::Newer`] for another number, or a feature that this program does not know.
pub fn check_format(bytes: &[u8]) -> Result<(), Bad> {
    match bytes {
        FORMAT_1 => Ok(()),
        _ if bytes.starts_with(b"genstore-remote ") => Err(Bad::Newer("a remote")),
        _ => Err(Bad::Malformed("its file `format` is another")),
    }
}

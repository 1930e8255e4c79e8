//! Archives from a web server, named with their digest: `https://host/site.tar.gz#sha256-HEX`.
//!
//! The whole file is in a temporary file, and has this digest, before any of it is read as an archive. So the server,
//! its certificate and redirects need no trust, and `http://` is allowed.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use anyhow::Result;
use genstore_remote::download;
use sha2::{Digest, Sha256};

use super::source::cannot_read;
use crate::errors::Fail;
use crate::text::escape::show;

/// The most bytes that an archive has beside those of its members: 1 GiB.
const HEADERS: u64 = 1 << 30;
/// The longest file if no limit is set: 16 GiB.
const LONGEST: u64 = 16 << 30;

/// Returns whether an argument is an address on the web.
pub(super) fn is_address(source: &Path) -> bool {
    let source = source.as_os_str().as_encoded_bytes();
    source.starts_with(b"https://") || source.starts_with(b"http://")
}

/// Downloads a file, and checks its digest.
///
/// # Errors
/// Code `no-digest` if the address has none; `download` if the file cannot be had; `wrong-digest`.
pub(super) fn fetch(source: &Path, limit: Option<u64>) -> Result<File> {
    let text = source.to_str().unwrap_or_default();
    let (address, digest) = text.split_once('#').unwrap_or((text, ""));
    let wanted = digest.strip_prefix("sha256-").map(str::to_ascii_lowercase);
    let is_hex = |hex: &String| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(wanted) = wanted.filter(is_hex) else {
        let hint = "write it as https://HOST/FILE#sha256-HEX: `sha256sum FILE` prints HEX".to_owned();
        let fail = Fail::usage("no-digest", format!("{} has no digest", show(source)));
        return Err(Fail { hint, ..fail }.into());
    };
    let file = tempfile::tempfile().map_err(|error| cannot_read(address, error))?;
    let mut hashed = Hashed { file, hasher: Sha256::new() };
    download(address, limit.map_or(LONGEST, |limit| limit.saturating_add(HEADERS)), &mut hashed).map_err(
        |why| {
            Fail::new(
                "download",
                format!("cannot fetch {address}: {why}"),
                "nothing was changed; try again",
            )
        },
    )?;
    let found: String = hashed.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != wanted {
        let hint = "nothing was changed; the file was replaced, or the digest is of another one";
        let message = format!("{address} has another digest: sha256-{found}");
        return Err(Fail::new("wrong-digest", message, hint).into());
    }
    let mut file = hashed.file;
    file.rewind().map_err(|error| cannot_read(address, error))?;
    Ok(file)
}

/// A file that is hashed while it is written.
struct Hashed {
    file: File,
    hasher: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

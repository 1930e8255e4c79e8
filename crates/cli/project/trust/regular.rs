//! Reads regular files of at most 1 MiB, without ever blocking.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// The largest configuration.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// Reads a file of the system, whose owner is not checked.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    check_regular(&rustix::fs::stat(path)?)?;
    let file = openat(CWD, path, flags, Mode::empty())?;
    check_regular(&fstat(&file)?)?;
    String::from_utf8(read_all(File::from(file))?).map_err(io::Error::other)
}

pub(super) fn check_regular(stat: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

pub(super) fn read_all(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 1 MiB")),
        false => Ok(bytes),
    }
}

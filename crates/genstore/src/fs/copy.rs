//! Private copies of files: by reflink, else in the kernel, else through a buffer. Holes stay holes: a
//! reflink shares them, but the kernel would fill them, so a file with holes is copied through a
//! buffer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::io::Errno;

use super::fault::Needs;
use super::sparse::Sparse;
use super::{Fs, system};
use crate::error::{Error, Result};

/// Number of bytes read at a time. A file up to this size is held in memory as a whole.
pub(crate) const CHUNK: usize = 1 << 20;

/// Reads until the buffer is full, or to the end of the file.
pub(crate) fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

impl Fs {
    /// Shares all blocks of `from` with the empty file `to`. Returns `Ok(false)` if that is impossible.
    pub(crate) fn reflink(&self, from: &File, to: &File, path: &Path) -> Result<bool> {
        self.point("reflink", path, Needs::Space)?;
        match system::reflink(from, to) {
            Ok(()) => Ok(true),
            // The filesystem, the pair of files, or the kind of file does not support it.
            Err(
                Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM,
            ) => Ok(false),
            Err(e) => Err(Error::io("clone to", path, e)),
        }
    }

    /// Copies all bytes of `from`, which must be at its start, into the empty file `to`.
    pub(crate) fn copy(&self, from: &File, to: &File, path: &Path) -> Result<()> {
        if self.reflink(from, to, path)? {
            return Ok(());
        }
        if !self.has_holes(from, path)? {
            let mut copied = false;
            loop {
                self.point("copy to", path, Needs::Space)?;
                match system::copy_range(from, to, 1 << 30) {
                    Ok(0) if copied => return Ok(()),
                    // Some filesystems return 0 at first, whatever the file contains.
                    Ok(0) => break,
                    Ok(_) => copied = true,
                    Err(Errno::INTR) => {}
                    Err(Errno::NOSYS | Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM)
                        if !copied =>
                    {
                        break;
                    }
                    Err(e) => return Err(Error::io("copy to", path, e)),
                }
            }
        }
        let mut from = from;
        let mut chunk = vec![0; CHUNK];
        let mut to = Sparse::new(self, to, path);
        loop {
            match from.read(&mut chunk).map_err(|e| Error::io("copy to", path, e))? {
                0 => return to.finish(),
                n => to.write(&chunk[..n])?,
            }
        }
    }
}

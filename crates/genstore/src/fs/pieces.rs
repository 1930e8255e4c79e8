//! Writes a file in pieces, so a large one need not be in memory as a whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::Fs;
use crate::error::{Error, Result};
use crate::model::digest::{Digest, Hashing};

/// Pieces smaller than this are collected.
const TOGETHER: usize = 64 * 1024;

/// A file that is being written, and the hash of its content.
struct Pieces<'a> {
    fs: &'a Fs,
    file: &'a File,
    path: &'a Path,
    hashing: Hashing,
    failure: Option<Error>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.fs.write(self.file, self.path, piece) {
            self.failure = Some(error);
            return Err(io::Error::other("reported by the field `failure`"));
        }
        self.hashing.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Fs {
    /// Writes the output of `write` to a file. Returns the result and the BLAKE3 of the output.
    pub(crate) fn write_pieces<T>(
        &self,
        file: &File,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> Result<(T, Digest)> {
        let pieces = Pieces { fs: self, file, path, hashing: Hashing::default(), failure: None };
        let mut out = BufWriter::with_capacity(TOGETHER, pieces);
        let done = write(&mut out).and_then(|done| out.flush().map(|()| done));
        let (pieces, _) = out.into_parts();
        match (done, pieces.failure) {
            (Ok(done), None) => Ok((done, pieces.hashing.digest())),
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(Error::io("write", path, error)),
        }
    }
}

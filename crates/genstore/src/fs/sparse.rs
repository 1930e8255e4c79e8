//! Files with holes: blocks of zeros are not written, so they take no space.
//!
//! A hole of the source is read as zeros. SEEK_HOLE is not used: some filesystems have reported holes
//! for data that was not yet written to the disk.

use std::fs::File;
use std::path::Path;

use super::Fs;
use crate::error::{Error, Result};

/// Filesystems leave out whole blocks. This is the block size of most.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A new file that is written from its start to its end.
#[must_use]
pub(crate) struct Sparse<'a> {
    fs: &'a Fs,
    file: &'a File,
    path: &'a Path,
    /// The position of the next bytes.
    end: u64,
    /// The end of the last bytes that were written.
    written: u64,
}

impl<'a> Sparse<'a> {
    /// Starts with an empty file.
    pub(crate) fn new(fs: &'a Fs, file: &'a File, path: &'a Path) -> Sparse<'a> {
        Sparse { fs, file, path, end: 0, written: 0 }
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (data, holes) = next_run(bytes, self.end);
            if data > 0 {
                self.fs.write_at(self.file, self.path, &bytes[..data], self.end)?;
                self.written = self.end + data as u64;
            }
            self.end += (data + holes) as u64;
            bytes = &bytes[data + holes..];
        }
        Ok(())
    }

    /// Sets the file's length, if it ends in a hole.
    pub(crate) fn finish(self) -> Result<()> {
        match self.written < self.end {
            true => self.fs.set_len(self.file, self.path, self.end),
            false => Ok(()),
        }
    }
}

impl Fs {
    /// Writes the whole content of an empty file.
    pub(crate) fn write_sparsely(&self, file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut sparse = Sparse::new(self, file, path);
        sparse.write(bytes)?;
        sparse.finish()
    }

    /// Returns whether a file takes less space than its length.
    pub(super) fn has_holes(&self, file: &File, path: &Path) -> Result<bool> {
        let stat = rustix::fs::fstat(file).map_err(|e| Error::io("stat", path, e))?;
        // POSIX leaves the unit open. It is 512 bytes everywhere.
        Ok((stat.st_blocks as u64).saturating_mul(512) < stat.st_size as u64)
    }
}

/// Returns the number of bytes from `at` on that must be written, and the number of bytes after them
/// that are a hole.
fn next_run(bytes: &[u8], at: u64) -> (usize, usize) {
    let first = (at.next_multiple_of(BLOCK as u64) - at) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let mut blocks = head.chunks(BLOCK).chain(rest.chunks(BLOCK)).peekable();
    let is_hole = |block: &[u8]| *block == ZEROS[..block.len()];
    let (mut data, mut holes) = (0, 0);
    while let Some(block) = blocks.next_if(|block| !is_hole(block)) {
        data += block.len();
    }
    while let Some(block) = blocks.next_if(|block| is_hole(block)) {
        holes += block.len();
    }
    (data, holes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn data(len: usize) -> Vec<u8> {
        vec![7; len]
    }

    #[test]
    fn runs_of_zeros_are_cut_at_blocks() {
        let check = |bytes: &[&[u8]], at, expected| assert_eq!(next_run(&bytes.concat(), at), expected);
        check(&[&data(10)], 0, (10, 0));
        check(&[&[0; 10]], 0, (0, 10));
        check(&[&[0; 8191]], 1, (0, 8191));
        check(&[&[0; 4095], &data(1)], 0, (4096, 0));
        check(&[&[0; 4095], &data(1)], 1, (0, 4095));
        check(&[&data(1), &[0; 4096 * 3]], 0, (4096, 8193));
        check(&[&data(1), &[0; 4096]], 4095, (1, 4096));
        check(&[&[0; 4096], &data(4096), &[0; 4096]], 0, (0, 4096));
        check(&[&data(4096), &[0; 4096], &data(1)], 4096, (4096, 4096));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let parts: [&[u8]; 6] =
            [&data(5000), &[0; 20_000], &data(1), &[0; 3000], &data(9000), &[0; 30_000]];
        for pieces in [77, 4096, 5000, 1 << 20] {
            for count in 0..=parts.len() {
                let whole = parts[..count].concat();
                let file = File::create(&path).unwrap();
                let fs = Fs::default();
                let mut sparse = Sparse::new(&fs, &file, &path);
                whole.chunks(pieces).for_each(|piece| sparse.write(piece).unwrap());
                sparse.finish().unwrap();
                let mut found = vec![1; whole.len()];
                assert_eq!(file.metadata().unwrap().size(), whole.len() as u64, "{pieces} {count}");
                File::open(&path).unwrap().read_exact_at(&mut found, 0).unwrap();
                assert!(found == whole, "{pieces} {count}");
            }
        }
    }
}

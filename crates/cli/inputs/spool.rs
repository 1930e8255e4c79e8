//! The place of streamed bytes until their plan is staged. Only this file knows that place.

use std::io::{self, ErrorKind, Read};
use std::time::SystemTime;

use anyhow::Result;
use genstore::Source;
use genstore::publish::Stage;

/// Bytes that were kept.
#[derive(Debug)]
pub(crate) struct Kept {
    source: Source,
    pub(crate) size_bytes: u64,
}

impl Kept {
    /// Returns them as a source for a plan. The same bytes may be used several times.
    pub(crate) fn source(&self) -> Source {
        match &self.source {
            Source::Spooled(spooled) => Source::Spooled(spooled.clone()),
            Source::Bytes(bytes) => Source::Bytes(bytes.clone()),
            other => unreachable!("nothing keeps bytes as {other:?}"),
        }
    }
}

/// A store of streamed bytes.
pub(crate) trait Spool {
    /// Reads `bytes` to their end, and keeps them with the mtime that the manifest will have. A failure of
    /// `bytes` is returned as it is, an [`std::io::Error`].
    fn keep(&mut self, bytes: &mut dyn Read, mtime: SystemTime) -> Result<Kept>;
}

impl Spool for &Stage<'_> {
    fn keep(&mut self, bytes: &mut dyn Read, mtime: SystemTime) -> Result<Kept> {
        let mut watched = Watched { bytes, size_bytes: 0, failure: None };
        let kept = self.spool(&mut watched, Some(mtime));
        // A failure of the stream is the archive's fault; any other is the store's.
        if let Some(failure) = watched.failure {
            return Err(failure.into());
        }
        Ok(Kept { source: kept?, size_bytes: watched.size_bytes })
    }
}

/// A stream that counts its bytes, and remembers why it failed.
struct Watched<'a> {
    bytes: &'a mut dyn Read,
    size_bytes: u64,
    failure: Option<io::Error>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(buffer) {
            Ok(count) => {
                self.size_bytes += count as u64;
                Ok(count)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let kind = e.kind();
                self.failure = Some(e);
                Err(kind.into())
            }
        }
    }
}

/// A spool in memory, for tests of archive readers.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) struct Memory;

#[cfg(any(test, feature = "fuzzing"))]
impl Spool for Memory {
    fn keep(&mut self, bytes: &mut dyn Read, _: SystemTime) -> Result<Kept> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        let size_bytes = all.len() as u64;
        Ok(Kept { source: Source::Bytes(all), size_bytes })
    }
}

//! Flushes several files and folders at once: a journal writes concurrent requests together. Ten
//! concurrent fsyncs take little longer than one.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Dir, Durability, Fs};
use crate::error::{Error, Result};

/// Up to this number, flushes of single files or folders cost less than one of the whole filesystem.
pub(crate) const MANY: usize = 64;

/// The threads wait for the disk and do not compute, so there may be more of them than processors.
const MAX_THREADS: usize = 16;

/// An item to be made durable.
pub(crate) enum Flush {
    /// Bytes and mode of a file, with its path for messages.
    File(File, PathBuf),
    /// The names in a folder.
    Dir(Dir),
    /// The whole filesystem of a folder, if there are too many items to list.
    Filesystem(Dir),
}

impl Fs {
    /// Makes files and folders durable, in any order. After a failure the caller gives up, as with
    /// [`Fs::sync_file`].
    pub(crate) fn sync_each(&self, all: &[Flush]) -> Result<()> {
        self.sync_all(all, all.len().min(MAX_THREADS).saturating_sub(1), || Ok(()))
    }

    /// Does the same while `meanwhile` runs, whose time is hidden. If either fails, the whole call
    /// fails.
    pub(crate) fn sync_each_while<T>(
        &self,
        all: &[Flush],
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.sync_all(all, all.len().min(MAX_THREADS), meanwhile)
    }

    fn sync_all<T>(
        &self,
        all: &[Flush],
        threads: usize,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if self.durability == Durability::None {
            return meanwhile();
        }
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            while let Some(flush) = all.get(next.fetch_add(1, Relaxed)) {
                let done = match flush {
                    Flush::File(file, path) => self.sync_file(file, path),
                    Flush::Dir(dir) => self.sync_dir(dir),
                    Flush::Filesystem(dir) => self.sync_filesystem(dir),
                };
                if let Err(error) = done {
                    // No thread need begin another flush.
                    next.store(all.len(), Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        let done = thread::scope(|scope| {
            for _ in 0..threads {
                // If the system refuses more threads, fewer are used.
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            let done = meanwhile();
            work();
            done
        });
        let failure: Option<Error> = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(done, Err)
    }
}

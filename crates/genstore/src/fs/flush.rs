//! Flushes several files and folders at once: a journal writes concurrent requests together. Ten
//! concurrent fsyncs take little longer than one.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

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

/// A flush that runs in the background. Dropping it waits for the items that have begun.
#[must_use]
pub(crate) struct Flushing {
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
}

/// The items of a flush, which several threads share.
struct Work {
    fs: Fs,
    all: Vec<Flush>,
    next: AtomicUsize,
    failure: Mutex<Option<Error>>,
}

impl Work {
    fn new(fs: &Fs, mut all: Vec<Flush>) -> Work {
        if fs.durability == Durability::None {
            all.clear();
        }
        Work { fs: fs.clone(), all, next: AtomicUsize::new(0), failure: Mutex::new(None) }
    }

    /// Flushes items until none is left.
    fn run(&self) {
        while let Some(flush) = self.all.get(self.next.fetch_add(1, Relaxed)) {
            let done = match flush {
                Flush::File(file, path) => self.fs.sync_file(file, path),
                Flush::Dir(dir) => self.fs.sync_dir(dir),
                Flush::Filesystem(dir) => self.fs.sync_filesystem(dir),
            };
            if let Err(error) = done {
                self.stop();
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    /// Stops all threads after their current items.
    fn stop(&self) {
        self.next.store(self.all.len(), Relaxed);
    }
}

impl Flushing {
    fn begin(work: Work, threads: usize) -> Flushing {
        let mut flushing = Flushing { work: Arc::new(work), threads: vec![] };
        for _ in 0..threads {
            let work = Arc::clone(&flushing.work);
            // If the system refuses more threads, fewer are used.
            let Ok(thread) = thread::Builder::new().spawn(move || work.run()) else { break };
            flushing.threads.push(thread);
        }
        flushing
    }

    /// Helps with the rest, and waits until all items are durable.
    ///
    /// # Errors
    /// The first failure. Then the caller gives up, as with [`Fs::sync_file`].
    pub(crate) fn wait(mut self) -> Result<()> {
        self.work.run();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let failure = self.work.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.work.stop();
        for thread in self.threads.drain(..) {
            // The panic of a thread was printed, and the flush is given up.
            drop(thread.join());
        }
    }
}

impl Fs {
    /// Makes files and folders durable, in any order.
    ///
    /// # Errors
    /// As [`Flushing::wait`].
    pub(crate) fn sync_each(&self, all: Vec<Flush>) -> Result<()> {
        let work = Work::new(self, all);
        let threads = work.all.len().min(MAX_THREADS).saturating_sub(1);
        Flushing::begin(work, threads).wait()
    }

    /// Begins to make files and folders durable. The work of the caller until [`Flushing::wait`] takes no
    /// time of its own.
    pub(crate) fn begin_flush(&self, all: Vec<Flush>) -> Flushing {
        let work = Work::new(self, all);
        let threads = work.all.len().min(MAX_THREADS);
        Flushing::begin(work, threads)
    }
}

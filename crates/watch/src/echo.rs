//! A call into the queue of events, whose answer tells that all before it was heard.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind};

/// An answer takes microseconds. Where none comes, nobody waits longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file without a name that is watched with the sources. Events come in the order of what happened, so
/// the event of this file comes after all others.
pub(crate) struct Echo {
    _file: File,
    path: PathBuf,
    heard: Receiver<()>,
}

/// The end of it in the thread that reads events.
pub(crate) struct Answer {
    path: PathBuf,
    sender: Sender<()>,
}

impl Echo {
    /// Makes the file.
    ///
    /// # Errors
    /// Where there is no place for temporary files.
    pub(crate) fn new() -> io::Result<(Echo, Answer)> {
        let file = tempfile::tempfile()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let (sender, heard) = channel();
        Ok((Echo { _file: file, path: path.clone(), heard }, Answer { path, sender }))
    }

    /// Returns the path by which it is watched.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Calls, and waits for the answer.
    pub(crate) fn wait(&self) {
        while self.heard.try_recv().is_ok() {}
        // Closing a file that was open for writing is an event, and needs no space.
        if OpenOptions::new().append(true).open(&self.path).is_ok() {
            self.heard.recv_timeout(PATIENCE).ok();
        }
    }
}

impl Answer {
    /// Returns whether an event is of this file, and passes the answer on.
    pub(crate) fn takes(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else { return false };
        let is_own = event.paths.first() == Some(&self.path);
        if is_own && event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write)) {
            self.sender.send(()).unwrap_or_default();
        }
        is_own
    }
}

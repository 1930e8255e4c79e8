//! A marker in the queue of events: when its event arrives, all earlier events have arrived.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind};

/// The longest wait for an answer, which normally takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A nameless file that is watched with the sources. Events arrive in order, so the event of this file
/// comes after all earlier ones.
pub(crate) struct Echo {
    _file: File,
    path: PathBuf,
    heard: Receiver<()>,
}

/// The receiving end, in the thread that reads events.
pub(crate) struct Answer {
    path: PathBuf,
    sender: Sender<()>,
}

impl Echo {
    /// Creates the file.
    ///
    /// # Errors
    /// If there is no place for temporary files.
    pub(crate) fn new() -> io::Result<(Echo, Answer)> {
        let file = tempfile::tempfile()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let (sender, heard) = channel();
        Ok((Echo { _file: file, path: path.clone(), heard }, Answer { path, sender }))
    }

    /// Returns the path by which the file is watched.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Triggers the event, and waits for it.
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

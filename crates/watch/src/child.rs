//! The programs of a loop: how each runs, and its events.

use std::ffi::OsString;
use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genstore_run::{Ended, Job};

use crate::ready::Ready;

/// A program to run.
#[derive(Clone, Debug)]
pub struct Child {
    /// The name, in its output and in events.
    pub name: String,
    /// The job. If its stdin is [`genstore_run::Stdin::Passed`], it gets the stdin of this process.
    pub job: Job,
    /// The events that restart it.
    pub restart: Restart,
    /// The signal that stops it.
    pub stop_signal: i32,
    /// The time from the stop signal to the kill.
    pub stop_timeout: Duration,
    /// Variables that are read at each start. They take precedence over those of the job.
    pub variables: Option<Variables>,
    /// The condition for being ready; `None` if nobody asks.
    pub ready: Option<Ready>,
    /// The time from the start until it must be ready.
    pub ready_timeout: Duration,
    /// Whether a new run starts beside the old one, which is stopped when the new one is ready.
    pub handover: bool,
    /// A socket that is passed to each run.
    pub socket: Option<Arc<TcpListener>>,
}

type ReadVariables = dyn Fn() -> Result<Vec<(OsString, OsString)>, String> + Send + Sync;

/// A function that reads variables when a program starts.
#[derive(Clone)]
pub struct Variables(Arc<ReadVariables>);

impl Variables {
    /// Creates it from a function. An error of the function keeps the program from starting.
    pub fn read_by(
        read: impl Fn() -> Result<Vec<(OsString, OsString)>, String> + Send + Sync + 'static,
    ) -> Variables {
        Variables(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Result<Vec<(OsString, OsString)>, String> {
        (self.0)()
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// The events that restart a running program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Restart {
    /// Each commit, and changes of its own sources.
    #[default]
    Commit,
    /// Only changes of its own sources: it outlives commits.
    Change,
    /// No event.
    Never,
}

/// The generation on which children start.
#[derive(Debug)]
pub struct Target<L> {
    /// Variables with its location.
    pub env: Vec<(OsString, OsString)>,
    /// The directory in which children run, unless their job says otherwise.
    pub cwd: Option<PathBuf>,
    /// Dropped when no child that was started on it is alive.
    pub lease: L,
}

/// A report of a thread that waits for a child.
#[derive(Debug)]
pub struct ChildReport {
    pub(crate) index: usize,
    pub(crate) run: u64,
    pub(crate) what: Reported,
}

/// The content of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reported {
    Ended(Ended),
    Ready,
}

type Report = dyn Fn(ChildReport) + Send + Sync;

/// Announces that one run of a child is ready.
pub struct Announce {
    pub(crate) index: usize,
    pub(crate) run: u64,
    pub(crate) report: Arc<Report>,
}

impl Announce {
    /// Reports that the run is ready.
    pub fn ready(&self) {
        (self.report)(ChildReport { index: self.index, run: self.run, what: Reported::Ready });
    }
}

/// An event of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildNews {
    /// Its name.
    pub name: String,
    /// The event.
    pub news: News,
}

/// The kinds of events of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It runs.
    Started {
        /// The pid, which is also the number of its process group.
        pid: u32,
    },
    /// It is ready.
    Ready {
        /// The time since its start.
        after: Duration,
    },
    /// It was not ready in time, or ended before.
    NotReady {
        /// The time since its start.
        after: Duration,
        /// The end of the run; `None` if it still runs, or is stopped now.
        ended: Option<Ended>,
        /// Whether the old run continues.
        kept: bool,
    },
    /// It got the stop signal, and is slow to stop.
    Stopping {
        /// The time until it is killed; `None` means never.
        killed_after: Option<Duration>,
    },
    /// It got the stop signal and stopped; no process of it is left.
    Stopped {
        /// The end of the program.
        ended: Ended,
        /// Whether it did not stop in time, and was killed.
        killed: bool,
    },
    /// It ended by itself, successfully. The next commit starts it again.
    Done,
    /// It ended by itself, with a failure.
    Crashed {
        /// The end of the program.
        ended: Ended,
        /// The pause until it restarts, unless a commit comes before.
        again_after: Duration,
    },
    /// It cannot run; the next commit retries.
    CannotRun {
        /// The reason.
        why: String,
    },
}

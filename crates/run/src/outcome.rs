//! The end of a command, or the reason why it did not start.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::output::OutputReport;

/// The end of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by this signal.
    Signaled(i32),
    /// It was stopped by its timeout.
    TimedOut,
    /// It was stopped, because the caller received this signal.
    Interrupted(i32),
    /// Unknown: its guard was killed, or the command could not be killed. If the guard was killed, the
    /// command's process group was killed nevertheless, but processes outside the group may survive.
    Lost,
}

impl Ended {
    /// Returns the exit code in the convention of shells: the command's own, 128 + n for signal n, 124 for
    /// a timeout like timeout(1), and 125 if it is unknown.
    pub fn exit_code(self) -> u8 {
        match self {
            // Linux keeps only these eight bits of the argument of exit().
            Ended::Exited(code) => (code & 0xff) as u8,
            Ended::Signaled(signal) | Ended::Interrupted(signal) => of_signal(signal),
            Ended::TimedOut => 124,
            Ended::Lost => 125,
        }
    }
}

fn of_signal(signal: i32) -> u8 {
    128 | (signal & 0x7f) as u8
}

/// The result of a run.
#[derive(Debug)]
#[must_use]
pub struct Finished {
    /// The end of the command.
    pub ended: Ended,
    /// The number of processes that the caller may not kill (those of another user). No other process is
    /// left.
    pub survivors: u32,
    /// The report about its output.
    pub output: OutputReport,
}

/// The reason why a command was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such program, or no interpreter for it.
    NotFound {
        /// The program.
        program: OsString,
        /// The system's error.
        source: io::Error,
    },
    /// The program cannot be executed.
    NotExecutable {
        /// The program.
        program: OsString,
        /// The system's error.
        source: io::Error,
    },
    /// Its working directory cannot be entered.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The guard could not be started, or could not do its work.
    Guard {
        /// The operation, as a verb.
        op: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// This signal killed the guard before it started anything. Until the guard has its own session, which
    /// is its first step, a Ctrl-C reaches it together with its caller.
    Interrupted(i32),
}

impl StartError {
    /// Returns the exit code in the convention of shells.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::NotFound { .. } => 127,
            StartError::NotExecutable { .. } => 126,
            StartError::Directory { .. } | StartError::Guard { .. } => 125,
            StartError::Interrupted(signal) => of_signal(*signal),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NotFound { program, .. } | StartError::NotExecutable { program, .. } => {
                write!(f, "cannot run {}", program.display())
            }
            StartError::Directory { path, .. } => write!(f, "cannot enter {}", path.display()),
            StartError::Guard { op, .. } => write!(f, "cannot {op} the guard of the command"),
            StartError::Interrupted(signal) => {
                write!(f, "interrupted by signal {signal} before the command was started")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::NotFound { source, .. }
            | StartError::NotExecutable { source, .. }
            | StartError::Directory { source, .. }
            | StartError::Guard { source, .. } => Some(source),
            StartError::Interrupted(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(Ended::Exited(0).exit_code(), 0);
        assert_eq!(Ended::Exited(255).exit_code(), 255);
        assert_eq!(Ended::Signaled(9).exit_code(), 137);
        assert_eq!(Ended::Interrupted(2).exit_code(), 130);
        assert_eq!(Ended::Interrupted(15).exit_code(), 143);
        assert_eq!(Ended::TimedOut.exit_code(), 124);
        assert_eq!(StartError::Interrupted(2).exit_code(), 130);
    }
}

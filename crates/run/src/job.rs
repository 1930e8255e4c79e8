//! The job to run, and the guard that runs it.

use std::ffi::OsString;
use std::path::PathBuf;

/// A command, its directory, and the changes to its environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The program: a path, or a name that is looked up in `PATH`. A relative path is relative to `cwd`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The working directory; `None` means the caller's.
    pub cwd: Option<PathBuf>,
    /// Variables that are set in addition to the caller's.
    pub env: Vec<(OsString, OsString)>,
    /// Variables of the caller that are removed.
    pub env_remove: Vec<OsString>,
    /// The stdin of the command.
    pub stdin: Stdin,
    /// Whether the guard keeps the descriptor that is passed with the job, open until no process of the
    /// command is left, instead of passing it on: a lock that must outlive the caller.
    pub guard_keeps: bool,
    /// A folder that only the command also sees at another path, if the system allows it.
    pub mount: Option<Mount>,
}

/// A folder that is mounted for a command alone.
///
/// The mount exists in a namespace of the guard and of the command. It ends with their last process, however
/// that ends. As root it needs the right to mount. Another user gets a user namespace with it, if the system
/// allows that: files of other users belong to `nobody` there, and their set-id bits have no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// The folder.
    pub folder: PathBuf,
    /// An existing folder, whose content the command does not see. A symlink is followed.
    pub at: PathBuf,
    /// The variable that is set to `at`. It keeps its value if the mount cannot be had.
    pub variable: OsString,
}

/// The stdin of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stdin {
    /// It is empty.
    #[default]
    Empty,
    /// It is an open pipe without data, as long as the command runs. Many watching programs end when their
    /// stdin does.
    Open,
    /// It is the descriptor that is passed with the job.
    Passed,
}

impl Job {
    /// Creates a job without arguments, in the caller's directory and environment.
    pub fn new(program: impl Into<OsString>) -> Job {
        Job {
            program: program.into(),
            args: vec![],
            cwd: None,
            env: vec![],
            env_remove: vec![],
            stdin: Stdin::Empty,
            guard_keeps: false,
            mount: None,
        }
    }
}

/// The way to start the caller's own program as a guard. It must only call [`guard`](crate::guard).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl GuardCommand {
    /// Returns the running program itself, even if its file was replaced since the start.
    pub fn this_program<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> GuardCommand {
        let args = args.into_iter().map(Into::into).collect();
        GuardCommand { program: "/proc/self/exe".into(), args }
    }
}

//! What is to be run, and through which guard.

use std::ffi::OsString;
use std::path::PathBuf;

/// A command, where it runs, and how its environment differs from the caller's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The program: a path, or a name that is looked up in `PATH`. A relative path is meant from
    /// `cwd`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs; the caller's directory if `None`.
    pub cwd: Option<PathBuf>,
    /// Variables that are set, over those of the caller.
    pub env: Vec<(OsString, OsString)>,
    /// Variables of the caller that the command does not get.
    pub env_remove: Vec<OsString>,
    /// What it reads from its stdin.
    pub stdin: Stdin,
}

/// What a command reads from its stdin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stdin {
    /// Nothing: it is at its end.
    #[default]
    Empty,
    /// Nothing, and it has no end: a pipe that is open as long as the command runs. Many programs that
    /// watch end when their stdin does.
    Open,
}

impl Job {
    /// Describes a program without arguments, in the caller's directory and environment.
    pub fn new(program: impl Into<OsString>) -> Job {
        Job {
            program: program.into(),
            args: vec![],
            cwd: None,
            env: vec![],
            env_remove: vec![],
            stdin: Stdin::Empty,
        }
    }
}

/// How the caller's own program is started as a guard: it must do nothing but call
/// [`guard`](crate::guard).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl GuardCommand {
    /// Names the running program itself, even if its file has been replaced since it was started.
    pub fn this_program<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> GuardCommand {
        let args = args.into_iter().map(Into::into).collect();
        GuardCommand { program: "/proc/self/exe".into(), args }
    }
}

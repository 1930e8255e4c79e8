//! The program's own errors. `render::failure` prints them.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use genstore::audit::{Failed, Finding, Severity};
use genstore::error::{Problem, ProblemKind};
use genstore_run::Ended;

use crate::exit;
use crate::text::human;

/// An error of the program itself.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) code: &'static str,
    pub(crate) exit: u8,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Fail {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Fail {
        Fail { code, exit: exit::FAILED, message: message.into(), hint: hint.into() }
    }

    /// Creates the error of an invalid argument.
    pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Fail {
        let hint = "see `genstore help`".to_owned();
        Fail { code, exit: exit::USAGE, message: message.into(), hint }
    }

    pub(crate) fn with_exit(self, exit: u8) -> Fail {
        Fail { exit, ..self }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}

/// The refusal of an audit.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) findings: Vec<Finding>,
    /// The place where the refused tree is kept.
    pub(crate) failed: Option<Failed>,
}

impl Refused {
    fn errors(&self) -> u64 {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count() as u64
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit refused the output: {}", human::count(self.errors(), "finding"))
    }
}

impl std::error::Error for Refused {}

/// The bytes of the end of a build's log that are shown.
const LOG_END: u64 = 4096;

/// A failed build.
#[derive(Debug)]
pub(crate) struct BuildFailed {
    pub(crate) why: String,
    pub(crate) status: u8,
    /// The end of its command, if that failed.
    pub(crate) ended: Option<Ended>,
    /// The place where its log is kept.
    pub(crate) failed: Option<Failed>,
    /// A likely cause.
    pub(crate) advice: Option<String>,
}

impl fmt::Display for BuildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the build failed: {}", self.why)
    }
}

impl std::error::Error for BuildFailed {}

impl BuildFailed {
    /// Returns the end of its log, from the beginning of a line and without colors, if the log is kept.
    pub(crate) fn log_end(&self) -> Option<String> {
        let path = self.failed.as_ref()?.path.join("build.log");
        let mut file = std::fs::File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_END))).ok()?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let whole =
            if length > LOG_END { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        Some(anstream::adapter::strip_str(whole.trim_end()).to_string())
    }
}

/// All problems of an input.
#[derive(Debug)]
pub(crate) struct BadInput {
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) problems: Vec<InputProblem>,
}

/// One problem, and its place.
#[derive(Debug)]
pub(crate) struct InputProblem {
    /// The line of a plan.
    pub(crate) line: Option<u64>,
    /// The path in the plan, if it could be read.
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) kind: ProblemKind,
    /// The end of a sentence that starts with the path.
    pub(crate) what: String,
}

impl BadInput {
    pub(crate) fn new(input: &str, hint: &str, problems: Vec<InputProblem>) -> BadInput {
        // A symlink out of the tree is the only problem that a project may allow.
        let links = problems.iter().any(|problem| problem.kind == ProblemKind::Symlink);
        let allow = match links {
            true => ", or allow such links with `symlinks = \"any\"` under [publish] in genstore.toml",
            false => "; nothing was written",
        };
        let count = human::count(problems.len() as u64, "problem");
        BadInput {
            message: format!("cannot publish {input}: {count}"),
            hint: format!("{hint}{allow}"),
            problems,
        }
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadInput {}

impl InputProblem {
    /// Creates a problem of a single line.
    pub(crate) fn of_line(line: u64, path: Option<Vec<u8>>, what: impl Into<String>) -> InputProblem {
        InputProblem { line: Some(line), path, kind: ProblemKind::Unfit, what: what.into() }
    }
}

impl fmt::Display for InputProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_empty()) {
            write!(f, "{} ", genstore::tree::show_path(path))?;
        }
        f.write_str(&self.what)
    }
}

impl From<Problem> for InputProblem {
    fn from(problem: Problem) -> InputProblem {
        let Problem { path, kind, what, .. } = problem;
        InputProblem { line: None, path: Some(path), kind, what }
    }
}

/// Creates the error of a run that a signal ended.
pub(crate) fn interrupted(signal: i32) -> Fail {
    let hint = "readers see no change";
    let status = Ended::Interrupted(signal).exit_code();
    Fail::new("interrupted", format!("interrupted by signal {signal}"), hint).with_exit(status)
}

/// The hint for EAGAIN of fork and clone.
pub(crate) const MORE_PROCESSES: &str =
    "the limit of processes is reached: end some, or raise it (`ulimit -u`)";

/// Returns whether an error only means that a file does not exist.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

//! Errors: only cases that a caller acts on, each with what it concerns.

mod kinds;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

pub use kinds::{BadSourceReason, ProblemKind, RefusedKind};

use crate::model::ids::GenerationId;
use crate::model::relpath;
use crate::model::tree::ObjectId;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done. Unless a variant says otherwise, nothing that a reader can
/// see has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    Io {
        /// What was tried, as a verb: `open`, `link`, `fsync`.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no store at this path.
    NotAStore {
        /// The path.
        path: PathBuf,
    },
    /// The directory is to become a store but holds something else.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a newer genstore.
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// What its `format` file asks for.
        found: String,
    },
    /// A lock was held by others until the wait ran out.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Who holds it, as far as this system tells.
        holders: Vec<Holder>,
    },
    /// The filesystem has no working file locks, so writing would not be safe.
    LocksUnsupported {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another generation is current than the caller expected.
    Lost {
        /// What was expected; `None` for "no generation yet".
        expected: Option<GenerationId>,
        /// What is current.
        found: Option<GenerationId>,
        /// Who made it so.
        by: Option<String>,
        /// When.
        at: Option<SystemTime>,
    },
    /// Nothing has this name.
    UnknownRev {
        /// The name.
        rev: String,
        /// Names that are near to it.
        near: Vec<String>,
    },
    /// No view has this path.
    UnknownView {
        /// The path.
        path: PathBuf,
        /// Views that are near to it.
        near: Vec<PathBuf>,
    },
    /// The source directory cannot be published.
    BadSource {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: BadSourceReason,
    },
    /// The plan holds what no generation can hold; all problems together, in the order of the paths.
    BadPlan {
        /// Never empty.
        problems: Vec<Problem>,
    },
    /// A source file changed every time it was read.
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// Something in the store is not as it was written.
    Damaged {
        /// What.
        what: Damaged,
        /// In which way.
        cause: String,
        /// Every place it serves: a generation and a path in it.
        uses: Vec<(GenerationId, Vec<u8>)>,
    },
    /// Something could not be removed: a mount point, or what belongs to another user. It was left
    /// where it is, and all around it is gone; later commands that write try again.
    Left {
        /// Never empty.
        left: Vec<Leftover>,
    },
    /// A request that cannot be met as the store is now.
    Refused {
        /// What cannot be met.
        kind: RefusedKind,
        /// One sentence.
        why: String,
    },
}

/// A part of the store that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damaged {
    /// An object.
    Object(ObjectId),
    /// A generation: its manifest, or what is kept beside it.
    Generation(GenerationId),
    /// Another file of the store, by its path in it.
    File(PathBuf),
}

/// Something that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Why it stays: `something is mounted there`, or what the system said.
    pub why: String,
}

impl Leftover {
    /// Turns a refusal by the system into a leftover. Its path is the one in the error if that is within
    /// `place`.
    ///
    /// # Errors
    /// Any other error, as it is.
    pub(crate) fn of(place: PathBuf, error: Error) -> Result<Leftover> {
        let Error::Io { path, source, .. } = error else { return Err(error) };
        let path = if path.starts_with(&place) { path } else { place };
        Ok(Leftover { path, why: source.to_string() })
    }
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its id; 0 for a process that this one cannot see.
    pub pid: u32,
    /// Its command line, shortened; empty if it cannot be read.
    pub command: String,
    /// The user whom it belongs to, if that is another than the one who asks.
    pub user: Option<u32>,
}

/// Something in a plan that no generation can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The path in the plan.
    pub path: Vec<u8>,
    /// What has to be done about it.
    pub kind: ProblemKind,
    /// A sentence's end: "is a FIFO".
    pub what: String,
}

impl Problem {
    /// Creates a problem. `what` is a sentence's end.
    pub fn new(path: &[u8], kind: ProblemKind, what: impl Into<String>) -> Problem {
        Problem { path: path.to_vec(), kind, what: what.into() }
    }
}

impl Error {
    pub(crate) fn io(op: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Error {
        Error::Io { op, path: path.into(), source: source.into() }
    }

    pub(crate) fn refused(kind: RefusedKind, why: impl Into<String>) -> Error {
        Error::Refused { kind, why: why.into() }
    }

    pub(crate) fn damaged_file(path: &Path, cause: impl fmt::Display) -> Error {
        Error::Damaged { what: Damaged::File(path.into()), cause: cause.to_string(), uses: vec![] }
    }

    /// Returns whether a system call failed because there is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// A short stable name of the case, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { .. } => "io",
            Error::NotAStore { .. } => "not-a-store",
            Error::NotEmpty { .. } => "not-empty",
            Error::NewerFormat { .. } => "newer-format",
            Error::Locked { .. } => "locked",
            Error::LocksUnsupported { .. } => "locks-unsupported",
            Error::Lost { .. } => "lost-compare-and-set",
            Error::UnknownRev { .. } => "unknown-ref",
            Error::UnknownView { .. } => "no-such-view",
            Error::BadSource { .. } => "bad-source",
            Error::BadPlan { .. } => "bad-plan",
            Error::SourceChanged { .. } => "source-changed",
            Error::Damaged { .. } => "damaged",
            Error::Left { .. } => "left-behind",
            Error::Refused { kind, .. } => kind.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The cause is this error's source, printed after it by whoever prints the chain.
            Error::Io { op, path, .. } => write!(f, "cannot {op} {}", show_path(path)),
            Error::NotAStore { path } => write!(f, "{} is not a genstore store", show_path(path)),
            Error::NotEmpty { path } => {
                write!(f, "{} holds something else and cannot become a store", show_path(path))
            }
            Error::NewerFormat { path, found } => {
                write!(f, "the store {} needs a newer genstore ({found})", show_path(path))
            }
            Error::Locked { path, waited, holders } => {
                write!(f, "{} is locked, waited {:.1} s", show_path(path), waited.as_secs_f64())?;
                for (nth, holder) in holders.iter().enumerate() {
                    let lead = if nth == 0 { "; held by " } else { ", " };
                    match holder.pid {
                        0 => write!(f, "{lead}a process of another container")?,
                        pid => write!(f, "{lead}process {pid} ({})", holder.command)?,
                    }
                    if let Some(user) = holder.user {
                        write!(f, " of user {user}")?;
                    }
                }
                Ok(())
            }
            Error::LocksUnsupported { path, .. } => {
                write!(f, "cannot lock {}: this filesystem has no working file locks", show_path(path))
            }
            Error::Lost { expected, found, .. } => {
                let name = |id: &Option<GenerationId>| id.map_or("none".to_owned(), |id| id.to_string());
                write!(f, "expected current generation {}, found {}", name(expected), name(found))
            }
            Error::UnknownRev { rev, .. } => {
                write!(f, "no generation is called {}", relpath::show(rev.as_bytes()))
            }
            Error::UnknownView { path, .. } => write!(f, "there is no view {}", show_path(path)),
            Error::BadSource { path, reason } => {
                write!(f, "cannot publish {}: {reason}", show_path(path))
            }
            Error::BadPlan { problems } => {
                write!(f, "{} cannot be kept in a generation", count(problems.len(), "path"))
            }
            Error::SourceChanged { path } => {
                write!(f, "{} changed each time it was read", show_path(path))
            }
            Error::Damaged { what, cause, .. } => match what {
                Damaged::Object(id) => write!(f, "object {} is damaged: {cause}", id.digest),
                Damaged::Generation(id) => write!(f, "generation {id} is damaged: {cause}"),
                Damaged::File(path) => write!(f, "{} is damaged: {cause}", show_path(path)),
            },
            Error::Left { left } => {
                let (path, why) = left.first().map_or(("".as_ref(), ""), |left| (&*left.path, &*left.why));
                write!(f, "could not remove {}: {why}", show_path(path))?;
                match left.len() {
                    0 | 1 => Ok(()),
                    more => write!(f, ", and {} more", count(more - 1, "path")),
                }
            }
            Error::Refused { why, .. } => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::LocksUnsupported { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Shows a path of the system on one line (see [`relpath::show`]).
pub(crate) fn show_path(path: &Path) -> String {
    relpath::show(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// Writes an error with its cause.
pub(crate) fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

//! Errors: only cases that a caller can act on, each with the affected paths or names.

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

/// The reason of a failure. Unless a variant says otherwise, nothing that a reader can see has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    Io {
        /// The operation, as a verb: `open`, `link`, `fsync`.
        op: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no store at this path.
    NotAStore {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot become a store, as it contains something else.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a newer genstore.
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// The format in its `format` file.
        found: String,
    },
    /// A lock was held by other processes until the timeout.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The time waited.
        waited: Duration,
        /// The processes that hold it, as far as this system reports them.
        holders: Vec<Holder>,
    },
    /// The filesystem has no working file locks, so writing would not be safe.
    LocksUnsupported {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The current generation is not the one that the caller expected.
    Lost {
        /// The expected generation; `None` for "no generation yet".
        expected: Option<GenerationId>,
        /// The current generation.
        found: Option<GenerationId>,
        /// The actor who activated it.
        by: Option<String>,
        /// The time of the activation.
        at: Option<SystemTime>,
    },
    /// No generation has this name.
    UnknownRev {
        /// The name.
        rev: String,
        /// Similar names.
        near: Vec<String>,
    },
    /// No view has this path.
    UnknownView {
        /// The path.
        path: PathBuf,
        /// Views with similar paths.
        near: Vec<PathBuf>,
    },
    /// The source directory cannot be published.
    BadSource {
        /// The directory.
        path: PathBuf,
        /// The reason.
        reason: BadSourceReason,
    },
    /// The plan has entries that no generation can contain: all problems together, in path order.
    BadPlan {
        /// Never empty.
        problems: Vec<Problem>,
    },
    /// A source file changed every time it was read.
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// A part of the store differs from what was written.
    Damaged {
        /// The part.
        what: Damaged,
        /// The difference.
        cause: String,
        /// Every use of it.
        uses: Vec<ObjectUse>,
    },
    /// Some paths could not be removed: mount points, or files of another user. They were left in
    /// place, and everything around them is removed. Later commands that write try again.
    Left {
        /// Never empty.
        left: Vec<Leftover>,
    },
    /// A request that cannot be fulfilled in the store's present state.
    Refused {
        /// The kind of refusal.
        kind: RefusedKind,
        /// The reason, as one sentence.
        why: String,
    },
}

/// A use of an object: a file of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectUse {
    /// The generation.
    pub generation: GenerationId,
    /// The path of the file in it.
    pub path: Vec<u8>,
}

impl ObjectUse {
    /// Creates a use.
    pub fn new(generation: GenerationId, path: impl Into<Vec<u8>>) -> ObjectUse {
        ObjectUse { generation, path: path.into() }
    }
}

/// A part of the store that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damaged {
    /// An object.
    Object(ObjectId),
    /// A generation: its manifest, or a file beside it.
    Generation(GenerationId),
    /// The tree of a generation, to which files were added.
    Added(GenerationId),
    /// Another file of the store, by its path in it.
    File(PathBuf),
}

/// A path that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// The path.
    pub path: PathBuf,
    /// The reason: `something is mounted there`, or the system's error.
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
    /// Its pid; 0 for a process that this one cannot see.
    pub pid: u32,
    /// Its command line, shortened; empty if it cannot be read.
    pub command: String,
    /// Its user, if that is not the user of this process.
    pub user: Option<u32>,
}

/// An entry of a plan that no generation can contain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The path in the plan.
    pub path: Vec<u8>,
    /// The kind of solution that it needs.
    pub kind: ProblemKind,
    /// The end of a sentence: "is a FIFO".
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

    /// Returns a short name of the case, for programs. It is stable.
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
            // The cause is this error's source. The code that prints the chain prints it after the
            // message.
            Error::Io { op, path, .. } => write!(f, "cannot {op} {}", show_path(path)),
            Error::NotAStore { path } => write!(f, "{} is not a genstore store", show_path(path)),
            Error::NotEmpty { path } => {
                write!(f, "{} is not empty and cannot become a store", show_path(path))
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
                Damaged::Generation(id) | Damaged::Added(id) => {
                    write!(f, "generation {id} is damaged: {cause}")
                }
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

/// Prints a path of the system on one line (see [`relpath::show`]).
pub(crate) fn show_path(path: &Path) -> String {
    relpath::show(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// Prints an error with its cause.
pub(crate) fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

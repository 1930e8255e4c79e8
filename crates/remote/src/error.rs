//! The errors of a remote: the cases on which a caller acts.

use std::fmt;
use std::io;

use genstore::tree::{Digest, show_path};

use crate::check::Check;
use crate::codec::Bad;
use crate::transport::Failure;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call. Nothing local was activated, and nothing on the remote was lost.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An error of the local store.
    Store(genstore::Error),
    /// A request failed, also when it was repeated.
    Request {
        /// The operation.
        op: &'static str,
        /// The key.
        key: String,
        /// The cause.
        cause: Failure,
    },
    /// An error of the cache of the remote, or of a compression.
    Local {
        /// The operation.
        op: &'static str,
        /// The cause.
        cause: io::Error,
    },
    /// A file on the remote differs from what was written.
    Damaged {
        /// The key.
        key: String,
        /// The rule that it breaks.
        why: Bad,
    },
    /// The remote needs a newer program.
    Newer {
        /// The key.
        key: String,
        /// The newer part.
        what: &'static str,
    },
    /// There is no remote at this place.
    NotARemote {
        /// The place.
        place: String,
    },
    /// Another writer moved the channel.
    Lost {
        /// The channel.
        channel: String,
        /// The record of its head that was expected; 0: none.
        expected: u64,
        /// The record of its head now; 0: none.
        found: u64,
    },
    /// There is no such channel, pin or generation.
    Unknown {
        /// The name.
        name: String,
        /// Similar names.
        near: Vec<String>,
    },
    /// The remote broke a promise.
    Distrusted {
        /// The name of the check that failed.
        check: Check,
        /// The observation.
        why: String,
    },
    /// A file that a record references is missing. gc may have removed it after a newer barrier.
    Missing {
        /// The key.
        key: String,
    },
    /// The remote has forgotten a content of the generation.
    Forgotten {
        /// BLAKE3 of the content.
        digest: Digest,
        /// A path that has it.
        path: Vec<u8>,
    },
    /// Channels and pins still have contents that are to be forgotten.
    Remembered {
        /// The channels and pins, for people.
        names: Vec<String>,
    },
    /// A record cannot be signed.
    Signing {
        /// The reason.
        why: String,
    },
    /// The generation has shared paths that the project does not have.
    NotShared {
        /// The paths, as a sentence.
        why: String,
    },
    /// An argument cannot be used.
    Unfit {
        /// The reason.
        why: String,
    },
}

impl Error {
    /// Creates the error of a file on the remote that cannot be decoded.
    pub(crate) fn bad(key: &str, why: Bad) -> Error {
        match why {
            Bad::Newer(what) => Error::Newer { key: key.to_owned(), what },
            why => Error::Damaged { key: key.to_owned(), why },
        }
    }

    /// Creates the error of the cache or of a compression.
    pub(crate) fn local(op: &'static str) -> impl Fn(io::Error) -> Error {
        move |cause| Error::Local { op, cause }
    }

    /// Returns a short name of the case, for programs. It is stable.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Store(error) => error.code(),
            Error::Request { .. } => "remote-request",
            Error::Local { .. } => "io",
            Error::Damaged { .. } => "remote-damaged",
            Error::Newer { .. } => "remote-newer",
            Error::NotARemote { .. } => "not-a-remote",
            Error::Lost { .. } => "lost-compare-and-set",
            Error::Unknown { .. } => "unknown-channel",
            Error::Distrusted { .. } => "distrusted",
            Error::Missing { .. } => "remote-missing",
            Error::Forgotten { .. } => "forgotten",
            Error::Remembered { .. } => "remote-remembers",
            Error::Signing { .. } => "cannot-sign",
            Error::NotShared { .. } => "not-shared-here",
            Error::Unfit { .. } => "bad-argument",
        }
    }
}

impl From<genstore::Error> for Error {
    fn from(error: genstore::Error) -> Error {
        Error::Store(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Store(error) => error.fmt(f),
            // The cause is this error's source, and is printed after the message.
            Error::Request { op, key, .. } => write!(f, "cannot {op} {key} on the remote"),
            Error::Local { op, .. } => write!(f, "cannot {op}"),
            Error::Damaged { key, why } => write!(f, "{key} on the remote is damaged: {why}"),
            Error::Newer { key, what } => {
                write!(f, "{key} on the remote needs a newer genstore ({what} of a newer format)")
            }
            Error::NotARemote { place } => write!(f, "there is no remote at {place}"),
            Error::Lost { channel, expected, found } => {
                let name = |number: u64| match number {
                    0 => "no generation".to_owned(),
                    number => format!("record {number}"),
                };
                write!(f, "channel {channel} moved: expected {}, found {}", name(*expected), name(*found))
            }
            Error::Unknown { name, .. } => write!(f, "the remote has no channel or generation {name}"),
            Error::Distrusted { check, why } => {
                write!(f, "the remote cannot be trusted ({}): {why}", check.name())
            }
            Error::Missing { key } => write!(f, "{key} is missing on the remote"),
            Error::Forgotten { digest, path } => {
                write!(f, "the remote has forgotten the content of {} ({digest})", show_path(path))
            }
            Error::Remembered { names } => write!(f, "{} still needs the content", names.join(", ")),
            Error::Signing { why } => write!(f, "cannot sign the record: {why}"),
            Error::NotShared { why } | Error::Unfit { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Store(error) => error.source(),
            Error::Request { cause, .. } => Some(cause),
            Error::Local { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

//! Why a torture could not go on.

use std::fmt;
use std::io;

/// Why a torture could not go on.
#[derive(Debug)]
pub enum TortureError {
    /// The scratch folder cannot be read or written.
    Io(io::Error),
    /// A command fails although nothing disturbs it.
    Undisturbed {
        /// The name of its scenario.
        scenario: &'static str,
        /// How it fails.
        what: String,
    },
}

impl From<io::Error> for TortureError {
    fn from(error: io::Error) -> TortureError {
        TortureError::Io(error)
    }
}

impl fmt::Display for TortureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TortureError::Io(error) => error.fmt(f),
            TortureError::Undisturbed { scenario, what } => {
                write!(f, "{scenario} does not work here, even undisturbed: {what}")
            }
        }
    }
}

impl std::error::Error for TortureError {}

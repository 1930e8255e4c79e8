//! The errors of a torture.

use std::fmt;
use std::io;

/// An error that ends a torture.
#[derive(Debug)]
pub enum TortureError {
    /// The scratch folder cannot be read or written.
    Io(io::Error),
    /// A command fails without any fault.
    Undisturbed {
        /// The name of its scenario.
        scenario: &'static str,
        /// The failure.
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

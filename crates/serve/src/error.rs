//! Errors of the start. Later ones are answers and events.

use std::{fmt, io};

/// The reason why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be read.
    Store(genstore::Error),
    /// The system refused threads or sockets.
    Start(io::Error),
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
            Error::Start(source) => write!(f, "cannot start the server: {source}"),
        }
    }
}

impl std::error::Error for Error {}

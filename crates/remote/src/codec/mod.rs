//! The format of a remote as pure functions (`remote-layout.md`). Nothing here does input or output.
//!
//! Every length is checked against a limit before anything is allocated for it, and a decoded value encodes
//! to the same bytes (RMT-1).

pub mod bundle;
pub mod condemned;
pub mod forgotten;
pub mod names;
pub mod pack;
pub mod record;
pub mod squeeze;
pub mod table;
mod wire;

use std::fmt;

/// Bytes that are not a file of the expected kind, or that differ from the ones that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// A rule of the format is broken.
    Malformed(&'static str),
    /// The format is newer than this program.
    Newer(&'static str),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Malformed(why) => f.write_str(why),
            Bad::Newer(what) => write!(f, "{what} of a newer format"),
        }
    }
}

impl std::error::Error for Bad {}

/// A number that was never used before: 16 random bytes.
pub type Nonce = [u8; 16];

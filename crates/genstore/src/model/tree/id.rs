//! The id of a tree.

use std::fmt;
use std::str::FromStr;

use crate::model::digest::{Digest, NotADigest};

/// The digest of a tree's canonical bytes without the mtimes: same content, same id, on every host.
///
/// Prints and parses as the digest does: 64 lower-case hex characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(Digest);

impl TreeId {
    /// Wraps the digest of a tree's canonical bytes.
    pub const fn from_digest(digest: Digest) -> TreeId {
        TreeId(digest)
    }

    /// Returns the digest of the tree's canonical bytes.
    pub const fn digest(self) -> Digest {
        self.0
    }

    /// Returns the first eight hex characters, for people.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for TreeId {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<TreeId, NotADigest> {
        text.parse().map(TreeId)
    }
}

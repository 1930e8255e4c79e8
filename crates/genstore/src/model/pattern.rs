//! Patterns for paths in a tree: `*` stops at `/`, `**` does not.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet};

/// A pattern for paths in a tree: `*` stops at `/`, `**` does not.
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

/// The reason why a text is not a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPattern(String);

impl fmt::Display for NotAPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAPattern {}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`NotAPattern`].
    pub fn new(text: &str) -> Result<Pattern, NotAPattern> {
        parse(text).map(|glob| Pattern(glob.compile_matcher()))
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.glob().glob()
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match(OsStr::from_bytes(path))
    }
}

/// Several patterns, matched at once.
#[derive(Clone, Debug)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// Parses patterns.
    ///
    /// # Errors
    /// [`NotAPattern`] for the first text that is none.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Patterns, NotAPattern> {
        let mut set = GlobSet::builder();
        for text in texts {
            set.add(parse(text.as_ref())?);
        }
        set.build().map(Patterns).map_err(|e| NotAPattern(e.to_string()))
    }

    /// Returns whether one of the patterns matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match(OsStr::from_bytes(path))
    }
}

fn parse(text: &str) -> Result<Glob, NotAPattern> {
    GlobBuilder::new(text).literal_separator(true).build().map_err(|e| NotAPattern(e.to_string()))
}

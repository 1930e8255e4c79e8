//! Patterns for paths in a tree: single ones for audits, and lists as in a `.gitignore` file for scans.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet};

/// A pattern for whole paths in a tree: `*` stops at `/`, `**` does not.
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

/// A list of patterns as the lines of a `.gitignore` file: one without a slash matches a name in any folder,
/// another one a path from the top. `/` at the end matches folders only. Of those that match, the last one
/// decides: `!` takes a match back. Alternatives in braces, `*.{png,jpg}`, work too.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: GlobSet,
    lines: Vec<Line>,
}

/// One pattern of a list.
#[derive(Clone, Debug)]
struct Line {
    text: String,
    takes_back: bool,
    only_folders: bool,
}

impl Patterns {
    /// Parses patterns.
    ///
    /// # Errors
    /// [`NotAPattern`] for the first text that is none.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Patterns, NotAPattern> {
        let (mut set, mut lines) = (GlobSet::builder(), Vec::new());
        for text in texts {
            let text = text.as_ref();
            let (takes_back, rest) = match text.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            let (only_folders, rest) = match rest.strip_suffix('/') {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            if rest.is_empty() {
                return Err(NotAPattern(format!("`{text}` matches nothing")));
            }
            // The message of a wrong one quotes it as it was written.
            parse(rest)?;
            let glob = match rest.contains('/') {
                true => parse(rest.trim_start_matches('/'))?,
                false => parse(&format!("**/{rest}"))?,
            };
            set.add(glob);
            lines.push(Line { text: text.to_owned(), takes_back, only_folders });
        }
        let set = set.build().map_err(|e| NotAPattern(e.to_string()))?;
        Ok(Patterns { set, lines })
    }

    /// Returns the patterns followed by more, which take precedence.
    ///
    /// # Errors
    /// [`NotAPattern`] for the first text that is none.
    pub fn and<T: AsRef<str>>(&self, more: impl IntoIterator<Item = T>) -> Result<Patterns, NotAPattern> {
        let own = self.lines.iter().map(|line| line.text.clone());
        Patterns::new(own.chain(more.into_iter().map(|text| text.as_ref().to_owned())))
    }

    /// Returns whether the last pattern that matches is one that does not take a match back. The folders
    /// above the path are not considered.
    pub fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        let path = OsStr::from_bytes(path);
        if self.lines.iter().all(|line| !line.takes_back && !line.only_folders) {
            return self.set.is_match(path);
        }
        let found = self.set.matches(path).into_iter().rev().map(|at| &self.lines[at]);
        let mut fitting = found.filter(|line| is_folder || !line.only_folders);
        fitting.next().is_some_and(|line| !line.takes_back)
    }

    /// Returns whether the path matches, or a folder above it.
    pub fn matches_or_above(&self, path: &[u8], is_folder: bool) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = slashes.map(|(at, _)| &path[..at]);
        above.any(|folder| self.matches(folder, true)) || self.matches(path, is_folder)
    }
}

fn parse(text: &str) -> Result<Glob, NotAPattern> {
    GlobBuilder::new(text).literal_separator(true).build().map_err(|e| NotAPattern(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], path: &str, expected: bool) {
        let (path, is_folder) = match path.strip_suffix('/') {
            Some(folder) => (folder, true),
            None => (path, false),
        };
        let found = Patterns::new(patterns).unwrap().matches_or_above(path.as_bytes(), is_folder);
        assert_eq!(found, expected, "{patterns:?} {path}");
    }

    /// The cases of the manual of gitignore.
    #[test]
    fn a_list_is_read_as_a_gitignore_file() {
        check(&["*.map"], "a.map", true);
        check(&["*.map"], "a/b.map", true);
        check(&["/*.map"], "a/b.map", false);
        check(&["/*.map"], "b.map", true);
        check(&["doc/frotz"], "doc/frotz", true);
        check(&["doc/frotz"], "a/doc/frotz", false);
        check(&["frotz/"], "a/frotz/", true);
        check(&["frotz/"], "a/frotz", false);
        check(&["frotz/"], "a/frotz/b", true);
        check(&["doc/frotz/"], "a/doc/frotz/", false);
        check(&["**/foo"], "a/b/foo", true);
        check(&["**/foo/bar"], "a/foo/bar", true);
        check(&["abc/**"], "abc/d/e", true);
        check(&["abc/**"], "abc/", false);
        check(&["a/**/b"], "a/b", true);
        check(&["a/**/b"], "a/x/y/b", true);
        check(&["foo/*"], "foo/bar/x", true);
        check(&["foo/*"], "foo/", false);
        check(&["*.log", "!keep.log"], "a/keep.log", false);
        check(&["*.log", "!keep.log"], "a/other.log", true);
        check(&["!keep.log", "*.log"], "keep.log", true);
        check(&["\\!a"], "!a", true);
        check(&["*.{png,jpg}"], "img/a.jpg", true);
        check(&["a?c"], "a/c", false);
        check(&[], "a", false);
    }

    #[test]
    fn later_patterns_take_precedence() {
        let patterns = Patterns::new(["*.map"]).unwrap().and(["!a.map", "b"]).unwrap();
        assert!(!patterns.matches(b"x/a.map", false) && patterns.matches(b"c.map", false));
        assert!(patterns.matches(b"b", true));
    }

    #[test]
    fn wrong_patterns_are_quoted_as_they_were_written() {
        let check = |text: &str, expected: &str| {
            let why = Patterns::new([text]).unwrap_err().to_string();
            assert!(why.contains(expected), "{why}");
        };
        check("a[", "'a['");
        check("/", "`/` matches nothing");
        check("!", "`!` matches nothing");
    }
}

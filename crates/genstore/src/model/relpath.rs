//! Relative paths: bytes, checked once at the edge, trusted inside.
//!
//! Paths are ordered by their components, so all entries of a folder are adjacent (`a`, `a/b`, `a-b`;
//! plain byte order would put `a-b` between the two).

use std::cmp::Ordering;
use std::fmt;

/// The longest name of one component, in bytes (NAME_MAX of every supported filesystem).
pub(crate) const NAME_MAX: usize = 255;

/// A relative path of one or more names, joined by `/`: no empty name, no `.` or `..`, no NUL,
/// no name longer than 255 bytes. Not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Box<[u8]>);

/// The reason why bytes are not a relative path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathProblem {
    /// It is empty.
    Empty,
    /// It starts with `/`.
    Absolute,
    /// It contains `.` or an empty name, as in `a//b` or `a/`.
    NotNormal,
    /// It contains `..`.
    Parent,
    /// It contains a NUL byte.
    Nul,
    /// One of its names is longer than 255 bytes.
    NameTooLong,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathProblem::Empty => "the path is empty",
            PathProblem::Absolute => "the path is absolute",
            PathProblem::NotNormal => "the path contains an empty name or `.`",
            PathProblem::Parent => "the path contains `..`",
            PathProblem::Nul => "the path contains a NUL byte",
            PathProblem::NameTooLong => "a name in the path is longer than 255 bytes",
        })
    }
}

impl RelPath {
    /// Checks `bytes` and keeps them as they are.
    ///
    /// # Errors
    /// The first [`PathProblem`] found, from left to right.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<RelPath, PathProblem> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(RelPath(bytes.into_boxed_slice()))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Checks that `bytes` are a relative path.
pub(crate) fn check(bytes: &[u8]) -> Result<(), PathProblem> {
    match bytes.first() {
        None => Err(PathProblem::Empty),
        Some(b'/') => Err(PathProblem::Absolute),
        Some(_) => check_names(bytes),
    }
}

/// Checks one or more names.
fn check_names(bytes: &[u8]) -> Result<(), PathProblem> {
    for name in bytes.split(|&b| b == b'/') {
        match name {
            b"" | b"." => return Err(PathProblem::NotNormal),
            b".." => return Err(PathProblem::Parent),
            _ if name.len() > NAME_MAX => return Err(PathProblem::NameTooLong),
            _ if name.contains(&0) => return Err(PathProblem::Nul),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a path that follows another, valid path in a tree. Only the names that it does not share with
/// that path are checked. Returns `Ok(false)` if it does not come after that path, or lies below it.
pub(crate) fn check_next(before: &[u8], path: &[u8]) -> Result<bool, PathProblem> {
    let shared = common_prefix(before, path);
    let start = path[..shared].iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    if start == 0 {
        check(path)?
    } else {
        check_names(&path[start..])?
    }
    Ok(match (before.get(shared), path.get(shared)) {
        (None, Some(next)) => *next != b'/',
        (Some(old), Some(new)) => weight(*old) < weight(*new),
        (_, None) => false,
    })
}

/// Compares two paths by their components.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let shared = common_prefix(a, b);
    match (a.get(shared), b.get(shared)) {
        (Some(a), Some(b)) => weight(*a).cmp(&weight(*b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// `/` ends a name, so it sorts before every byte of a name.
fn weight(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

/// Returns the length of the common prefix of two paths. Compares eight bytes at a time: neighbours in
/// a tree share most of theirs.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let whole = words_a.zip(words_b).take_while(|(x, y)| x == y).count() * 8;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(x, y)| x == y).count()
}

/// Splits a path into its folder (empty at the top) and its name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Joins a folder (empty at the top) and a name.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    push_joined(&mut path, folder, name);
    path
}

/// Appends a folder (empty at the top) and a name, joined.
pub(crate) fn push_joined(to: &mut Vec<u8>, folder: &[u8], name: &[u8]) {
    if !folder.is_empty() {
        to.extend(folder);
        to.push(b'/');
    }
    to.extend(name);
}

/// Returns the part of a path after a folder that contains it, given the folder's length. Empty for the
/// folder itself.
pub(crate) fn after(path: &[u8], folder: usize) -> &[u8] {
    match folder {
        0 => path,
        _ => path.get(folder + 1..).unwrap_or_default(),
    }
}

/// Returns whether `path` is `folder` or lies below it.
pub(crate) fn is_within(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Prints a path on one line. Control characters, backslashes and bytes that are not UTF-8 are escaped
/// (`\n`, `\\`, `\xff`), so no name can forge a second line or a colour.
pub fn show(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() || is_invisible(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Returns whether a character is invisible, or changes the order of the text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_new(bytes: &[u8], expected: Result<(), PathProblem>) {
        assert_eq!(RelPath::new(bytes).map(|_| ()), expected, "{}", show(bytes));
    }

    #[test]
    fn accepts_names_and_nothing_else() {
        check_new(b"a", Ok(()));
        check_new(b"-rf/\xff\n/...", Ok(()));
        check_new(&[b'n'; 255], Ok(()));
        check_new(b"", Err(PathProblem::Empty));
        check_new(b"/a", Err(PathProblem::Absolute));
        check_new(b"a/", Err(PathProblem::NotNormal));
        check_new(b"a//b", Err(PathProblem::NotNormal));
        check_new(b"./a", Err(PathProblem::NotNormal));
        check_new(b"a/../b", Err(PathProblem::Parent));
        check_new(b"a\0b", Err(PathProblem::Nul));
        check_new(&[b'n'; 256], Err(PathProblem::NameTooLong));
    }

    #[test]
    fn shows_every_path_on_one_line() {
        assert_eq!(show("grüße/a b".as_bytes()), "grüße/a b");
        assert_eq!(show(b"a\nb\x1b[31m\\\xff"), "a\\nb\\u{1b}[31m\\\\\\xff");
        assert_eq!(show("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_components(a in "[a-c./-]{1,8}", b in "[a-c./-]{1,8}") {
            let parts = |s: &str| s.split('/').map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(compare(a.as_bytes(), b.as_bytes()), parts(&a).cmp(&parts(&b)));
        }

        #[test]
        fn a_next_path_is_checked_as_a_whole_one_is(
            a in "[a-c](/[a-c]{1,4}){0,4}",
            b in "[a-c./]{0,12}",
            shared in 0usize..16,
        ) {
            // Often with a long common prefix.
            let b = format!("{}{b}", &a[..shared.min(a.len())]);
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let expected = check(b).map(|()| compare(a, b).is_lt() && !is_within(b, a));
            prop_assert_eq!(check_next(a, b), expected);
        }
    }
}

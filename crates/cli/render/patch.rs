//! Formats patches for `git apply` and `patch -p1`.
//!
//! Changes that git cannot express (an empty directory, a file too large to compare line by line) are lines
//! between the patches that both programs skip.

use std::time::Duration;

use anstyle::Style;
use genstore::diff::Change;
use genstore::tree::{Entry, Node};
use similar::{ChangeTag, TextDiff};

use crate::text::style::{ADDED, BOLD, PLACE, REMOVED};

/// The comparison is cut short after this time: the patch is still correct, but may be larger than
/// necessary.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bytes of one side.
pub(crate) enum Content {
    /// There is no file.
    Absent,
    /// The bytes of a file, or a symlink's target.
    Bytes(Vec<u8>),
    /// A file that is too large to be compared line by line.
    TooLarge,
}

impl Content {
    /// Returns the text, or `None` for bytes that are none.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Content::Absent => Some(b""),
            // git checks the same number of bytes for a NUL.
            Content::Bytes(bytes) => (!bytes.iter().take(8000).any(|&b| b == 0)).then_some(bytes),
            Content::TooLarge => None,
        }
    }
}

/// Numbers of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Text { added: u64, removed: u64 },
    Binary,
}

/// Counts the added and removed lines.
pub(crate) fn count_lines(old: &Content, new: &Content) -> Lines {
    let (Some(old), Some(new)) = (old.text(), new.text()) else { return Lines::Binary };
    let (old, new) = (split(old), split(new));
    let (mut added, mut removed) = (0, 0);
    for change in compare(&old, &new).iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => {}
        }
    }
    Lines::Text { added, removed }
}

/// Formats the patch of one path.
pub(crate) fn patch(change: &Change<'_>, old: &Content, new: &Content, colored: bool) -> Vec<u8> {
    let mut patch = Patch { out: Vec::new(), colored };
    match *change {
        // git removes the one kind and adds the other.
        Change::Modified(from, to) if mode(from) != mode(to) && !(is_file(from) && is_file(to)) => {
            patch.one(Some(from), None, old, &Content::Absent);
            patch.one(None, Some(to), &Content::Absent, new);
        }
        _ => patch.one(change.from(), change.to(), old, new),
    }
    patch.out
}

fn is_file(entry: Entry<'_>) -> bool {
    matches!(entry.node, Node::File(_))
}

/// Returns the mode as git writes it, or `None` for a directory.
fn mode(entry: Entry<'_>) -> Option<&'static str> {
    match entry.node {
        Node::File(file) if file.executable => Some("100755"),
        Node::File(_) => Some("100644"),
        Node::Symlink(_) => Some("120000"),
        Node::EmptyDir => None,
    }
}

/// Divides a text into lines, each with its end.
pub(crate) fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&b| b == b'\n').collect()
}

/// Compares two texts line by line.
pub(crate) fn compare<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> TextDiff<'a, 'a, [u8]> {
    TextDiff::configure().timeout(PATIENCE).newline_terminated(true).diff_slices(old, new)
}

/// Quotes a path like git, if a patch cannot show it plainly.
fn quote(side: &str, path: &[u8]) -> Vec<u8> {
    let full = [side.as_bytes(), b"/", path].concat();
    let plain = std::str::from_utf8(&full)
        .is_ok_and(|text| genstore::tree::show_path(text.as_bytes()) == text && !text.contains('"'));
    if plain {
        return full;
    }
    let mut out = vec![b'"'];
    for &byte in &full {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\{byte:03o}").into_bytes()),
        }
    }
    out.push(b'"');
    out
}

struct Patch {
    out: Vec<u8>,
    colored: bool,
}

impl Patch {
    /// Writes a line. Its line feed, if it has one, comes after the end of the style.
    fn line(&mut self, style: Style, parts: &[&[u8]]) {
        let text = parts.concat();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        if self.colored {
            self.out.extend(style.render().to_string().into_bytes());
        }
        self.out.extend(text);
        if self.colored {
            self.out.extend(style.render_reset().to_string().into_bytes());
        }
        self.out.push(b'\n');
    }

    fn head(&mut self, parts: &[&[u8]]) {
        self.line(BOLD, parts);
    }

    fn one(&mut self, from: Option<Entry<'_>>, to: Option<Entry<'_>>, old: &Content, new: &Content) {
        let (Some(path), Some(old_path)) = (to.or(from).map(|e| e.path), from.or(to).map(|e| e.path))
        else {
            return;
        };
        let (a, b) = (quote("a", old_path), quote("b", path));
        let (from_mode, to_mode) = (from.and_then(mode), to.and_then(mode));
        let head: &[&[u8]] = &[b"diff --git ", &a, b" ", &b];
        match (from_mode, to_mode) {
            (None, None) => {
                let side: &[u8] = if from.is_some() { b"a" } else { b"b" };
                let shown = genstore::tree::show_path(path);
                return self
                    .line(Style::new(), &[b"Only in ", side, b": ", shown.as_bytes(), b"/ (empty)"]);
            }
            (None, Some(mode)) => {
                self.head(head);
                self.head(&[b"new file mode ", mode.as_bytes()]);
            }
            (Some(mode), None) => {
                self.head(head);
                self.head(&[b"deleted file mode ", mode.as_bytes()]);
            }
            (Some(old_mode), Some(new_mode)) => {
                self.head(head);
                if old_mode != new_mode {
                    self.head(&[b"old mode ", old_mode.as_bytes()]);
                    self.head(&[b"new mode ", new_mode.as_bytes()]);
                }
                if old_path != path {
                    let name = |quoted: &[u8]| -> Vec<u8> {
                        match quoted.strip_prefix(b"\"") {
                            // Without the side: `"a/…"` becomes `"…"`.
                            Some(rest) => [b"\"", rest.get(2..).unwrap_or_default()].concat(),
                            None => quoted.get(2..).unwrap_or_default().to_vec(),
                        }
                    };
                    self.head(&[b"similarity index 100%"]);
                    self.head(&[b"rename from ", &name(&a)]);
                    self.head(&[b"rename to ", &name(&b)]);
                    return;
                }
            }
        }
        let a = if from_mode.is_some() { a } else { b"/dev/null".to_vec() };
        let b = if to_mode.is_some() { b } else { b"/dev/null".to_vec() };
        match (old.text(), new.text()) {
            (Some(old), Some(new)) => self.hunks(&a, &b, old, new),
            _ => self.line(Style::new(), &[b"Binary files ", &a, b" and ", &b, b" differ"]),
        }
    }

    fn hunks(&mut self, a: &[u8], b: &[u8], old: &[u8], new: &[u8]) {
        let (old, new) = (split(old), split(new));
        let diff = compare(&old, &new);
        // A tab ends a name that contains a space, as `patch` requires.
        let end = |name: &[u8]| -> &[u8] { if name.contains(&b' ') { b"\t" } else { b"" } };
        for (nth, hunk) in diff.unified_diff().iter_hunks().enumerate() {
            if nth == 0 {
                self.head(&[b"--- ", a, end(a)]);
                self.head(&[b"+++ ", b, end(b)]);
            }
            self.line(PLACE, &[hunk.header().to_string().as_bytes()]);
            for change in hunk.iter_changes() {
                let (sign, style): (&[u8], Style) = match change.tag() {
                    ChangeTag::Equal => (b" ", Style::new()),
                    ChangeTag::Delete => (b"-", REMOVED),
                    ChangeTag::Insert => (b"+", ADDED),
                };
                self.line(style, &[sign, change.value()]);
                if !change.value().ends_with(b"\n") {
                    self.line(Style::new(), &[b"\\ No newline at end of file"]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_git_quotes() {
        let check = |path: &[u8], expected: &str| {
            assert_eq!(String::from_utf8(quote("a", path)).unwrap(), expected);
        };
        check(b"x y", "a/x y");
        check("grüße".as_bytes(), "a/grüße");
        check(b"a\n\"\\\xff", "\"a/a\\012\\\"\\\\\\377\"");
    }

    #[test]
    fn counts_lines() {
        let text = |text: &str| Content::Bytes(text.into());
        let lines = |added, removed| Lines::Text { added, removed };
        assert_eq!(count_lines(&text("a\nb\n"), &text("a\nc\nd")), lines(2, 1));
        assert_eq!(count_lines(&Content::Absent, &text("a\rb\n")), lines(1, 0));
        assert_eq!(count_lines(&text("a"), &text("a\0")), Lines::Binary);
    }
}

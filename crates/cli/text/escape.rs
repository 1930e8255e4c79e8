//! Makes foreign text harmless for a terminal.

use std::borrow::Cow;
use std::path::Path;

/// Formats a path of the system on one line.
pub(crate) fn show(path: &Path) -> String {
    genstore::tree::show_path(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// Returns whether a terminal interprets a character, hides it, or reorders text because of it: control
/// characters of both sets, and characters that set the direction of text.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes unsafe characters in the program's own text that quotes foreign text. Line ends, tabs and the
/// start of colour sequences stay.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t' | '\x1b');
    if !text.chars().any(is_bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_colours_stay_and_nothing_else_that_a_terminal_obeys() {
        let own = "\x1b[1ma\x1b[0m\tgrüße\n";
        assert_eq!(harmless(own), own);
        assert_eq!(
            harmless("a\u{9b}31m\u{7f}\u{202e}b\u{2066}\rc\u{2028}\n"),
            "a\\u{9b}31m\\u{7f}\\u{202e}b\\u{2066}\\u{d}c\\u{2028}\n"
        );
    }
}

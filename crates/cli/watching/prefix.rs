//! Output of several programs on one terminal: each line starts with the name of its program.

use genstore_run::Stream;
use genstore_watch::{Announce, Lines};

use crate::project::config::Pattern;
use crate::render::output::LineWriter;
use crate::text::human;
use crate::text::style::{DIM, NAMES};

/// The prefix of the build's output, if there are children.
pub(super) const BUILD: &str = "build";

/// Returns the prefix of a program's lines.
pub(super) fn prefix(names: &[String], name: &str, colored: bool) -> String {
    let width = names.iter().map(|name| human::columns(name)).max().unwrap_or(0).max(BUILD.len());
    let at = names.iter().position(|other| other == name);
    let style = match at {
        Some(at) => NAMES[at % NAMES.len()],
        None => DIM,
    };
    // The formatter counts characters, but some take two columns.
    let space = " ".repeat(width.saturating_sub(human::columns(name)));
    match colored {
        true => format!("{style}{space}{name} |{style:#} "),
        false => format!("{space}{name} | "),
    }
}

/// Passes a program's lines on, each with its prefix.
pub(super) fn sink(
    prefix: String,
    json: bool,
) -> impl FnMut(Stream, &[u8]) -> std::io::Result<()> + Send + 'static {
    let line = |stream| (Lines::new(prefix.clone()), LineWriter::new(stream, json));
    let mut sink = Sink { stdout: line(Stream::Stdout), stderr: line(Stream::Stderr) };
    move |stream, bytes| sink.pass(stream, bytes)
}

/// Passes a program's output on, and announces that it is ready once a line matches the pattern.
pub(super) fn watched_for(
    pattern: Pattern,
    announce: Announce,
    mut pass: impl FnMut(Stream, &[u8]) -> std::io::Result<()> + Send + 'static,
) -> impl FnMut(Stream, &[u8]) -> std::io::Result<()> + Send + 'static {
    let mut found = Found { pattern, lines: [vec![], vec![]], is_done: false };
    move |stream, bytes| {
        if found.in_this(stream, bytes) {
            announce.ready();
        }
        pass(stream, bytes)
    }
}

/// The end of a line that is longer than this is looked at no more.
const LONGEST_LINE: usize = 16 << 10;

/// A search for the first line that matches.
struct Found {
    pattern: Pattern,
    /// The unfinished last line of stdout, and of stderr.
    lines: [Vec<u8>; 2],
    is_done: bool,
}

impl Found {
    /// Returns whether these bytes complete the first line that matches. No bytes are a pause.
    fn in_this(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        if self.is_done {
            return false;
        }
        let line = &mut self.lines[usize::from(stream == Stream::Stderr)];
        let is_pause = bytes.is_empty();
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let room = LONGEST_LINE.saturating_sub(line.len());
            line.extend(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") {
                self.is_done |= matches(&self.pattern, line);
                line.clear();
            }
        }
        // A line may have no end for long, as a prompt has none.
        self.is_done |= is_pause && matches(&self.pattern, line);
        self.is_done
    }
}

/// Returns whether a line matches, without its colours.
fn matches(Pattern(pattern): &Pattern, line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let text = anstream::adapter::strip_str(&text).to_string();
    pattern.is_match(text.trim_end_matches(['\r', '\n']))
}

struct Sink {
    stdout: (Lines, LineWriter),
    stderr: (Lines, LineWriter),
}

impl Sink {
    fn pass(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        let (lines, writer) = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        writer.write(|is_mine| {
            if !is_mine {
                lines.interrupted();
            }
            // An empty slice reports a pause.
            if bytes.is_empty() { lines.pause() } else { lines.take(bytes) }
        })
    }
}

impl Drop for Sink {
    /// Writes the last line, which may lack its line feed.
    fn drop(&mut self) {
        for (lines, writer) in [&mut self.stdout, &mut self.stderr] {
            let end = |is_mine: bool| {
                if !is_mine {
                    lines.interrupted();
                }
                lines.end()
            };
            writer.write(end).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_is_found_once() {
        let pattern = Pattern(regex_lite::Regex::new("^up on [0-9]+$").unwrap());
        let mut found = Found { pattern, lines: [vec![], vec![]], is_done: false };
        let out = Stream::Stdout;
        assert!(!found.in_this(out, b"not up on 3\nup "));
        assert!(!found.in_this(Stream::Stderr, b"on 3000\n"), "of the other stream");
        assert!(!found.in_this(out, b"on \x1b[1m30"));
        assert!(found.in_this(out, b"00\x1b[0m\r\nmore"));
        assert!(!found.in_this(out, b"\nup on 1\n"), "once");
        let pattern = Pattern(regex_lite::Regex::new("ready").unwrap());
        let mut found = Found { pattern, lines: [vec![], vec![]], is_done: false };
        assert!(!found.in_this(out, b"ready> "));
        assert!(found.in_this(out, b""), "after a pause");
    }

    #[test]
    fn prefixes_end_in_one_column() {
        let names: Vec<String> = ["api", "サーバー", "🚀"].map(str::to_owned).to_vec();
        let found: Vec<String> = names.iter().map(|name| prefix(&names, name, false)).collect();
        assert_eq!(found, ["     api | ", "サーバー | ", "      🚀 | "]);
        assert_eq!(prefix(&names, BUILD, false), "   build | ");
    }
}

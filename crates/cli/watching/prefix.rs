//! Output of several programs on one terminal: each line starts with the name of its program.

use genstore_run::Stream;
use genstore_watch::Lines;

use crate::render::output::LineWriter;
use crate::text::human;
use crate::text::style::DIM;

/// The colours of the prefixes, in turn.
const COLORS: [anstyle::AnsiColor; 6] = [
    anstyle::AnsiColor::Cyan,
    anstyle::AnsiColor::Magenta,
    anstyle::AnsiColor::Yellow,
    anstyle::AnsiColor::Blue,
    anstyle::AnsiColor::Green,
    anstyle::AnsiColor::Red,
];
/// The prefix of the build's output, if there are children.
pub(super) const BUILD: &str = "build";

/// Returns the prefix of a program's lines.
pub(super) fn prefix(names: &[String], name: &str, colored: bool) -> String {
    let width = names.iter().map(|name| human::columns(name)).max().unwrap_or(0).max(BUILD.len());
    let at = names.iter().position(|other| other == name);
    let style = match at {
        Some(at) => COLORS[at % COLORS.len()].on_default().bold(),
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
    fn prefixes_end_in_one_column() {
        let names: Vec<String> = ["api", "サーバー", "🚀"].map(str::to_owned).to_vec();
        let found: Vec<String> = names.iter().map(|name| prefix(&names, name, false)).collect();
        assert_eq!(found, ["     api | ", "サーバー | ", "      🚀 | "]);
        assert_eq!(prefix(&names, BUILD, false), "   build | ");
    }
}

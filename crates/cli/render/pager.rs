//! The terminal of stdout: its width, and a pager for text that is longer than it.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use genstore_run::Interrupts;
use unicode_width::UnicodeWidthStr;

use crate::environment;

/// The columns and rows of a terminal.
#[derive(Clone, Copy)]
struct Size {
    columns: usize,
    rows: usize,
}

/// Returns the size of the terminal that stdout is. Returns `None` if it is none, or has no size.
fn size() -> Option<Size> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some(Size { columns, rows })
}

/// Returns the columns of the terminal that stdout is.
pub(crate) fn columns() -> Option<usize> {
    size().map(|size| size.columns)
}

/// Shows a text in the user's pager. Returns `false` if it was not shown: stdout is no terminal, the text is
/// short enough, or there is no pager.
pub(crate) fn show(text: &str, colored: bool) -> bool {
    let Some(size) = size() else { return false };
    let plain = anstream::adapter::strip_str(text).to_string();
    let lines: usize = plain.lines().map(|line| line.width().div_ceil(size.columns).max(1)).sum();
    if lines < size.rows {
        return false;
    }
    let Some(pager) = environment::pager() else { return false };
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    // As git sets them: colours stay, and a text that turns out to fit stays on the screen.
    if !environment::has("LESS") {
        command.env("LESS", "FRX");
    }
    // Ctrl-C is for the pager. Without this, the shell would get the terminal while the pager still has it.
    let caught = Interrupts::install();
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        let text = if colored { text } else { &plain };
        // A pager that is left early closes the pipe.
        stdin.write_all(text.as_bytes()).unwrap_or_default();
    }
    let ended = child.wait();
    drop(caught);
    // A shell that finds no such program ends with 127, and has shown nothing.
    ended.is_ok_and(|status| status.code() != Some(127))
}

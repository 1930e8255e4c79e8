//! Writes data to stdout and messages to stderr. No other module writes to them.
//!
//! A failed write to stdout is remembered rather than returned: the verb's effect on the store is done,
//! even if the report is lost. `render::failure::settle` turns it into the exit status.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstream::ColorChoice;
use genstore_run::Stream;
use serde::Serialize;

use crate::environment;
use crate::globals::{Globals, When};
use crate::render::pager;
use crate::text::escape::{harmless, is_unsafe};
use crate::text::style::{BOLD, CARE, DIM};

/// Formats a document, with all unsafe characters escaped as in JSON.
fn json_of(document: &impl Serialize) -> String {
    let text = serde_json::to_string(document).expect("documents are plain values");
    if !text.chars().any(is_unsafe) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // These characters occur in strings only, and none needs a surrogate pair.
        if is_unsafe(c) { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    out
}

/// A report that could not be written.
pub(crate) struct LostReport {
    pub(crate) error: io::Error,
    /// The change to the store that was made nevertheless, as a sentence.
    pub(crate) stands: Option<String>,
}

/// The program's two outputs.
pub(crate) struct Out {
    json: bool,
    quiet: bool,
    verbose: bool,
    pub(crate) colored: bool,
    colored_talk: bool,
    failure: RefCell<Option<io::Error>>,
    /// Warnings for the next document.
    unsaid: RefCell<Vec<String>>,
    /// The change to the store, as a sentence. If it is set, a lost report is not a failure.
    changed: RefCell<Option<String>>,
}

impl Out {
    pub(crate) fn new(globals: &Globals) -> Out {
        let choice = match globals.color {
            When::Auto => ColorChoice::Auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        };
        let colored = |auto: ColorChoice| match choice {
            ColorChoice::Auto => auto != ColorChoice::Never,
            _ => choice == ColorChoice::Always,
        };
        Out {
            json: globals.json,
            quiet: globals.quiet,
            verbose: globals.verbose > 0,
            colored: colored(anstream::AutoStream::choice(&io::stdout())),
            colored_talk: colored(anstream::AutoStream::choice(&io::stderr())),
            failure: RefCell::default(),
            unsaid: RefCell::default(),
            changed: RefCell::default(),
        }
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Returns the variables that keep the colours of commands whose output is passed on.
    pub(crate) fn colors_of_commands(&self) -> Vec<(OsString, OsString)> {
        // With --json the output goes to stderr.
        let colored = if self.json { self.colored_talk } else { self.colored };
        if colored { environment::force_colors() } else { vec![] }
    }

    /// Prints the result, as a document or as text.
    pub(crate) fn emit(&self, document: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json { self.document(document) } else { self.text(&human()) }
    }

    /// Prints the result, as a document or as text, which a pager shows if it is longer than the terminal.
    pub(crate) fn emit_paged(&self, document: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json {
            return self.document(document);
        }
        let text = human();
        if !pager::show(&harmless(&text), self.colored) {
            self.text(&text);
        }
    }

    /// Prints text that people read, which a pager shows if it is longer than the terminal.
    pub(crate) fn text_paged(&self, text: &str) {
        if !pager::show(&harmless(text), self.colored) {
            self.text(text);
        }
    }

    /// Returns whether details are printed.
    pub(crate) fn details(&self) -> bool {
        self.verbose && !self.json
    }

    /// Prints a confirmation. `-q` omits the text.
    pub(crate) fn confirm(&self, document: &impl Serialize, human: impl FnOnce() -> String) {
        self.confirm_text(human);
        self.confirm_document(document);
    }

    /// Prints a confirmation for people.
    pub(crate) fn confirm_text(&self, human: impl FnOnce() -> String) {
        if !self.json && !self.quiet {
            self.text(&human());
        }
    }

    /// Prints a confirmation for programs.
    pub(crate) fn confirm_document(&self, document: &impl Serialize) {
        if self.json {
            self.document(document);
        }
    }

    fn document(&self, document: &impl Serialize) {
        self.bytes(format!("{}\n", json_of(document)).as_bytes());
    }

    /// Prints text, with colours if they are enabled.
    pub(crate) fn text(&self, text: &str) {
        let text = &harmless(text);
        let _line = end_open_line(|end| self.bytes(end));
        match self.colored {
            true => self.bytes(text.as_bytes()),
            false => self.bytes(anstream::adapter::strip_str(text).to_string().as_bytes()),
        }
    }

    /// Prints bytes unchanged.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut writer = Stdout(self);
        // The writer remembers the failure.
        let _: io::Result<()> = writer.write_all(bytes).and_then(|()| writer.flush());
    }

    /// Returns stdout as a writer that stops at the first failure.
    pub(crate) fn writer(&self) -> impl Write + '_ {
        Stdout(self)
    }

    /// Records a change to the store.
    pub(crate) fn has_changed(&self, what: impl Into<String>) {
        *self.changed.borrow_mut() = Some(what.into());
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Returns why the report could not be written to stdout. Returns `None` if it was written, or if the
    /// reader closed the pipe.
    pub(crate) fn take_lost_report(&self) -> Option<LostReport> {
        let failure = self.failure.take();
        let error = failure.filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
        Some(LostReport { error, stands: self.changed.take() })
    }

    /// Writes to stderr. A failure cannot be reported anywhere.
    pub(crate) fn talk(&self, text: &str) {
        let text = harmless(text);
        let text = match self.colored_talk {
            true => text.into_owned(),
            false => anstream::adapter::strip_str(&text).to_string(),
        };
        let write = |bytes: &[u8]| io::stderr().lock().write_all(bytes).unwrap_or_default();
        let _line = end_open_line(write);
        write(text.as_bytes());
    }

    /// Writes a document to stderr.
    pub(crate) fn json_talk(&self, document: &impl Serialize) {
        let _: io::Result<()> = writeln!(io::stderr().lock(), "{}", json_of(document));
    }

    /// Prints a hint, except with `--json` or `-q`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet && !self.json {
            self.talk(&format!("{BOLD}hint:{BOLD:#} {text}\n"));
        }
    }

    /// Returns whether details are printed.
    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server asks"))]
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Returns whether notes are printed.
    pub(crate) fn notes(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Prints a note.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.talk(&format!("{text}\n"));
        }
    }

    /// Prints a detail, only with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose && !self.json {
            self.talk(&format!("{DIM}{text}{DIM:#}\n"));
        }
    }

    /// Prints a warning of something that did not stop the verb. With `--json` it is kept for the next
    /// document: see [`Out::take_warnings`].
    pub(crate) fn warn(&self, text: &str) {
        match self.json {
            true => self.unsaid.borrow_mut().push(text.to_owned()),
            false => self.talk(&format!("{CARE}warning:{CARE:#} {text}\n")),
        }
    }

    /// Returns the warnings since the last call, for a document.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.unsaid.take()
    }
}

/// Passes the output of a command on unchanged; all of it to stderr if stdout has a document.
pub(crate) fn pass_on(stream: Stream, bytes: &[u8], json: bool) -> io::Result<()> {
    match stream {
        Stream::Stdout if !json => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        _ => pass_to_stderr(bytes),
    }
}

/// The writer whose line is incomplete, if several programs write to one terminal.
static OPEN_LINE: Mutex<Option<usize>> = Mutex::new(None);

/// One of several writers to one terminal. None of them writes into another's line.
pub(crate) struct LineWriter {
    number: usize,
    stream: Stream,
    json: bool,
}

impl LineWriter {
    /// Creates a writer to this stream; to stderr if stdout has a document.
    pub(crate) fn new(stream: Stream, json: bool) -> LineWriter {
        static WRITERS: AtomicUsize = AtomicUsize::new(0);
        LineWriter { number: WRITERS.fetch_add(1, Ordering::Relaxed), stream, json }
    }

    /// Writes the result of `text`. Its argument is whether the writer's own line was left open and still
    /// is.
    pub(crate) fn write(&self, text: impl FnOnce(bool) -> Vec<u8>) -> io::Result<()> {
        let mut open = OPEN_LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_mine = *open == Some(self.number);
        let bytes = text(is_mine);
        if bytes.is_empty() {
            return Ok(());
        }
        let others = if open.is_some() && !is_mine { &b"\n"[..] } else { b"" };
        *open = (!bytes.ends_with(b"\n")).then_some(self.number);
        pass_on(self.stream, &[others, &bytes].concat(), self.json)
    }
}

/// Ends the line that a program has begun. Others cannot begin one until the result is dropped.
fn end_open_line(write: impl FnOnce(&[u8])) -> MutexGuard<'static, Option<usize>> {
    let mut open = OPEN_LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if open.take().is_some() {
        write(b"\n");
    }
    open
}

/// Passes the output of a command on to stderr.
pub(crate) fn pass_to_stderr(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}

struct Stdout<'a>(&'a Out);

impl Stdout<'_> {
    fn check<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let mut failure = self.0.failure.borrow_mut();
            let again = error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error);
            failure.get_or_insert(again);
        }
        result
    }
}

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.has_failed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.check(io::stdout().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check(io::stdout().lock().flush())
    }
}

//! Data on stdout, talk on stderr. Owns both: no other module writes to them.
//!
//! A write to stdout that fails is remembered rather than returned: what the verb did to the store
//! stands, whatever becomes of the report. `render::failure::settle` makes the exit status of it.

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
use crate::text::escape::{harmless, is_unsafe};
use crate::text::style::{BOLD, CARE, DIM};

/// Writes a document, in which all such characters are escaped as JSON has it.
fn json_of(document: &impl Serialize) -> String {
    let text = serde_json::to_string(document).expect("documents are plain values");
    if !text.chars().any(is_unsafe) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // They stand in strings alone, and none needs a pair of escapes.
        if is_unsafe(c) { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    out
}

/// A report that could not be written.
pub(crate) struct LostReport {
    pub(crate) error: io::Error,
    /// What happened to the store all the same, as a sentence.
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
    /// Warnings that a document is to hold.
    unsaid: RefCell<Vec<String>>,
    /// What happened to the store, as a sentence: from then on a lost report is not a failure.
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
        // Where stdout is a document's, it goes to stderr.
        let colored = if self.json { self.colored_talk } else { self.colored };
        if colored { environment::force_colors() } else { vec![] }
    }

    /// Prints what was asked for, as a document or as text.
    pub(crate) fn emit(&self, document: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json { self.document(document) } else { self.text(&human()) }
    }

    /// Prints what was done. `-q` leaves the text out.
    pub(crate) fn confirm(&self, document: &impl Serialize, human: impl FnOnce() -> String) {
        self.confirm_text(human);
        self.confirm_document(document);
    }

    /// Prints what was done, for people.
    pub(crate) fn confirm_text(&self, human: impl FnOnce() -> String) {
        if !self.json && !self.quiet {
            self.text(&human());
        }
    }

    /// Prints what was done, for programs.
    pub(crate) fn confirm_document(&self, document: &impl Serialize) {
        if self.json {
            self.document(document);
        }
    }

    fn document(&self, document: &impl Serialize) {
        self.bytes(format!("{}\n", json_of(document)).as_bytes());
    }

    /// Prints text, in colours where they are wanted.
    pub(crate) fn text(&self, text: &str) {
        let text = &harmless(text);
        let _line = end_open_line(|end| self.bytes(end));
        match self.colored {
            true => self.bytes(text.as_bytes()),
            false => self.bytes(anstream::adapter::strip_str(text).to_string().as_bytes()),
        }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut writer = Stdout(self);
        // Remembered by the writer.
        let _: io::Result<()> = writer.write_all(bytes).and_then(|()| writer.flush());
    }

    /// Gives stdout as a writer that stops at the first failure.
    pub(crate) fn writer(&self) -> impl Write + '_ {
        Stdout(self)
    }

    /// Says that the store is another one from here on.
    pub(crate) fn has_changed(&self, what: impl Into<String>) {
        *self.changed.borrow_mut() = Some(what.into());
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Returns why the report could not be written to stdout; `None` if it was, or if nobody read on.
    pub(crate) fn take_lost_report(&self) -> Option<LostReport> {
        let failure = self.failure.take();
        let error = failure.filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
        Some(LostReport { error, stands: self.changed.take() })
    }

    /// Writes to stderr. There is nobody to tell that this failed.
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

    /// Says what to do next. Not where programs read, and not under `-q`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet && !self.json {
            self.talk(&format!("{BOLD}hint:{BOLD:#} {text}\n"));
        }
    }

    /// Returns whether notes are read.
    pub(crate) fn notes(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Says something by the way.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.talk(&format!("{text}\n"));
        }
    }

    /// Says something that only `-v` asks for.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose && !self.json {
            self.talk(&format!("{DIM}{text}{DIM:#}\n"));
        }
    }

    /// Warns of something that did not keep the verb from what it was to do. For programs it waits
    /// until a document takes it: see [`Out::take_warnings`].
    pub(crate) fn warn(&self, text: &str) {
        match self.json {
            true => self.unsaid.borrow_mut().push(text.to_owned()),
            false => self.talk(&format!("{CARE}warning:{CARE:#} {text}\n")),
        }
    }

    /// Returns the warnings that a document is to hold: those since this was called last.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.unsaid.take()
    }
}

/// Passes output of a command on, as it came; all of it to stderr where stdout is a document's.
pub(crate) fn pass_on(stream: Stream, bytes: &[u8], json: bool) -> io::Result<()> {
    match stream {
        Stream::Stdout if !json => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        _ => pass_to_stderr(bytes),
    }
}

/// Whose line is not complete, where several programs write to one terminal.
static OPEN_LINE: Mutex<Option<usize>> = Mutex::new(None);

/// One of several writers to one terminal, none of which writes into another's line.
pub(crate) struct LineWriter {
    number: usize,
    stream: Stream,
    json: bool,
}

impl LineWriter {
    /// Writes to this stream; to stderr where stdout is a document's.
    pub(crate) fn new(stream: Stream, json: bool) -> LineWriter {
        static WRITERS: AtomicUsize = AtomicUsize::new(0);
        LineWriter { number: WRITERS.fetch_add(1, Ordering::Relaxed), stream, json }
    }

    /// Writes what `text` returns, which takes whether the writer's own line was left open and still is.
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

/// Ends the line that a program has begun, and keeps others from beginning one as long as the result lives.
fn end_open_line(write: impl FnOnce(&[u8])) -> MutexGuard<'static, Option<usize>> {
    let mut open = OPEN_LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if open.take().is_some() {
        write(b"\n");
    }
    open
}

/// Passes output of a command on to stderr.
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

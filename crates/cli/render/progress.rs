//! A progress bar on stderr. It appears after half a second, and only on a terminal (or with `--progress
//! always`).

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use genstore::progress::{Phase, Progress, Silent};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::globals::{Globals, When};

/// The delay before the bar appears.
const PATIENCE: Duration = Duration::from_millis(500);
/// The interval between its movements.
const TICK: Duration = Duration::from_millis(100);

/// The bar, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Bar(Option<Arc<Shared>>);

struct Shared {
    bar: ProgressBar,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(PartialEq)]
enum State {
    Waiting,
    Started,
    Finished,
}

impl Bar {
    pub(crate) fn new(globals: &Globals) -> Bar {
        let wanted = match globals.progress {
            When::Auto => io::stderr().is_terminal() && !globals.quiet,
            When::Always => true,
            When::Never => false,
        };
        if !wanted {
            return Bar(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let state = Mutex::new(State::Waiting);
        Bar(Some(Arc::new(Shared { bar, state, finished: Condvar::new() })))
    }

    /// Returns the listener for the library's progress.
    pub(crate) fn listener(&self) -> Arc<dyn Progress> {
        match &self.0 {
            Some(shared) => Arc::new(Listener(Arc::clone(shared))),
            None => Arc::new(Silent),
        }
    }

    /// Removes the bar, before anything else is printed.
    pub(crate) fn finish(&self) {
        if let Some(shared) = &self.0 {
            *lock(&shared.state) = State::Finished;
            shared.finished.notify_all();
            shared.bar.finish_and_clear();
        }
    }
}

impl Shared {
    /// Shows the bar after the delay, unless the work is done by then, and moves it.
    fn show_until_finished(self: Arc<Shared>) {
        let wait = |time| {
            let state = lock(&self.state);
            let wait = self.finished.wait_timeout_while(state, time, |state| *state != State::Finished);
            let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            *state == State::Started
        };
        if wait(PATIENCE) {
            let target = match io::stderr().is_terminal() {
                true => ProgressDrawTarget::stderr(),
                false => ProgressDrawTarget::term_like(Box::new(Plain)),
            };
            self.bar.set_draw_target(target);
        }
        // A flush has no steps; the bar moves nevertheless.
        while wait(TICK) {
            self.bar.tick();
        }
    }
}

/// Moves the bar.
struct Listener(Arc<Shared>);

impl Progress for Listener {
    fn begin(&self, phase: Phase, total: Option<u64>) {
        let mut state = lock(&self.0.state);
        if *state == State::Waiting {
            *state = State::Started;
            let shared = Arc::clone(&self.0);
            // If the system grants no thread, there is no bar.
            std::thread::Builder::new().spawn(move || shared.show_until_finished()).ok();
        }
        drop(state);
        let bar = &self.0.bar;
        let (word, unit) = match phase {
            Phase::Scan => ("Scanning", "entries"),
            Phase::Store => ("Storing", "files"),
            Phase::Assemble => ("Linking", "entries"),
            Phase::Flush => ("Flushing to the disk", ""),
            Phase::Verify => ("Verifying", "objects"),
            Phase::Sweep => ("Removing", "names"),
            Phase::Export => ("Exporting", "files"),
            _ => ("Working", ""),
        };
        let template = match total {
            Some(_) => format!("{{msg}} {{bar:30}} {{human_pos}} of {{human_len}} {unit}"),
            None => format!("{{spinner}} {{msg}} {}", if unit.is_empty() { "" } else { "{human_pos}" }),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(word);
        bar.set_position(0);
        match total {
            Some(total) => bar.set_length(total),
            None => bar.unset_length(),
        }
    }

    fn advance(&self, steps: u64) {
        self.0.bar.inc(steps);
    }
}

/// A stderr that is no terminal: the bar is drawn nevertheless, on a line of 80 columns.
#[derive(Debug)]
struct Plain;

impl Plain {
    fn put(&self, text: &str) -> io::Result<()> {
        io::stderr().lock().write_all(text.as_bytes())
    }
}

impl TermLike for Plain {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

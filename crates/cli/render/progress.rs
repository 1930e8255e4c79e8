//! A progress bar on stderr. It appears after half a second, and only on a terminal (or with `--progress
//! always`).

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use genstore::progress::{Phase, Progress, Silent};
use genstore_remote::transport::Traffic;
use genstore_remote::{Report, Way};
use genstore_run::Interrupts;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::globals::{Globals, When};
use crate::text::human;

/// The delay before the bar appears.
const PATIENCE: Duration = Duration::from_millis(500);
/// The interval between its movements.
const TICK: Duration = Duration::from_millis(100);

/// The fate of a command that a signal ends.
const NOTHING: &str = "readers see no change, and the next command that writes removes what is left";
const MOVED: &str = "another generation is current already; see `genstore status`";

/// The bar, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Bar(Option<Arc<Shared>>);

struct Shared {
    bar: ProgressBar,
    /// The link `current` of the store, and its target at the start.
    current: Mutex<Option<(PathBuf, Option<PathBuf>)>>,
    /// Whether the verb catches signals itself.
    has_signals: AtomicBool,
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
        let (current, has_signals) = (Mutex::default(), AtomicBool::new(false));
        Bar(Some(Arc::new(Shared { bar, current, has_signals, state, finished: Condvar::new() })))
    }

    /// Remembers what is current in a store, to say at a Ctrl-C what became of the command.
    pub(crate) fn watch_current(&self, store: &Path) {
        if let Some(shared) = &self.0 {
            let link = store.join("current");
            let target = std::fs::read_link(&link).ok();
            *lock(&shared.current) = Some((link, target));
        }
    }

    /// Leaves signals to the verb.
    pub(crate) fn leave_signals(&self) {
        if let Some(shared) = &self.0 {
            shared.has_signals.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the listener for the library's progress.
    pub(crate) fn listener(&self) -> Arc<dyn Progress> {
        match &self.0 {
            Some(shared) => Arc::new(Listener(Arc::clone(shared))),
            None => Arc::new(Silent),
        }
    }

    /// Returns the listener for transfers between a store and a remote.
    pub(crate) fn transfers(&self) -> Option<Arc<dyn Report>> {
        self.0.as_ref().map(|shared| Arc::new(Listener(Arc::clone(shared))) as Arc<dyn Report>)
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
        } else {
            return;
        }
        // From here on a signal must not leave half a bar behind.
        let interrupts = match self.has_signals.load(Ordering::Relaxed) {
            true => None,
            false => Interrupts::install().ok(),
        };
        // A flush has no steps; the bar moves nevertheless.
        while wait(TICK) {
            self.bar.tick();
            if let Some(signal) = interrupts.as_ref().and_then(Interrupts::signal) {
                self.end(signal);
            }
        }
        // The rest of the command can be interrupted, too.
        if let Some(interrupts) = interrupts {
            let (signal, _) = interrupts.wait_for_more(0);
            self.end(signal);
        }
    }

    /// Ends the program after a signal, unless the verb does.
    fn end(&self, signal: i32) {
        if self.has_signals.load(Ordering::Relaxed) {
            return;
        }
        self.bar.finish_and_clear();
        let now = lock(&self.current);
        let moved = now.as_ref().is_some_and(|(link, target)| std::fs::read_link(link).ok() != *target);
        let fate = if moved { MOVED } else { NOTHING };
        // A failure cannot be reported anywhere.
        writeln!(io::stderr(), "interrupted: {fate}").unwrap_or_default();
        // As after a kill: the store is complete at each instruction.
        std::process::exit(128 + signal);
    }
}

/// Moves the bar.
struct Listener(Arc<Shared>);

impl Listener {
    /// Shows the bar after its delay.
    fn start(&self) {
        let mut state = lock(&self.0.state);
        if *state == State::Waiting {
            *state = State::Started;
            let shared = Arc::clone(&self.0);
            // If the system grants no thread, there is no bar.
            std::thread::Builder::new().spawn(move || shared.show_until_finished()).ok();
        }
    }
}

impl Report for Listener {
    fn begin(&self, way: Way, bytes: u64) {
        self.start();
        let bar = &self.0.bar;
        let template = "{msg} {bar:20} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left{prefix}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(if way == Way::Push { "Pushing" } else { "Pulling" });
        bar.set_position(0);
        bar.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.bar.inc(bytes);
    }

    fn traffic(&self, traffic: Traffic) {
        let moved = human::bytes(traffic.sent + traffic.received);
        self.0.bar.set_prefix(format!("; {}, {moved}", human::count(traffic.requests(), "request")));
    }
}

impl Progress for Listener {
    fn begin(&self, phase: Phase, total: Option<u64>) {
        self.start();
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
            Some(_) => format!(
                "{{msg}} {{wide_bar}} {{human_pos}} of {{human_len}} {unit}, {{per_sec}}, {{eta}} left"
            ),
            None if unit.is_empty() => "{spinner} {msg} {elapsed}".to_owned(),
            None => "{spinner} {msg} {human_pos}, {per_sec}".to_owned(),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(word);
        // The rate is that of this phase.
        bar.reset();
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

//! Observed sources: receives events of possible changes, and finds the changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use genstore_watch::{Debounce, NoEvents, Scan, Sources, Touched, Wake, poll_interval};

use crate::environment;

/// The interval of polling if there are no events.
const POLL: Duration = Duration::from_secs(1);
/// The interval of checking whether git is done.
const GIT_PAUSE: Duration = Duration::from_millis(100);
/// The time after which waiting for git is reported.
const GIT_SAID: Duration = Duration::from_secs(2);

/// Sources, and their last scan.
pub(super) struct Observed {
    pub(super) sources: Arc<Sources>,
    wake: Wake,
    debounce: Debounce,
    /// The interval of polling, if the user chose it instead of events.
    poll: Option<Duration>,
    /// The time of the next poll, if there are no events.
    poll_at: Option<Instant>,
    pub(super) seen: Scan,
    problems: Vec<String>,
    /// Whether an event came since the last query.
    heard: Arc<AtomicBool>,
    /// Whether a message about events is already under way.
    told: Arc<AtomicBool>,
    /// If git is changing the sources: since when, and when to check again.
    git_works: Option<(Instant, Instant)>,
}

impl Observed {
    pub(super) fn new(sources: Arc<Sources>, debounce: Duration, poll: Option<Duration>) -> Observed {
        Observed {
            sources,
            wake: Wake::deaf(),
            debounce: Debounce::new(debounce),
            poll,
            poll_at: None,
            seen: Scan::default(),
            problems: vec![],
            heard: Arc::default(),
            told: Arc::default(),
            git_works: None,
        }
    }

    /// Starts to receive events. `tell` is called in another thread, and then not again before
    /// [`Observed::hear`].
    ///
    /// # Errors
    /// If there are no events: then it polls.
    pub(super) fn listen(&mut self, tell: impl Fn() + Send + 'static) -> Result<(), NoEvents> {
        if let Some(poll) = self.poll {
            self.poll_at = Some(Instant::now() + poll);
            return Ok(());
        }
        let sources = Arc::clone(&self.sources);
        let counts = move |path: &Path, is_file| sources.may_count(path, is_file);
        let (heard, told) = (Arc::clone(&self.heard), Arc::clone(&self.told));
        let hear = move || {
            heard.store(true, Ordering::SeqCst);
            // A checkout makes thousands of events: one message is enough until it is read.
            if !told.swap(true, Ordering::SeqCst) {
                tell();
            }
        };
        match Wake::begin(counts, hear) {
            Ok(wake) => self.wake = wake,
            Err(why) => {
                self.poll_at = Some(Instant::now() + POLL);
                return Err(why);
            }
        }
        Ok(())
    }

    /// Records that something may have changed.
    pub(super) fn hear(&mut self, now: Instant) {
        self.told.store(false, Ordering::SeqCst);
        self.debounce.hear(now);
    }

    /// Forgets the events so far.
    pub(super) fn begin(&self) {
        self.heard.store(false, Ordering::SeqCst);
    }

    /// Returns whether an event came since this or [`Observed::begin`] was called. Events of everything
    /// before the call have arrived by then.
    pub(super) fn has_heard(&self) -> bool {
        self.wake.catch_up();
        self.heard.swap(false, Ordering::SeqCst) || self.wake.is_deaf()
    }

    /// Returns whether more changes are expected.
    pub(super) fn is_restless(&self) -> bool {
        self.debounce.due().is_some()
    }

    /// Returns whether it polls.
    pub(super) fn is_polling(&self) -> bool {
        self.wake.is_deaf()
    }

    /// Returns the number of watched directories.
    pub(super) fn watched(&self) -> usize {
        self.wake.watched()
    }

    /// Returns when to check again. With `whole` that includes full scans.
    pub(super) fn due(&self, whole: bool) -> Option<Instant> {
        let whole = self.wake.due().filter(|_| whole);
        let due = [self.debounce.due(), self.poll_at, whole].into_iter().flatten().min()?;
        Some(self.git_works.map_or(due, |(_, again)| due.max(again)))
    }

    /// Rescans everything that may have changed since the last scan, and watches the directories that
    /// exist. Returns the changes, and the failure of events, if there is one: from then on it polls.
    pub(super) fn look(&mut self) -> (Vec<PathBuf>, Option<NoEvents>) {
        let mut start = Instant::now();
        self.debounce.take(start);
        // Later changes are reported the next time.
        let mut touched = self.wake.touched(start);
        let mut scan = self.sources.scan_again(&self.seen, &touched);
        let mut failed = None;
        loop {
            if self.wake.is_deaf() {
                self.poll_at = Some(start + poll_interval(self.poll.unwrap_or(POLL), start.elapsed()));
            }
            match self.wake.follow(&scan, &touched) {
                Ok(new) if new.is_empty() => break,
                // Another scan finds changes in new directories before they were watched.
                Ok(new) => touched = new,
                Err(why) => {
                    self.wake = Wake::deaf();
                    failed = Some(why);
                    touched = Touched::everything();
                }
            }
            start = Instant::now();
            scan = self.sources.scan_again(&scan, &touched);
        }
        let changed = self.seen.changes(&scan);
        self.seen = scan;
        (changed, failed)
    }

    /// Returns the problems that were not reported before.
    pub(super) fn new_problems(&mut self) -> Vec<String> {
        let known = std::mem::replace(&mut self.problems, self.seen.problems.clone());
        self.problems.iter().filter(|problem| !known.contains(problem)).cloned().collect()
    }

    /// Returns whether git is changing the sources right now: then they are checked when it is done. `say`
    /// is called once it takes long, with git's lock file.
    pub(super) fn git_is_at_work(&mut self, say: impl FnOnce(PathBuf)) -> bool {
        let now = Instant::now();
        let Some(by) = self.sources.git_works(environment::now()) else {
            self.git_works = None;
            return false;
        };
        let (since, was) = self.git_works.map_or((now, now), |(since, again)| (since, again));
        let again = now + GIT_PAUSE;
        if was.duration_since(since) < GIT_SAID && again.duration_since(since) >= GIT_SAID {
            say(by);
        }
        self.git_works = Some((since, again));
        self.debounce.hear(now);
        true
    }
}

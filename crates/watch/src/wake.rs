//! Signals possible changes: from events of the system, or by time.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::echo::Echo;
use crate::scan::Scan;
use crate::threads::can_start_threads;
use crate::touched::Touched;

/// Receives events of changes in the directories of a scan, and records their places.
///
/// Each directory is watched separately, without its subfolders: so ignored folders cost no watch, and a
/// new directory is watched after a scan has found it. A scan after [`Wake::follow`] finds earlier changes
/// in it.
pub struct Wake {
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<OsString, u64>,
    touched: Arc<Mutex<Touched>>,
    /// `None` if it cannot be created: then it is unknown how far events were read.
    echo: Option<Echo>,
    /// The time of the next full scan, whatever the events are.
    whole_at: Option<Instant>,
}

/// The interval of full scans: some changes cause no event.
pub(crate) const WHOLE: Duration = Duration::from_secs(600);

/// The reason why there are no events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEvents {
    /// The user has as many watches as the system allows: `fs.inotify.max_user_watches`.
    Watches,
    /// The user has as many watchers as the system allows: `fs.inotify.max_user_instances`.
    Instances,
    /// The system grants no thread to read them.
    Threads,
    /// Something else.
    Other(String),
}

impl fmt::Display for NoEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoEvents::Watches => f.write_str("no more directories can be watched"),
            NoEvents::Instances => f.write_str("no more watchers can be created"),
            NoEvents::Threads => f.write_str("the system grants no more threads"),
            NoEvents::Other(why) => f.write_str(why),
        }
    }
}

impl NoEvents {
    fn of(error: &notify::Error) -> NoEvents {
        match &error.kind {
            ErrorKind::MaxFilesWatch => NoEvents::Watches,
            // EMFILE usually does not mean the limit of descriptors here.
            ErrorKind::Io(io) if io.raw_os_error() == Some(24) => NoEvents::Instances,
            ErrorKind::Io(io) => NoEvents::Other(io.to_string()),
            _ => NoEvents::Other(error.to_string()),
        }
    }
}

impl Wake {
    /// Starts to receive events. `heard` is called in another thread for each event at a path for which
    /// `counts` returns true. `counts` gets the path, and whether it is certainly a file's.
    ///
    /// # Errors
    /// If the system gives no events. Then scans must be triggered by time: see [`Wake::deaf`].
    pub fn begin(
        counts: impl Fn(&Path, bool) -> bool + Send + 'static,
        heard: impl Fn() + Send + 'static,
    ) -> Result<Wake, NoEvents> {
        if !can_start_threads(1) {
            return Err(NoEvents::Threads);
        }
        let touched: Arc<Mutex<Touched>> = Arc::default();
        let noted = Arc::clone(&touched);
        let (echo, answer) = Echo::new().ok().unzip();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if answer.as_ref().is_some_and(|answer| answer.takes(&event)) {
                return;
            }
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            if note(&event, &counts, &mut noted) {
                drop(noted);
                heard();
            }
        });
        let mut watcher = watcher.map_err(|error| NoEvents::of(&error))?;
        let echo = echo.filter(|echo| watcher.watch(echo.path(), RecursiveMode::NonRecursive).is_ok());
        Ok(Wake { watcher: Some(watcher), watched: HashMap::new(), touched, echo, whole_at: None })
    }

    /// Creates one without events.
    pub fn deaf() -> Wake {
        Wake { watcher: None, watched: HashMap::new(), touched: Arc::default(), echo: None, whole_at: None }
    }

    /// Returns the places of events since the last call; every ten minutes that is everything. Later
    /// changes are reported by the next call, so everything that is scanned after this call is up to date.
    pub fn touched(&mut self, now: Instant) -> Touched {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        if self.is_deaf() {
            return Touched::everything();
        }
        let touched =
            if self.whole_at.is_none_or(|at| at <= now) { touched.or_everything() } else { touched };
        if touched.is_everything() {
            self.whole_at = Some(now + WHOLE);
        }
        touched
    }

    /// Waits until the events of everything before this call have arrived.
    pub fn catch_up(&self) {
        if let Some(echo) = self.echo.as_ref().filter(|_| !self.is_deaf()) {
            echo.wait();
        }
    }

    /// Returns when to scan everything, even without events.
    pub fn due(&self) -> Option<Instant> {
        self.whole_at.filter(|_| !self.is_deaf())
    }

    /// Returns whether it receives no events.
    pub fn is_deaf(&self) -> bool {
        self.watcher.is_none()
    }

    /// Watches the directories of this scan, and no others. Returns the newly watched ones: they must be
    /// scanned again, for earlier changes in them.
    ///
    /// `touched` is the value that the scan was made for: the watch of a replaced directory is useless,
    /// even if both have the same inode, one after the other.
    ///
    /// # Errors
    /// If not all can be watched. From then on it is deaf.
    pub fn follow(&mut self, scan: &Scan, touched: &Touched) -> Result<Touched, NoEvents> {
        let Some(watcher) = &mut self.watcher else { return Ok(Touched::default()) };
        let replaced: HashSet<&OsStr> = touched
            .replaced()
            .iter()
            .map(|p| p.as_os_str())
            .filter(|p| self.watched.contains_key(*p))
            .collect();
        let is_replaced = |path: &OsStr| {
            let mut around = Path::new(path).ancestors();
            !replaced.is_empty() && around.any(|at| replaced.contains(at.as_os_str()))
        };
        let wanted: HashMap<&OsStr, u64> = scan.watched().collect();
        self.watched.retain(|path, inode| {
            let stays =
                wanted.get(path.as_os_str()) == Some(inode) && !touched.is_lost() && !is_replaced(path);
            if !stays {
                // It fails if the directory is gone, together with the watch.
                watcher.unwatch(path.as_ref()).ok();
            }
            stays
        });
        let mut news = Vec::new();
        for (path, inode) in wanted {
            if self.watched.contains_key(path) {
                continue;
            }
            match watcher.watch(path.as_ref(), RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.to_owned(), inode);
                }
                // It was removed since; its parent folder shows that.
                Err(error) if is_gone(&error) => {
                    news.extend(Path::new(path).parent().map(|parent| parent.as_os_str().to_owned()));
                }
                Err(error) => {
                    self.watcher = None;
                    self.watched.clear();
                    return Err(NoEvents::of(&error));
                }
            }
            news.push(path.to_owned());
        }
        Ok(news.into_iter().collect())
    }

    /// Counts the watched directories.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }
}

/// Returns the pause from scan to scan if there are no events: the scans take at most a twentieth of the
/// time.
pub fn poll_interval(wanted: Duration, scan: Duration) -> Duration {
    wanted.max(scan * 20)
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(io) => io.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Records the paths of an event that may matter. Returns whether any does.
fn note(
    event: &notify::Result<Event>,
    counts: &impl Fn(&Path, bool) -> bool,
    touched: &mut Touched,
) -> bool {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Events were lost, or the watcher has a problem.
        _ => {
            *touched = Touched::lost();
            return true;
        }
    };
    let is_file = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        // Reading a source is no change: builds and scans do it all the time.
        EventKind::Access(_) => return false,
        EventKind::Modify(ModifyKind::Data(_))
        | EventKind::Create(CreateKind::File)
        | EventKind::Remove(RemoveKind::File) => true,
        _ => false,
    };
    if event.paths.is_empty() {
        *touched = Touched::lost();
    }
    let mut matters = event.paths.is_empty();
    for path in &event.paths {
        let counted = counts(path, is_file);
        // If a folder that did not count is replaced by one that does, its watch is gone with it.
        if counted || !is_file {
            touched.note(path, is_file);
        }
        matters |= counted;
    }
    matters
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests write files")]

    use std::fs;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::sources::{SourceRules, Sources};

    const LONG: Duration = Duration::from_secs(20);

    fn begin(root: &Path) -> (Arc<Sources>, Wake, Receiver<()>) {
        let rules = SourceRules {
            root: root.to_owned(),
            paths: vec![root.to_owned()],
            extensions: vec!["ts".to_owned()],
            never: vec![root.join("out")],
            ..SourceRules::default()
        };
        let sources = Arc::new(Sources::new(rules).unwrap());
        let (sender, heard) = channel();
        let known = Arc::clone(&sources);
        let wake = Wake::begin(
            move |path, is_file| known.may_count(path, is_file),
            move || sender.send(()).unwrap_or_default(),
        );
        (sources, wake.unwrap(), heard)
    }

    /// Rescans until nothing is new, like the loop.
    fn settle(sources: &Sources, wake: &mut Wake, older: &Scan) -> Scan {
        let mut touched = wake.touched(Instant::now());
        let mut scan = sources.scan_again(older, &touched);
        loop {
            touched = wake.follow(&scan, &touched).unwrap();
            if touched.is_empty() {
                return scan;
            }
            scan = sources.scan_again(&scan, &touched);
        }
    }

    #[test]
    fn a_change_is_heard_also_in_folders_that_are_new_or_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("src")).unwrap();
        let (sources, mut wake, heard) = begin(&root);
        let mut scan = settle(&sources, &mut wake, &Scan::default());
        for round in 0..3 {
            let deep = root.join(format!("src/new/{round}"));
            fs::create_dir_all(&deep).unwrap();
            heard.recv_timeout(LONG).expect("the new folder");
            let after = settle(&sources, &mut wake, &scan);
            assert!(after.folders.contains_key(deep.as_os_str()));
            while heard.try_recv().is_ok() {}
            fs::write(deep.join("a.ts"), "1").unwrap();
            heard.recv_timeout(LONG).expect("the new file");
            scan = settle(&sources, &mut wake, &after);
            assert_eq!(after.changes(&scan), [deep.join("a.ts")]);
            fs::remove_dir_all(root.join("src/new")).unwrap();
            heard.recv_timeout(LONG).expect("the removal");
            // Seen or not: the next round creates folders with the same names.
            if round == 0 {
                scan = settle(&sources, &mut wake, &scan);
            }
            while heard.try_recv().is_ok() {}
        }
    }

    #[test]
    fn a_folder_that_came_back_while_it_did_not_count_is_heard_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (src, away) = (root.join("src"), root.join("away"));
        fs::create_dir(&src).unwrap();
        let (sources, mut wake, heard) = begin(&root);
        let mut scan = settle(&sources, &mut wake, &Scan::default());
        sources.set_never(&[src.clone(), away.clone()]);
        fs::rename(&src, &away).unwrap();
        fs::rename(&away, &src).unwrap();
        fs::write(root.join("a.ts"), "1").unwrap();
        heard.recv_timeout(LONG).expect("the event after it");
        sources.set_never(&[]);
        scan = settle(&sources, &mut wake, &scan);
        fs::write(src.join("b.ts"), "1").unwrap();
        let before = scan.clone();
        while !before.changes(&scan).contains(&src.join("b.ts")) {
            heard.recv_timeout(LONG).expect("the new file");
            scan = settle(&sources, &mut wake, &scan);
        }
    }

    #[test]
    fn what_happened_was_heard_once_it_has_caught_up() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (sources, mut wake, heard) = begin(&root);
        let mut scan = settle(&sources, &mut wake, &Scan::default());
        for round in 0..100 {
            let name = root.join(format!("{round}.ts"));
            fs::write(&name, "1").unwrap();
            wake.catch_up();
            assert!(heard.try_recv().is_ok(), "round {round}");
            let after = settle(&sources, &mut wake, &scan);
            assert_eq!(scan.changes(&after), [name]);
            scan = after;
            wake.catch_up();
            while heard.try_recv().is_ok() {}
        }
    }

    #[test]
    fn now_and_then_everything_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut wake, _heard) = begin(dir.path());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        assert!(wake.touched(start).is_everything(), "nothing was scanned yet");
        assert_eq!(wake.due(), Some(start + WHOLE));
        assert!(wake.touched(start + WHOLE - second).is_empty());
        assert!(wake.touched(start + WHOLE).is_everything());
        assert_eq!(wake.due(), Some(start + WHOLE * 2));
        assert_eq!(Wake::deaf().due(), None);
        assert!(Wake::deaf().touched(start).is_everything());
    }

    #[test]
    fn neither_reading_nor_what_does_not_count_wakes() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("out")).unwrap();
        fs::write(root.join("a.ts"), "1").unwrap();
        let (sources, mut wake, heard) = begin(&root);
        settle(&sources, &mut wake, &Scan::default());
        fs::read(root.join("a.ts")).unwrap();
        fs::write(root.join("out/b.ts"), "1").unwrap();
        drop(sources.scan());
        // Events come in order, so the first one shows that no earlier ones came.
        fs::write(root.join("a.ts"), "2").unwrap();
        heard.recv_timeout(LONG).expect("the change");
        let after = std::iter::from_fn(|| heard.try_recv().ok()).count();
        assert!(after <= 3, "a write is heard as a few events, and nothing else was: {after}");
    }
}

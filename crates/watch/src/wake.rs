//! That something may have changed: events of the system, or time.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::sources::Scan;

/// Hears of changes in the directories that a scan has seen.
///
/// Each directory is watched by itself, not with all below it: so what is ignored costs no watch, and a
/// directory that appeared is watched once a scan has seen it. What happened in it before that, a scan
/// after [`Wake::follow`] tells.
pub struct Wake {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, u64>,
}

/// Why there are no events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEvents {
    /// The user has as many watches as the system allows: `fs.inotify.max_user_watches`.
    Watches,
    /// The user has as many watchers as the system allows: `fs.inotify.max_user_instances`.
    Instances,
    /// Something else.
    Other(String),
}

impl fmt::Display for NoEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoEvents::Watches => f.write_str("no more directories can be watched"),
            NoEvents::Instances => f.write_str("no more programs can watch"),
            NoEvents::Other(why) => f.write_str(why),
        }
    }
}

impl NoEvents {
    fn of(error: &notify::Error) -> NoEvents {
        match &error.kind {
            ErrorKind::MaxFilesWatch => NoEvents::Watches,
            // EMFILE, where the limit of descriptors is not the reason as a rule.
            ErrorKind::Io(io) if io.raw_os_error() == Some(24) => NoEvents::Instances,
            ErrorKind::Io(io) => NoEvents::Other(io.to_string()),
            _ => NoEvents::Other(error.to_string()),
        }
    }
}

impl Wake {
    /// Begins to hear; `heard` is called in a thread of its own for each event at a path of which
    /// `counts` says that it may matter. It takes the path, and whether that is a file's for sure.
    ///
    /// # Errors
    /// Where the system gives no events. Then time must wake: see [`Wake::deaf`].
    pub fn begin(
        counts: impl Fn(&Path, bool) -> bool + Send + 'static,
        heard: impl Fn() + Send + 'static,
    ) -> Result<Wake, NoEvents> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let matters = match &event {
                // Something was missed, or the watcher is in trouble: a scan tells.
                Err(_) => true,
                Ok(event) => event.need_rescan() || matters(event, &counts),
            };
            if matters {
                heard();
            }
        });
        match watcher {
            Ok(watcher) => Ok(Wake { watcher: Some(watcher), watched: BTreeMap::new() }),
            Err(error) => Err(NoEvents::of(&error)),
        }
    }

    /// Makes one that hears nothing.
    pub fn deaf() -> Wake {
        Wake { watcher: None, watched: BTreeMap::new() }
    }

    /// Tells whether it hears nothing.
    pub fn is_deaf(&self) -> bool {
        self.watcher.is_none()
    }

    /// Watches the directories of this scan, and no others. Tells whether some are new: then another
    /// scan must follow, for what happened in them before they were watched.
    ///
    /// # Errors
    /// Where not all can be watched. From then on it is deaf.
    pub fn follow(&mut self, scan: &Scan) -> Result<bool, NoEvents> {
        let Some(watcher) = &mut self.watcher else { return Ok(false) };
        let folders = scan.folders();
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, inode)| folders.get(*path) != Some(*inode))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            // It fails where the directory is gone, and the watch with it.
            watcher.unwatch(&path).ok();
            self.watched.remove(&path);
        }
        let mut news = false;
        for (path, inode) in
            folders.iter().filter(|(path, _)| !self.watched.contains_key(*path)).collect::<Vec<_>>()
        {
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone(), *inode);
                    news = true;
                }
                // It was removed since; its parent's watch tells.
                Err(error) if is_gone(&error) => news = true,
                Err(error) => {
                    self.watcher = None;
                    self.watched.clear();
                    return Err(NoEvents::of(&error));
                }
            }
        }
        Ok(news)
    }

    /// Counts the directories that are watched.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }
}

/// How long to wait from scan to scan where there are no events: so that the scans take no more than
/// a twentieth of the time.
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

/// Reading a source is no change: builds and our own scans do it all the time.
fn matters(event: &Event, counts: &impl Fn(&Path, bool) -> bool) -> bool {
    let is_file = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => return false,
        EventKind::Modify(ModifyKind::Data(_)) => true,
        _ => false,
    };
    event.paths.is_empty() || event.paths.iter().any(|path| counts(path, is_file))
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

    /// Follows until nothing is new, as the loop does.
    fn settle(sources: &Sources, wake: &mut Wake) -> Scan {
        loop {
            let scan = sources.scan();
            if !wake.follow(&scan).unwrap() {
                return scan;
            }
        }
    }

    #[test]
    fn a_change_is_heard_also_in_folders_that_are_new_or_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("src")).unwrap();
        let (sources, mut wake, heard) = begin(&root);
        let mut scan = settle(&sources, &mut wake);
        for round in 0..3 {
            let deep = root.join(format!("src/new/{round}"));
            fs::create_dir_all(&deep).unwrap();
            heard.recv_timeout(LONG).expect("the new folder");
            let after = settle(&sources, &mut wake);
            assert!(after.folders().contains_key(&deep));
            while heard.try_recv().is_ok() {}
            fs::write(deep.join("a.ts"), "1").unwrap();
            heard.recv_timeout(LONG).expect("the new file");
            scan = settle(&sources, &mut wake);
            assert_eq!(after.changes(&scan), [deep.join("a.ts")]);
            fs::remove_dir_all(root.join("src/new")).unwrap();
            heard.recv_timeout(LONG).expect("the removal");
            // Seen or not: the next round makes folders of the same names anew.
            if round == 0 {
                scan = settle(&sources, &mut wake);
            }
            while heard.try_recv().is_ok() {}
        }
        drop(scan);
    }

    #[test]
    fn neither_reading_nor_what_does_not_count_wakes() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("out")).unwrap();
        fs::write(root.join("a.ts"), "1").unwrap();
        let (sources, mut wake, heard) = begin(&root);
        settle(&sources, &mut wake);
        fs::read(root.join("a.ts")).unwrap();
        fs::write(root.join("out/b.ts"), "1").unwrap();
        drop(sources.scan());
        // Events come in order, so the first that is heard tells that those before were not.
        fs::write(root.join("a.ts"), "2").unwrap();
        heard.recv_timeout(LONG).expect("the change");
        let after = std::iter::from_fn(|| heard.try_recv().ok()).count();
        assert!(after <= 3, "a write is heard as a few events, and nothing else was: {after}");
    }
}

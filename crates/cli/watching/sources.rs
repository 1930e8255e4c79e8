//! The sources: hearing that they may have changed, and finding out what did.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use genstore::Store;
use genstore_watch::{NoEvents, Scan, Wake, poll_interval};

use super::builds::Stop;
use super::events::{Event, Paths};
use super::{Message, Watch};
use crate::config::{OnBusy, SIGTERM};

/// How often sources are looked at where there are no events.
const POLL: Duration = Duration::from_secs(1);
impl Watch<'_> {
    /// Begins to hear of changes, or to look again and again.
    pub(super) fn listen(&mut self) {
        if let Some(poll) = self.settings.poll {
            self.poll_at = Some(Instant::now() + poll);
            return;
        }
        let (sources, tell) = (Arc::clone(&self.sources), self.sender.clone());
        let counts = move |path: &Path, is_file| sources.may_count(path, is_file);
        let (heard, told) = (Arc::clone(&self.heard), Arc::clone(&self.told));
        let hear = move || {
            heard.store(true, Ordering::SeqCst);
            // A checkout makes thousands of events: one message says as much, until it is read.
            if !told.swap(true, Ordering::SeqCst) {
                tell.send(Message::Heard).unwrap_or_default();
            }
        };
        match Wake::begin(counts, hear) {
            Ok(wake) => self.wake = wake,
            Err(why) => self.go_polling(&why),
        }
    }

    pub(super) fn go_polling(&mut self, why: &NoEvents) {
        self.wake = Wake::deaf();
        self.poll_at = Some(Instant::now() + POLL);
        let remedy = match why {
            NoEvents::Watches => "; raise it with `sysctl fs.inotify.max_user_watches=1048576`",
            NoEvents::Instances => "; raise it with `sysctl fs.inotify.max_user_instances=1024`",
            NoEvents::Other(_) => "",
        };
        self.warn(format!("{why}{remedy}; until then the sources are looked at again and again"));
    }

    /// Looks at the sources, and watches what directories there are.
    pub(super) fn scan(&mut self) -> Scan {
        self.sources.set_never(&never(self.store, self.settings.builder.output()));
        loop {
            let start = Instant::now();
            let scan = self.sources.scan();
            if self.wake.is_deaf() {
                let wanted = self.settings.poll.unwrap_or(POLL);
                self.poll_at = Some(Instant::now() + poll_interval(wanted, start.elapsed()));
            }
            match self.wake.follow(&scan) {
                // What happened in new directories before they were watched, another look tells.
                Ok(true) => {}
                Ok(false) => {
                    self.tell_problems(&scan);
                    return scan;
                }
                Err(why) => self.go_polling(&why),
            }
        }
    }

    pub(super) fn tell_problems(&mut self, scan: &Scan) {
        for problem in scan.problems.iter().filter(|problem| !self.problems.contains(*problem)) {
            self.warn(format!("could not look at a source: {problem}"));
        }
        self.problems.clone_from(&scan.problems);
    }

    /// Finds out what changed since the last look, and does what is to be done about it.
    pub(super) fn look(&mut self) {
        let newer = self.scan();
        let changed = self.seen.changes(&newer);
        self.seen = newer;
        if self.building.is_some() {
            self.changed_during_build(&changed);
        } else if !changed.is_empty() || (self.wanted && self.again_at.is_none()) {
            if !changed.is_empty() {
                self.inputs.changed_between_builds();
                self.tell(&Event::Change { paths: self.paths(&changed), queued: false });
            }
            self.build_again();
        }
    }

    pub(super) fn changed_during_build(&mut self, changed: &[PathBuf]) {
        let changed = self.inputs.really_changed(changed);
        if changed.is_empty() {
            return;
        }
        self.tell(&Event::Change { paths: self.paths(&changed), queued: true });
        self.wanted = true;
        if self.settings.on_busy == OnBusy::Restart {
            self.stop_build(Stop::Restart, SIGTERM);
        }
    }

    /// Finds out what changed while the build ran and was not told of yet: if anything was heard.
    pub(super) fn look_after_build(&mut self, number: u64) {
        if !self.heard.swap(false, Ordering::SeqCst) && !self.wake.is_deaf() {
            return;
        }
        let newer = self.scan();
        let changed = self.seen.changes(&newer);
        self.seen = newer;
        let changed = self.inputs.really_changed(&changed);
        if !changed.is_empty() {
            self.tell(&Event::InputsChanged { paths: self.paths(&changed), build: number });
            self.wanted = true;
        }
    }

    /// Builds again at once, if that is wanted; but not where more changes are to be expected, nor
    /// where one build brings about the next.
    pub(super) fn build_if_wanted(&mut self) {
        if !self.wanted || self.ending.is_some() {
            return;
        }
        let (pause, is_first) = self.inputs.pause_before_next();
        if is_first {
            self.warn(format!(
                "sources change during each build ({}); if the build writes them itself, name them in \
                 `ignore` under [watch]: from now on there is a pause between builds",
                self.paths(self.inputs.last()).line()
            ));
        }
        if !pause.is_zero() {
            self.again_at = Some(Instant::now() + pause);
        } else if self.debounce.due().is_none() {
            self.build_again();
        }
    }

    pub(super) fn paths(&self, changed: &[PathBuf]) -> Paths {
        Paths::new(changed, &self.settings.root)
    }
}

/// What the builds and the store write: never a source.
fn never(store: &Store, output: Option<&Path>) -> Vec<PathBuf> {
    let mut never = vec![store.path().to_owned()];
    never.extend(output.map(Path::to_owned));
    // What cannot be read is told of by the next commit.
    never.extend(store.view_paths().unwrap_or_default());
    never
}

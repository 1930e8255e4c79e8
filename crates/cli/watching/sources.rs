//! The sources: hearing that they may have changed, and finding out what did.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::Store;
use genstore_watch::{NoEvents, Scan, Touched, Wake, poll_interval};

use super::events::{Event, Paths};
use super::output::KnownOutput;
use super::state::{Message, Stop, Watch};
use crate::project::config::{OnBusy, SIGTERM};

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
        let then = "until then the sources are looked at again and again";
        self.warn(format!("{why}{}; {then}", remedy(why)));
    }

    /// Begins to remember what is in the builder's own folder, where it has one and events tell of it.
    pub(super) fn listen_to_output(&mut self) -> Result<()> {
        let Some(output) = self.settings.builder.output().filter(|_| !self.wake.is_deaf()) else {
            return Ok(());
        };
        match KnownOutput::new(output, self.context.scan_rules(Some(self.store))?) {
            Ok(known) => self.output = Some(known),
            Err(why) => self.forget_output(&why),
        }
        Ok(())
    }

    /// Watches what the last build left in that folder, for the next one.
    pub(super) fn follow_output(&mut self) {
        if let Some(Err(why)) = self.output.as_mut().map(KnownOutput::follow) {
            self.forget_output(&why);
        }
    }

    fn forget_output(&mut self, why: &NoEvents) {
        // The watches that it has are needed for the sources.
        self.output = None;
        let then = "until then the whole output is looked at after each build";
        self.warn(format!("{why}{}; {then}", remedy(why)));
    }

    /// Looks at what may have changed since the last look, and watches what directories there are.
    pub(super) fn scan(&mut self) -> Scan {
        self.sources.set_never(&never(self.store, self.settings.builder.output()));
        let mut start = Instant::now();
        // What happens after this is told the next time.
        let mut touched = self.wake.touched(start);
        let mut scan = self.sources.scan_again(&self.seen, &touched);
        loop {
            if self.wake.is_deaf() {
                let wanted = self.settings.poll.unwrap_or(POLL);
                self.poll_at = Some(Instant::now() + poll_interval(wanted, start.elapsed()));
            }
            match self.wake.follow(&scan, &touched) {
                Ok(new) if new.is_empty() => {
                    self.tell_problems(&scan);
                    return scan;
                }
                // What happened in new directories before they were watched, another look tells.
                Ok(new) => touched = new,
                Err(why) => {
                    // The output has watches, too, and can do without.
                    if self.output.is_some() {
                        self.forget_output(&why);
                        self.listen();
                    } else {
                        self.go_polling(&why);
                    }
                    touched = Touched::everything();
                }
            }
            start = Instant::now();
            scan = self.sources.scan_again(&scan, &touched);
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

/// Tells what to do where the system gives no events.
fn remedy(why: &NoEvents) -> &'static str {
    match why {
        NoEvents::Watches => "; raise it with `sysctl fs.inotify.max_user_watches=1048576`",
        NoEvents::Instances => "; raise it with `sysctl fs.inotify.max_user_instances=1024`",
        NoEvents::Threads => "; raise the limit of processes (`ulimit -u`)",
        NoEvents::Other(_) => "",
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

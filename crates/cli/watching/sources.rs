//! The sources of the builds and of the programs, and the actions after a change.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use genstore::Store;
use genstore_watch::NoEvents;

use super::events::{Event, Paths};
use super::observed::Observed;
use super::output::KnownOutput;
use super::state::{Message, Of, Stop, Watch};
use crate::command::stale::Stale;
use crate::project::config::{OnBusy, SIGTERM};

impl Watch<'_> {
    /// Starts to receive events, or to poll.
    pub(super) fn listen(&mut self, of: Of) {
        let tell = self.sender.clone();
        let hear = move || tell.send(Message::Heard(of)).unwrap_or_default();
        if let Err(why) = self.observed(of).listen(hear) {
            self.warn_of_polling(&why);
        }
    }

    pub(super) fn observed(&mut self, of: Of) -> &mut Observed {
        match of {
            Of::Build => &mut self.sources,
            Of::Program(at) => &mut self.own[at].1,
        }
    }

    fn warn_of_polling(&self, why: &NoEvents) {
        let then = "until then the sources are polled";
        self.warn(format!("{why}{}; {then}", remedy(why)));
    }

    /// Starts to remember the content of the builder's own folder, if it has one and there are events.
    pub(super) fn listen_to_output(&mut self) -> Result<()> {
        let Some(output) = self.settings.builder.output().filter(|_| !self.sources.is_polling()) else {
            return Ok(());
        };
        match KnownOutput::new(output, self.context.scan_rules(Some(self.store))?) {
            Ok(known) => self.output = Some(known),
            Err(why) => self.forget_output(&why),
        }
        Ok(())
    }

    /// Watches the content that the last build left in that folder, for the next build.
    pub(super) fn follow_output(&mut self) {
        if let Some(Err(why)) = self.output.as_mut().map(KnownOutput::follow) {
            self.forget_output(&why);
        }
    }

    /// Reports stale files, once each.
    pub(super) fn tell_of_stale(&mut self, stale: Option<Stale>) {
        let stale = stale.unwrap_or_default();
        let known = std::mem::replace(&mut self.stale, stale);
        let stale = &self.stale;
        let is_new = stale.removed || stale.paths.iter().any(|path| !known.paths.contains(path));
        let Some(output) = self.settings.builder.output().filter(|_| is_new) else { return };
        let short = output.strip_prefix(&self.settings.root).unwrap_or(output);
        let mut line = stale.line(short);
        if !stale.removed {
            line = format!("{line} (`prune` under [build] removes such files)");
        }
        let paths: Vec<PathBuf> = stale.paths.iter().map(|path| output.join(path)).collect();
        let (build, removed) = (self.builds, stale.removed);
        self.tell(&Event::Stale { build, removed, paths: self.paths(&paths), line });
    }

    fn forget_output(&mut self, why: &NoEvents) {
        // The sources need the watches of the output.
        self.output = None;
        let then = "until then the whole output is scanned after each build";
        self.warn(format!("{why}{}; {then}", remedy(why)));
    }

    /// Rescans everything that may have changed since the last scan, and returns the changes.
    pub(super) fn look_at(&mut self, of: Of) -> Vec<PathBuf> {
        let never = never(self.store, self.settings.builder.output());
        let observed = self.observed(of);
        observed.sources.set_never(&never);
        let (mut changed, failed) = observed.look();
        if let Some(why) = failed {
            // The watches of the output can be given up.
            if self.output.is_some() {
                self.forget_output(&why);
                self.listen(of);
                changed.extend(self.look_at(of));
                changed.sort();
                changed.dedup();
            } else {
                self.warn_of_polling(&why);
            }
        }
        for problem in self.observed(of).new_problems() {
            self.warn(format!("cannot read a source: {problem}"));
        }
        changed
    }

    /// Finds the changes since the last scan, and acts on them.
    pub(super) fn look(&mut self, of: Of) {
        if self.git_is_at_work(of) {
            return;
        }
        let changed = self.look_at(of);
        match of {
            Of::Program(at) if !changed.is_empty() => self.restart_for(at, &changed),
            Of::Program(_) => {}
            Of::Build if self.building.is_some() => self.changed_during_build(&changed),
            Of::Build if !changed.is_empty() || (self.wanted && self.again_at.is_none()) => {
                if !changed.is_empty() {
                    self.inputs.changed_between_builds();
                    self.tell(&Event::Change { paths: self.paths(&changed), queued: false });
                }
                self.for_change = true;
                self.build_again();
            }
            Of::Build => {}
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

    /// Finds changes during the build that were not reported yet, if there were events.
    pub(super) fn look_after_build(&mut self, number: u64) {
        if !self.sources.has_heard() {
            return;
        }
        let changed = self.look_at(Of::Build);
        let changed = self.inputs.really_changed(&changed);
        if !changed.is_empty() {
            self.tell(&Event::InputsChanged { paths: self.paths(&changed), build: number });
            self.wanted = true;
        }
        for path in self.inputs.newly_generated() {
            let paths = self.paths(std::slice::from_ref(&path));
            let shown = paths.line();
            self.warn(format!(
                "the build writes {shown} itself, so each change of it costs a second build: \
                 `\"!{shown}\"` among the `paths` under [watch] leaves it out"
            ));
        }
        // This happens when a build creates a file beside its configuration, and removes it again.
        if self.wanted && self.built_from.changes(&self.sources.seen).is_empty() {
            self.tell(&Event::InputsRestored { build: number });
            self.wanted = false;
        }
    }

    /// Returns whether git is changing the sources right now. Then they are checked when it is done.
    fn git_is_at_work(&mut self, of: Of) -> bool {
        let mut by = None;
        let is_at_work = self.observed(of).git_is_at_work(|path| by = Some(path));
        if let Some(by) = by {
            self.tell(&Event::Waiting { paths: self.paths(&[by]) });
        }
        is_at_work
    }

    /// Builds again at once, if that is wanted. It waits if more changes are expected, or if one build
    /// causes the next.
    pub(super) fn build_if_wanted(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.wanted = true;
            self.inputs.changed_between_builds();
        }
        if !self.wanted || self.ending.is_some() || self.git_is_at_work(Of::Build) {
            return;
        }
        let (pause, is_first) = self.inputs.pause_before_next(self.took);
        if is_first {
            self.warn(format!(
                "sources change during each build ({}); if the build writes them itself, name them in \
                 `ignore` under [watch]: from now on there is a pause between builds",
                self.paths(self.inputs.last()).line()
            ));
        }
        if !pause.is_zero() {
            self.again_at = Some(Instant::now() + pause);
        } else if !self.sources.is_restless() {
            self.build_again();
        }
    }

    pub(super) fn paths(&self, changed: &[PathBuf]) -> Paths {
        Paths::new(changed, &self.settings.root)
    }
}

/// Returns the remedy if the system gives no events.
fn remedy(why: &NoEvents) -> &'static str {
    match why {
        NoEvents::Watches => "; raise it with `sysctl fs.inotify.max_user_watches=1048576`",
        NoEvents::Instances => "; raise it with `sysctl fs.inotify.max_user_instances=1024`",
        NoEvents::Threads => "; raise the limit of processes (`ulimit -u`)",
        NoEvents::Other(_) => "",
    }
}

/// Returns the outputs of the builds and the store, which are never sources.
fn never(store: &Store, output: Option<&Path>) -> Vec<PathBuf> {
    let mut never = vec![store.path().to_owned()];
    never.extend(output.map(Path::to_owned));
    // The next commit reports a record that cannot be read.
    never.extend(store.view_paths().unwrap_or_default());
    never
}

//! The programs: the sources that each of them reads, and its restarts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::env_file;
use super::events::Event;
use super::state::Watch;
use crate::command::control::{Answer, Asker, BuildState, Request};
use crate::environment;

/// Reads the variables of a program, except those that this process has itself: the environment of the
/// watch takes precedence, as with Node's `--env-file`.
pub(crate) fn variables(file: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let variables = env_file::read(file)?.into_iter().filter(|(name, _)| !environment::has(name));
    Ok(variables.map(|(name, value)| (name.into(), value.into())).collect())
}

impl Watch<'_> {
    /// Restarts a program because its own sources changed. If a build is under way, or about to begin, it may belong
    /// to the same change: then the program waits for it, and does not meet the last one's result.
    pub(super) fn restart_for(&mut self, own: usize, changed: &[PathBuf]) {
        if self.is_about_to_build() {
            let (name, paths) = (self.own[own].0.clone(), self.paths(changed));
            self.tell(&Event::Restart { name, paths, after_build: true });
            self.due_restarts.entry(own).or_default().extend(changed.iter().cloned());
            return;
        }
        self.restart_now(own, changed);
    }

    /// Restarts the programs that waited for a build, unless another one follows.
    pub(super) fn restart_those_that_waited(&mut self) {
        if self.is_about_to_build() {
            return;
        }
        for (own, changed) in std::mem::take(&mut self.due_restarts) {
            self.restart_now(own, &Vec::from_iter(changed));
        }
    }

    /// Returns whether a build is under way, or begins without a pause.
    fn is_about_to_build(&self) -> bool {
        let is_next = self.wanted && self.again_at.is_none();
        self.building.is_some() || is_next || self.sources.is_restless()
    }

    fn restart_now(&mut self, own: usize, changed: &[PathBuf]) {
        let name = self.own[own].0.clone();
        let paths = self.paths(changed);
        self.tell(&Event::Restart { name: name.clone(), paths, after_build: false });
        let news = self.children.restart(&[&name], Instant::now());
        self.tell_of_children(news);
    }

    /// Executes a request from a verb or a key.
    pub(super) fn do_what_was_asked(&mut self, request: &Request, asker: Option<Asker>) {
        let done = match request {
            Request::Rebuild => {
                match self.building.is_some() {
                    true => self.asked = true,
                    false if self.ending.is_none() => {
                        self.for_change = false;
                        self.build_again();
                    }
                    false => {}
                }
                true
            }
            Request::Look => true,
            Request::Restart { name } => {
                let news = self.children.restart(&[name], Instant::now());
                self.tell_of_children(news);
                self.names.contains(name)
            }
        };
        if let Some(asker) = asker {
            let build = match (self.building.is_some(), self.has_failed) {
                (true, _) => BuildState::Building,
                (false, true) => BuildState::Failed,
                (false, false) => BuildState::Done,
            };
            asker.answer(&Answer { done, pid: std::process::id(), names: self.names.clone(), build });
        }
    }

    /// Restarts the programs without sources of their own. Sources changed, and the build had the same
    /// result: the change may concern these programs.
    pub(super) fn restart_those_that_may_read_the_sources(&mut self) {
        for name in self.unclaimed.clone() {
            self.tell(&Event::Restart { name, paths: self.paths(&[]), after_build: false });
        }
        let names: Vec<&str> = self.unclaimed.iter().map(String::as_str).collect();
        let news = self.children.restart(&names, Instant::now());
        self.tell_of_children(news);
    }
}

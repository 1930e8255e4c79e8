//! The programs: the sources that each of them reads, and its restarts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::env_file;
use super::events::Event;
use super::state::Watch;
use crate::command::control::{Answer, Asker, Request};
use crate::environment;

/// Reads the variables of a program, except those that this process has itself: the environment of the
/// watch takes precedence, as with Node's `--env-file`.
pub(crate) fn variables(file: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let variables = env_file::read(file)?.into_iter().filter(|(name, _)| !environment::has(name));
    Ok(variables.map(|(name, value)| (name.into(), value.into())).collect())
}

impl Watch<'_> {
    /// Restarts a program because its own sources changed.
    pub(super) fn restart_for(&mut self, own: usize, changed: &[PathBuf]) {
        let name = self.own[own].0.clone();
        self.tell(&Event::Restart { name: name.clone(), paths: self.paths(changed) });
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
            asker.answer(&Answer { done, pid: std::process::id(), names: self.names.clone() });
        }
    }

    /// Restarts the programs without sources of their own. Sources changed, and the build had the same
    /// result: the change may concern these programs.
    pub(super) fn restart_those_that_may_read_the_sources(&mut self) {
        for name in self.unclaimed.clone() {
            self.tell(&Event::Restart { name, paths: self.paths(&[]) });
        }
        let names: Vec<&str> = self.unclaimed.iter().map(String::as_str).collect();
        let news = self.children.restart(&names, Instant::now());
        self.tell_of_children(news);
    }
}

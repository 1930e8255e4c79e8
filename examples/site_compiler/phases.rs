//! The phases of a build: the current one, the duration of each, and the final statistics.

use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::Publication;

use crate::fail::Fault;

pub(crate) struct Phases {
    fault: Option<Fault>,
    now: &'static str,
    times: Vec<(&'static str, Duration)>,
}

impl Phases {
    pub(crate) fn new(fault: Option<Fault>) -> Phases {
        Phases { fault, now: "open", times: vec![] }
    }

    /// Returns the name of the current phase.
    pub(crate) fn now(&self) -> &'static str {
        self.now
    }

    /// Enters a phase.
    pub(crate) fn enter(&mut self, name: &'static str) {
        self.now = name;
    }

    /// Runs the work of a phase. A requested fault occurs at its end.
    pub(crate) fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.enter(name);
        let start = Instant::now();
        let done = work()?;
        self.fault.map_or(Ok(()), |fault| fault.strike(name))?;
        match self.times.iter_mut().find(|(known, _)| *known == name) {
            Some((_, time)) => *time += start.elapsed(),
            None => self.times.push((name, start.elapsed())),
        }
        Ok(done)
    }

    /// Prints the result of the publication and the durations.
    pub(crate) fn tell(&self, published: &Publication) {
        let (id, diff) = (published.generation, published.diff);
        let what = if published.changed { "Published" } else { "Unchanged:" };
        println!("{what} generation {id} {}", published.tree);
        println!(
            "  {} files, {} bytes: {} written, {} unchanged, {} added, {} modified, {} removed, {} renamed",
            published.files,
            published.bytes,
            published.written,
            published.unchanged,
            diff.added,
            diff.modified,
            diff.removed,
            diff.renamed,
        );
        let times: Vec<String> =
            self.times.iter().map(|(name, time)| format!("{name} {} ms", time.as_millis())).collect();
        println!("  {}", times.join(", "));
        for warning in &published.warnings {
            eprintln!("warning: it is published, but {}", warning.message);
        }
    }
}

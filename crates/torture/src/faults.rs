//! Faults of a run, for tests and for the torture: counts the calls that change the disk, or fails one of
//! them. [`Seams`] describes their format.

use std::io::{self, Write};
use std::path::PathBuf;

use genstore::faults::{FaultKind, FaultPlan, FaultStage, Faults};

use crate::seams::Seams;

/// The kinds of faults, by name.
pub const KINDS: [(&str, FaultKind); 4] = [
    ("kill", FaultKind::Kill),
    ("eio", FaultKind::Eio),
    ("eio-from", FaultKind::EioFromHere),
    ("enospc", FaultKind::Full),
];

/// Parses the name of a kind.
///
/// # Errors
/// A message for the user.
pub fn parse_kind(text: &str) -> Result<FaultKind, &'static str> {
    let known = KINDS.into_iter().find(|(name, _)| *name == text);
    known.map(|(_, kind)| kind).ok_or("expected kill, eio, eio-from or enospc")
}

/// The faults of this run.
#[derive(Default)]
pub struct Injection {
    /// The faults to open a store with.
    pub faults: Faults,
    trace: Option<PathBuf>,
}

impl Injection {
    /// Parses the requested faults.
    ///
    /// # Errors
    /// A message, if they cannot be parsed.
    pub fn new(seams: &Seams) -> Result<Injection, String> {
        if let Some(trace) = &seams.trace {
            return Ok(Injection { faults: Faults::record(), trace: Some(trace.clone()) });
        }
        let Some(text) = &seams.fault else { return Ok(Injection::default()) };
        let bad = || format!("the fault is not understood: {}", genstore::tree::show_path(text.as_bytes()));
        let (first, second) = text.split_once(':').ok_or_else(bad)?;
        let kind = parse_kind(second).map_err(|_| bad())?;
        let stage = FaultStage::ALL.into_iter().find(|stage| stage.name() == first);
        let plan = match stage {
            Some(stage) => FaultPlan::stage(stage, kind),
            None => FaultPlan::step(first.parse().map_err(|_| bad())?, kind),
        };
        Ok(Injection { faults: Faults::inject(plan), trace: None })
    }

    /// Writes the trace, if one was requested.
    ///
    /// # Errors
    /// Also if its file exists.
    #[allow(clippy::disallowed_methods, reason = "the trace is no part of the store")]
    pub fn write_trace(&self) -> io::Result<()> {
        let Some(path) = &self.trace else { return Ok(()) };
        let text: String = self.faults.seen().into_iter().map(|call| call + "\n").collect();
        // An existing file is never replaced.
        std::fs::File::create_new(path)?.write_all(text.as_bytes())
    }
}

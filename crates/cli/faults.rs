//! Faults of a run, for tests and for the torture: counts the calls that change the disk, or fails one
//! of them. How they are written is told at [`Seams`].

use std::io::Write;
use std::path::PathBuf;

use genstore::{FaultKind, FaultPlan, FaultStage, Faults};

use crate::seams::Seams;

/// What may go wrong, by its name.
pub(crate) const KINDS: [(&str, FaultKind); 4] = [
    ("kill", FaultKind::Kill),
    ("eio", FaultKind::Eio),
    ("eio-from", FaultKind::EioFromHere),
    ("enospc", FaultKind::Full),
];

/// Reads the name of a kind.
pub(crate) fn parse_kind(text: &str) -> Result<FaultKind, &'static str> {
    let known = KINDS.into_iter().find(|(name, _)| *name == text);
    known.map(|(_, kind)| kind).ok_or("it is none of kill, eio, eio-from, enospc")
}

/// The faults of this run.
#[derive(Default)]
pub(crate) struct Injection {
    pub(crate) faults: Faults,
    trace: Option<PathBuf>,
}

impl Injection {
    /// Reads what was asked for.
    ///
    /// # Errors
    /// A message, where it is not understood.
    pub(crate) fn new(seams: &Seams) -> Result<Injection, String> {
        if let Some(trace) = &seams.trace {
            return Ok(Injection { faults: Faults::record(), trace: Some(trace.clone()) });
        }
        let Some(text) = &seams.fault else { return Ok(Injection::default()) };
        let bad = || format!("the fault is not understood: {}", genstore::show_path(text.as_bytes()));
        let (first, second) = text.split_once(':').ok_or_else(bad)?;
        let kind = parse_kind(second).map_err(|_| bad())?;
        let stage = FaultStage::ALL.into_iter().find(|stage| stage.name() == first);
        let plan = match stage {
            Some(stage) => FaultPlan::stage(stage, kind),
            None => FaultPlan::step(first.parse().map_err(|_| bad())?, kind),
        };
        Ok(Injection { faults: Faults::inject(plan), trace: None })
    }

    /// Writes the trace, if one was asked for; returns the exit status, or 1 where that fails.
    #[allow(clippy::disallowed_methods, reason = "the trace is no part of the store")]
    pub(crate) fn write_trace(&self, status: u8) -> u8 {
        let Some(path) = &self.trace else { return status };
        let text: String = self.faults.seen().into_iter().map(|call| call + "\n").collect();
        // Never in the place of a file that is there.
        match std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => status,
            Err(_) => crate::exit::FAILED,
        }
    }
}

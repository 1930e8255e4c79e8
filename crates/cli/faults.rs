//! `GENSTORE_FAULT`, for tests: counts the calls that change the disk, or fails one of them.
//!
//! `trace:FILE` writes every such call to FILE at the end of the run, one per line. `N:KIND` makes
//! call N (from 1) go wrong: `kill`, `eio`, `eio-from` (and all later ones) or `enospc` (and all
//! later ones that need space). `STAGE:KIND` does it where a stage of a publication begins: `plan`,
//! `write`, `audit`, `flush`, `number`, `pointer` or `view`.

use std::path::PathBuf;

use genstore::{FaultKind, FaultPlan, FaultStage, Faults};

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

/// What the variable asks for.
#[derive(Default)]
pub(crate) struct Injection {
    pub(crate) faults: Faults,
    trace: Option<PathBuf>,
}

impl Injection {
    /// Reads the variable.
    pub(crate) fn parse(text: Option<&str>) -> Result<Injection, String> {
        let Some(text) = text else { return Ok(Injection::default()) };
        let bad = || format!("GENSTORE_FAULT is not understood: {}", genstore::show_path(text.as_bytes()));
        let (first, second) = text.split_once(':').ok_or_else(bad)?;
        if first == "trace" {
            return Ok(Injection { faults: Faults::record(), trace: Some(second.into()) });
        }
        let kind = parse_kind(second).map_err(|_| bad())?;
        let stage = FaultStage::ALL.into_iter().find(|stage| stage.name() == first);
        let plan = match stage {
            Some(stage) => FaultPlan::stage(stage, kind),
            None => FaultPlan::step(first.parse().map_err(|_| bad())?, kind),
        };
        Ok(Injection { faults: Faults::inject(plan), trace: None })
    }

    /// Writes the trace, if one was asked for; gives the exit status on, or 1 where that fails.
    #[allow(clippy::disallowed_methods, reason = "the trace is no part of the store")]
    pub(crate) fn write_trace(&self, status: u8) -> u8 {
        let Some(path) = &self.trace else { return status };
        let text: String = self.faults.seen().into_iter().map(|call| call + "\n").collect();
        match std::fs::write(path, text) {
            Ok(()) => status,
            Err(_) => crate::errors::exit::FAILED,
        }
    }
}

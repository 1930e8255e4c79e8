//! `GENSTORE_FAULT`, for tests: counts the calls that change the disk, or fails one of them.
//!
//! `trace:FILE` writes every such call to FILE at the end of the run, one per line. `N:KIND` makes
//! call N (from 1) go wrong: `kill`, `eio`, `eio-from` (and all later ones) or `enospc` (and all
//! later ones that need space).

use std::path::PathBuf;

use genstore::{FaultKind, FaultPlan, Faults};

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
        let kind = match second {
            "kill" => FaultKind::Kill,
            "eio" => FaultKind::Eio,
            "eio-from" => FaultKind::EioFromHere,
            "enospc" => FaultKind::Full,
            _ => return Err(bad()),
        };
        let step = first.parse().map_err(|_| bad())?;
        Ok(Injection { faults: Faults::inject(FaultPlan::step(step, kind)), trace: None })
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

//! The program as this project's tests run it: the shipped program with a settable clock and with faults,
//! both read from the environment. It is built only with the feature `testing`, beside the shipped program.
//!
//! `GENSTORE_NOW` (RFC 3339) fixes the clock. `GENSTORE_FAULT` is a fault in the format of
//! [`genstore_cli::Seams::fault`], or `trace:FILE`, which writes the calls that change the disk to FILE,
//! one per line, replacing its content. `GENSTORE_GROUND` is [`genstore_cli::Seams::ground`].

#![allow(clippy::disallowed_methods, reason = "a program for tests: it reads variables and replaces FILE")]

use std::env;
use std::process::ExitCode;

use genstore_cli::Seams;

fn main() -> ExitCode {
    let filled = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| filled(name).map(|value| value.to_string_lossy().into_owned());
    let mut seams = Seams {
        now: text("GENSTORE_NOW"),
        fault: text("GENSTORE_FAULT"),
        trace: None,
        ground: filled("GENSTORE_GROUND").map(Into::into),
    };
    if let Some(file) = seams.fault.as_ref().and_then(|fault| fault.strip_prefix("trace:")) {
        // A missing file is fine. Any other problem shows when the trace is written.
        std::fs::remove_file(file).ok();
        seams.trace = Some(file.into());
        seams.fault = None;
    }
    genstore_cli::run(seams)
}

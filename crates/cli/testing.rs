//! The program as the tests of this project run it: the shipped one, but for a clock that may stand
//! still and for faults, which it reads from its environment. It is built only with the feature
//! `testing`, beside the shipped program, which has none of this.
//!
//! `GENSTORE_NOW` (RFC 3339) fixes the clock. `GENSTORE_FAULT` is a fault as
//! [`genstore_cli::Seams::fault`] reads it, or `trace:FILE`: then the calls that change the disk are
//! written to FILE, one per line, in place of what it held. `GENSTORE_GROUND` is
//! [`genstore_cli::Seams::ground`].

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
        // That it is not there is as good. Whatever else is wrong with it, writing finds out.
        std::fs::remove_file(file).ok();
        seams.trace = Some(file.into());
        seams.fault = None;
    }
    genstore_cli::run(seams)
}

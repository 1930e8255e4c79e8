//! The shipped program. Its environment, arguments and configuration cannot set its clock or inject faults;
//! `testing.rs` can.

use std::process::ExitCode;

fn main() -> ExitCode {
    genstore_cli::run(genstore_cli::Seams::default())
}

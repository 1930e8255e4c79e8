//! The shipped program. Nothing in its environment, arguments or configuration sets its clock or makes
//! its calls fail: compare `testing.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    genstore_cli::run(genstore_cli::Seams::default())
}

//! genstore, the program: parses arguments, calls the library, and prints the result.
//!
//! Data goes to stdout, messages go to stderr. Only the library changes the disk, with four exceptions:
//! the temporary store of a dry run, the scratch folder of `torture`, the records of `trust`, and archives.
//!
//! `main.rs` is the shipped program. `testing.rs` is the same program for this project's tests: its clock
//! and faults come from the environment. It is built only with the feature `testing`.

mod archives;
mod args;
mod command;
mod completing;
mod environment;
mod errors;
mod examples;
mod exit;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod globals;
mod inputs;
#[cfg(feature = "testing")]
pub mod manual;
mod probe;
mod project;
mod render;
#[cfg(feature = "testing")]
pub mod schemas;
mod system;
mod text;
mod topics;
mod verbs;
mod watching;

use std::process::ExitCode;

use command::context::{Context, Started};
use command::{reserve, running};
use environment::Environment;
pub use genstore_torture::Seams;
use render::failure::{Failure, settle};
use render::output::Out;

/// Runs the program with the arguments and the environment of this process.
pub fn run(seams: Seams) -> ExitCode {
    let mut environment = Environment::read();
    if environment.args.get(1).is_some_and(|arg| arg == running::GUARD) {
        return genstore_run::guard();
    }
    // Exceeding the limit of file sizes then fails the write instead of killing the process.
    genstore_run::survive_file_limit();
    genstore_run::raise_open_files();
    let seams = genstore_torture::receive(&mut environment.args).unwrap_or(seams);
    if environment.args.get(1).is_some_and(|arg| arg == completing::REQUEST) {
        return completing::answer(environment, &seams, args::command_line);
    }
    let cli = match args::parse(&environment.args) {
        Ok(cli) => cli,
        Err(stopped) => return stopped.report(),
    };
    let out = Out::new(&cli.globals);
    let verb = &cli.verb;
    let started = Started { environment, seams: &seams, command_line: args::command_line };
    let context = match Context::new(&out, &cli.globals, verb.name(), started) {
        Ok(context) => context,
        Err(error) => return ExitCode::from(Failure::of(&error).report(&out, verb.failure_exit())),
    };
    let result = verb.run(&context);
    context.progress.finish();
    let status = match result {
        Ok(status) => settle(&out, status),
        Err(error) => Failure::of(&reserve::explain(&context, error)).report(&out, verb.failure_exit()),
    };
    // An unwritten trace is a failure of the test that asked for it.
    ExitCode::from(context.faults.write_trace().map_or(exit::FAILED, |()| status))
}

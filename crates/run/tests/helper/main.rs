//! A program that uses the crate: `guard`, and `parent SCRIPT`, a caller that is killed.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use genstore_run::{GuardCommand, Interrupts, Job, Limits, Output, Stream, guard, run_to_end, start};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == "guard" => guard(),
        Some(verb) if verb == "parent" => {
            let interrupts = Interrupts::install().unwrap();
            let mut job = Job::new("sh");
            job.args = ["-c".into()].into_iter().chain(args).collect();
            let output = Output::to(|stream, bytes| match stream {
                Stream::Stdout => io::stdout().write_all(bytes),
                Stream::Stderr => io::stderr().write_all(bytes),
            });
            let running = start(&GuardCommand::this_program(["guard"]), &job, output).unwrap();
            run_to_end(running, Limits::default(), &interrupts).ended.exit_code().into()
        }
        other => panic!("what is {other:?}?"),
    }
}

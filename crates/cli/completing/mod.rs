//! Completions: a shell's script passes the words before the cursor, and the program prints the candidates.
//!
//! Each line of the answer is a candidate, a tab and its description. A line that begins with a tab names
//! something that the shell completes itself: `folders`, `files`, or the `command` after `--`.

mod candidates;
mod kinds;
mod line;

use std::ffi::OsString;
use std::process::ExitCode;

use genstore_torture::Seams;

use crate::command::context::{Context, Started};
use crate::environment::Environment;
use crate::exit;
use crate::render::output::Out;
use candidates::Answer;
use line::{Line, Wanted};

/// The first argument of a request. The others are the words of the line, up to the cursor.
pub(crate) const REQUEST: &str = "complete-words";

/// Answers a request. Failures are no candidates: a shell has no place for a message.
pub(crate) fn answer(
    environment: Environment,
    seams: &Seams,
    command_line: fn() -> clap::Command,
) -> ExitCode {
    let words: Vec<OsString> = environment.args.iter().skip(2).cloned().collect();
    let mut command = command_line();
    command.build();
    let Some(line) = Line::read(&command, &words) else { return ExitCode::from(exit::DONE) };
    let globals = line.globals();
    let out = Out::new(&globals);
    let started = Started { environment, seams, command_line };
    let mut answer = Answer::new(&line.word);
    // A wrong -C leaves no store to ask.
    let context = Context::new(&out, &globals, "completions", started).ok();
    match &line.wanted {
        Wanted::Command => answer.shell("command"),
        Wanted::Value(arg) => answer.value(context.as_ref(), arg, kinds::of(&line.verb, arg), &line),
        Wanted::Flags => answer.flags(&line),
        Wanted::Words(arg) => {
            answer.verbs(&line);
            if let Some(arg) = arg {
                answer.value(context.as_ref(), arg, kinds::of(&line.verb, arg), &line);
            }
        }
    }
    out.bytes(&answer.bytes());
    ExitCode::from(exit::DONE)
}

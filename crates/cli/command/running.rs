//! Running commands of others: builds and audits, of which nothing survives.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore_run::{Ended, Finished, GuardCommand, Job, Limits, Output, StartError, run_to_end, start};

use crate::command::context::Context;
use crate::errors::{Fail, MORE_PROCESSES, interrupted};
use crate::exit;
use crate::text::escape::show;

/// The one argument with which the program is its own guard: see [`genstore_run::guard`].
pub(crate) const GUARD: &str = "run-guard";

/// How a command ended, and after how long.
pub(crate) struct Done {
    pub(crate) finished: Finished,
    pub(crate) time: Duration,
}

/// Runs a command to its end.
///
/// # Errors
/// Where it could not be started, with the exit statuses of shells; and where this process was
/// interrupted meanwhile.
pub(crate) fn run(context: &Context<'_>, job: &Job, output: Output, limits: Limits) -> Result<Done> {
    let interrupts = context.interrupts()?;
    let begun = Instant::now();
    let running = start(&GuardCommand::this_program([GUARD]), job, output).map_err(not_started)?;
    let finished = run_to_end(running, limits, interrupts);
    let time = begun.elapsed();
    if let Ended::Interrupted(signal) = finished.ended {
        return Err(interrupted(signal).into());
    }
    let report = &finished.output;
    if finished.survivors > 0 {
        context.out.warn(&format!(
            "{} of the command belong to another user and live on",
            crate::text::human::count(finished.survivors.into(), "process")
        ));
    }
    for error in [&report.log_error, &report.read_error, &report.sink_error].into_iter().flatten() {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            context.out.warn(&format!("not all of the command's output was passed on: {error}"));
        }
    }
    Ok(Done { finished, time })
}

/// Says how a command ended that did not end well.
pub(crate) fn ending(name: &str, ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("{name} exited with {code}"),
        Ended::Signaled(signal) => format!("{name} was killed by signal {signal}"),
        Ended::TimedOut => format!("{name} took longer than it may"),
        _ => format!("what became of {name} is not known"),
    }
}

/// Says that a program cannot be run, with the exit statuses of shells.
pub(crate) fn cannot_run(program: &OsStr, is_absent: bool) -> Fail {
    let (code, status, hint) = match is_absent {
        true => (
            "command-not-found",
            exit::NOT_FOUND,
            "check the spelling and PATH; a script's interpreter may be missing",
        ),
        false => {
            ("command-not-executable", exit::NOT_EXECUTABLE, "is it a program, and may you execute it?")
        }
    };
    Fail::new(code, format!("cannot run {}", show(program.as_ref())), hint).with_exit(status)
}

pub(crate) fn not_started(error: StartError) -> anyhow::Error {
    let other = |code, hint| Fail::new(code, error.to_string(), hint).with_exit(error.exit_code());
    let fail = match &error {
        StartError::NotFound { program, .. } => cannot_run(program, true),
        StartError::NotExecutable { program, .. } => cannot_run(program, false),
        StartError::Directory { .. } => other("bad-directory", "`cwd` is relative to genstore.toml"),
        StartError::Interrupted(signal) => return interrupted(*signal).into(),
        StartError::Guard { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock => {
            other("command-not-started", MORE_PROCESSES)
        }
        _ => other("command-not-started", "see the system's log, then try again"),
    };
    match error {
        StartError::NotFound { source, .. }
        | StartError::NotExecutable { source, .. }
        | StartError::Directory { source, .. }
        | StartError::Guard { source, .. } => anyhow::Error::from(source).context(fail),
        _ => fail.into(),
    }
}

/// Starts a thread. `what` says what it does.
pub(crate) fn spawn(what: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    match std::thread::Builder::new().spawn(work) {
        Ok(_) => Ok(()),
        Err(source) => {
            let message = format!("cannot start the thread that {what}");
            Err(anyhow::Error::from(source).context(Fail::new("no-thread", message, MORE_PROCESSES)))
        }
    }
}

/// Describes a command by its words; `None` where there are none.
pub(crate) fn job(words: &[OsString]) -> Option<Job> {
    let (program, args) = words.split_first()?;
    let mut job = Job::new(program);
    job.args = args.to_vec();
    Some(job)
}

/// Makes the error of a command that nobody can run.
pub(crate) fn no_command(place: &str) -> Fail {
    let hint = "write it as text for the shell, or as a list of words";
    Fail {
        hint: hint.to_owned(),
        exit: exit::USAGE,
        ..Fail::new("no-command", format!("the command of {place} is empty"), "")
    }
}

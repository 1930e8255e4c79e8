//! Runs commands such as builds and audits. No process of a command survives it.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore_run::{
    Ended, Finished, GuardCommand, Job, Limits, Output, Running, StartError, run_to_end, start,
};

use crate::command::context::Context;
use crate::errors::{Fail, MORE_PROCESSES, interrupted};
use crate::exit;
use crate::text::escape::show;

/// The single argument with which the program runs as its own guard: see [`genstore_run::guard`].
pub(crate) const GUARD: &str = "run-guard";

/// The end of a command, and its duration.
pub(crate) struct Done {
    pub(crate) finished: Finished,
    pub(crate) time: Duration,
}

/// Runs a command to its end.
///
/// # Errors
/// If it could not be started, with the exit statuses of shells; or if this process was interrupted
/// meanwhile.
pub(crate) fn run(context: &Context<'_>, job: &Job, output: Output, limits: Limits) -> Result<Done> {
    let start = || start(&GuardCommand::this_program([GUARD]), job, output).map_err(not_started);
    finish(context, start, limits)
}

/// Runs what `start` starts to its end.
///
/// # Errors
/// As [`run`].
pub(crate) fn finish(
    context: &Context<'_>,
    start: impl FnOnce() -> Result<Running>,
    limits: Limits,
) -> Result<Done> {
    let interrupts = context.interrupts()?;
    let begun = Instant::now();
    let finished = run_to_end(start()?, limits, interrupts);
    let time = begun.elapsed();
    if let Ended::Interrupted(signal) = finished.ended {
        return Err(interrupted(signal).into());
    }
    let report = &finished.output;
    if finished.survivors > 0 {
        context.out.warn(&format!(
            "{} of the command could not be stopped: another user is the owner",
            crate::text::human::count(finished.survivors.into(), "process")
        ));
    }
    for error in [&report.log_error, &report.read_error, &report.sink_error].into_iter().flatten() {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            context.out.warn(&format!("part of the command's output was lost: {error}"));
        }
    }
    Ok(Done { finished, time })
}

/// Describes how a command failed.
pub(crate) fn ending(name: &str, ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("{name} exited with {code}"),
        Ended::Signaled(signal) => format!("{name} was killed by signal {signal}"),
        Ended::TimedOut => format!("{name} timed out"),
        _ => format!("{name} ended in an unknown way"),
    }
}

/// Returns the error of a program that cannot run, with the exit statuses of shells.
pub(crate) fn cannot_run(program: &OsStr, is_absent: bool) -> Fail {
    let (code, status, hint) = match is_absent {
        true => (
            "command-not-found",
            exit::NOT_FOUND,
            "check the spelling and PATH; a script's interpreter may be missing",
        ),
        false => (
            "command-not-executable",
            exit::NOT_EXECUTABLE,
            "check that it is a program and that you may execute it",
        ),
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

/// Starts a thread. `what` names its work in the error message.
pub(crate) fn spawn(what: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    match std::thread::Builder::new().spawn(work) {
        Ok(_) => Ok(()),
        Err(source) => {
            let message = format!("cannot start the thread that {what}");
            Err(anyhow::Error::from(source).context(Fail::new("no-thread", message, MORE_PROCESSES)))
        }
    }
}

/// Creates a job from the words of a command. Returns `None` if there are none.
pub(crate) fn job(words: &[OsString]) -> Option<Job> {
    let (program, args) = words.split_first()?;
    let mut job = Job::new(program);
    job.args = args.to_vec();
    Some(job)
}

/// Returns the error of an empty command.
pub(crate) fn no_command(place: &str) -> Fail {
    let hint = "write it as text for the shell, or as a list of words";
    Fail {
        hint: hint.to_owned(),
        exit: exit::USAGE,
        ..Fail::new("no-command", format!("the command of {place} is empty"), "")
    }
}

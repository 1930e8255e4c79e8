//! Verbs for the pages and the API of the server: this program, run once more for the same store.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use genstore_run::{Event, GuardCommand, Job, Output, Stream, start};
use genstore_serve::{Ran, Verbs};

use crate::command::context::Context;
use crate::command::running;

/// The time to wait for locks: people wait for the page.
const LOCKS: &str = "--lock-timeout=20s";
/// The time from the stop signal to the kill.
const STOP: Duration = Duration::from_secs(2);
/// The largest output of a verb, in bytes.
const MOST: usize = 64 << 20;

/// Returns the function that runs verbs for a store, as this run would.
pub(super) fn verbs(context: &Context<'_>, store: &Path) -> Verbs {
    let mut flags: Vec<OsString> = vec!["--store".into(), store.into(), "--json".into(), LOCKS.into()];
    flags.extend(context.ignores_project().then(|| "--no-project".into()));
    flags.extend(context.trust.is_blind().then(|| "--trust".into()));
    Arc::new(move |words, limit| run(&flags, words, limit))
}

fn run(flags: &[OsString], words: &[String], limit: Duration) -> io::Result<Ran> {
    let guard = GuardCommand::this_program([running::GUARD]);
    let mut job = Job::new(&guard.program);
    // Flags come first: a verb's own words may end with `--` and names.
    job.args = flags.iter().cloned().chain(words.iter().map(OsString::from)).collect();
    let taken = Arc::new(Mutex::new((vec![], vec![])));
    let taking = Arc::clone(&taken);
    let output = Output::to(move |stream, bytes| {
        let mut taken = taking.lock().unwrap_or_else(PoisonError::into_inner);
        let part = if stream == Stream::Stdout { &mut taken.0 } else { &mut taken.1 };
        if part.len() + bytes.len() > MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        part.extend_from_slice(bytes);
        Ok(())
    });
    let mut running = start(&guard, &job, output).map_err(io::Error::other)?;
    let timed_out = running.wait(Instant::now().checked_add(limit), None) == Event::Deadline;
    let finished = match timed_out {
        true => running.stop(rustix::process::Signal::TERM.as_raw(), STOP),
        false => running.finish(),
    };
    if let Some(error) = finished.output.sink_error {
        return Err(error);
    }
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    let (document, messages) = std::mem::take(&mut *taken);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { document: text(document), messages: text(messages), timed_out })
}

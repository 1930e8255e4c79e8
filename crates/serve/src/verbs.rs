//! The verbs of the program around the server. The documents of the API and the actions of the pages are theirs:
//! the server has no second form of either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Runs a verb with `--json` in a process of its own, with these arguments, for at most this long. So an error in
/// it does not end the server, and hooks and locks are those of the verb.
///
/// Fails if no process can be started.
pub type Verbs = Arc<dyn Fn(&[String], Duration) -> io::Result<Ran> + Send + Sync>;

/// The output of a verb.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The document on stdout; empty if the verb failed.
    pub document: String,
    /// stderr: its last line is the document of the error, if the verb failed.
    pub messages: String,
    /// Whether it was stopped after its time.
    pub timed_out: bool,
}

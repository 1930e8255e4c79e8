//! Runs a command so that nothing of it survives.
//!
//! The caller does not start the command itself. It starts a **guard**: its own program once more,
//! with hidden arguments, which calls [`guard`]. The guard starts the command in a process group of
//! its own, adopts every descendant that loses its parent, and kills all that is left when the
//! command has ended, when the caller says so, or when the caller has died, however it died. Only
//! when nothing is left does it say how the command ended.
//!
//! ```no_run
//! use genstore_run::{GuardCommand, Interrupts, Job, Limits, Output, run_to_end, start};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let interrupts = Interrupts::install()?;
//! let mut job = Job::new("npm");
//! job.args = vec!["run".into(), "build".into()];
//! let output = Output::to(|_stream, bytes| std::io::Write::write_all(&mut std::io::stderr(), bytes));
//! let running = start(&GuardCommand::this_program(["guard"]), &job, output)?;
//! let finished = run_to_end(running, Limits::default(), &interrupts);
//! std::process::exit(finished.ended.exit_code().into());
//! # }
//! ```
//!
//! What the command sees: a stdin that is empty, or says nothing ([`Stdin`]); pipes as stdout and stderr; no terminal, not even
//! through `/dev/tty`, so that it can never be stopped for reading from one; default signal
//! dispositions and an empty mask, except that SIGHUP, SIGINT, SIGQUIT and SIGTERM stay ignored where
//! the caller was told to ignore them (`nohup`); see [`default_signals_for_commands`].
//!
//! What is beyond this crate: processes that the command asks others to start (a daemon that runs
//! already, a container engine), and processes that the caller may not kill ([`Finished::survivors`]).
//! The guard does not reap the command before the last signal to its group, and kills only its own children by
//! number: so no signal can hit a stranger that got a freed number. It decides nothing: timeouts and
//! interruptions are the caller's. The end of the socket, which the kernel sees to however the caller dies, is
//! the one order that needs no caller.

mod guard;
mod interrupts;
mod job;
mod outcome;
mod output;
mod procs;
mod running;
mod wire;

pub use guard::guard;
pub use interrupts::{Interrupts, default_signals_for_commands, survive_file_limit};
pub use job::{GuardCommand, Job, Stdin};
pub use outcome::{Ended, Finished, StartError};
pub use output::{LOG_CUT, Log, Output, OutputReport, PAUSE, Stream};
pub use running::{Event, Limits, Running, Stopper, run_to_end, start};

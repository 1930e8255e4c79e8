//! Runs a command so that no process of it survives.
//!
//! The caller does not start the command itself. It starts a **guard**: its own program once more, with
//! hidden arguments, which calls [`guard`]. The guard starts the command in a process group of its own and
//! adopts every descendant that loses its parent. It kills all remaining processes when the command has
//! ended, when the caller orders it, or when the caller has died in any way. Only then does it report how
//! the command ended.
//!
//! ```no_run
//! use genstore_run::{GuardCommand, Interrupts, Job, Limits, Output, run_to_end, start, start_with};
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
//! The command gets an empty or open stdin ([`Stdin`]) and pipes as stdout and stderr. It has no terminal,
//! not even through `/dev/tty`, so reading from a terminal can never stop it. It starts with default signal
//! dispositions and an empty mask, except that SIGHUP, SIGINT, SIGQUIT and SIGTERM stay ignored if the
//! caller was started so (`nohup`); see [`default_signals_for_commands`].
//!
//! This crate does not control processes that the command asks others to start (a running daemon, a
//! container engine), and processes that the caller may not kill ([`Finished::survivors`]).
//! The guard does not reap the command before the last signal to its group, and kills only its own children
//! by number: so no signal can hit a foreign process that got a freed number. It decides nothing: the
//! caller decides on timeouts and interruptions. The end of the socket is the only order that needs no
//! caller: the kernel sends it, however the caller dies.

mod files;
mod guard;
mod interrupts;
mod job;
#[cfg(target_os = "linux")]
mod namespace;
mod outcome;
mod output;
mod procs;
mod running;
mod system;
mod wire;

pub use files::{raise_open_files, with_inherited_open_files};
pub use guard::guard;
pub use interrupts::{Interrupts, default_signals_for_commands, survive_file_limit};
pub use job::{GuardCommand, Job, Mount, Stdin};
pub use outcome::{Ended, Finished, StartError};
pub use output::{LOG_CUT, Log, Output, OutputReport, PAUSE, Stream};
pub use running::{Event, Limits, Running, Stopper, run_to_end, start, start_with};

//! The caller's side: starts a command, waits for it, ends it.

use std::io::{self, PipeWriter};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::SIGTERM;

use crate::interrupts::Interrupts;
use crate::job::{GuardCommand, Job};
use crate::outcome::{Ended, Finished, StartError};
use crate::output::{Output, OutputReport, Pump};
use crate::procs;
use crate::wire::{End, Inbox, Order, Report, Step, send, send_with};

/// A started command. Dropping it kills the command and all its descendants, and waits until they are gone.
#[derive(Debug)]
#[must_use]
pub struct Running {
    caller: Caller,
    pid: u32,
    started: Instant,
    ended: Option<(Ended, u32)>,
    unmounted: Option<io::Error>,
}

/// The result of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The command has ended, and no process of it is left.
    Ended(Ended),
    /// This process was interrupted, now or earlier, first by this signal. The command still runs.
    Interrupted(i32),
    /// The deadline has come. The command still runs.
    Deadline,
}

/// The time limits of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The time from the start to the stop signal; `None` means no limit.
    pub timeout: Option<Duration>,
    /// The time from the stop signal to the kill.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    /// Returns no timeout, and 10 seconds to stop.
    fn default() -> Limits {
        Limits { timeout: None, stop_timeout: Duration::from_secs(10) }
    }
}

/// Starts the command under a guard, and returns when it runs.
///
/// # Errors
///
/// If it does not run. Then no process is left.
pub fn start(guard: &GuardCommand, job: &Job, output: Output) -> Result<Running, StartError> {
    start_with(guard, job, output, None)
}

/// Starts the command as [`start`] does, and passes a descriptor to it: as its stdin, if that is
/// [`Stdin::Passed`](crate::Stdin::Passed). Otherwise the descriptor is a socket, and becomes descriptor 3 of
/// the command, with `LISTEN_FDS` and `LISTEN_PID`, as systemd does. A shell starts the command then. If there is no such program, the shell
/// prints that and exits with 127. With `guard_keeps` only the guard has it.
///
/// If the [`Mount`](crate::Mount) of the job cannot be had, the command runs without it, and
/// [`Running::unmounted`] has the reason.
///
/// # Errors
///
/// If it does not run. Then no process is left.
pub fn start_with(
    guard: &GuardCommand,
    job: &Job,
    output: Output,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<Running, StartError> {
    let (pump, stdout, stderr) =
        Pump::start(output).map_err(|source| StartError::Guard { op: "connect", source })?;
    let started = attempt(guard, job.clone(), (&stdout, &stderr), descriptor);
    drop((stdout, stderr));
    match started {
        Ok(mut running) => {
            running.caller.pump = Some(pump);
            Ok(running)
        }
        Err(error) => {
            pump.finish();
            Err(error)
        }
    }
}

/// Starts the command, without its mount if that cannot be had: a guard that failed to mount is in a state in
/// which it must not start a command, so another one does.
fn attempt(
    guard: &GuardCommand,
    mut job: Job,
    writers: (&PipeWriter, &PipeWriter),
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<Running, StartError> {
    let mut unmounted = None;
    if let Some(mount) = &job.mount {
        job.env.push((mount.variable.clone(), mount.at.clone().into()));
    }
    loop {
        let caller = Caller::start(guard, writers)?;
        match caller.begin(&job, descriptor)? {
            Begun::Running(running) => return Ok(Running { unmounted, ..running }),
            Begun::Unmounted(source) => {
                unmounted = Some(source);
                job.mount = None;
                job.env.pop();
            }
        }
    }
}

/// The answer of a guard.
enum Begun {
    Running(Running),
    /// The mount of the job cannot be had, and the guard has ended.
    Unmounted(io::Error),
}

/// Waits for the command's end, and ends it if necessary.
///
/// At the timeout, the command's group gets SIGTERM; at an interruption of this process, it gets the same
/// signal. If the group does not end within `stop_timeout`, or if this process is interrupted again,
/// everything is killed.
pub fn run_to_end(mut running: Running, limits: Limits, interrupts: &Interrupts) -> Finished {
    let deadline = limits.timeout.and_then(|timeout| running.started.checked_add(timeout));
    let (why, signal, known) = match running.wait(deadline, Some(interrupts)) {
        Event::Ended(_) => return running.finish(),
        Event::Interrupted(signal) => (Ended::Interrupted(signal), signal, 1),
        Event::Deadline => (Ended::TimedOut, SIGTERM, 0),
    };
    running.tell(&Order::Stop(signal));
    let patience = Instant::now().checked_add(limits.stop_timeout);
    running.wait_beyond(patience, Some((interrupts, known)));
    Finished { ended: why, ..running.finish() }
}

impl Running {
    /// Returns the pid of the command, which is also the number of its process group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the reason why the command runs without the mount of its job, if it does.
    pub fn unmounted(&self) -> Option<&io::Error> {
        self.unmounted.as_ref()
    }

    /// Returns a handle with which another thread ends the command while this one waits.
    ///
    /// # Errors
    /// If no more descriptors are available.
    pub fn stopper(&self) -> io::Result<Stopper> {
        Ok(Stopper { socket: self.caller.socket.try_clone()? })
    }

    /// Waits until the command ends, the deadline comes, or this process is interrupted.
    pub fn wait(&mut self, deadline: Option<Instant>, interrupts: Option<&Interrupts>) -> Event {
        self.wait_beyond(deadline, interrupts.map(|interrupts| (interrupts, 0)))
    }

    /// Sends the signal to the command's group, gives the group `stop_timeout` to end, then kills the rest.
    /// Returns how the command itself ended.
    pub fn stop(mut self, signal: i32, stop_timeout: Duration) -> Finished {
        self.tell(&Order::Stop(signal));
        self.wait_beyond(Instant::now().checked_add(stop_timeout), None);
        self.finish()
    }

    /// Kills all remaining processes, and returns the result.
    pub fn finish(mut self) -> Finished {
        self.tell(&Order::Kill);
        self.wait_beyond(None, None);
        let (ended, survivors) = self.ended.unwrap_or((Ended::Lost, 0));
        Finished { ended, survivors, output: self.caller.close() }
    }

    /// Waits like `wait`, but only for interruptions after the first `known` ones.
    fn wait_beyond(
        &mut self,
        deadline: Option<Instant>,
        interrupts: Option<(&Interrupts, usize)>,
    ) -> Event {
        loop {
            if let Some((ended, _)) = self.ended {
                return Event::Ended(ended);
            }
            if let Some((interrupts, known)) = interrupts
                && let (Some(signal), count) = interrupts.look()
                && count > known
            {
                return Event::Interrupted(signal);
            }
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // A time that is too long for the system means no limit.
            let timeout = rest.and_then(|rest| Timespec::try_from(rest).ok());
            let mut fds = vec![PollFd::new(&self.caller.socket, PollFlags::IN)];
            fds.extend(interrupts.iter().flat_map(|(interrupts, _)| interrupts.poll_fds()));
            let polled = poll(&mut fds, timeout.as_ref());
            let reported = !fds[0].revents().is_empty();
            match polled {
                Ok(0) if rest == Some(Duration::ZERO) => return Event::Deadline,
                Ok(_) if reported => self.hear(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => self.lost(),
            }
        }
    }

    /// Handles a report of the guard.
    fn hear(&mut self) {
        match self.caller.report() {
            Ok(Some(Report::Ended { how, survivors })) => {
                let ended = match how {
                    End::Exited(code) => Ended::Exited(code),
                    End::Signaled(signal) => Ended::Signaled(signal),
                    End::Survived => Ended::Lost,
                };
                self.ended = Some((ended, survivors));
            }
            Ok(Some(Report::Started(_) | Report::Refused(..)) | None) | Err(_) => self.lost(),
        }
    }

    /// Does what is possible without a guard.
    fn lost(&mut self) {
        self.ended = Some((Ended::Lost, 0));
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It fails if the group is already gone.
            kill_process_group(group, Signal::KILL).ok();
        }
    }

    fn tell(&self, order: &Order) {
        // A guard that does not receive is dead or about to die; the next wait finds that out.
        send(&self.caller.socket, order).ok();
    }
}

/// Ends a command that another thread waits for.
#[derive(Debug)]
pub struct Stopper {
    socket: UnixStream,
}

impl Stopper {
    /// Sends the signal to the command's group.
    pub fn stop(&self, signal: i32) {
        // A guard that does not receive is dead or about to die; the waiting thread finds that out.
        send(&self.socket, &Order::Stop(signal)).ok();
    }

    /// Kills everything.
    pub fn kill(&self) {
        send(&self.socket, &Order::Kill).ok();
    }
}

/// The connection to a guard. Dropping it makes the guard kill everything, and waits for that.
#[derive(Debug)]
struct Caller {
    guard: Child,
    socket: UnixStream,
    inbox: Inbox,
    pump: Option<Pump>,
}

impl Caller {
    /// Starts a guard with these writing ends as its stdout and stderr.
    fn start(
        guard: &GuardCommand,
        (stdout, stderr): (&PipeWriter, &PipeWriter),
    ) -> Result<Caller, StartError> {
        let fail = |op| move |source| StartError::Guard { op, source };
        let (socket, theirs) = UnixStream::pair().map_err(fail("connect"))?;
        let mut command = Command::new(&guard.program);
        command.args(&guard.args).stdin(std::os::fd::OwnedFd::from(theirs));
        command.stdout(stdout.try_clone().map_err(fail("connect"))?);
        command.stderr(stderr.try_clone().map_err(fail("connect"))?);
        let guard = procs::fork_and_exec(&mut command).map_err(fail("start"))?;
        Ok(Caller { guard, socket, inbox: Inbox::default(), pump: None })
    }

    /// Sends the job, and waits until it runs.
    fn begin(mut self, job: &Job, descriptor: Option<BorrowedFd<'_>>) -> Result<Begun, StartError> {
        let order = Order::Start(job.clone());
        // A failed send means that the guard is dead, which is found out below.
        let sent = match descriptor {
            None => send(&self.socket, &order),
            Some(descriptor) => send_with(&self.socket, &order, descriptor),
        };
        let fail = |source: io::Error| {
            let program = job.program.clone();
            match source.kind() {
                io::ErrorKind::NotFound => StartError::NotFound { program, source },
                _ => StartError::NotExecutable { program, source },
            }
        };
        match self.report() {
            Ok(Some(Report::Started(pid))) => {
                let started = Instant::now();
                Ok(Begun::Running(Running { caller: self, pid, started, ended: None, unmounted: None }))
            }
            Ok(Some(Report::Refused(step, errno))) => {
                let source = io::Error::from_raw_os_error(errno);
                Err(match step {
                    Step::Mount => return Ok(Begun::Unmounted(source)),
                    Step::Command => fail(source),
                    Step::Directory => {
                        StartError::Directory { path: job.cwd.clone().unwrap_or_default(), source }
                    }
                    Step::Guard => StartError::Guard { op: "prepare", source },
                })
            }
            Ok(Some(Report::Ended { .. })) => {
                Err(StartError::Guard { op: "understand", source: io::ErrorKind::InvalidData.into() })
            }
            Ok(None) => {
                let status =
                    self.guard.wait().map_err(|source| StartError::Guard { op: "await", source })?;
                Err(match status.signal() {
                    Some(signal) => StartError::Interrupted(signal),
                    None => StartError::Guard {
                        op: "talk to",
                        source: sent
                            .err()
                            .unwrap_or_else(|| io::Error::other(format!("it ended: {status}"))),
                    },
                })
            }
            Err(source) => Err(StartError::Guard { op: "talk to", source }),
        }
    }

    /// Waits for the next report. Returns `None` if the guard is dead.
    fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            match self.inbox.take()? {
                Some(report) => return Ok(Some(report)),
                None if !self.inbox.fill(&self.socket)? => return Ok(None),
                None => {}
            }
        }
    }

    fn close(&mut self) -> OutputReport {
        // If the guard still runs, it sees this as the end of its caller, and ends the command. It fails if
        // the guard is already gone.
        self.socket.shutdown(std::net::Shutdown::Both).ok();
        self.guard.wait().ok();
        self.pump.take().map(Pump::finish).unwrap_or_default()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.close();
    }
}

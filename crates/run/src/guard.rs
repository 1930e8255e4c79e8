//! The guard: the process between the caller and the command.
//!
//! It has one thread, and waits for two things: orders over its stdin, and the death of children. The
//! command is not reaped before the last kill of its group, even if it is dead. So no other process can get
//! the number of its group.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group, setsid,
    wait, waitid, waitpid,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use crate::interrupts::default_signals_for_commands;
use crate::job::{Job, Stdin};
use crate::procs;
use crate::system;
use crate::wire::{End, Inbox, Order, Report, Step, send};

/// Runs as the guard: obeys the caller's orders from stdin, until no process of the command is left.
///
/// The hidden verb that a [`GuardCommand`](crate::GuardCommand) names calls this early in `main`, before
/// any thread is started, and exits with the result.
pub fn guard() -> ExitCode {
    // If a person runs this in a terminal, stdin is no socket and the first read fails.
    match io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).and_then(|caller| serve(&caller)) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody can receive the error: the caller is dead, or never existed.
        Err(_) => ExitCode::from(125),
    }
}

fn serve(caller: &UnixStream) -> io::Result<()> {
    let deaths = match prepare() {
        Ok(deaths) => deaths,
        Err(error) => return refuse(caller, Step::Guard, &error),
    };
    let mut inbox = Inbox::default();
    let job = loop {
        match inbox.take()? {
            Some(Order::Start(job)) => break job,
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            // The caller died before it sent the job.
            None if !inbox.fill(caller)? => return Ok(()),
            None => {}
        }
    };
    if let Some(mount) = &job.mount
        && let Err(error) = system::enter_mount(mount)
    {
        return refuse(caller, Step::Mount, &error);
    }
    if let Some(cwd) = &job.cwd
        && let Err(error) = env::set_current_dir(cwd)
    {
        return refuse(caller, Step::Directory, &error);
    }
    let (_kept, passed) = match inbox.take_descriptor() {
        kept if job.guard_keeps => (kept, None),
        passed => (None, passed),
    };
    // The writing end of an open stdin is closed when the guard ends.
    let (leader, _stdin) = match spawn(&job, passed) {
        Ok(spawned) => spawned,
        Err(error) => return refuse(caller, Step::Command, &error),
    };
    // After any error from here on, the command is ended first.
    let watched = send(caller, &Report::Started(leader.as_raw_pid() as u32))
        .and_then(|()| Watch { caller, inbox, deaths, leader, stopping: false }.until_end());
    let (how, survivors) = end_all(leader);
    send(caller, &Report::Ended { how, survivors })?;
    watched
}

fn refuse(caller: &UnixStream, step: Step, error: &io::Error) -> io::Result<()> {
    // Only an argument with a NUL fails without a system call.
    let errno = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
    send(caller, &Report::Refused(step, errno))
}

/// Prepares this process to be a guard. Returns a socket that becomes readable when a child dies.
fn prepare() -> io::Result<UnixStream> {
    // The session detaches it from the caller's terminal: a Ctrl-C reaches only the caller, which decides.
    setsid()?;
    // Other signals (to all processes, at shutdown) are for the caller and the command. They are caught,
    // not ignored, because the command would inherit an ignored signal.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        if !procs::is_ignored(signal)? {
            flag::register(signal, Arc::default())?;
        }
    }
    default_signals_for_commands()?;
    let (deaths, handler) = UnixStream::pair()?;
    deaths.set_nonblocking(true)?;
    pipe::register(SIGCHLD, handler)?;
    system::adopt_orphans()?;
    Ok(deaths)
}

/// The ends of a pipe that stay open while the command runs.
type KeptOpen = Option<(PipeWriter, Option<PipeReader>)>;

/// Starts the command. A passed descriptor becomes its stdin, or is a socket, which becomes descriptor 3.
fn spawn(job: &Job, mut passed: Option<OwnedFd>) -> io::Result<(Pid, KeptOpen)> {
    let (mut stdin, kept) = match job.stdin {
        Stdin::Empty => (Stdio::null(), None),
        Stdin::Passed => (passed.take().map_or_else(Stdio::null, Stdio::from), None),
        Stdin::Open => {
            let (reader, writer) = io::pipe()?;
            match passed {
                None => (reader.into(), Some((writer, None))),
                Some(_) => (Stdio::null(), Some((writer, Some(reader)))),
            }
        }
    };
    let mut command = match passed {
        None => Command::new(&job.program),
        Some(socket) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", HAND_ON]).arg(reopened(kept.as_ref())).arg(&job.program);
            stdin = socket.into();
            shell
        }
    };
    command.args(&job.args).envs(job.env.iter().map(|(name, value)| (name, value)));
    for name in &job.env_remove {
        command.env_remove(name);
    }
    let child = procs::fork_and_exec(command.stdin(stdin).process_group(0))?;
    Ok((Pid::from_child(&child), kept))
}

/// A script that becomes the command. The socket is the script's stdin; `$0` is the path of the command's
/// stdin. The shell knows its own pid, and can move a descriptor to number 3 (no safe call of Rust can).
const HAND_ON: &str = r#"exec 3<&0 <"$0" && export LISTEN_FDS=1 LISTEN_PID=$$ && exec "$@""#;

/// Returns the path from which the shell opens the command's stdin.
fn reopened(kept: Option<&(PipeWriter, Option<PipeReader>)>) -> String {
    match kept {
        Some((_, Some(reader))) => format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd()),
        _ => "/dev/null".to_owned(),
    }
}

/// The state between the command's start and the killing.
struct Watch<'a> {
    caller: &'a UnixStream,
    inbox: Inbox,
    deaths: UnixStream,
    leader: Pid,
    /// Whether the command was asked to end, and its group has the caller's stop time.
    stopping: bool,
}

impl Watch<'_> {
    /// Returns when everything must be killed: the command has ended, or the caller orders it, or the
    /// caller is dead.
    fn until_end(mut self) -> io::Result<()> {
        loop {
            // The socket is drained before the check, so that no death between check and wait is missed.
            while let Ok(1..) = self.deaths.read(&mut [0; 64]) {}
            if is_dead(WaitId::Pid(self.leader))? {
                if !self.stopping || !procs::group_lives(self.leader)? {
                    return Ok(());
                }
                self.reap_adopted()?;
            } else if is_dead(WaitId::All)? {
                self.reap_adopted()?;
            }

            let mut fds =
                [PollFd::new(self.caller, PollFlags::IN), PollFd::new(&self.deaths, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if !fds[0].revents().is_empty() && !self.inbox.fill(self.caller)? {
                return Ok(());
            }
            while let Some(order) = self.inbox.take()? {
                match order {
                    Order::Stop(signal) => self.stop(signal)?,
                    Order::Kill | Order::Start(_) => return Ok(()),
                }
            }
        }
    }

    fn stop(&mut self, signal: i32) -> io::Result<()> {
        self.stopping = true;
        let signal = Signal::from_named_raw(signal).ok_or(Errno::INVAL)?;
        // A stopped process dies of a signal only after it continues.
        for signal in [signal, Signal::CONT] {
            // The group does not exist if the command has moved itself to another one.
            if kill_process_group(self.leader, signal).is_err() {
                // If it may not be signalled, the killing finds out and reports that.
                kill_process(self.leader, signal).or_else(|error| match error {
                    Errno::PERM | Errno::SRCH => Ok(()),
                    other => Err(other),
                })?;
            }
        }
        Ok(())
    }

    /// Reaps dead adopted processes, but not the command.
    fn reap_adopted(&self) -> io::Result<()> {
        for child in procs::children()? {
            if child != self.leader {
                wait_for(child, WaitOptions::NOHANG)?;
            }
        }
        Ok(())
    }
}

/// Returns whether a child is dead, without reaping it.
fn is_dead(child: WaitId<'_>) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(child, options)?.is_some())
}

/// Waits for one child. Returns `None` if it is alive and the options say not to wait.
fn wait_for(child: Pid, options: WaitOptions) -> io::Result<Option<WaitStatus>> {
    loop {
        match waitpid(Some(child), options) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(found) => return Ok(found.map(|(_, status)| status)),
        }
    }
}

/// Kills the command, its group and all its descendants, and reaps them, until only processes are left that
/// this user may not kill. Returns how the command ended, and how many processes are left.
///
/// Only children are killed by number: no other process can have the number of a child that was not reaped.
/// When they are dead, their own children are adopted, and the next round kills those.
fn end_all(leader: Pid) -> (End, u32) {
    // One call kills the whole group, so no process of it can fork away. The others follow below.
    kill_process_group(leader, Signal::KILL).ok();
    let mut how = End::Survived;
    let mut beyond = BTreeSet::new();
    let mut died = |pid: Pid, status: WaitStatus| {
        if pid == leader {
            how = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Exited(code),
                (None, Some(signal)) => End::Signaled(signal),
                (None, None) => End::Survived,
            };
        }
    };
    let survivors = loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                died(pid, status);
                continue;
            }
            Err(Errno::INTR) => continue,
            // Having no children proves the end; a list of processes would not.
            Err(Errno::CHILD) => break 0,
            Ok(None) | Err(_) => {}
        }
        // Some are alive. Without a list of them, their number is unknown.
        let Ok(children) = procs::children() else { break 1 };
        let mut dying = vec![];
        for child in &children {
            match kill_process(*child, Signal::KILL) {
                Err(Errno::PERM) => drop(beyond.insert(child.as_raw_pid())),
                Ok(()) | Err(_) => dying.push(*child),
            }
        }
        if dying.is_empty() && !children.is_empty() {
            break beyond.len() as u32;
        }
        for child in dying {
            if let Ok(Some(status)) = wait_for(child, WaitOptions::empty()) {
                died(child, status);
            }
        }
    };
    (how, survivors)
}

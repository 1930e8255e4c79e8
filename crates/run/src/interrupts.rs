//! Signals that ask this process to end.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{FORBIDDEN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::procs;

/// SIGINT, SIGTERM and SIGHUP, caught for the rest of the process's life.
///
/// It is installed once, early. A wait for a command also waits for these signals. A thread that waits for
/// signals has its own value: each signal reaches every value, and one waiter of each.
#[derive(Debug)]
pub struct Interrupts {
    /// The handler of each signal writes a byte to the other end.
    sources: Vec<(i32, UnixStream)>,
    seen: Mutex<Seen>,
}

/// Signals within this time count as one: a Ctrl-C comes from the terminal, and again from each runner
/// above (npm, yarn, make) that forwards it.
const ONCE: Duration = Duration::from_secs(1);

#[derive(Default, Debug)]
struct Seen {
    first: Option<i32>,
    count: usize,
    /// The time of the last counted signal.
    last: Option<Instant>,
}

impl Seen {
    fn take(&mut self, signal: i32, now: Instant) {
        self.first.get_or_insert(signal);
        if self.last.is_none_or(|last| now.duration_since(last) >= ONCE) {
            self.last = Some(now);
            self.count += 1;
        }
    }
}

/// Makes writes beyond the limit of file sizes (`ulimit -f`) fail with EFBIG. Otherwise SIGXFSZ kills the
/// process. Commands that are started later have the signal's default again, because it is caught here and
/// not ignored.
pub fn survive_file_limit() {
    // Registering fails only for signals that cannot be caught.
    flag::register(SIGXFSZ, Arc::default()).ok();
}

/// Restores the default signals for commands that this process starts or becomes, including signals that it
/// inherited as ignored: they are caught, and a new program starts without handlers. The signal mask of
/// this thread is emptied.
///
/// Some signals stay ignored if this process was started with them ignored: those that end a program
/// (SIGHUP, SIGINT, SIGQUIT, SIGTERM), as under `nohup`; and the signals of errors (SIGILL, SIGFPE,
/// SIGSEGV) and the two that the C library reserves (32 and 33), which cannot be caught in this way.
///
/// # Errors
/// If `/proc` does not show which signals are ignored. Then nothing changes.
pub fn default_signals_for_commands() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    let ignored = procs::ignored()?;
    let left_alone = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    for signal in (1..=64).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        if !left_alone.contains(&signal) && !FORBIDDEN.contains(&signal) {
            // Registering fails only for 32 and 33.
            flag::register(signal, Arc::default()).ok();
        }
    }
    Ok(())
}

impl Interrupts {
    /// Catches the three signals, except those that were ignored when the process was started: a program
    /// under `nohup` is not interrupted by a hangup.
    ///
    /// # Errors
    ///
    /// If `/proc` or the handlers are not available.
    pub fn install() -> io::Result<Interrupts> {
        let mut sources = vec![];
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if procs::is_ignored(signal)? {
                continue;
            }
            let (ours, handlers) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            pipe::register(signal, handlers)?;
            sources.push((signal, ours));
        }
        Ok(Interrupts { sources, seen: Mutex::default() })
    }

    /// Returns the first signal that has come.
    pub fn signal(&self) -> Option<i32> {
        self.look().0
    }

    /// Waits until more than `known` signals have come. Returns the first of all, and their number. Signals
    /// within a second count as one.
    pub fn wait_for_more(&self, known: usize) -> (i32, usize) {
        loop {
            if let (Some(signal), count) = self.look()
                && count > known
            {
                return (signal, count);
            }
            let mut fds: Vec<_> = self.poll_fds().collect();
            // The result does not matter: the next check reads the sockets.
            poll(&mut fds, None).ok();
        }
    }

    /// Returns the first signal and the number of signals.
    pub(crate) fn look(&self) -> (Option<i32>, usize) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (signal, source) in &self.sources {
            let mut source = source;
            // An error also means that there is nothing to read.
            while let Ok(1..) = source.read(&mut [0; 64]) {
                seen.take(*signal, Instant::now());
            }
        }
        (seen.first, seen.count)
    }

    /// Returns the descriptors that become readable when a signal comes.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.sources.iter().map(|(_, source)| PollFd::new(source, PollFlags::IN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_within_a_second_is_one() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let check = |seen: &Seen, count| assert_eq!((seen.first, seen.count), (Some(SIGINT), count));
        for ms in [0, 20, 999] {
            seen.take(SIGINT, start + Duration::from_millis(ms));
            check(&seen, 1);
        }
        seen.take(SIGTERM, start + ONCE);
        check(&seen, 2);
    }
}

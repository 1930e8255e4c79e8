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

/// SIGINT, SIGTERM and SIGHUP, caught for the rest of this process's life.
///
/// Installed once, early; whoever waits for a command waits for these, too. A thread that waits for
/// them by itself has a value of its own: each signal comes to every value, and to one waiter of each.
#[derive(Debug)]
pub struct Interrupts {
    /// The handler of each signal writes a byte into the other end.
    sources: Vec<(i32, UnixStream)>,
    seen: Mutex<Seen>,
}

/// However many signals come within this time, a person asked once: a Ctrl-C comes from the terminal, and
/// again from each runner above (npm, yarn, make) that passes it on.
const ONCE: Duration = Duration::from_secs(1);

#[derive(Default, Debug)]
struct Seen {
    first: Option<i32>,
    count: usize,
    /// When the last one came that was counted.
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

/// From now on a write past the limit of file sizes (`ulimit -f`) fails with EFBIG; without this,
/// SIGXFSZ kills the process. Commands that are started later have the signal's default again, since
/// it is caught here and not ignored.
pub fn survive_file_limit() {
    // It fails for signals that cannot be caught, and this one can.
    flag::register(SIGXFSZ, Arc::default()).ok();
}

/// From now on, what this process starts or becomes has signals at their defaults, also those that it
/// was itself started with ignored: they are caught, and a new program starts without handlers. None is
/// blocked in this thread any more.
///
/// What asks a program to end (SIGHUP, SIGINT, SIGQUIT, SIGTERM) stays ignored, as under `nohup`. So do
/// the signals of errors (SIGILL, SIGFPE, SIGSEGV) and the two that the C library keeps for itself (32
/// and 33), which cannot be caught in this way: where this process was started with them ignored.
///
/// # Errors
/// Where `/proc` does not tell what is ignored. Then all stays as it was.
pub fn default_signals_for_commands() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    let ignored = procs::ignored()?;
    let left_alone = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    for signal in (1..=64).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        if !left_alone.contains(&signal) && !FORBIDDEN.contains(&signal) {
            // It fails for 32 and 33 alone.
            flag::register(signal, Arc::default()).ok();
        }
    }
    Ok(())
}

impl Interrupts {
    /// Catches the three signals, but leaves alone what was ignored when the process was started:
    /// a program under `nohup` is not interrupted by a hang-up.
    ///
    /// # Errors
    ///
    /// Where `/proc` or the handlers cannot be had.
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

    /// Gives the first of the signals that has come.
    pub fn signal(&self) -> Option<i32> {
        self.look().0
    }

    /// Waits until more than `known` signals have come; returns the first of all, and how many. Those that
    /// come within a second are one.
    pub fn wait_for_more(&self, known: usize) -> (i32, usize) {
        loop {
            if let (Some(signal), count) = self.look()
                && count > known
            {
                return (signal, count);
            }
            let mut fds: Vec<_> = self.poll_fds().collect();
            // However it ends, the next look tells.
            poll(&mut fds, None).ok();
        }
    }

    /// Gives the first signal and how many have come.
    pub(crate) fn look(&self) -> (Option<i32>, usize) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (signal, source) in &self.sources {
            let mut source = source;
            // An error is "no more" and nothing else.
            while let Ok(1..) = source.read(&mut [0; 64]) {
                seen.take(*signal, Instant::now());
            }
        }
        (seen.first, seen.count)
    }

    /// What becomes readable when a signal comes.
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

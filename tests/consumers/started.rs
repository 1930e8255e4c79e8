//! A program that goes on until the test is over, and what it says.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Waiting longer than this for something to happen means that it does not. A busy machine of two
/// processors takes its time to bundle.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a program is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// A program with all that it starts: ends with this value.
pub(super) struct Started {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Started {
    /// Starts it in a process group of its own.
    pub(super) fn start(mut command: Command) -> Started {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("start a shell");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Started { child, lines, log: String::new() }
    }

    /// Waits until it says a line that is one.
    pub(super) fn says(&mut self, what: &str, mut is_it: impl FnMut(&str) -> bool) {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.line(left) {
                Some(line) if is_it(&line) => return,
                Some(_) => {}
                None => panic!("never said: {what}\n{}", self.log),
            }
        }
    }

    /// Tries something until it succeeds, now and then: a program that is asked says so, which is no
    /// reason to ask it again at once.
    pub(super) fn until<T>(&mut self, what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            match attempt() {
                Ok(value) => return value,
                Err(why) if start.elapsed() > PATIENCE => {
                    panic!("never happened: {what}: {why}\n{}", self.log)
                }
                Err(_) => self.listen(PAUSE),
            }
        }
    }

    /// Listens that long.
    fn listen(&mut self, time: Duration) {
        let start = Instant::now();
        while self.line(time.saturating_sub(start.elapsed())).is_some() {}
    }

    /// Waits that long for a line.
    fn line(&mut self, wait: Duration) -> Option<String> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => {
                self.log.push_str(&line);
                self.log.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("it ended:\n{}", self.log),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Whoever has ended already needs no signal.
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        drop(self.child.wait());
        // The last of them closes the pipe, and then the folder may go.
        while self.lines.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}

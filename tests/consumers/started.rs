//! A program that runs until the end of the test, and its output.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::prelude::*;

/// The time after which an event counts as missing. A busy machine with two processors takes long to
/// bundle.
const PATIENCE: Duration = Duration::from_secs(90);

/// The pause between two requests to a program.
const PAUSE: Duration = Duration::from_millis(100);

/// A program with all of its children, which are killed on drop.
pub(super) struct Started {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Started {
    /// Starts the program in a process group of its own.
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

    /// Waits for a matching line of its output.
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

    /// Retries a request until it succeeds, with pauses. A program that prints a line for each request is
    /// not asked again because of that line.
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

    /// Reads its output for this time.
    fn listen(&mut self, time: Duration) {
        let start = Instant::now();
        while self.line(time.saturating_sub(start.elapsed())).is_some() {}
    }

    /// Waits this long for a line.
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
        // The program may have ended already.
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        drop(self.child.wait());
        // When the last process ends, the pipe is closed; then the folder can be removed.
        while self.lines.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}

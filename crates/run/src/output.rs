//! Passes the command's output to the caller and to a log.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::panic;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};

/// The line that ends a log which has reached its limit.
pub const LOG_CUT: &str = "[log cut: the rest is not kept]\n";

/// The pause in the output after which a sink is called once with no bytes.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The stream of output bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    /// Its stdout.
    Stdout,
    /// Its stderr.
    Stderr,
}

type Sink = Box<dyn FnMut(Stream, &[u8]) -> io::Result<()> + Send>;

/// The destination of the command's output.
///
/// One thread passes both streams on, as bytes in order of arrival. A failure there does not disturb the
/// command: it is recorded ([`OutputReport`]), and the rest continues without it. A sink that blocks makes
/// the command wait, like a pipe. It is called with no bytes after a pause of [`PAUSE`], so that a sink
/// that buffers the beginning of a line can pass it on.
pub struct Output {
    sink: Sink,
    log: Option<Log>,
}

/// A file that takes both streams, up to a limit.
#[derive(Debug)]
pub struct Log {
    /// The file.
    pub file: File,
    /// The number of output bytes that are kept. If there is more, the line [`LOG_CUT`] follows.
    pub limit_bytes: u64,
}

/// The report about the output.
#[derive(Default, Debug)]
pub struct OutputReport {
    /// Whether the log has reached its limit.
    pub log_cut: bool,
    /// The first failed write to the log; nothing was logged after it.
    pub log_error: Option<io::Error>,
    /// The failure of the sink; it was not called again.
    pub sink_error: Option<io::Error>,
    /// The failure of reading the output.
    pub read_error: Option<io::Error>,
}

impl Output {
    /// Creates an output that goes to `sink`.
    pub fn to(sink: impl FnMut(Stream, &[u8]) -> io::Result<()> + Send + 'static) -> Output {
        Output { sink: Box::new(sink), log: None }
    }

    /// Also writes it to a log.
    #[must_use]
    pub fn with_log(mut self, log: Log) -> Output {
        self.log = Some(log);
        self
    }
}

/// The thread that passes output on.
#[derive(Debug)]
pub(crate) struct Pump {
    thread: JoinHandle<OutputReport>,
    /// Closed when all possible writers are dead.
    end: PipeWriter,
}

impl Pump {
    /// Starts the thread. Returns the writing ends for the command's stdout and stderr.
    pub(crate) fn start(output: Output) -> io::Result<(Pump, PipeWriter, PipeWriter)> {
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let (ended, end) = io::pipe()?;
        let passing =
            Passing { output, logged_bytes: 0, line_open: false, report: OutputReport::default() };
        let sources = vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)];
        let thread =
            thread::Builder::new().name("output".into()).spawn(move || passing.run(sources, &ended))?;
        Ok((Pump { thread, end }, stdout_writer, stderr_writer))
    }

    /// Passes on the rest in the pipes, and ends. All possible writers must be dead.
    pub(crate) fn finish(self) -> OutputReport {
        drop(self.end);
        self.thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

struct Passing {
    output: Output,
    logged_bytes: u64,
    /// Whether the last logged byte did not end a line.
    line_open: bool,
    report: OutputReport,
}

impl Passing {
    fn run(mut self, mut sources: Vec<(Stream, PipeReader)>, ended: &PipeReader) -> OutputReport {
        let mut buffer = vec![0; 64 << 10];
        let result = self.pass_until(&mut sources, ended, &mut buffer).and_then(|()| {
            // It does not read to the end of the pipes: a foreign process may hold a writing end.
            sources.iter().try_for_each(|(stream, pipe)| self.drain(*stream, pipe, &mut buffer))
        });
        self.report.read_error = result.err();
        self.report
    }

    /// Passes output on until both streams or the run have ended.
    fn pass_until(
        &mut self,
        sources: &mut Vec<(Stream, PipeReader)>,
        ended: &PipeReader,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let pause = Timespec::try_from(PAUSE).ok();
        // The streams with output since the last pause.
        let mut stirred: Vec<Stream> = vec![];
        while !sources.is_empty() {
            let mut fds: Vec<_> = sources
                .iter()
                .map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN))
                .chain([PollFd::new(ended, PollFlags::IN)])
                .collect();
            match poll(&mut fds, pause.as_ref().filter(|_| !stirred.is_empty())) {
                Err(Errno::INTR) => continue,
                Ok(0) => {
                    stirred.drain(..).for_each(|stream| self.pass(stream, &[]));
                    continue;
                }
                other => other?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[sources.len()] {
                break;
            }
            for at in (0..sources.len()).rev().filter(|&at| ready[at]) {
                let (stream, pipe) = &mut sources[at];
                match pipe.read(buffer) {
                    Ok(0) => drop(sources.remove(at)),
                    Ok(count) => {
                        self.pass(*stream, &buffer[..count]);
                        stirred.retain(|other| other != stream);
                        stirred.push(*stream);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Passes on the bytes that are in the pipe now.
    fn drain(&mut self, stream: Stream, pipe: &PipeReader, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = pipe.take(ioctl_fionread(pipe)?);
        loop {
            match rest.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.pass(stream, &buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn pass(&mut self, stream: Stream, bytes: &[u8]) {
        if self.report.sink_error.is_none() {
            self.report.sink_error = (self.output.sink)(stream, bytes).err();
        }
        if self.report.log_error.is_none() {
            self.report.log_error = self.log(bytes).err();
        }
    }

    fn log(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(log) = &mut self.output.log else { return Ok(()) };
        if self.report.log_cut {
            return Ok(());
        }
        let room = usize::try_from(log.limit_bytes - self.logged_bytes).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        log.file.write_all(kept)?;
        self.logged_bytes += kept.len() as u64;
        if let Some(last) = kept.last() {
            self.line_open = *last != b'\n';
        }
        if kept.len() < bytes.len() {
            self.report.log_cut = true;
            if self.line_open {
                log.file.write_all(b"\n")?;
            }
            log.file.write_all(LOG_CUT.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Output that was written before the end arrives, even if the reader was busy until after it, and if
    /// another process still holds the writing ends.
    #[test]
    fn what_is_in_the_pipes_at_the_end_is_passed_on() {
        let (sender, chunks) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let sink = move |stream, bytes: &[u8]| {
            sender.send((stream, bytes.to_vec())).map_err(io::Error::other)?;
            // After the first release, this does not wait again.
            gate.recv().or(Ok(()))
        };
        let (pump, mut stdout, mut stderr) = Pump::start(Output::to(sink)).unwrap();
        stdout.write_all(b"one").unwrap();
        assert_eq!(chunks.recv().unwrap(), (Stream::Stdout, b"one".to_vec()));
        stdout.write_all(b"two").unwrap();
        stderr.write_all(b"three").unwrap();
        drop(pump.end);
        drop(go);
        pump.thread.join().unwrap();
        let rest: Vec<_> = chunks.iter().collect();
        assert_eq!(rest, [(Stream::Stdout, b"two".to_vec()), (Stream::Stderr, b"three".to_vec())]);
    }
}

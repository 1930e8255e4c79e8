//! `ssh://`: a directory of another host. The program `ssh` runs `genstore serve --stdio` there.
//!
//! The keys, agents, jump hosts and known hosts of `ssh` apply. One connection serves all requests, and
//! requests of several threads are under way at once.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::pipe::{self, Answer, Op, Request};
use super::{Created, Failure, Got, Listed, Parts, Reason, Transport, get_at_once};

/// The bytes of ssh's messages that are kept.
const MAX_NOTES: u64 = 16 << 10;
/// The time in which a program whose output has ended must end.
const END: Duration = Duration::from_secs(3);

/// A remote behind ssh.
pub struct SshTransport {
    /// `HOST` or `USER@HOST`.
    host: String,
    port: Option<u16>,
    dir: String,
    program: String,
    line: Mutex<Option<Line>>,
}

/// A running ssh.
struct Line {
    child: Child,
    input: BufWriter<ChildStdin>,
    shared: Arc<Shared>,
    reader: thread::JoinHandle<()>,
    notes: thread::JoinHandle<Vec<u8>>,
}

/// The state that the reader of answers shares with the senders of requests.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Sender<Answer>>,
    /// The other side has said hello.
    is_open: bool,
    /// No answer comes any more.
    is_closed: bool,
    failure: Option<Failure>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl SshTransport {
    /// Uses `[USER@]HOST[:PORT]/PATH[?program=PATH]`, without its scheme. A path that begins with `/~/` lies
    /// in the home directory.
    ///
    /// # Errors
    /// A sentence if a part is missing or malformed.
    pub fn new(address: &str) -> Result<SshTransport, String> {
        let (place, query) = address.split_once('?').unwrap_or((address, ""));
        let (host, path) = place.split_once('/').ok_or("an address of ssh needs a path after the host")?;
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| format!("{port} is no port"))?))
            }
            _ => (host, None),
        };
        let host = host.trim_matches(['[', ']']);
        // A host that begins with a dash would be an option of ssh.
        if host.is_empty() || host.starts_with('-') || host.contains(|c: char| c.is_whitespace()) {
            return Err("an address of ssh needs a host".to_owned());
        }
        let dir = match path.strip_prefix("~/") {
            Some(below) => below.to_owned(),
            None => format!("/{path}"),
        };
        let dir = dir.trim_end_matches('/').to_owned();
        if dir.is_empty() || dir.starts_with('-') || dir.contains(char::is_control) {
            return Err("an address of ssh needs a path after the host".to_owned());
        }
        let program = match query.split_once('=') {
            None if query.is_empty() => "genstore".to_owned(),
            Some(("program", program)) if !program.is_empty() => program.to_owned(),
            _ => return Err("an address of ssh has only program=PATH after `?`".to_owned()),
        };
        Ok(SshTransport { host: host.to_owned(), port, dir, program, line: Mutex::default() })
    }

    /// Starts ssh. Nothing is awaited.
    fn start(&self) -> Result<Line, Failure> {
        let mut command = Command::new("ssh");
        // A host that is gone is noticed within a minute.
        command.args(["-T", "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=3"]);
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        let words = format!("{} serve --stdio {}", quoted(&self.program), quoted(&self.dir));
        command.args(["--", &self.host, &words]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| match e.kind() {
            ErrorKind::NotFound => Failure::final_one("the program ssh is not installed here"),
            _ => Failure::final_one(format!("ssh cannot be started: {e}")),
        })?;
        let (Some(input), Some(output), Some(notes)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::final_one("ssh was started without pipes"));
        };
        let shared = Arc::new(Shared::default());
        let host = self.host.clone();
        let for_reader = Arc::clone(&shared);
        let no_thread = |e| Failure::final_one(format!("no thread can be started: {e}"));
        let reader = thread::Builder::new().spawn(move || for_reader.read_all(&host, output));
        let notes = thread::Builder::new().spawn(move || read_notes(notes));
        let (reader, notes) = (reader.map_err(no_thread)?, notes.map_err(no_thread)?);
        Ok(Line { child, input: BufWriter::new(input), shared, reader, notes })
    }

    fn send(&self, request: &Request<'_>) -> Result<Receiver<Answer>, Failure> {
        self.send_with(request, &mut || Ok(None))
    }

    /// Sends a request, with the parts of a long file. The first one goes out together with the hello.
    fn send_with(&self, request: &Request<'_>, parts: &mut Parts<'_>) -> Result<Receiver<Answer>, Failure> {
        let mut line = locked(&self.line);
        let is_new = line.is_none();
        if is_new {
            *line = Some(self.start()?);
        }
        let Some(open) = line.as_mut() else { return Err(Failure::ambiguous("ssh has ended")) };
        let (sender, receiver) = channel();
        let is_closed = {
            let mut state = locked(&open.shared.state);
            state.waiting.push_back(sender);
            state.is_closed
        };
        let hello = if is_new { pipe::write_hello(&mut open.input, &self.dir) } else { Ok(()) };
        let mut failed = None;
        let send = || -> std::io::Result<()> {
            hello?;
            request.write(&mut open.input)?;
            if request.op == Op::CreateLong {
                loop {
                    match parts() {
                        Ok(Some(part)) if part.is_empty() => {}
                        Ok(Some(part)) => pipe::write_part(&mut open.input, &part)?,
                        Ok(None) => break pipe::write_part(&mut open.input, b"")?,
                        // The other side gives up a file without an end.
                        Err(e) => {
                            failed = Some(Failure::of_part(e));
                            return Err(ErrorKind::Other.into());
                        }
                    }
                }
            }
            open.input.flush()
        };
        let sent = send();
        if let Some(failure) = failed {
            drop(line.take().map(|line| self.end(line)));
            return Err(failure);
        }
        match sent.is_ok() && !is_closed {
            true => Ok(receiver),
            false => Err(line.take().map_or(Failure::ambiguous("ssh has ended"), |line| self.end(line))),
        }
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        self.answer_to(self.send(request)?)
    }

    fn answer_to(&self, receiver: Receiver<Answer>) -> Result<Answer, Failure> {
        match receiver.recv() {
            Ok(Answer::Failed(failure)) => Err(failure),
            Ok(answer) => Ok(answer),
            Err(_) => {
                let mut line = locked(&self.line);
                // Another thread may have begun a new connection since.
                let is_broken = line.as_ref().is_some_and(|line| locked(&line.shared.state).is_closed);
                Err(match line.take_if(|_| is_broken) {
                    Some(line) => self.end(line),
                    None => Failure::ambiguous(format!("the connection to {} was lost", self.host)),
                })
            }
        }
    }

    /// Ends ssh, and finds out why no answer came.
    fn end(&self, line: Line) -> Failure {
        let host = &self.host;
        let Line { mut child, input, shared, reader, notes } = line;
        // The rest of a request is not sent.
        drop(input.into_parts());
        let status = ended(&mut child);
        // Both end with the pipes.
        drop(reader.join());
        let notes = notes.join().unwrap_or_default();
        let notes = String::from_utf8_lossy(&notes);
        let said = |line: &str| line.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let last = notes.lines().map(str::trim).rfind(|line| !line.is_empty()).map(said);
        let because = last.map_or(String::new(), |last| format!(": {last}"));
        let state = locked(&shared.state);
        if let Some(failure) = &state.failure {
            return failure.clone();
        }
        if state.is_open {
            return Failure::ambiguous(format!("the connection to {host} was lost{because}"));
        }
        let is_login = ["Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION"];
        let has = |words: &[&str]| words.iter().any(|word| notes.contains(word));
        match status {
            Some(255) if has(&is_login) => {
                Failure::final_one(format!("ssh to {host} is refused{because}")).because(Reason::Login)
            }
            Some(255) if has(&["Could not resolve", "Bad configuration", "Bad owner"]) => {
                Failure::final_one(format!("ssh to {host} failed{because}"))
            }
            Some(255) => Failure::ambiguous(format!("ssh to {host} failed{because}")),
            Some(126 | 127) => Failure::final_one(format!("{host} has no program {}", self.program))
                .because(Reason::NoProgram),
            Some(2) if has(&["serve", "--stdio"]) => {
                let why = format!("the genstore of {host} does not know `serve --stdio`{because}");
                Failure::final_one(why).because(Reason::OldProgram)
            }
            Some(code) => Failure::final_one(format!("genstore ended with {code} on {host}{because}")),
            None => Failure::ambiguous(format!("ssh to {host} was killed{because}")),
        }
    }
}

/// Waits for the end of a program whose input has ended, and ends it if it does not.
fn ended(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while let Ok(None) = child.try_wait() {
        if begun.elapsed() > END {
            // It has ended meanwhile if this fails.
            drop(child.kill());
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait().ok().and_then(|status| status.code())
}

/// Reads ssh's messages to their end, so that it never waits for a reader. The last ones are kept.
fn read_notes(mut from: ChildStderr) -> Vec<u8> {
    let mut kept = vec![];
    while let Ok(1..) = (&mut from).take(MAX_NOTES).read_to_end(&mut kept) {
        kept.drain(..kept.len().saturating_sub(MAX_NOTES as usize));
    }
    kept
}

impl Shared {
    /// Passes answers on, in the order of requests, until there are no more.
    fn read_all(&self, host: &str, output: ChildStdout) {
        let mut output = BufReader::new(output);
        let hello = read_hello(host, &mut output);
        let is_open = hello.is_ok();
        {
            let mut state = locked(&self.state);
            state.is_open = is_open;
            state.failure = hello.err().flatten();
        }
        if is_open {
            while let Ok(answer) = Answer::read(&mut output) {
                let Some(waiting) = locked(&self.state).waiting.pop_front() else { break };
                // A thread that does not wait any more needs no answer.
                drop(waiting.send(answer));
            }
        }
        let mut state = locked(&self.state);
        state.is_closed = true;
        state.waiting.clear();
    }
}

/// Reads the hello of the other side. The error is `None` if there is none.
fn read_hello(host: &str, from: &mut impl Read) -> Result<(), Option<Failure>> {
    let mut magic = [0; pipe::MAGIC.len()];
    let mut filled = 0;
    while filled < magic.len() {
        match from.read(&mut magic[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    if filled == 0 {
        return Err(None);
    }
    if magic != *pipe::MAGIC {
        let begin: String = String::from_utf8_lossy(&magic).chars().filter(|c| !c.is_control()).collect();
        let why = format!("{host} prints {begin:?} before genstore answers: its shell must print nothing");
        return Err(Some(Failure::final_one(why)));
    }
    let (version, refusal) = pipe::read_hello(from).map_err(|_| None)?;
    let versions = |word| {
        format!("the genstore of {host} is {word} (version {version} of requests, not {})", pipe::VERSION)
    };
    if version < pipe::VERSION {
        return Err(Some(Failure::final_one(versions("older")).because(Reason::OldProgram)));
    }
    if version > pipe::VERSION {
        return Err(Some(Failure::final_one(versions("newer")).because(Reason::NewProgram)));
    }
    match refusal.is_empty() {
        true => Ok(()),
        false => {
            let refusal: String = refusal.chars().filter(|c| !c.is_control()).take(300).collect();
            Err(Some(Failure::final_one(format!("{host}: {refusal}")).because(Reason::Login)))
        }
    }
}

impl Drop for SshTransport {
    fn drop(&mut self) {
        if let Some(line) = locked(&self.line).take() {
            drop(self.end(line));
        }
    }
}

/// Quotes a word for the shell of the other side.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn unexpected<T>(answer: &Answer) -> Result<T, Failure> {
    Err(Failure::final_one(
        format!("the answer is of another kind: {answer:?}").chars().take(80).collect::<String>(),
    ))
}

fn bytes(answer: Answer) -> Result<Option<Vec<u8>>, Failure> {
    match answer {
        Answer::Absent => Ok(None),
        Answer::Bytes(bytes) => Ok(Some(bytes)),
        other => unexpected(&other),
    }
}

fn done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Done => Ok(()),
        other => unexpected(&other),
    }
}

fn plain(op: Op, key: &str) -> Request<'_> {
    Request { op, key, start: 0, len: 0, body: &[] }
}

impl Transport for SshTransport {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        bytes(self.ask(&Request { len: limit, ..plain(Op::Get, key) })?)
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        bytes(self.ask(&Request { start, len, ..plain(Op::GetRange, key) })?)
    }

    fn get_two(&self, keys: [&str; 2], limit: u64) -> [Got; 2] {
        get_at_once(self, keys, limit)
    }

    fn put_unheard(&self, key: &str, bytes: &[u8]) {
        drop(self.send(&Request { body: bytes, ..plain(Op::Put, key) }));
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        match self.ask(&Request { body: bytes, ..plain(Op::Create, key) })? {
            Answer::Created(created) => Ok(created),
            other => unexpected(&other),
        }
    }

    fn create_long(&self, key: &str, parts: &mut Parts<'_>) -> Result<u64, Failure> {
        done(self.answer_to(self.send_with(&plain(Op::CreateLong, key), parts)?)?).map(|()| 1)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        done(self.ask(&Request { body: bytes, ..plain(Op::Put, key) })?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        match self.ask(&plain(Op::List, prefix))? {
            Answer::Listing(files) => Ok(files),
            other => unexpected(&other),
        }
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        done(self.ask(&plain(Op::Delete, key))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_path_and_no_options() {
        let parts = |address: &str| {
            SshTransport::new(address)
                .map(|it| (it.host.clone(), it.port, it.dir.clone(), it.program.clone()))
        };
        let owned = |host: &str, port, dir: &str, program: &str| {
            Ok((host.to_owned(), port, dir.to_owned(), program.to_owned()))
        };
        assert_eq!(parts("h/srv/r/"), owned("h", None, "/srv/r", "genstore"));
        assert_eq!(parts("u@h:22/~/r"), owned("u@h", Some(22), "r", "genstore"));
        assert_eq!(parts("[::1]:7/r?program=/opt/g"), owned("::1", Some(7), "/r", "/opt/g"));
        for bad in ["", "h", "h/", "/r", "-oProxyCommand=x/r", "h:x/r", "h/r?x=1", "h/~/-x", "h/a\nb"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}

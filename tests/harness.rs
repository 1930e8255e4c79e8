//! A small harness: a folder of its own for each test, a program that sees nothing but it, and
//! output in which what differs from run to run is replaced.
//!
//! Replaced are the folder (`[DIR]`), digests and their first eight characters (`[ID]`), process
//! numbers (`[PID]`) and durations (`in [TIME]`).

#![allow(dead_code, reason = "not every test binary needs all of it")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use genstore_testkit::{self as testkit, Way};
use serde_json::Value;
use tempfile::TempDir;

/// The program that tests run: the shipped one, but that `GENSTORE_NOW` fixes its clock and
/// `GENSTORE_FAULT` makes its calls fail, and that nothing above `GENSTORE_GROUND` matters. `crates/cli/testing.rs` tells how; `seams.rs` compares the two.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_genstore-testing");

/// The program as it is shipped.
pub const SHIPPED: &str = env!("CARGO_BIN_EXE_genstore");

/// What the program's clock shows, unless a test says otherwise.
pub const NOW: &str = "2026-01-02T03:04:05Z";

/// The mtime of the first files that a site makes: a day before [`NOW`]. Later ones are newer, as
/// they are in life.
const MTIME: u64 = 1_767_236_645;

/// The trees of [`Site::published`].
const FIRST: &[(&str, &str)] =
    &[("a.txt", "=one\n"), ("img/logo.svg", "=<svg/>"), ("old.txt", "=old\n"), ("run", "!#!")];
const SECOND: &[(&str, &str)] =
    &[("a.txt", "=one\ntwo\n"), ("logo.svg", "=<svg/>"), ("new.txt", "=new\n"), ("run", "!#!")];

/// Waiting longer than this for something to happen means that it does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of one test.
pub struct Site {
    dir: PathBuf,
    mtime: AtomicU64,
    _temp: TempDir,
}

impl Site {
    /// Makes an empty one.
    pub fn new() -> Site {
        Site::in_folder(testkit::scratch())
    }

    /// Makes one in this empty folder.
    pub fn in_folder(temp: TempDir) -> Site {
        let dir = temp.path().canonicalize().unwrap();
        Site { dir, mtime: AtomicU64::new(MTIME), _temp: temp }
    }

    /// Makes one with a store in which `dist` was published twice: `a.txt` was changed, `new.txt`
    /// came, `old.txt` went, `logo.svg` moved.
    pub fn published() -> Site {
        let site = Site::new();
        site.tree("dist", FIRST);
        site.run("publish dist -m first --fact commit=abc").ok();
        site.tree("dist", SECOND);
        site.run("publish dist").ok();
        site
    }

    /// Makes the same in a way of publishing. `dist` is whole, also where it was consumed.
    pub fn published_in(way: Way) -> Site {
        let site = Site::new();
        site.tree("dist", FIRST);
        site.publish_in(way, "-m first --fact commit=abc").ok();
        site.tree("dist", SECOND);
        site.publish_in(way, "").ok();
        if way.consume {
            site.tree("dist", SECOND);
        }
        site
    }

    /// Publishes `dist` in a way; the project's file becomes that way's.
    pub fn publish_in(&self, way: Way, args: &str) -> Output {
        fs::write(self.path("genstore.toml"), way.project()).unwrap();
        if way.index {
            // What was written just now, the index does not believe.
            testkit::settle(&self.dir);
        }
        self.command("publish dist").args(way.flags()).args(&words(args)).run()
    }

    /// Gives a path in the folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// Writes a tree, as [`testkit::things`] reads it, in place of what was there.
    pub fn tree(&self, below: &str, list: &[(&str, &str)]) {
        testkit::write_tree(&self.path(below), &testkit::things(self.later(), list));
    }

    /// Writes a file.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(testkit::at(self.later()))
            .unwrap();
    }

    fn later(&self) -> u64 {
        self.mtime.fetch_add(10, Ordering::Relaxed) + 10
    }

    /// Reads a file as text.
    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// Lists the names in a folder.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Returns whether anything has this name.
    pub fn has(&self, below: &str) -> bool {
        self.path(below).symlink_metadata().is_ok()
    }

    /// Runs the program with arguments that hold no spaces.
    pub fn run(&self, args: &str) -> Output {
        self.command(args).run()
    }

    /// Runs the program with these arguments.
    pub fn run_with<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command("").args(args).run()
    }

    /// Prepares a run, with arguments that hold no spaces.
    pub fn command(&self, args: &str) -> Run<'_> {
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(&self.dir).stdin(Stdio::null());
        let vars = [("PATH", "/usr/bin:/bin"), ("TZ", "UTC"), ("USER", "tester"), ("GENSTORE_NOW", NOW)];
        command.envs(vars).env("GENSTORE_GROUND", &self.dir).args(words(args));
        Run { site: self, command }
    }

    /// Prepares a run of the shipped program, whose clock and faults nobody sets.
    pub fn shipped(&self, args: &str) -> Run<'_> {
        let mut command = Command::new(SHIPPED);
        command.env_clear().current_dir(&self.dir).stdin(Stdio::null());
        command.envs([("PATH", "/usr/bin:/bin"), ("TZ", "UTC"), ("USER", "tester")]).args(words(args));
        Run { site: self, command }
    }

    /// Replaces what differs from run to run.
    pub fn replace(&self, text: &str) -> String {
        let text = text.replace(&*self.dir.to_string_lossy(), "[DIR]");
        let text = replace_words(&text, |word| {
            let is_id = [8, 64].contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit());
            is_id.then(|| "[ID]".to_owned())
        });
        let text = replace_between(&text, "process ", "[PID]", |c| c.is_ascii_digit());
        replace_between(&text, " in ", "[TIME]", |c| c.is_ascii_digit() || c == '.')
            .replace("[TIME] s", "[TIME]")
    }
}

fn words(args: &str) -> Vec<&str> {
    args.split_whitespace().collect()
}

fn replace_words(text: &str, with: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        out.push_str(&with(&rest[..word]).unwrap_or_else(|| rest[..word].to_owned()));
        rest = &rest[word..];
        let gap = rest.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        out.push_str(&rest[..gap]);
        rest = &rest[gap..];
    }
    out
}

/// Replaces what follows `lead`, as far as it is made of such characters.
fn replace_between(text: &str, lead: &str, by: &str, of: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(lead);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(lead);
        let end = part.find(|c| !of(c)).unwrap_or(part.len());
        // A number with a point in it, or any number where no point is asked for.
        let is_it = end > 0 && (by != "[TIME]" || part[..end].contains('.'));
        out.push_str(if is_it { by } else { &part[..end] });
        out.push_str(&part[end..]);
    }
    out
}

/// A run that is being prepared.
pub struct Run<'a> {
    site: &'a Site,
    command: Command,
}

impl Run<'_> {
    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: &[S]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable; an empty value removes it.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        match value.as_ref().is_empty() {
            true => self.command.env_remove(name),
            false => self.command.env(name, value),
        };
        self
    }

    /// Sets the working directory, below the site.
    pub fn dir(mut self, below: &str) -> Self {
        self.command.current_dir(self.site.path(below));
        self
    }

    /// Runs it by another program, whose last arguments are this run's program and arguments.
    pub fn under<S: AsRef<OsStr>>(mut self, wrapper: &[S]) -> Self {
        let Some((program, args)) = wrapper.split_first() else { return self };
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().stdin(Stdio::null());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = self.command.get_current_dir() {
            command.current_dir(dir);
        }
        self.command = command;
        self
    }

    /// Runs it to its end, and gives what it printed, or `None` where it did not succeed.
    pub fn try_run(mut self) -> Option<Output> {
        let output = self.command.output().ok().filter(|output| output.status.success())?;
        Some(Output::new(self.site, output.status, output.stdout, &output.stderr))
    }

    /// Sends stdout to a file.
    pub fn stdout_to(self, path: &str) -> Self {
        self.stdout_is(fs::File::options().write(true).open(path).unwrap())
    }

    /// Sends stdout there.
    pub fn stdout_is(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Output {
        let output = self.command.output().expect("run genstore");
        Output::new(self.site, output.status, output.stdout, &output.stderr)
    }

    /// Runs it to its end, with these bytes as its stdin.
    pub fn run_on(mut self, bytes: &[u8]) -> Output {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        self.command.stdin(file);
        self.run()
    }

    /// Starts it, with pipes to all of its ends.
    pub fn spawn(self) -> Running {
        Running::of(self.command)
    }
}

/// A run under way; ends with this value.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Has ended already, or ends now.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    /// Starts a command.
    pub fn of(mut command: Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start genstore");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Running { child, stdin, stdout }
    }

    /// Gives its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its stdout.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Gives its lines of stdout as they come, from another thread.
    pub fn lines(&mut self) -> Receiver<String> {
        let (sender, lines) = channel();
        let stdout = self.stdout.take().unwrap();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        lines
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Sends it SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it watches a file.
    pub fn wait_for_watch(&self) {
        let fds = PathBuf::from(format!("/proc/{}/fdinfo", self.pid()));
        eventually("it watches a file", || {
            let infos = fs::read_dir(&fds).into_iter().flatten().flatten();
            infos
                .filter_map(|info| fs::read_to_string(info.path()).ok())
                .any(|text| text.contains("inotify wd:"))
        });
    }

    /// Reads the first bytes of its stdout.
    pub fn pipe_start(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Closes its stdout, waits for its end, and gives what it said.
    pub fn end_without_reading(mut self, site: &Site) -> Output {
        drop(self.stdout.take());
        self.end(site)
    }

    /// Waits for its end, and gives what it printed since the last line that was read.
    pub fn end(mut self, site: &Site) -> Output {
        self.close_stdin();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let Some(mut rest) = self.stdout.take() {
            rest.read_to_end(&mut stdout).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        Output::new(site, status, stdout, &stderr)
    }
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::yield_now();
    }
}

/// What a run printed, and how it ended.
pub struct Output {
    /// As a shell tells it: 128 and more for a signal.
    pub status: i32,
    /// With the parts replaced that differ.
    pub stdout: String,
    /// With the parts replaced that differ.
    pub stderr: String,
    /// As it came.
    pub bytes: Vec<u8>,
}

impl Output {
    fn new(site: &Site, status: ExitStatus, bytes: Vec<u8>, stderr: &[u8]) -> Output {
        Output {
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout: site.replace(&String::from_utf8_lossy(&bytes)),
            stderr: site.replace(&String::from_utf8_lossy(stderr)),
            bytes,
        }
    }

    /// Compares all of it.
    #[track_caller]
    pub fn is(self, status: i32, stdout: &str, stderr: &str) -> Output {
        let found =
            format!("status {}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr);
        let expected = format!("status {status}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        assert!(found == expected, "found:\n{found}\n\nexpected:\n{expected}");
        self
    }

    /// Compares status and stdout of a run that has nothing to say besides.
    #[track_caller]
    pub fn prints(self, stdout: &str) -> Output {
        self.is(0, stdout, "")
    }

    /// Makes sure that it succeeded.
    #[track_caller]
    pub fn ok(self) -> Output {
        assert!(self.status == 0, "status {}\n{}{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Makes sure that it failed with this status, printed no data, and began its message so.
    #[track_caller]
    pub fn fails(self, status: i32, message: &str) -> Output {
        let found = format!("status {}\n{}{}", self.status, self.stdout, self.stderr);
        let is_it = self.status == status && self.stdout.is_empty() && self.stderr.starts_with(message);
        assert!(is_it, "found:\n{found}\n\nexpected:\nstatus {status}\n{message}");
        self
    }

    /// Reads stdout as one JSON document, as it came; its first field must be this schema.
    #[track_caller]
    pub fn json(&self, schema: &str) -> Value {
        document(&self.bytes, schema)
    }

    /// Reads the document of a run that succeeded and said nothing else.
    #[track_caller]
    pub fn is_json(&self, schema: &str) -> Value {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self.json(schema)
    }

    /// Reads stderr as one JSON document: an error.
    #[track_caller]
    pub fn json_error(&self) -> Value {
        assert_eq!(self.stdout, "", "an error has no data");
        document(self.stderr.as_bytes(), "genstore.error/1")
    }
}

#[track_caller]
fn document(bytes: &[u8], schema: &str) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.starts_with(&format!("{{\"schema\":\"{schema}\",")), "{text}");
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    serde_json::from_str(text).unwrap()
}

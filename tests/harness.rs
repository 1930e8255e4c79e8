//! A small test harness: a folder for each test, a program that sees only that folder, and output without
//! the parts that differ from run to run.
//!
//! Placeholders replace the folder (`[DIR]`), digests and their first eight characters (`[ID]`), pids
//! (`[PID]`) and durations (`in [TIME]`).

#![allow(dead_code, reason = "not every test binary needs all of it")]

use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};

use genstore_testkit as testkit;

use crate::prelude::*;

/// The program that tests run. It is the shipped one, except that `GENSTORE_NOW` fixes its clock,
/// `GENSTORE_FAULT` injects faults, and nothing above `GENSTORE_GROUND` is read: see
/// `crates/cli/testing.rs`. `seams.rs` compares the two.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_genstore-testing");

/// The shipped program.
pub const SHIPPED: &str = env!("CARGO_BIN_EXE_genstore");

/// The default time of the program's clock.
pub const NOW: &str = "2026-01-02T03:04:05Z";

/// The mtime of the first files of a site: a day before [`NOW`]. Later files are newer, as in real use.
const MTIME: u64 = 1_767_236_645;

/// The trees of [`Site::published`].
const FIRST: &[(&str, &str)] =
    &[("a.txt", "=one\n"), ("img/logo.svg", "=<svg/>"), ("old.txt", "=old\n"), ("run", "!#!")];
const SECOND: &[(&str, &str)] =
    &[("a.txt", "=one\ntwo\n"), ("logo.svg", "=<svg/>"), ("new.txt", "=new\n"), ("run", "!#!")];

/// The time after which an event counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks at something that a test waits for.
const PAUSE: Duration = Duration::from_millis(2);

/// The folder of one test.
pub struct Site {
    dir: PathBuf,
    mtime: AtomicU64,
    _temp: TempDir,
}

impl Site {
    /// Creates an empty site.
    pub fn new() -> Site {
        Site::in_folder(testkit::scratch())
    }

    /// Creates a site whose `dist` has this tree.
    pub fn of(list: &[(&str, &str)]) -> Site {
        let site = Site::new();
        site.tree("dist", list);
        site
    }

    /// Creates a site in this empty folder.
    pub fn in_folder(temp: TempDir) -> Site {
        let dir = temp.path().canonicalize().unwrap();
        Site { dir, mtime: AtomicU64::new(MTIME), _temp: temp }
    }

    /// Creates a site with a store in which `dist` was published twice: `a.txt` was changed, `new.txt`
    /// added, `old.txt` removed, `logo.svg` renamed.
    pub fn published() -> Site {
        let site = Site::of(FIRST);
        site.run("publish dist -m first --fact commit=abc").ok();
        site.tree("dist", SECOND);
        site.run("publish dist").ok();
        site
    }

    /// Creates the same in a way of publishing. `dist` is complete, even if it was consumed.
    pub fn published_in(way: Way) -> Site {
        let site = Site::of(FIRST);
        site.publish_in(way, "-m first --fact commit=abc").ok();
        site.tree("dist", SECOND);
        site.publish_in(way, "").ok();
        if way.consume {
            site.tree("dist", SECOND);
        }
        site
    }

    /// Publishes `dist` in a way, which replaces the project's file.
    pub fn publish_in(&self, way: Way, args: &str) -> Output {
        fs::write(self.path("genstore.toml"), way.project()).unwrap();
        if way.index {
            // The index does not believe in files that were written just now.
            testkit::settle(&self.dir);
        }
        self.command("publish dist").args(way.flags()).args(&words(args)).run()
    }

    /// Returns a path in the folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// Writes a tree in the notation of [`testkit::things`], replacing what was there.
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
        testkit::names(&self.path(below))
    }

    /// Returns whether a file of any kind has this name.
    pub fn has(&self, below: &str) -> bool {
        self.path(below).symlink_metadata().is_ok()
    }

    /// Runs the program with arguments without spaces.
    pub fn run(&self, args: &str) -> Output {
        self.command(args).run()
    }

    /// Runs the program with these arguments.
    pub fn run_with<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command("").args(args).run()
    }

    /// Prepares a run, with arguments without spaces.
    pub fn command(&self, args: &str) -> Run<'_> {
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(&self.dir).stdin(Stdio::null());
        let vars = [("PATH", "/usr/bin:/bin"), ("TZ", "UTC"), ("USER", "tester"), ("GENSTORE_NOW", NOW)];
        command.envs(vars).env("GENSTORE_GROUND", &self.dir).args(words(args));
        Run { site: self, command }
    }

    /// Prepares a run of the shipped program, with the real clock and without faults.
    pub fn shipped(&self, args: &str) -> Run<'_> {
        let mut command = Command::new(SHIPPED);
        command.env_clear().current_dir(&self.dir).stdin(Stdio::null());
        command.envs([("PATH", "/usr/bin:/bin"), ("TZ", "UTC"), ("USER", "tester")]).args(words(args));
        Run { site: self, command }
    }

    /// Replaces the parts that differ from run to run.
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

/// Replaces the characters of this kind that follow `lead`.
fn replace_between(text: &str, lead: &str, by: &str, of: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(lead);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(lead);
        let end = part.find(|c| !of(c)).unwrap_or(part.len());
        // A duration has a point; other numbers need none.
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

    /// Runs it under another program, whose last arguments are this run's program and arguments.
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

    /// Runs it to its end. Returns its output, or `None` if it failed.
    pub fn try_run(mut self) -> Option<Output> {
        let output = self.command.output().ok().filter(|output| output.status.success())?;
        Some(Output::new(self.site, output.status, output.stdout, &output.stderr))
    }

    /// Sends stdout to a file.
    pub fn stdout_to(self, path: &str) -> Self {
        self.stdout_is(fs::File::options().write(true).open(path).unwrap())
    }

    /// Sends stdout to this destination.
    pub fn stdout_is(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Output {
        let output = self.command.output().expect("run genstore");
        Output::new(self.site, output.status, output.stdout, &output.stderr)
    }

    /// Runs it to its end, with these bytes as stdin.
    pub fn run_on(mut self, bytes: &[u8]) -> Output {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        self.command.stdin(file);
        self.run()
    }

    /// Starts it, with pipes for all streams.
    pub fn spawn(self) -> Running {
        Running::of(self.command)
    }
}

/// A running program, which is killed on drop.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
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

    /// Returns its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its stdout.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Returns its lines of stdout as they come, read by another thread.
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

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
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

    /// Sends it SIGKILL, and waits for its end.
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

    /// Closes its stdout, waits for its end, and returns its output.
    pub fn end_without_reading(mut self, site: &Site) -> Output {
        drop(self.stdout.take());
        self.end(site)
    }

    /// Waits for its end, and returns the output since the last line that was read.
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

/// Waits until a condition holds.
#[track_caller]
pub fn eventually(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        // A loop without a pause would keep a processor from the program that it waits for.
        std::thread::sleep(PAUSE);
    }
}

//! Runs scripts under a guard, and finds out which processes are alive.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use genstore_run::{GuardCommand, Job, Output, Running, start};
use tempfile::TempDir;

pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_genstore-run-helper");

/// The longest time that a test waits for an event before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Leaves one process in the command's group, one in a session of its own, and a daemon that has forked
/// twice. Each holds the FIFO `$ALIVE` open and writes its pid to it.
pub(crate) const FAMILY: &str = r#"
exec 9>"$ALIVE"
sh -c 'echo $$ >&9; exec sleep 300' &
setsid sh -c 'echo $$ >&9; exec sleep 300' &
setsid sh -c '(sh -c "echo \$\$ >&9; exec sleep 300" &) & exit'
"#;

/// The number of processes that [`FAMILY`] leaves.
pub(crate) const FAMILY_SIZE: usize = 3;

pub(crate) fn guard() -> GuardCommand {
    GuardCommand { program: HELPER.into(), args: vec!["guard".into()] }
}

pub(crate) fn quiet() -> Output {
    Output::to(|_, _| Ok(()))
}

pub(crate) fn script(text: &str) -> Job {
    Job { args: vec!["-c".into(), text.into()], ..Job::new("sh") }
}

pub(crate) fn run(job: &Job) -> Running {
    start(&guard(), job, quiet()).unwrap()
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Returns whether the process exists, including zombies.
pub(crate) fn is_there(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).try_exists().unwrap()
}

/// Polls for a condition that no event announces.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The FIFO that the processes of a run hold open.
pub(crate) struct Alive {
    dir: TempDir,
    reader: BufReader<File>,
}

impl Alive {
    pub(crate) fn new() -> Alive {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alive");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let file = OpenOptions::new().read(true).custom_flags(0o4000).open(&path).unwrap(); // O_NONBLOCK
        Alive { dir, reader: BufReader::new(file) }
    }

    pub(crate) fn script(&self, text: &str) -> Job {
        Job { env: vec![("ALIVE".into(), self.path().into())], ..script(text) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("alive")
    }

    /// Waits for this many lines, each with a pid.
    pub(crate) fn pids(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.line().parse().unwrap()).collect()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        until("a line from the command", || {
            match self.reader.read_line(&mut line) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            line.ends_with('\n')
        });
        line.trim_end().to_owned()
    }

    /// Returns whether any process still holds the FIFO.
    pub(crate) fn is_held(&mut self) -> bool {
        match self.reader.read(&mut [0; 64]) {
            Ok(0) => false,
            Ok(_) => self.is_held(),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                true
            }
        }
    }

    /// Checks that no process holds the FIFO, and that none is a zombie.
    pub(crate) fn assert_nobody(&mut self, pids: &[u32]) {
        assert!(!self.is_held(), "a process is alive");
        let left: Vec<_> = pids.iter().filter(|&&pid| is_there(pid)).collect();
        assert!(left.is_empty(), "not reaped: {left:?}");
    }
}

/// A FIFO from which a script reads lines: it continues when the test writes one.
pub(crate) struct Gate {
    dir: TempDir,
    file: File,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Gate { dir, file }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("gate")
    }

    pub(crate) fn open(&mut self) {
        self.file.write_all(b"go\n").unwrap();
    }
}

//! The command's output: it is passed on, logged and cut, and never blocks the command.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;

use genstore_run::{Ended, Finished, Job, LOG_CUT, Limits, Log, Output, Stream, run_to_end, start};

use crate::support::*;

fn finish(job: &Job, output: Output) -> Finished {
    let running = start(&guard(), job, output).unwrap();
    run_to_end(running, Limits::default(), &genstore_run::Interrupts::install().unwrap())
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn log(limit_bytes: u64) -> (File, Log) {
    let file = tempfile::tempfile().unwrap();
    (file.try_clone().unwrap(), Log { file, limit_bytes })
}

#[test]
fn both_streams_come_and_are_logged_as_they_come() {
    let mut gate = Gate::new();
    let (sender, chunks) = mpsc::channel();
    let (file, log) = log(1000);
    let mut job = script(
        "printf one; read x <\"$GATE\"; printf two >&2; read x <\"$GATE\"; echo three; read x <\"$GATE\"; exit 1",
    );
    job.env = vec![("GATE".into(), gate.path().into())];
    let sink = move |stream, bytes: &[u8]| sender.send((stream, bytes.to_vec())).map_err(io::Error::other);
    let running = start(&guard(), &job, Output::to(sink).with_log(log)).unwrap();
    for (stream, bytes) in
        [(Stream::Stdout, &b"one"[..]), (Stream::Stderr, b"two"), (Stream::Stdout, b"three\n")]
    {
        assert_eq!(chunks.recv_timeout(PATIENCE).unwrap(), (stream, bytes.to_vec()));
        gate.open();
    }
    let interrupts = genstore_run::Interrupts::install().unwrap();
    let finished = run_to_end(running, Limits::default(), &interrupts);
    assert_eq!(finished.ended, Ended::Exited(1));
    assert!(!finished.output.log_cut);
    assert_eq!(text(file), "onetwothree\n");
}

/// All output is there when the run has ended, even what the reader had not read yet.
#[test]
fn nothing_is_lost_at_the_end() {
    let (sender, chunks) = mpsc::channel();
    let sink = move |_, bytes: &[u8]| sender.send(bytes.len()).map_err(io::Error::other);
    let finished =
        finish(&script("head -c 3000000 /dev/zero; head -c 60000 /dev/zero >&2"), Output::to(sink));
    assert_eq!(finished.ended, Ended::Exited(0));
    assert_eq!(chunks.iter().sum::<usize>(), 3_060_000);
}

#[test]
fn a_log_has_a_limit() {
    // The printed text, the limit, the kept text.
    for (printed, limit, kept) in [
        ("abc", 3, "abc".to_owned()),
        ("abcd", 3, format!("abc\n{LOG_CUT}")),
        ("ab\\ncd", 3, format!("ab\n{LOG_CUT}")),
        ("abc", 0, LOG_CUT.to_owned()),
    ] {
        let (file, log) = log(limit);
        let (sender, chunks) = mpsc::channel();
        let sink = move |_, bytes: &[u8]| sender.send(bytes.to_vec()).map_err(io::Error::other);
        // To the same stream: between two, the order is that of reading.
        let job = script(&format!("printf '{printed}'; sleep 0; printf more"));
        let job = if printed == "abc" && limit == 3 { script("printf abc") } else { job };
        let finished = finish(&job, Output::to(sink).with_log(log));
        assert_eq!(text(file), kept, "{printed} {limit}");
        assert_eq!(finished.output.log_cut, kept.contains(LOG_CUT));
        let all = chunks.iter().flatten().count();
        let passed = printed.replace("\\n", "\n").len() + if kept.contains(LOG_CUT) { 4 } else { 0 };
        assert_eq!(all, passed, "all output is passed on");
    }
}

#[test]
fn a_failing_log_disturbs_nobody() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (sender, chunks) = mpsc::channel();
    let sink = move |_, bytes: &[u8]| sender.send(bytes.len()).map_err(io::Error::other);
    let log = Log { file: full, limit_bytes: u64::MAX };
    let finished = finish(&script("head -c 300000 /dev/zero; exit 4"), Output::to(sink).with_log(log));
    assert_eq!(finished.ended, Ended::Exited(4));
    assert_eq!(finished.output.log_error.unwrap().kind(), io::ErrorKind::StorageFull);
    assert_eq!(chunks.iter().sum::<usize>(), 300_000);
}

#[test]
fn a_failing_sink_disturbs_nobody() {
    let (file, log) = log(u64::MAX);
    let mut calls = 0;
    let sink = move |_, _: &[u8]| {
        calls += 1;
        assert_eq!(calls, 1, "it was called again");
        Err(io::ErrorKind::BrokenPipe.into())
    };
    let finished = finish(&script("head -c 300000 /dev/zero; exit 4"), Output::to(sink).with_log(log));
    assert_eq!(finished.ended, Ended::Exited(4));
    assert_eq!(finished.output.sink_error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(file.metadata().unwrap().len(), 300_000);
    file.read_exact_at(&mut [0; 1], 299_999).unwrap();
}

/// A foreign process that holds the pipe cannot make the run wait.
#[test]
fn an_outsider_with_the_pipe_holds_nothing_up() {
    let mut alive = Alive::new();
    let mut gate = Gate::new();
    let (sender, chunks) = mpsc::channel();
    let sink = move |_, bytes: &[u8]| sender.send(bytes.to_vec()).map_err(io::Error::other);
    let mut job = alive.script("exec 9>\"$ALIVE\"; echo $$ >&9; read x <\"$GATE\"; printf last");
    job.env.push(("GATE".into(), gate.path().into()));
    let running = start(&guard(), &job, Output::to(sink)).unwrap();
    let pid = alive.pids(1)[0];
    let outsider = File::options().write(true).open(format!("/proc/{pid}/fd/1")).unwrap();
    gate.open();
    let interrupts = genstore_run::Interrupts::install().unwrap();
    let finished = run_to_end(running, Limits::default(), &interrupts);
    assert_eq!(finished.ended, Ended::Exited(0));
    assert_eq!(chunks.iter().flatten().collect::<Vec<_>>(), b"last");
    drop(outsider);
}

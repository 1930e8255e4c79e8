//! The end of commands, and the environment in which they start.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex};

use genstore_run::{Ended, Event, Job, Limits, Output, StartError, Stdin, Stream, start, start_with};

use crate::support::*;

/// Runs a job to its end. Also returns its stdout.
fn stdout_of(job: &Job) -> (Ended, Vec<u8>) {
    let bytes = Arc::new(Mutex::new(vec![]));
    let sink = {
        let bytes = Arc::clone(&bytes);
        Output::to(move |stream, chunk: &[u8]| {
            assert_eq!(stream, Stream::Stdout, "{}", String::from_utf8_lossy(chunk));
            bytes.lock().unwrap().extend(chunk);
            Ok(())
        })
    };
    let mut running = start(&guard(), job, sink).unwrap();
    let event = running.wait(None, None);
    let finished = running.finish();
    assert_eq!(event, Event::Ended(finished.ended));
    let bytes = bytes.lock().unwrap().clone();
    (finished.ended, bytes)
}

#[test]
fn the_exit_code_is_passed_on() {
    for code in [0, 1, 42, 255] {
        assert_eq!(stdout_of(&script(&format!("exit {code}"))).0, Ended::Exited(code));
    }
}

#[test]
fn death_by_a_signal_is_told() {
    for number in [2, 6, 9, 13, 15] {
        let ended = stdout_of(&script(&format!("kill -{number} $$"))).0;
        assert_eq!(ended, Ended::Signaled(number));
        assert_eq!(i32::from(ended.exit_code()), 128 + number);
    }
}

#[test]
fn a_program_that_is_not_there() {
    for name in ["no-such-program", "/no/such/program", "./no-such-program"] {
        let error = start(&guard(), &Job::new(name), quiet()).unwrap_err();
        assert!(matches!(error, StartError::NotFound { .. }), "{error:?}");
        assert_eq!((error.exit_code(), error.to_string()), (127, format!("cannot run {name}")));
    }
}

#[test]
fn a_program_that_cannot_be_executed() {
    let dir = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new_in(&dir).unwrap();
    let plain = file.path().to_owned();
    for program in [plain.as_os_str(), dir.path().as_os_str()] {
        let error = start(&guard(), &Job::new(program), quiet()).unwrap_err();
        assert!(matches!(error, StartError::NotExecutable { .. }), "{error:?}");
        assert_eq!(error.exit_code(), 126);
    }
    // No program accepts this argument.
    let error =
        start(&guard(), &Job { args: vec!["a\0b".into()], ..Job::new("true") }, quiet()).unwrap_err();
    assert!(matches!(error, StartError::NotExecutable { .. }), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_entered() {
    let job = Job { cwd: Some("/no/such/directory".into()), ..Job::new("true") };
    let error = start(&guard(), &job, quiet()).unwrap_err();
    assert!(matches!(error, StartError::Directory { .. }), "{error:?}");
    assert_eq!((error.exit_code(), error.to_string()), (125, "cannot enter /no/such/directory".into()));
}

#[test]
fn a_guard_that_is_none() {
    let none = genstore_run::GuardCommand { program: "/no/guard".into(), args: vec![] };
    let error = start(&none, &Job::new("true"), quiet()).unwrap_err();
    assert_eq!(error.to_string(), "cannot start the guard of the command");
    for (wrong, args) in [("true", vec![]), ("sh", vec!["-c".into(), "exit 7".into()])] {
        let none = genstore_run::GuardCommand { program: wrong.into(), args };
        let error = start(&none, &Job::new("true"), quiet()).unwrap_err();
        assert!(matches!(error, StartError::Guard { op: "talk to", .. }), "{error:?}");
    }
    let killed =
        genstore_run::GuardCommand { program: "sh".into(), args: vec!["-c".into(), "kill -2 $$".into()] };
    let error = start(&killed, &Job::new("true"), quiet()).unwrap_err();
    assert!(matches!(error, StartError::Interrupted(2)), "{error:?}");
}

#[test]
fn stdin_is_empty() {
    let (ended, out) = stdout_of(&script("readlink /proc/self/fd/0; cat"));
    assert_eq!((ended, &*out), (Ended::Exited(0), &b"/dev/null\n"[..]));
}

#[test]
fn no_descriptor_of_the_guard_is_passed_on() {
    let (_, out) = stdout_of(&script("for fd in /proc/$$/fd/*; do readlink $fd; done"));
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("socket:"), "{out}");
}

#[test]
fn signals_have_their_default_effects() {
    /// Returns the first 31 signals; the next ones belong to the C library.
    fn mask(status: &str, name: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & 0x7fff_ffff
    }
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let job = Job { args: vec!["/proc/self/status".into()], ..Job::new("cat") };
    let (_, status) = stdout_of(&job);
    let status = String::from_utf8(status).unwrap();
    assert_eq!(mask(&status, "SigBlk:"), 0);
    assert_eq!(mask(&status, "SigCgt:"), 0);
    // Rust ignores SIGPIPE for itself. Other ignored signals were ignored before these tests began.
    assert_eq!(mask(&status, "SigIgn:"), mask(&own, "SigIgn:") & !(1 << 12));
}

#[test]
fn environment_and_directory_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let odd = OsString::from_vec(b"a\xff b\nc".to_vec());
    let text = r#"pwd -P; printf '%s|%s|%s|%s' "$GIVEN" "${HOME-unset}" "$1" "$CARGO_MANIFEST_DIR""#;
    let mut job = script(text);
    job.args.extend(["sh".into(), odd.clone()]);
    job.cwd = Some(dir.path().into());
    job.env = vec![("GIVEN".into(), odd.clone())];
    job.env_remove = vec!["HOME".into()];
    let expected = [
        dir.path().canonicalize().unwrap().into_os_string().into_vec(),
        b"\n".to_vec(),
        odd.clone().into_vec(),
        b"|unset|".to_vec(),
        odd.into_vec(),
        format!("|{}", env!("CARGO_MANIFEST_DIR")).into_bytes(),
    ];
    assert_eq!(stdout_of(&job), (Ended::Exited(0), expected.concat()));
}

#[test]
fn a_relative_program_is_meant_from_its_directory() {
    let job = Job { cwd: Some("/bin".into()), args: vec!["there".into()], ..Job::new("./echo") };
    assert_eq!(stdout_of(&job), (Ended::Exited(0), b"there\n".to_vec()));
}

#[test]
fn a_job_may_be_large() {
    let large = "x".repeat(100_000);
    let mut job = script("printf %s \"$GIVEN\" | wc -c");
    job.env = vec![("GIVEN".into(), large.clone().into())];
    job.args.extend((0..10).map(|_| large.clone().into()));
    assert_eq!(stdout_of(&job), (Ended::Exited(0), b"100000\n".to_vec()));
}

#[test]
fn limits_have_a_default() {
    let limits = Limits::default();
    assert_eq!((limits.timeout, limits.stop_timeout.as_secs()), (None, 10));
}

#[test]
fn a_socket_is_descriptor_3_and_stdin_stays_what_it_is() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let ask = "echo $LISTEN_FDS; test $LISTEN_PID = $$ && readlink /proc/$$/fd/3; readlink /proc/$$/fd/0";
    for stdin in [Stdin::Empty, Stdin::Open] {
        let job = Job { stdin, ..script(ask) };
        let said = Arc::new(Mutex::new(vec![]));
        let sink = {
            let said = Arc::clone(&said);
            Output::to(move |_, chunk: &[u8]| {
                said.lock().unwrap().extend(chunk);
                Ok(())
            })
        };
        let mut running = start_with(&guard(), &job, sink, Some(socket.as_fd())).unwrap();
        let ours = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        running.wait(None, None);
        assert_eq!(running.finish().ended, Ended::Exited(0));
        let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["1", ours.to_str().unwrap()], "{said}");
        match stdin {
            Stdin::Empty => assert_eq!(lines[2], "/dev/null"),
            _ => assert!(lines[2].starts_with("pipe:["), "{said}"),
        }
    }
}

#[test]
fn a_kept_descriptor_is_the_guards_until_nothing_is_left() {
    let lock = tempfile::NamedTempFile::new().unwrap();
    let (mut alive, mut gate) = (Alive::new(), Gate::new());
    let ask = format!(
        "exec 9>\"$ALIVE\"; ls /proc/$$/fd >&9; echo end >&9; read x < '{}'",
        gate.path().display()
    );
    let job = Job { guard_keeps: true, ..alive.script(&ask) };
    let ours = lock.reopen().unwrap();
    ours.lock().unwrap();
    let mut running = start_with(&guard(), &job, quiet(), Some(ours.as_fd())).unwrap();
    let has: Vec<String> = std::iter::from_fn(|| Some(alive.line()).filter(|line| line != "end")).collect();
    assert!(!has.contains(&"3".to_owned()), "the command has it: {has:?}");
    drop(ours);
    let other = lock.reopen().unwrap();
    other.try_lock().expect_err("the guard holds it");
    gate.open();
    running.wait(None, None);
    assert_eq!(running.finish().ended, Ended::Exited(0));
    other.try_lock().unwrap();
}

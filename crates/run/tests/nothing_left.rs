//! No process of a command survives, however the command or its caller ends.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use genstore_run::{Ended, Event, Limits, run_to_end};

use crate::support::*;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Starts a caller in a process of its own.
fn parent(alive: &Alive, script: &str) -> Child {
    let mut command = Command::new(HELPER);
    command.args(["parent", script]).env("ALIVE", alive.path()).spawn().unwrap()
}

fn interrupts() -> genstore_run::Interrupts {
    genstore_run::Interrupts::install().unwrap()
}

#[test]
fn when_the_command_ends() {
    let mut alive = Alive::new();
    let mut gate = Gate::new();
    let job = alive.script(&format!("{FAMILY} read x < '{}'; exit 5", gate.path().display()));
    let running = run(&job);
    let mut pids = alive.pids(FAMILY_SIZE);
    pids.push(running.pid());
    gate.open();
    let finished = run_to_end(running, Limits::default(), &interrupts());
    assert_eq!((finished.ended, finished.survivors), (Ended::Exited(5), 0));
    alive.assert_nobody(&pids);
}

#[test]
fn when_its_time_is_up() {
    let mut alive = Alive::new();
    let running = run(&alive.script(&format!("{FAMILY} wait")));
    let mut pids = alive.pids(FAMILY_SIZE);
    pids.push(running.pid());
    let limits = Limits { timeout: Some(Duration::ZERO), ..Limits::default() };
    let finished = run_to_end(running, limits, &interrupts());
    assert_eq!((finished.ended, finished.survivors), (Ended::TimedOut, 0));
    alive.assert_nobody(&pids);
}

#[test]
fn when_the_caller_is_interrupted() {
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        let mut alive = Alive::new();
        // The command prints the signal that it got, and exits normally.
        let script = format!(
            "trap 'echo 1 >&9; exit 0' HUP; trap 'echo 2 >&9; exit 0' INT; trap 'echo 15 >&9; exit 0' TERM
             {FAMILY} echo $$ >&9; wait"
        );
        let mut parent = parent(&alive, &script);
        let pids = alive.pids(FAMILY_SIZE + 1);
        signal(parent.id(), name);
        assert_eq!(alive.line(), number.to_string());
        assert_eq!(parent.wait().unwrap().code(), Some(128 + number));
        alive.assert_nobody(&pids);
    }
}

#[test]
fn when_the_caller_is_killed() {
    let mut alive = Alive::new();
    let mut parent = parent(&alive, &format!("trap '' HUP INT TERM\n{FAMILY} echo $$ >&9; wait"));
    let pids = alive.pids(FAMILY_SIZE + 1);
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(SIGKILL));
    until("the end of all", || !alive.is_held() && !pids.iter().any(|&pid| is_there(pid)));
}

/// A caller that dies before the guard has read anything, or while it sends the job.
#[test]
fn when_the_caller_is_killed_before_the_guard_knows_what_to_start() {
    for said in [&[][..], &[200, 0, 0, 0, b'j']] {
        let (caller, stdin) = UnixStream::pair().unwrap();
        (&caller).write_all(said).unwrap();
        drop(caller);
        let status = Command::new(HELPER).arg("guard").stdin(OwnedFd::from(stdin)).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

/// The delays range from before the guard exists until after the command has children. The guard does not
/// hold the FIFO, so here all processes are recognised by their environment.
#[test]
fn when_the_caller_is_killed_at_any_moment() {
    for delay in 0..40 {
        let alive = Alive::new();
        let mut parent = parent(&alive, &format!("{FAMILY} wait"));
        // This sleep chooses the moment; it does not wait for anything.
        std::thread::sleep(Duration::from_micros(delay * 250));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let mark = format!("ALIVE={}", alive.path().display());
        until("the end of all", || !somebody_has(&mark));
    }
}

/// Returns whether any process has this in its environment.
fn somebody_has(variable: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().any(|entry| {
        let environment = std::fs::read(entry.unwrap().path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|line| line == variable.as_bytes())
    })
}

#[test]
fn when_it_is_dropped() {
    let mut alive = Alive::new();
    let running = run(&alive.script(&format!("trap '' TERM\n{FAMILY} wait")));
    let mut pids = alive.pids(FAMILY_SIZE);
    pids.push(running.pid());
    drop(running);
    alive.assert_nobody(&pids);
}

#[test]
fn when_it_does_not_listen() {
    let mut alive = Alive::new();
    let running =
        run(&alive.script("exec 9>\"$ALIVE\"; trap '' TERM; echo $$ >&9; while :; do sleep 1; done"));
    let pids = alive.pids(1);
    let (start, patience) = (Instant::now(), Duration::from_millis(200));
    let finished = running.stop(SIGTERM, patience);
    assert_eq!(finished.ended, Ended::Signaled(SIGKILL));
    assert!(start.elapsed() >= patience);
    alive.assert_nobody(&pids);
}

#[test]
fn a_second_interruption_kills_at_once() {
    let mut alive = Alive::new();
    let script = "exec 9>\"$ALIVE\"; trap 'echo heard >&9' TERM; echo ready >&9; while :; do sleep 1; done";
    let start = Instant::now();
    let mut parent = parent(&alive, script);
    assert_eq!(alive.line(), "ready");
    signal(parent.id(), "-TERM");
    assert_eq!(alive.line(), "heard");
    // Signals within a second count as one.
    while parent.try_wait().unwrap().is_none() {
        signal(parent.id(), "-TERM");
        std::thread::yield_now();
    }
    assert_eq!(parent.wait().unwrap().code(), Some(143));
    // The first one alone would have allowed 10 seconds.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    alive.assert_nobody(&[]);
}

#[test]
fn a_group_that_is_stopped_gets_its_time() {
    let mut alive = Alive::new();
    // The command dies of the signal at once; its child takes a little longer.
    let script = "exec 9>\"$ALIVE\"
        sh -c 'trap \"sleep 0.3; echo saved >&9; exit\" TERM; echo ready >&9; while :; do sleep 0.05; done' &
        wait";
    let running = run(&alive.script(script));
    assert_eq!(alive.line(), "ready");
    let finished = running.stop(SIGTERM, PATIENCE);
    assert_eq!(finished.ended, Ended::Signaled(SIGTERM));
    assert_eq!(alive.line(), "saved");
    alive.assert_nobody(&[]);
}

#[test]
fn a_suspended_command_can_be_stopped() {
    let mut alive = Alive::new();
    let running = run(&alive.script("exec 9>\"$ALIVE\"; echo $$ >&9; kill -STOP $$; wait"));
    let pid = alive.pids(1)[0];
    until("suspension", || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "));
    assert_eq!(running.stop(SIGTERM, PATIENCE).ended, Ended::Signaled(SIGTERM));
}

#[test]
fn no_zombie_gathers_while_the_command_runs() {
    let mut alive = Alive::new();
    let mut gate = Gate::new();
    let script = "exec 9>\"$ALIVE\"; (sh -c 'echo $$ >&9; read x < \"$GATE\"' &) ; sleep 300";
    let mut job = alive.script(script);
    job.env.push(("GATE".into(), gate.path().into()));
    let mut running = run(&job);
    let orphan = alive.pids(1)[0];
    gate.open();
    until("reaping", || !is_there(orphan));
    assert_eq!(running.wait(Some(Instant::now()), None), Event::Deadline);
    assert!(is_there(running.pid()));
}

#[test]
fn a_killed_guard_takes_the_group_along() {
    let mut alive = Alive::new();
    let mut running = run(&alive.script("exec 9>\"$ALIVE\"; sleep 300 & echo $PPID >&9; wait"));
    let guard = alive.pids(1)[0];
    signal(guard, "-KILL");
    assert_eq!(running.wait(None, None), Event::Ended(Ended::Lost));
    until("the end of the group", || !alive.is_held());
    assert_eq!(running.finish().ended.exit_code(), 125);
}

#[test]
fn the_callers_group_does_not_hold_the_command() {
    let mut alive = Alive::new();
    let script = "exec 9>\"$ALIVE\"; cut -d' ' -f5,6,7 /proc/$$/stat >&9; echo $$ >&9; sleep 300";
    let running = run(&alive.script(script));
    let (stat, pid) = (alive.line(), alive.line());
    let [group, session, terminal] = stat.split(' ').collect::<Vec<_>>()[..] else { panic!("{stat}") };
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own = own.rsplit(')').next().unwrap().split(' ').nth(4).unwrap();
    assert_eq!(group, pid);
    assert_eq!(running.pid().to_string(), pid);
    assert_ne!(session, own, "it is in the session of its caller");
    assert_eq!(terminal, "0");
}

#[test]
fn a_hangup_that_was_ignored_does_not_interrupt() {
    let mut alive = Alive::new();
    let script = "exec 9>\"$ALIVE\"; echo $$ >&9; read x < \"$GATE\"; exit 3";
    let mut gate = Gate::new();
    let mut parent = Command::new("nohup")
        .args([HELPER, "parent", script])
        .env("ALIVE", alive.path())
        .env("GATE", gate.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    alive.pids(1);
    signal(parent.id(), "-HUP");
    gate.open();
    assert_eq!(parent.wait().unwrap().code(), Some(3));
    assert!(BufReader::new(parent.stdout.take().unwrap()).lines().next().is_none());
}

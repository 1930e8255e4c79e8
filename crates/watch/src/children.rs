//! Programs that restart after each commit.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genstore_run::{Ended, GuardCommand, Job, Output, StartError, Stopper, start};

/// The first pause before a crashed child restarts; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A child that ran this long before it crashed is not in a crash loop.
const SOUND: Duration = Duration::from_secs(30);
/// The exit code of shells if there is no such program.
const NOT_FOUND: i32 = 127;

/// The time after which a program that does not stop is reported.
const SLOW: Duration = Duration::from_secs(2);

/// A program to run.
#[derive(Clone, Debug)]
pub struct Child {
    /// The name, in its output and in events.
    pub name: String,
    /// The job.
    pub job: Job,
    /// The events that restart it.
    pub restart: Restart,
    /// The signal that stops it.
    pub stop_signal: i32,
    /// The time from the stop signal to the kill.
    pub stop_timeout: Duration,
    /// Variables that are read at each start. They take precedence over those of the job.
    pub variables: Option<Variables>,
}

type ReadVariables = dyn Fn() -> Result<Vec<(OsString, OsString)>, String> + Send + Sync;

/// A function that reads variables when a program starts.
#[derive(Clone)]
pub struct Variables(Arc<ReadVariables>);

impl Variables {
    /// Creates it from a function. An error of the function keeps the program from starting.
    pub fn read_by(
        read: impl Fn() -> Result<Vec<(OsString, OsString)>, String> + Send + Sync + 'static,
    ) -> Variables {
        Variables(Arc::new(read))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// The events that restart a running program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Restart {
    /// Each commit, and changes of its own sources.
    #[default]
    Commit,
    /// Only changes of its own sources: it outlives commits.
    Change,
    /// No event.
    Never,
}

/// The generation on which children start.
#[derive(Debug)]
pub struct Target<L> {
    /// Variables with its location.
    pub env: Vec<(OsString, OsString)>,
    /// The directory in which children run, unless their job says otherwise.
    pub cwd: Option<PathBuf>,
    /// Dropped when no child that was started on it is alive.
    pub lease: L,
}

/// The end of a child, as its thread reports it.
#[derive(Debug)]
pub struct ChildEnded {
    index: usize,
    run: u64,
    ended: Ended,
}

/// An event of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildNews {
    /// Its name.
    pub name: String,
    /// The event.
    pub news: News,
}

/// The kinds of events of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It runs.
    Started {
        /// The pid, which is also the number of its process group.
        pid: u32,
    },
    /// It got the stop signal, and is slow to stop.
    Stopping {
        /// The time until it is killed; `None` means never.
        killed_after: Option<Duration>,
    },
    /// It got the stop signal and stopped; no process of it is left.
    Stopped {
        /// The end of the program.
        ended: Ended,
        /// Whether it did not stop in time, and was killed.
        killed: bool,
    },
    /// It ended by itself, successfully. The next commit starts it again.
    Done,
    /// It ended by itself, with a failure.
    Crashed {
        /// The end of the program.
        ended: Ended,
        /// The pause until it restarts, unless a commit comes before.
        again_after: Duration,
    },
    /// It cannot run; the next commit retries.
    CannotRun {
        /// The reason.
        why: String,
    },
}

/// All children, each in its own process group, under its own guard.
pub struct Children<L> {
    children: Vec<Supervised<L>>,
    guard: GuardCommand,
    output: Box<dyn Fn(&str) -> Output>,
    ended: Arc<dyn Fn(ChildEnded) + Send + Sync>,
    target: Option<Arc<Target<L>>>,
    /// Whether they are stopped for good.
    over: bool,
    runs: u64,
}

struct Supervised<L> {
    child: Child,
    state: State<L>,
    crashes: u32,
}

enum State<L> {
    Idle,
    Running(Run<L>),
    Stopping { run: Run<L>, patience: Patience },
    Waiting { until: Instant },
}

/// The deadlines for a program that was asked to stop.
struct Patience {
    /// When to report that it is slow; `None` after the report.
    say_at: Option<Instant>,
    /// When to kill it; `None` after the kill, or if it is never killed.
    kill_at: Option<Instant>,
    killed: bool,
}

struct Run<L> {
    number: u64,
    since: Instant,
    stopper: Stopper,
    _target: Arc<Target<L>>,
}

impl<L> Children<L> {
    /// Takes over these children. None is started before [`Children::show`] is called.
    ///
    /// `output` returns the destination of a child's output, by its name. `ended` is called in another
    /// thread with the argument for [`Children::ended`].
    pub fn new(
        children: Vec<Child>,
        guard: GuardCommand,
        output: impl Fn(&str) -> Output + 'static,
        ended: impl Fn(ChildEnded) + Send + Sync + 'static,
    ) -> Children<L> {
        let supervised = |child| Supervised { child, state: State::Idle, crashes: 0 };
        Children {
            children: children.into_iter().map(supervised).collect(),
            guard,
            output: Box::new(output),
            ended: Arc::new(ended),
            target: None,
            over: false,
            runs: 0,
        }
    }

    /// Starts all children on a new target, except running ones that outlive commits. The others are
    /// stopped first, all at once; each is started as soon as no process of it is left.
    pub fn show(&mut self, target: Target<L>, now: Instant) -> Vec<ChildNews> {
        self.target = Some(Arc::new(target));
        self.over = false;
        let outlives = |child: &Supervised<L>| {
            child.child.restart != Restart::Commit && matches!(child.state, State::Running(_))
        };
        let due: Vec<usize> =
            (0..self.children.len()).filter(|at| !outlives(&self.children[*at])).collect();
        self.restart_all(&due, now)
    }

    /// Restarts the children with these names, on the last target, as soon as no process of them is left.
    pub fn restart(&mut self, names: &[&str], now: Instant) -> Vec<ChildNews> {
        let is_due = |at: &usize| names.contains(&self.children[*at].child.name.as_str());
        let due: Vec<usize> = (0..self.children.len()).filter(is_due).collect();
        self.restart_all(&due, now)
    }

    fn restart_all(&mut self, due: &[usize], now: Instant) -> Vec<ChildNews> {
        due.iter().for_each(|index| self.stop_one(*index, now));
        due.iter().filter_map(|index| self.start_if_idle(*index, now)).collect()
    }

    /// Stops all children for good.
    pub fn stop(&mut self, now: Instant) {
        self.over = true;
        for index in 0..self.children.len() {
            self.stop_one(index, now);
        }
    }

    /// Kills all running children.
    pub fn kill(&mut self) {
        for child in &mut self.children {
            if let State::Running(run) | State::Stopping { run, .. } = &child.state {
                run.stopper.kill();
            }
        }
    }

    /// Returns whether no child runs.
    pub fn are_gone(&self) -> bool {
        self.children.iter().all(|child| matches!(child.state, State::Idle | State::Waiting { .. }))
    }

    /// Returns when [`Children::tick`] has work to do.
    pub fn due(&self) -> Option<Instant> {
        let due = |child: &Supervised<L>| match &child.state {
            State::Stopping { patience, .. } => patience.say_at.into_iter().chain(patience.kill_at).min(),
            State::Waiting { until } if !self.over => Some(*until),
            _ => None,
        };
        self.children.iter().filter_map(due).min()
    }

    /// Reports children that are slow to stop, kills those that did not stop in time, and starts those
    /// whose pause is over.
    pub fn tick(&mut self, now: Instant) -> Vec<ChildNews> {
        let mut news = Vec::new();
        for index in 0..self.children.len() {
            match &mut self.children[index].state {
                State::Stopping { run, patience } => {
                    let said = patience.attend(now, &run.stopper);
                    let name = &self.children[index].child.name;
                    news.extend(said.map(|news| ChildNews { name: name.clone(), news }));
                }
                State::Waiting { until } if *until <= now => {
                    self.children[index].state = State::Idle;
                    news.extend(self.start_if_idle(index, now));
                }
                _ => {}
            }
        }
        news
    }

    /// Handles the end of a child.
    pub fn ended(&mut self, end: ChildEnded, now: Instant) -> Vec<ChildNews> {
        let ChildEnded { index, run: number, ended } = end;
        let child = &mut self.children[index];
        let is_shell = child.job_is_shell();
        let name = child.child.name.clone();
        let tell = |news| ChildNews { name: name.clone(), news };
        match std::mem::replace(&mut child.state, State::Idle) {
            State::Stopping { run, patience } if run.number == number => {
                let killed = patience.killed;
                child.crashes = 0;
                // This is reported first; `tick` starts it again.
                child.state = State::Waiting { until: now };
                vec![tell(News::Stopped { ended, killed })]
            }
            State::Running(run) if run.number == number => vec![match ended {
                Ended::Exited(0) => tell(News::Done),
                Ended::Exited(NOT_FOUND) if is_shell => {
                    tell(News::CannotRun { why: "the shell does not find it".to_owned() })
                }
                ended => {
                    let sound = now.duration_since(run.since) >= SOUND;
                    child.crashes = if sound { 0 } else { child.crashes };
                    let again_after = wait_after(child.crashes);
                    child.crashes += 1;
                    child.state = State::Waiting { until: now + again_after };
                    tell(News::Crashed { ended, again_after })
                }
            }],
            // This is the end of an earlier run, which was already reported.
            state => {
                child.state = state;
                vec![]
            }
        }
    }

    fn stop_one(&mut self, index: usize, now: Instant) {
        let child = &mut self.children[index];
        let kill_at = now.checked_add(child.child.stop_timeout);
        match std::mem::replace(&mut child.state, State::Idle) {
            State::Running(run) => {
                run.stopper.stop(child.child.stop_signal);
                let patience = Patience { say_at: Some(now + SLOW), kill_at, killed: false };
                child.state = State::Stopping { run, patience };
            }
            State::Waiting { .. } => child.crashes = 0,
            state => child.state = state,
        }
    }

    fn start_if_idle(&mut self, index: usize, now: Instant) -> Option<ChildNews> {
        let target = Arc::clone(self.target.as_ref().filter(|_| !self.over)?);
        let Supervised { child, state: State::Idle, .. } = &self.children[index] else { return None };
        let mut job = child.job.clone();
        let name = child.name.clone();
        match child.variables.as_ref().map(|variables| (variables.0)()) {
            Some(Ok(variables)) => job.env.extend(variables),
            Some(Err(why)) => return Some(ChildNews { name, news: News::CannotRun { why } }),
            None => {}
        }
        job.env.extend(target.env.iter().cloned());
        if let Some(cwd) = &target.cwd {
            job.cwd = Some(cwd.clone());
        }
        let mut running = match start(&self.guard, &job, (self.output)(&name)) {
            Ok(running) => running,
            Err(error) => return Some(ChildNews { name, news: News::CannotRun { why: why(&error) } }),
        };
        let stopper = match running.stopper() {
            Ok(stopper) => stopper,
            // Dropping it kills it.
            Err(error) => {
                return Some(ChildNews { name, news: News::CannotRun { why: error.to_string() } });
            }
        };
        let pid = running.pid();
        self.runs += 1;
        let number = self.runs;
        let ended = Arc::clone(&self.ended);
        let awaited = std::thread::Builder::new().name(format!("child-{number}")).spawn(move || {
            running.wait(None, None);
            let finished = running.finish();
            ended(ChildEnded { index, run: number, ended: finished.ended });
        });
        // The child was dropped with the thread's closure.
        if let Err(error) = awaited {
            let why = format!("cannot start a thread that waits for it: {error}");
            return Some(ChildNews { name, news: News::CannotRun { why } });
        }
        let run = Run { number, since: now, stopper, _target: target };
        self.children[index].state = State::Running(run);
        Some(ChildNews { name, news: News::Started { pid } })
    }
}

impl Patience {
    fn attend(&mut self, now: Instant, stopper: &Stopper) -> Option<News> {
        if self.kill_at.take_if(|at| *at <= now).is_some() {
            (self.killed, self.say_at) = (true, None);
            stopper.kill();
        }
        let killed_after = self.kill_at.map(|at| at.duration_since(now));
        self.say_at.take_if(|at| *at <= now).map(|_| News::Stopping { killed_after })
    }
}

impl<L> Supervised<L> {
    fn job_is_shell(&self) -> bool {
        self.child.job.program == "/bin/sh"
    }
}

fn wait_after(crashes: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2u32.saturating_pow(crashes)).min(LONGEST_WAIT)
}

/// Returns the error with its cause.
fn why(error: &StartError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_crashes_again_and_again_waits_longer_but_not_for_ever() {
        let secs: Vec<u64> = (0..8).map(|crashes| wait_after(crashes).as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}

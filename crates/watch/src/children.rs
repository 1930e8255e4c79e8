//! Programs that restart after each commit.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genstore_run::{Ended, GuardCommand, Output, StartError, Stdin, Stopper, start_with};

use crate::child::{Announce, Child, ChildNews, ChildReport, News, Reported, Restart, Target};
use crate::ready;

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

type MakeOutput = dyn Fn(&str, Announce) -> Output;

/// All children, each in its own process group, under its own guard.
pub struct Children<L> {
    children: Vec<Supervised<L>>,
    guard: GuardCommand,
    output: Box<MakeOutput>,
    report: Arc<dyn Fn(ChildReport) + Send + Sync>,
    target: Option<Arc<Target<L>>>,
    /// Whether they are stopped for good.
    over: bool,
    runs: u64,
}

struct Supervised<L> {
    child: Child,
    state: State<L>,
    crashes: u32,
    /// A run that takes over once it is ready.
    next: Option<Run<L>>,
    /// Runs that are being stopped while another one runs.
    leaving: Vec<(Run<L>, Patience)>,
}

enum State<L> {
    Idle,
    Running(Run<L>),
    Stopping { run: Run<L>, patience: Patience },
    Waiting { until: Instant },
}

/// The deadlines of a program that got the stop signal.
struct Patience {
    /// `None` once it was reported as slow.
    say_at: Option<Instant>,
    /// `None` once it was killed, and if it is never killed.
    kill_at: Option<Instant>,
    killed: bool,
}

struct Run<L> {
    number: u64,
    since: Instant,
    stopper: Stopper,
    /// The deadline for being ready; `None` once it is ready, or the deadline has passed.
    ready_by: Option<Instant>,
    /// The thread that waits for readiness ends when this is dropped.
    _asked: Arc<()>,
    _target: Arc<Target<L>>,
}

impl<L> Children<L> {
    /// Takes over these children. None starts before [`Children::show`].
    ///
    /// `output` returns the destination of a run's output, by the child's name, and may announce that the run
    /// is ready. `report` is called in another thread, with the argument of [`Children::heard`].
    pub fn new(
        children: Vec<Child>,
        guard: GuardCommand,
        output: impl Fn(&str, Announce) -> Output + 'static,
        report: impl Fn(ChildReport) + Send + Sync + 'static,
    ) -> Children<L> {
        let supervised =
            |child| Supervised { child, state: State::Idle, crashes: 0, next: None, leaving: vec![] };
        Children {
            children: children.into_iter().map(supervised).collect(),
            guard,
            output: Box::new(output),
            report: Arc::new(report),
            target: None,
            over: false,
            runs: 0,
        }
    }

    /// Starts all children on a new target, except running ones that outlive commits. The others are stopped
    /// first, all at once. Each starts when no process of it is left. A child with a handover starts first,
    /// and its old run is stopped later.
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

    /// Restarts the children of these names on the last target, as `show` does.
    pub fn restart(&mut self, names: &[&str], now: Instant) -> Vec<ChildNews> {
        let is_due = |at: &usize| names.contains(&self.children[*at].child.name.as_str());
        let due: Vec<usize> = (0..self.children.len()).filter(is_due).collect();
        self.restart_all(&due, now)
    }

    fn restart_all(&mut self, due: &[usize], now: Instant) -> Vec<ChildNews> {
        let (handing, others): (Vec<usize>, Vec<usize>) =
            due.iter().partition(|index| !self.over && self.children[**index].hands_over());
        others.iter().for_each(|index| self.children[*index].stop(now));
        let started = others.iter().filter_map(|index| self.start_if_idle(*index, now)).collect::<Vec<_>>();
        let next = handing.iter().filter_map(|index| self.start_next(*index, now));
        started.into_iter().chain(next).collect()
    }

    /// Stops all of them for good.
    pub fn stop(&mut self, now: Instant) {
        self.over = true;
        self.children.iter_mut().for_each(|child| child.stop(now));
    }

    /// Kills what still runs.
    pub fn kill(&mut self) {
        self.children.iter().for_each(Supervised::kill);
    }

    /// Returns whether nothing runs.
    pub fn are_gone(&self) -> bool {
        self.children.iter().all(Supervised::is_gone)
    }

    /// Returns when [`Children::tick`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.children.iter().filter_map(|child| child.due(self.over)).min()
    }

    /// Reports children that are slow to stop or to be ready, kills those that did not stop in time, and
    /// restarts those whose pause is over.
    pub fn tick(&mut self, now: Instant) -> Vec<ChildNews> {
        let mut all = Vec::new();
        for index in 0..self.children.len() {
            let child = &mut self.children[index];
            let news = child.attend(now);
            let name = child.child.name.clone();
            all.extend(news.into_iter().map(|news| ChildNews { name: name.clone(), news }));
            if matches!(child.state, State::Waiting { until } if until <= now) {
                child.state = State::Idle;
                all.extend(self.start_if_idle(index, now));
            }
        }
        all
    }

    /// Processes a report of a child's thread.
    pub fn heard(&mut self, report: ChildReport, now: Instant) -> Vec<ChildNews> {
        let ChildReport { index, run, what } = report;
        let child = &mut self.children[index];
        let news = match what {
            Reported::Ready => child.is_ready(run, now),
            Reported::Ended(ended) => child.has_ended(run, ended, now),
        };
        news.map(|news| ChildNews { name: child.child.name.clone(), news }).into_iter().collect()
    }

    fn start_if_idle(&mut self, index: usize, now: Instant) -> Option<ChildNews> {
        if !matches!(self.children[index].state, State::Idle) {
            return None;
        }
        self.start(index, now, |child, run| child.state = State::Running(run))
    }

    /// Starts a run beside the one that runs, to take over from it.
    fn start_next(&mut self, index: usize, now: Instant) -> Option<ChildNews> {
        self.children[index].give_up_next(now);
        self.start(index, now, |child, run| child.next = Some(run))
    }

    /// Starts a run. Returns `None` if there is no target, or if all are stopped for good.
    fn start(
        &mut self,
        index: usize,
        now: Instant,
        put: impl FnOnce(&mut Supervised<L>, Run<L>),
    ) -> Option<ChildNews> {
        let target = Arc::clone(self.target.as_ref().filter(|_| !self.over)?);
        let name = self.children[index].child.name.clone();
        let news = match self.run(index, target, now) {
            Ok((run, pid)) => {
                put(&mut self.children[index], run);
                News::Started { pid }
            }
            Err(why) => News::CannotRun { why },
        };
        Some(ChildNews { name, news })
    }

    /// Runs a child, and returns the run with the number of its process.
    fn run(&mut self, index: usize, target: Arc<Target<L>>, now: Instant) -> Result<(Run<L>, u32), String> {
        let child = &self.children[index].child;
        let mut job = child.job.clone();
        if let Some(variables) = &child.variables {
            job.env.extend(variables.read()?);
        }
        job.env.extend(target.env.iter().cloned());
        if let Some(cwd) = &target.cwd {
            job.cwd = Some(cwd.clone());
        }
        self.runs += 1;
        let number = self.runs;
        let announce = || Announce { index, run: number, report: Arc::clone(&self.report) };
        let output = (self.output)(&child.name, announce());
        let stdin = std::io::stdin();
        let passed = match job.stdin {
            Stdin::Passed => Some(stdin.as_fd()),
            Stdin::Empty | Stdin::Open => child.socket.as_ref().map(|socket| socket.as_fd()),
        };
        let mut running = start_with(&self.guard, &job, output, passed).map_err(|error| why(&error))?;
        // Dropped, it is killed.
        let stopper = running.stopper().map_err(|error| error.to_string())?;
        let pid = running.pid();
        let report = Arc::clone(&self.report);
        let awaited = std::thread::Builder::new().name(format!("child-{number}")).spawn(move || {
            running.wait(None, None);
            let what = Reported::Ended(running.finish().ended);
            report(ChildReport { index, run: number, what });
        });
        // The child went with the thread's closure.
        awaited.map_err(|error| format!("no thread can be started to wait for it: {error}"))?;
        let asked = Arc::new(());
        let ready_by = child.ready.as_ref().and_then(|_| now.checked_add(child.ready_timeout));
        if let (Some(how), Some(until)) = (&child.ready, ready_by) {
            let announce = announce();
            ready::ask(how, Arc::downgrade(&asked), until, move || announce.ready());
        }
        let run = Run { number, since: now, stopper, ready_by, _asked: asked, _target: target };
        Ok((run, pid))
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

    fn due(&self) -> Option<Instant> {
        self.say_at.into_iter().chain(self.kill_at).min()
    }
}

impl<L> Supervised<L> {
    /// Returns whether the next run starts beside the current one.
    fn hands_over(&self) -> bool {
        self.child.handover && matches!(&self.state, State::Running(run) if run.ready_by.is_none())
    }

    /// Sends the stop signal to a run, and returns its deadlines.
    fn tell_to_stop(&self, run: &Run<L>, now: Instant) -> Patience {
        run.stopper.stop(self.child.stop_signal);
        let kill_at = now.checked_add(self.child.stop_timeout);
        Patience { say_at: Some(now + SLOW), kill_at, killed: false }
    }

    fn stop(&mut self, now: Instant) {
        self.give_up_next(now);
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Running(run) => {
                let patience = self.tell_to_stop(&run, now);
                self.state = State::Stopping { run, patience };
            }
            State::Waiting { .. } => self.crashes = 0,
            state => self.state = state,
        }
    }

    /// Stops the run that was to take over.
    fn give_up_next(&mut self, now: Instant) {
        if let Some(next) = self.next.take() {
            self.dismiss(next, now);
        }
    }

    /// Stops a run while another one runs.
    fn dismiss(&mut self, run: Run<L>, now: Instant) {
        let patience = self.tell_to_stop(&run, now);
        self.leaving.push((run, patience));
    }

    fn kill(&self) {
        let main = match &self.state {
            State::Running(run) | State::Stopping { run, .. } => Some(run),
            State::Idle | State::Waiting { .. } => None,
        };
        let leaving = self.leaving.iter().map(|(run, _)| run);
        main.into_iter().chain(&self.next).chain(leaving).for_each(|run| run.stopper.kill());
    }

    fn is_gone(&self) -> bool {
        let is_idle = matches!(self.state, State::Idle | State::Waiting { .. });
        is_idle && self.next.is_none() && self.leaving.is_empty()
    }

    fn due(&self, over: bool) -> Option<Instant> {
        let main = match &self.state {
            State::Stopping { patience, .. } => patience.due(),
            State::Running(run) => run.ready_by,
            State::Waiting { until } if !over => Some(*until),
            State::Idle | State::Waiting { .. } => None,
        };
        let next = self.next.as_ref().and_then(|run| run.ready_by);
        let leaving = self.leaving.iter().filter_map(|(_, patience)| patience.due());
        main.into_iter().chain(next).chain(leaving).min()
    }

    /// Does the work that is due for its runs.
    fn attend(&mut self, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        for (run, patience) in &mut self.leaving {
            news.extend(patience.attend(now, &run.stopper));
        }
        let after = |run: &Run<L>| now.duration_since(run.since);
        match &mut self.state {
            State::Stopping { run, patience } => news.extend(patience.attend(now, &run.stopper)),
            State::Running(run) if run.ready_by.is_some_and(|by| by <= now) => {
                run.ready_by = None;
                news.push(News::NotReady { after: after(run), ended: None, kept: false });
            }
            _ => {}
        }
        if let Some(next) = self.next.take_if(|next| next.ready_by.is_some_and(|by| by <= now)) {
            news.push(News::NotReady { after: after(&next), ended: None, kept: true });
            self.dismiss(next, now);
        }
        news
    }

    /// Records that a run is ready. If it runs beside an older one, that one is stopped.
    fn is_ready(&mut self, number: u64, now: Instant) -> Option<News> {
        if let Some(mut next) = self.next.take_if(|next| next.number == number) {
            let after = now.duration_since(next.since);
            next.ready_by = None;
            if let State::Running(old) = std::mem::replace(&mut self.state, State::Running(next)) {
                self.dismiss(old, now);
            }
            self.crashes = 0;
            return Some(News::Ready { after });
        }
        match &mut self.state {
            State::Running(run) if run.number == number => {
                run.ready_by.take().map(|_| News::Ready { after: now.duration_since(run.since) })
            }
            // The run is being stopped, or is gone.
            _ => None,
        }
    }

    /// Records that a run has ended.
    fn has_ended(&mut self, number: u64, ended: Ended, now: Instant) -> Option<News> {
        if let Some(at) = self.leaving.iter().position(|(run, _)| run.number == number) {
            let (_, patience) = self.leaving.swap_remove(at);
            return Some(News::Stopped { ended, killed: patience.killed });
        }
        if let Some(next) = self.next.take_if(|next| next.number == number) {
            let after = now.duration_since(next.since);
            return Some(News::NotReady { after, ended: Some(ended), kept: true });
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Stopping { run, patience } if run.number == number => {
                self.crashes = 0;
                // The end is reported first: `tick` restarts it.
                self.state = State::Waiting { until: now };
                Some(News::Stopped { ended, killed: patience.killed })
            }
            State::Running(run) if run.number == number => Some(match self.next.take() {
                Some(next) => {
                    self.state = State::Running(next);
                    News::Stopped { ended, killed: false }
                }
                None => self.ended_by_itself(&run, ended, now),
            }),
            // The end of an earlier run, which was reported already.
            state => {
                self.state = state;
                None
            }
        }
    }

    fn ended_by_itself(&mut self, run: &Run<L>, ended: Ended, now: Instant) -> News {
        // A socket is handed on by a shell.
        let is_shell = self.child.job.program == "/bin/sh" || self.child.socket.is_some();
        match ended {
            Ended::Exited(0) => News::Done,
            Ended::Exited(NOT_FOUND) if is_shell => {
                News::CannotRun { why: "the shell does not find it".to_owned() }
            }
            ended => {
                let sound = now.duration_since(run.since) >= SOUND;
                self.crashes = if sound { 0 } else { self.crashes };
                let again_after = wait_after(self.crashes);
                self.crashes += 1;
                self.state = State::Waiting { until: now + again_after };
                News::Crashed { ended, again_after }
            }
        }
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

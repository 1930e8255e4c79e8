//! The builds: one at a time, each in a stage of its own, which is published or discarded.

use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use genstore::generation::Mark;
use genstore::publish::{Activate, Stage};
use genstore::{CommitOptions, Error, Plan, Rev};
use genstore_run::{Ended, Finished, Output};

use super::events::{Event, millis};
use super::prefix::{BUILD, prefix, sink};
use super::state::{Building, Message, Stop, Watch};
use crate::command::building::{self, Prepared};
use crate::command::stale::Began;
use crate::command::{declared, hooks, publishing, running};
use crate::project::config::SIGTERM;

/// The number of publications after which generations that retention gave up are removed.
const COLLECT_EVERY: u64 = 20;

/// The report of a successful build.
enum Told {
    /// The output equals the current generation.
    Unchanged,
    Other,
}

impl<'a> Watch<'a> {
    pub(super) fn build_again(&mut self) {
        if let Err(error) = self.build() {
            self.fail(&error);
        }
    }

    pub(super) fn build(&mut self) -> Result<()> {
        (self.wanted, self.again_at) = (false, None);
        self.tell_of_a_new_config();
        self.sources.begin();
        self.inputs.begin_build();
        self.built_from.clone_from(&self.sources.seen);
        self.builds += 1;
        let number = self.builds;
        let builder = &self.settings.builder;
        let Prepared { stage, job, log, previous, began } = builder.prepare(self.store)?;
        let (timeout, name) = (builder.limits.timeout, builder.name());
        self.tell(&Event::BuildStart { build: number });
        let json = self.context.out.json();
        let prefix = prefix(&self.names, BUILD, self.context.out.colored);
        let output = Output::to(sink(prefix, json)).with_log(log);
        let mut running = builder.start(self.store, &stage, job, output, |warning| self.warn(warning))?;
        let stopper = running.stopper().map_err(anyhow::Error::from)?;
        let tell = self.sender.clone();
        // If the thread cannot be started, dropping its closure ends the command.
        running::spawn("waits for the build", move || {
            running.wait(None, None);
            tell.send(Message::Built(number, running.finish())).unwrap_or_default();
        })?;
        let since = Instant::now();
        let kill_at = timeout.and_then(|timeout| since.checked_add(timeout));
        self.building = Some(Building {
            number,
            stage,
            _previous: previous,
            stopper,
            since,
            name,
            kill_at,
            why: None,
            began,
        });
        Ok(())
    }

    /// Reports that the project's file has changed, once for each change.
    fn tell_of_a_new_config(&mut self) {
        let Some((path, seen)) = &mut self.settings.config else { return };
        let now = last_change(path);
        if now != std::mem::replace(seen, now) {
            let shown = crate::text::escape::show(path.file_name().unwrap_or_default().as_ref());
            self.warn(format!("{shown} has changed: it counts when the watch is started again"));
        }
    }

    pub(super) fn stop_build(&mut self, why: Stop, signal: i32) {
        let patience = self.settings.builder.limits.stop_timeout;
        if let Some(building) = self.building.as_mut().filter(|building| building.why.is_none()) {
            building.why = Some(why);
            building.kill_at = Instant::now().checked_add(patience);
            building.stopper.stop(signal);
        }
    }

    /// Returns when a running build must be stopped or killed.
    pub(super) fn build_due(&self) -> Option<Instant> {
        self.building.as_ref().and_then(|building| building.kill_at)
    }

    /// Stops a build that takes too long, and kills one that does not stop.
    pub(super) fn attend_build(&mut self, now: Instant) {
        let Some(building) = self.building.as_mut().filter(|b| b.kill_at.is_some_and(|at| at <= now))
        else {
            return;
        };
        match building.why {
            Some(_) => {
                building.stopper.kill();
                building.kill_at = None;
            }
            None => self.stop_build(Stop::Timeout, SIGTERM),
        }
    }

    pub(super) fn kill_build(&self) {
        if let Some(building) = &self.building {
            building.stopper.kill();
        }
    }

    pub(super) fn built(&mut self, number: u64, finished: Finished) {
        let Some(building) = self.building.take_if(|building| building.number == number) else { return };
        let (took, ended) = (building.since.elapsed(), finished.ended);
        self.took = took;
        let end = |ok, restarted| Event::BuildEnd {
            build: number,
            ok,
            exit: match ended {
                Ended::Exited(code) => Some(code),
                _ => None,
            },
            restarted,
            ms: millis(took),
        };
        match building.why {
            // The signal may have come before its message.
            _ if self.context.check_interrupted().is_err() => return self.give_up(building.stage),
            Some(Stop::End) => return self.give_up(building.stage),
            Some(Stop::Restart) => {
                self.tell(&end(false, true));
                self.give_up(building.stage);
                return if !self.sources.is_restless() {
                    self.build_again()
                };
            }
            _ => {}
        }
        let ended = if building.why == Some(Stop::Timeout) { Ended::TimedOut } else { ended };
        let ok = ended == Ended::Exited(0);
        self.tell(&end(ok, false));
        if self.ending.is_none() {
            self.look_after_build(number);
        }
        let result = if ok {
            self.publish(building.stage, building.began)
        } else {
            let why = running::ending(&building.name, ended);
            Err(building::failed(self.context, building.stage, why, Some(ended)))
        };
        self.has_failed = result.is_err();
        match result {
            Ok(Told::Unchanged) if self.for_change && !self.wanted => {
                self.restart_those_that_may_read_the_sources();
            }
            Ok(_) => {}
            Err(error) => self.fail(&error),
        }
        self.follow_output();
        self.build_if_wanted();
    }

    /// Removes generations that retention gave up. It does not do so each time, because each publication
    /// recycles one of their trees.
    fn collect_at_times(&mut self) {
        self.published += 1;
        let due = self.published.is_multiple_of(COLLECT_EVERY) && !self.wanted;
        let Some(retention) = self.settings.stage.recycle.as_ref().filter(|_| due) else { return };
        match self.store.plan_gc(retention).and_then(|plan| self.store.collect(&plan)) {
            Ok(done) => {
                if !done.generations.is_empty() || done.objects > 0 {
                    self.tell(&Event::Collected {
                        generations: done.generations,
                        objects: done.objects,
                        bytes: done.freed_bytes,
                    });
                }
                if !done.left.is_empty() {
                    self.fail(&Error::Left { left: done.left }.into());
                }
            }
            Err(error) => self.fail(&error.into()),
        }
    }

    pub(super) fn give_up(&mut self, stage: Stage<'_>) {
        // If the store was removed, the stage is gone with it.
        if let Err(error) = stage.abort()
            && !self.store_gone
        {
            self.fail(&error.into());
        }
    }

    fn publish(&mut self, stage: Stage<'a>, began: Option<Began>) -> Result<Told> {
        let start = Instant::now();
        let (context, store, known) = (self.context, self.store, self.output.as_mut());
        let rules = context.scan_rules(Some(store))?;
        let builder = &self.settings.builder;
        let mut stale = None;
        let find_stale = || builder.find_stale(context, &rules, began);
        let scan = |output: &Path| match known {
            Some(known) => known.plan(find_stale, &mut stale),
            None => {
                stale = find_stale()?;
                Ok(Plan::scan(output, &rules)?)
            }
        };
        let plan = builder.plan(context, &stage, self.settings.emptying, scan)?;
        self.tell_of_stale(stale);
        let emptying = self.settings.emptying;
        let plan: Plan = match plan {
            Ok(plan) => plan,
            Err(why) => return Err(building::failed(self.context, stage, why, None)),
        };
        let staged = stage.seal_plan(&plan, self.settings.stage.clone())?;
        let tree = staged.tree().id();
        if let Some((id, kept)) = self.kept
            && kept == tree
            && self.is_held()
        {
            self.tell(&Event::Unchanged { generation: id, tree: tree.to_string() });
            return Ok(Told::Other);
        }
        let audited = publishing::audit(self.context, staged)?;
        let findings = audited.findings().to_vec();
        self.context.check_interrupted()?;
        // Sources changed while it ran: it may be of a state that the sources never had.
        let is_mixed = self.wanted && !self.settings.show_changed && !self.inputs.are_the_builds_own();
        let activate = if is_mixed { Activate::Never } else { Activate::UnlessHeld };
        let mut done = audited.commit(&CommitOptions::default().activate(activate).emptying(emptying))?;
        self.output.iter_mut().for_each(|output| output.published(&done));
        done.warnings.extend(declared::make_views(self.context, self.store));
        self.look_at_views();
        let event = match (done.changed, done.current) {
            (false, _) => Event::Unchanged { generation: done.generation, tree: done.tree.to_string() },
            (true, false) => {
                self.kept = (!is_mixed).then_some((done.generation, tree));
                let current = self.store.current()?;
                let (generation, tree) = (done.generation, tree.to_string());
                let why = if is_mixed { "inputs-changed" } else { "held" };
                Event::Kept { generation, tree, durable: done.durable, current, why }
            }
            (true, true) => {
                self.kept = None;
                self.current = Some(done.generation);
                let path = self.store.tree_path(done.generation);
                Event::published(&done, &path, &findings, start.elapsed())
            }
        };
        self.tell(&event);
        if is_mixed && done.changed {
            // The mark keeps `resume` and later rollbacks from it.
            let why = "sources changed during the build".to_owned();
            for warning in self.store.mark(&Rev::Number(done.generation), Mark::Bad, Some(why))?.warnings {
                self.warn(warning.message);
            }
        }
        for warning in &done.warnings {
            self.warn(warning.message.clone());
        }
        if done.changed && done.current {
            self.show();
            hooks::post_commit(self.context, self.store, done.generation, done.previous);
            self.tell_warnings();
            self.look_at_current();
        }
        if done.changed {
            self.collect_at_times();
        }
        Ok(if done.changed { Told::Other } else { Told::Unchanged })
    }
}

/// Returns the time of a file's last change, if it is there.
pub(crate) fn last_change(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

//! The loop of `watch`: sources change, a build runs, its output is committed, and children restart on it.
//!
//! One thread does all of this, and waits in one place for messages: that something may have changed, that
//! `current` moved, that the build or a child has ended, that the watch must end. Events show only when and
//! where to scan; the changes come from comparing the scan with the one before.
//! Only this thread starts, stops and commits. Threads that wait for a process, for events or for signals
//! only send a message.

mod builds;
pub(crate) use builds::last_change;
mod current;
mod env_file;
pub(crate) mod events;
mod failed;
mod inputs;
mod keys;
mod observed;
mod output;
mod prefix;
mod programs;
pub(crate) mod serving;
mod sources;
mod state;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::Store;
use genstore_run::{Ended, Stdin};

use crate::command::context::Context;
use crate::command::control::Listener;
use crate::command::{notice, running};
use crate::exit;
use crate::project::config::SIGTERM;
use crate::render::json::PathField;
use events::Event;
pub(crate) use programs::variables;
pub(crate) use serving::{listen, readiness};
use state::{Message, Of, Stop, Watch};
pub(crate) use state::{Pages, Program, Settings};

/// The interval of reading `current` without a notice, because a watch may lose events.
const LOOK_AT_CURRENT: Duration = Duration::from_secs(5);
/// The interval when nothing is current any more.
const LOOK_AT_STORE: Duration = Duration::from_millis(200);

/// Watches until it is interrupted, and returns the exit status. Returns `None` if the store was removed,
/// and must be created again.
pub(crate) fn run(context: &Context<'_>, store: &Store, settings: Settings) -> Result<Option<u8>> {
    let _lock = store.lock_watch()?;
    let (sender, inbox) = channel();
    // One is for commands between commits; the other for the thread that waits for signals.
    context.interrupts()?;
    let signals = Context::catch_signals()?;
    let tell = sender.clone();
    // The thread waits for signals as long as the process lives.
    running::spawn("waits for signals", move || {
        let mut known = 0;
        loop {
            let (signal, count) = signals.wait_for_more(known);
            known = count;
            if tell.send(Message::Signal(signal, count)).is_err() {
                return;
            }
        }
    })?;
    let tell = sender.clone();
    // The notice reports commits and activations by other programs.
    let _notice = notice::watch(context, store, move || tell.send(Message::Notice).unwrap_or_default());
    let tell = sender.clone();
    let heard = move |request, asker| tell.send(Message::Asked(request, Some(asker))).unwrap_or_default();
    let _listener = match Listener::begin(store, heard) {
        Ok(listener) => Some(listener),
        Err(error) => {
            context.out.detail(&format!("`rebuild` and `restart` do not work: {error:#}"));
            None
        }
    };
    // A program that has the terminal reads its keys.
    if settings.programs.iter().all(|program| program.child.job.stdin != Stdin::Passed) {
        keys::listen(context, &sender)?;
    }
    let mut watch = Watch::new(context, store, settings, sender, inbox)?;
    let done = watch.run();
    // No process is left behind, even after an error.
    watch.children.kill();
    watch.building = None;
    while !watch.children.are_gone() {
        if let Ok(Message::Child(ended)) = watch.inbox.recv() {
            watch.children.stop(Instant::now());
            drop(watch.children.heard(ended, Instant::now()));
        }
    }
    done
}

impl<'a> Watch<'a> {
    fn run(&mut self) -> Result<Option<u8>> {
        let all = std::iter::once(Of::Build).chain((0..self.own.len()).map(Of::Program));
        for of in all.collect::<Vec<_>>() {
            self.listen(of);
            self.look_at(of);
        }
        self.listen_to_output()?;
        self.tell(&Event::Ready {
            schema: "genstore.watch/1",
            pid: std::process::id(),
            files: self.sources.seen.files(),
            watched: self.sources.watched(),
            polling: self.sources.is_polling(),
            generation: self.current,
            held: self.is_held(),
        });
        if let Some(url) = self.settings.url.clone() {
            self.tell(&Event::Serving { url });
        }
        // The current generation need not wait for a build.
        self.show();
        self.look_at_views();
        // The first build must be able to start. Problems of later builds are reported, and the loop waits.
        self.build()?;
        loop {
            if let (Some(signal), None, true) = (self.ending, &self.building, self.children.are_gone()) {
                if self.store_gone {
                    return Ok(None);
                }
                self.tell(&Event::End { signal: (signal > 0).then_some(signal) });
                let status = if signal > 0 { Ended::Interrupted(signal).exit_code() } else { exit::DONE };
                return Ok(Some(status));
            }
            self.attend(Instant::now());
            match self.next_message() {
                None => self.look_at_current(),
                Some(Message::Heard(of)) => self.observed(of).hear(Instant::now()),
                Some(Message::Notice) => self.look_at_current(),
                Some(Message::Asked(request, asker)) => self.do_what_was_asked(&request, asker),
                Some(Message::Built(number, finished)) => self.built(number, finished),
                Some(Message::Child(ended)) => {
                    let news = self.children.heard(ended, Instant::now());
                    self.tell_of_children(news);
                }
                Some(Message::Signal(signal, count)) => self.end(signal, count > 1),
            }
            // The reader of the events is gone, such as a closed editor.
            if self.ending.is_none() && self.context.out.has_failed() {
                self.end(0, false);
            }
        }
    }

    /// Does everything that is due by now.
    fn attend(&mut self, now: Instant) {
        self.tell_warnings();
        let news = self.children.tick(now);
        self.tell_of_children(news);
        self.attend_build(now);
        if self.ending.is_none() && self.current.is_none() && self.is_store_gone() {
            self.tell(&Event::StoreGone { path: PathField::of_path(self.store.path()) });
            self.store_gone = true;
            self.end(0, false);
        }
        if self.ending.is_some() {
            return;
        }
        for of in self.looks_due(now) {
            self.look(of);
        }
        if self.again_at.is_some_and(|at| at <= now) && self.building.is_none() {
            self.build_again();
        }
        self.restart_those_that_waited();
    }

    /// Returns when to check each set of sources.
    fn looks(&self) -> impl Iterator<Item = (Of, Instant)> {
        // Between builds, the sources of the build may need a full scan even without events.
        let build = self.sources.due(self.building.is_none()).map(|at| (Of::Build, at));
        let own = self.own.iter().enumerate();
        build.into_iter().chain(own.filter_map(|(n, (_, own))| Some((Of::Program(n), own.due(true)?))))
    }

    fn looks_due(&self, now: Instant) -> Vec<Of> {
        self.looks().filter(|(_, at)| *at <= now).map(|(of, _)| of).collect()
    }

    fn next_message(&self) -> Option<Message> {
        let idle = self.ending.is_none();
        // The store may be being removed.
        let is_lost = idle && self.current.is_none() && self.shown.is_some();
        let due = [
            self.children.due(),
            self.build_due(),
            self.looks().map(|(_, at)| at).min().filter(|_| idle),
            self.again_at.filter(|_| idle),
            Some(Instant::now() + if is_lost { LOOK_AT_STORE } else { LOOK_AT_CURRENT }),
        ];
        let wait = due.into_iter().flatten().min()?.saturating_duration_since(Instant::now());
        // The loop itself holds a sender, so the only error is a timeout.
        self.inbox.recv_timeout(wait).ok()
    }

    fn end(&mut self, signal: i32, at_once: bool) {
        if self.ending.is_none_or(|known| known == 0) {
            self.ending = Some(signal);
        }
        self.store_gone &= signal == 0;
        let signal = if signal > 0 { signal } else { SIGTERM };
        self.stop_build(Stop::End, signal);
        self.children.stop(Instant::now());
        if at_once {
            self.children.kill();
            self.kill_build();
        }
    }
}

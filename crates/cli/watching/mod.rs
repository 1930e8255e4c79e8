//! The loop of `watch`: sources change, a build runs, what it wrote is committed, and children are
//! started anew on it.
//!
//! One thread does all of it, and waits in one place for what others tell it: that something may have
//! changed, that `current` moved, that the build or a child has ended, that it is to end itself. Events
//! tell when and where to look: what changed, a scan tells by comparison with the one before.

mod builds;
mod current;
mod events;
mod inputs;
mod output;
mod prefix;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::{Emptying, Generation, GenerationId, StageOptions, Store, TreeId};
use genstore_run::{Ended, Finished, GuardCommand, Output};
use genstore_watch::{Child, ChildEnded, ChildNews, Children, Debounce, Scan, Sources, Wake};

use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::notice;
use crate::command::running;
use crate::errors::{Failure, exit};
use crate::project::config::{OnBusy, RunIn, SIGTERM};
use builds::{Building, Stop};
use events::Event;
use inputs::Inputs;
use output::KnownOutput;
use prefix::{prefix, sink};

/// `current` is looked at so often where no notice comes: a watch may miss what happens.
const LOOK_AT_CURRENT: Duration = Duration::from_secs(5);
/// What is wished for.
pub(crate) struct Settings {
    pub(crate) builder: Builder,
    pub(crate) sources: Arc<Sources>,
    /// What paths are shown from.
    pub(crate) root: PathBuf,
    pub(crate) debounce: Duration,
    /// Look so often, and do not wait for events.
    pub(crate) poll: Option<Duration>,
    pub(crate) on_busy: OnBusy,
    pub(crate) children: Vec<Child>,
    pub(crate) run_in: RunIn,
    pub(crate) stop_signal: i32,
    pub(crate) stop_timeout: Duration,
    pub(crate) emptying: Emptying,
    pub(crate) stage: StageOptions,
}

/// What other threads tell the loop.
enum Message {
    /// Sources may have changed.
    Heard,
    /// `current` may have moved.
    Notice,
    /// The build with this number has ended.
    Built(u64, Finished),
    Child(ChildEnded),
    /// The first signal, and how many have come.
    Signal(i32, usize),
}

/// Watches until it is interrupted; gives the exit status.
pub(crate) fn run(context: &Context<'_>, store: &Store, settings: Settings) -> Result<u8> {
    let _lock = store.lock_watch()?;
    let (sender, inbox) = channel();
    // For what runs between commits; and for the thread that waits for signals.
    context.interrupts()?;
    let signals = Context::catch_signals()?;
    let tell = sender.clone();
    // It waits for signals as long as the process lives.
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
    // Of commits and activations by others.
    let _notice = notice::watch(context, store, move || tell.send(Message::Notice).unwrap_or_default());
    let mut watch = Watch::new(context, store, settings, sender, inbox)?;
    let done = watch.run();
    // Whatever went wrong: nothing is left behind.
    watch.children.kill();
    watch.building = None;
    while !watch.children.are_gone() {
        if let Ok(Message::Child(ended)) = watch.inbox.recv() {
            watch.children.stop(Instant::now());
            drop(watch.children.ended(ended, Instant::now()));
        }
    }
    done
}

struct Watch<'a> {
    context: &'a Context<'a>,
    store: &'a Store,
    settings: Settings,
    sources: Arc<Sources>,
    wake: Wake,
    /// The builder's own folder, where events tell of it.
    output: Option<KnownOutput>,
    debounce: Debounce,
    /// When to look next, where no events wake.
    poll_at: Option<Instant>,
    /// What the sources were when they were last looked at.
    seen: Scan,
    inputs: Inputs,
    problems: Vec<String>,
    building: Option<Building<'a>>,
    /// Another build is to follow.
    wanted: bool,
    /// When it is to begin, where it is not to begin at once.
    again_at: Option<Instant>,
    /// Something was heard of the sources since the build began.
    heard: Arc<AtomicBool>,
    /// A message says so already.
    told: Arc<AtomicBool>,
    builds: u64,
    published: u64,
    /// The names of the children.
    names: Vec<String>,
    children: Children<Generation>,
    current: Option<GenerationId>,
    /// The children were started on it.
    shown: Option<GenerationId>,
    /// What was kept last while a rollback held current.
    kept: Option<(GenerationId, TreeId)>,
    ending: Option<i32>,
    sender: Sender<Message>,
    inbox: Receiver<Message>,
}

impl<'a> Watch<'a> {
    fn new(
        context: &'a Context<'a>,
        store: &'a Store,
        mut settings: Settings,
        sender: Sender<Message>,
        inbox: Receiver<Message>,
    ) -> Result<Watch<'a>> {
        let (tell, json, colored) = (sender.clone(), context.out.json(), context.out.colored);
        let children = std::mem::take(&mut settings.children);
        let names: Vec<String> = children.iter().map(|child| child.name.clone()).collect();
        let stop = (settings.stop_signal, settings.stop_timeout);
        let prefixes = names.clone();
        let children = Children::new(
            children,
            GuardCommand::this_program([running::GUARD]),
            stop,
            move |name| Output::to(sink(prefix(&prefixes, name, colored), json)),
            move |ended| tell.send(Message::Child(ended)).unwrap_or_default(),
        );
        let current = store.current()?;
        Ok(Watch {
            context,
            store,
            sources: Arc::clone(&settings.sources),
            wake: Wake::deaf(),
            output: None,
            debounce: Debounce::new(settings.debounce),
            poll_at: None,
            seen: Scan::default(),
            inputs: Inputs::default(),
            problems: vec![],
            building: None,
            wanted: false,
            again_at: None,
            heard: Arc::default(),
            told: Arc::default(),
            builds: 0,
            published: 0,
            names,
            children,
            current,
            shown: None,
            kept: None,
            ending: None,
            settings,
            sender,
            inbox,
        })
    }

    fn run(&mut self) -> Result<u8> {
        self.listen();
        self.seen = self.scan();
        self.listen_to_output()?;
        self.tell(&Event::Ready {
            schema: "genstore.watch/1",
            pid: std::process::id(),
            files: self.seen.files(),
            watched: self.wake.watched(),
            polling: self.wake.is_deaf(),
            generation: self.current,
            held: self.is_held(),
        });
        // The first one must be able to run at all; what later ones lack is told, and waited for.
        self.build()?;
        loop {
            if let (Some(signal), None, true) = (self.ending, &self.building, self.children.are_gone()) {
                self.tell(&Event::End { signal: (signal > 0).then_some(signal) });
                let status = if signal > 0 { Ended::Interrupted(signal).exit_code() } else { exit::DONE };
                return Ok(status);
            }
            self.attend(Instant::now());
            match self.next_message() {
                None => self.look_at_current(),
                Some(Message::Heard) => {
                    self.told.store(false, Ordering::SeqCst);
                    self.debounce.hear(Instant::now());
                }
                Some(Message::Notice) => self.look_at_current(),
                Some(Message::Built(number, finished)) => self.built(number, finished),
                Some(Message::Child(ended)) => {
                    let news = self.children.ended(ended, Instant::now());
                    self.tell_of_children(news);
                }
                Some(Message::Signal(signal, count)) => self.end(signal, count > 1),
            }
            // Whoever read our events is gone: an editor that was closed.
            if self.ending.is_none() && self.context.out.has_failed() {
                self.end(0, false);
            }
        }
    }

    /// Does what is due by now.
    fn attend(&mut self, now: Instant) {
        self.tell_warnings();
        let news = self.children.tick(now);
        self.tell_of_children(news);
        self.attend_build(now);
        if self.ending.is_some() {
            return;
        }
        let due = self.poll_at.into_iter().chain(self.whole_due()).any(|at| at <= now);
        if self.debounce.take(now) || due {
            self.look();
        }
        if self.again_at.is_some_and(|at| at <= now) && self.building.is_none() {
            self.build_again();
        }
    }

    /// Tells when to look at all sources, whatever was heard: between builds.
    fn whole_due(&self) -> Option<Instant> {
        self.wake.due().filter(|_| self.building.is_none())
    }

    fn next_message(&self) -> Option<Message> {
        let idle = self.ending.is_none();
        let due = [
            self.children.due(),
            self.build_due(),
            self.debounce.due().filter(|_| idle),
            self.again_at.filter(|_| idle),
            self.poll_at.filter(|_| idle),
            self.whole_due().filter(|_| idle),
            Some(Instant::now() + LOOK_AT_CURRENT),
        ];
        let wait = due.into_iter().flatten().min()?.saturating_duration_since(Instant::now());
        // The loop has a sender itself, so all that can go wrong is that nothing comes.
        self.inbox.recv_timeout(wait).ok()
    }

    fn end(&mut self, signal: i32, at_once: bool) {
        self.ending.get_or_insert(signal);
        let signal = if signal > 0 { signal } else { SIGTERM };
        self.stop_build(Stop::End, signal);
        self.children.stop(Instant::now());
        if at_once {
            self.children.kill();
            self.kill_build();
        }
    }

    fn tell_of_children(&self, news: Vec<ChildNews>) {
        for news in news {
            self.tell(&Event::child(news));
        }
    }

    fn tell(&self, event: &Event) {
        self.context.out.confirm(event, || event.line());
    }

    fn warn(&self, message: String) {
        match self.context.out.json() {
            true => self.tell(&Event::Warning { message }),
            false => self.context.out.warn(&message),
        }
    }

    /// Tells of what went wrong beside the loop, as in a hook.
    fn tell_warnings(&self) {
        for message in self.context.out.take_warnings() {
            self.tell(&Event::Warning { message });
        }
    }

    /// Tells of a failure that the watch survives.
    fn fail(&self, error: &anyhow::Error) {
        let failure = Failure::of(error);
        match self.context.out.json() {
            true => self.tell(&Event::Error { failure: Box::new(failure) }),
            false => drop(failure.tell(self.context.out, None)),
        }
    }
}

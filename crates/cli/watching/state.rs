//! What the loop of `watch` knows, and how it tells of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::{Emptying, Generation, GenerationId, Stage, StageOptions, Store, TreeId};
use genstore_run::{Finished, GuardCommand, Output, Stopper};
use genstore_watch::{Child, ChildEnded, ChildNews, Children, Debounce, Scan, Sources, Wake};

use super::events::Event;
use super::inputs::Inputs;
use super::output::KnownOutput;
use super::prefix::{prefix, sink};
use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::running;
use crate::project::config::{OnBusy, RunIn};
use crate::render::failure::Failure;

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
pub(super) enum Message {
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

/// A build that runs.
pub(super) struct Building<'s> {
    pub(super) number: u64,
    pub(super) stage: Stage<'s>,
    /// Held until the build has ended.
    pub(super) _previous: Option<Generation>,
    pub(super) stopper: Stopper,
    pub(super) since: Instant,
    pub(super) name: String,
    pub(super) kill_at: Option<Instant>,
    pub(super) why: Option<Stop>,
}

/// Why a build is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Sources changed.
    Restart,
    /// It took too long.
    Timeout,
    /// The watch ends.
    End,
}

/// One run of `watch`.
pub(super) struct Watch<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) store: &'a Store,
    pub(super) settings: Settings,
    pub(super) sources: Arc<Sources>,
    pub(super) wake: Wake,
    /// The builder's own folder, where events tell of it.
    pub(super) output: Option<KnownOutput>,
    pub(super) debounce: Debounce,
    /// When to look next, where no events wake.
    pub(super) poll_at: Option<Instant>,
    /// What the sources were when they were last looked at.
    pub(super) seen: Scan,
    pub(super) inputs: Inputs,
    pub(super) problems: Vec<String>,
    pub(super) building: Option<Building<'a>>,
    /// Another build is to follow.
    pub(super) wanted: bool,
    /// When it is to begin, where it is not to begin at once.
    pub(super) again_at: Option<Instant>,
    /// Something was heard of the sources since the build began.
    pub(super) heard: Arc<AtomicBool>,
    /// A message says so already.
    pub(super) told: Arc<AtomicBool>,
    pub(super) builds: u64,
    pub(super) published: u64,
    /// The names of the children.
    pub(super) names: Vec<String>,
    pub(super) children: Children<Generation>,
    pub(super) current: Option<GenerationId>,
    /// The children were started on it.
    pub(super) shown: Option<GenerationId>,
    /// What was kept last while a rollback held current.
    pub(super) kept: Option<(GenerationId, TreeId)>,
    pub(super) ending: Option<i32>,
    pub(super) sender: Sender<Message>,
    pub(super) inbox: Receiver<Message>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
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

    pub(super) fn tell(&self, event: &Event) {
        self.context.out.confirm(event, || event.line());
    }

    pub(super) fn warn(&self, message: String) {
        match self.context.out.json() {
            true => self.tell(&Event::Warning { message }),
            false => self.context.out.warn(&message),
        }
    }

    pub(super) fn tell_of_children(&self, news: Vec<ChildNews>) {
        for news in news {
            self.tell(&Event::child(news));
        }
    }

    /// Tells of what went wrong beside the loop, as in a hook.
    pub(super) fn tell_warnings(&self) {
        for message in self.context.out.take_warnings() {
            self.tell(&Event::Warning { message });
        }
    }

    /// Tells of a failure that the watch survives.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        let failure = Failure::of(error);
        match self.context.out.json() {
            true => self.tell(&Event::Error { failure: Box::new(failure) }),
            false => drop(failure.tell(self.context.out, None)),
        }
    }
}

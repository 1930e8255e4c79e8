//! What the loop of `watch` knows, and how it tells of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::Result;
use genstore::publish::{Emptying, Stage};
use genstore::tree::TreeId;
use genstore::{Generation, GenerationId, StageOptions, Store};
use genstore_run::{Finished, GuardCommand, Output, Stopper};
use genstore_watch::{Child, ChildEnded, ChildNews, Children, Restart, Scan, Sources};

use notify::RecommendedWatcher;

use super::events::{Event, Timed};
use super::inputs::Inputs;
use super::observed::Observed;
use super::output::KnownOutput;
use super::prefix::{prefix, sink};
use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::control::{Asker, Request};
use crate::command::running;
use crate::command::stale::{Began, Stale};
use crate::project::config::{OnBusy, RunIn};
use crate::render::failure::Failure;
use crate::text::style::DIM;
use crate::text::time;

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
    /// Show also builds during which sources changed.
    pub(crate) show_changed: bool,
    pub(crate) programs: Vec<Program>,
    pub(crate) run_in: RunIn,
    pub(crate) emptying: Emptying,
    pub(crate) stage: StageOptions,
}

/// A program of the watch.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// What it reads of its own; `None` where the project does not say.
    pub(crate) own: Option<Arc<Sources>>,
}

/// Whose sources.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Build,
    /// Those of a program that has its own.
    Program(usize),
}

/// What other threads tell the loop.
pub(super) enum Message {
    /// Sources may have changed.
    Heard(Of),
    /// `current` may have moved.
    Notice,
    /// Somebody asks for something; who pressed a key expects no answer.
    Asked(Request, Option<Asker>),
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
    pub(super) began: Option<Began>,
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
    pub(super) sources: Observed,
    /// What programs read of their own, by their names.
    pub(super) own: Vec<(String, Observed)>,
    /// The names of those that commits start anew, and of which nobody said what they read.
    pub(super) unclaimed: Vec<String>,
    /// The builder's own folder, where events tell of it.
    pub(super) output: Option<KnownOutput>,
    /// The stale files of that folder that were told of last.
    pub(super) stale: Stale,
    /// What the sources were before the last build began.
    pub(super) built_from: Scan,
    pub(super) inputs: Inputs,
    pub(super) building: Option<Building<'a>>,
    /// Another build is to follow.
    pub(super) wanted: bool,
    /// And one more, since somebody asked for it.
    pub(super) asked: bool,
    /// When it is to begin, where it is not to begin at once.
    pub(super) again_at: Option<Instant>,
    /// The build that runs, or ran last, was made for a change of the sources.
    pub(super) for_change: bool,
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
    /// The folders that views lie in, and what watches them.
    pub(super) views: (Vec<PathBuf>, Option<RecommendedWatcher>),
    /// It ends because its store was removed.
    pub(super) store_gone: bool,
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
        let (debounce, poll) = (settings.debounce, settings.poll);
        let observe = |sources| Observed::new(sources, debounce, poll);
        let programs = std::mem::take(&mut settings.programs);
        let names: Vec<String> = programs.iter().map(|program| program.child.name.clone()).collect();
        let own = programs.iter().filter_map(|program| {
            let own = program.own.as_ref()?;
            Some((program.child.name.clone(), observe(Arc::clone(own))))
        });
        let own = own.collect();
        let is_unclaimed =
            |program: &&Program| program.own.is_none() && program.child.restart == Restart::Commit;
        let unclaimed = programs.iter().filter(is_unclaimed).map(|program| program.child.name.clone());
        let unclaimed = unclaimed.collect();
        let sources = observe(Arc::clone(&settings.sources));
        let prefixes = names.clone();
        let children = Children::new(
            programs.into_iter().map(|program| program.child).collect(),
            GuardCommand::this_program([running::GUARD]),
            move |name| Output::to(sink(prefix(&prefixes, name, colored), json)),
            move |ended| tell.send(Message::Child(ended)).unwrap_or_default(),
        );
        let current = store.current()?;
        Ok(Watch {
            context,
            store,
            sources,
            own,
            unclaimed,
            output: None,
            stale: Stale::default(),
            built_from: Scan::default(),
            inputs: Inputs::default(),
            building: None,
            wanted: false,
            asked: false,
            again_at: None,
            for_change: false,
            builds: 0,
            published: 0,
            names,
            children,
            current,
            shown: None,
            kept: None,
            ending: None,
            views: (vec![], None),
            store_gone: false,
            settings,
            sender,
            inbox,
        })
    }

    pub(super) fn tell(&self, event: &Event) {
        let now = self.context.now();
        let line = || match event.line() {
            line if line.is_empty() => line,
            line => format!("{DIM}{}{DIM:#} {line}", time::of_day(now)),
        };
        self.context.out.confirm(&Timed { event, time: time::rfc3339(now) }, line);
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

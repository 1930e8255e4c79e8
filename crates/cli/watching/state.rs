//! The state of the loop of `watch`, and its reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use genstore::publish::{Emptying, Stage};
use genstore::tree::TreeId;
use genstore::{Generation, GenerationId, StageOptions, Store};
use genstore_run::{Finished, GuardCommand, Output, Stopper};
use genstore_watch::{Child, ChildNews, ChildReport, Children, News, Ready, Restart, Scan, Sources};

use notify::RecommendedWatcher;

use super::events::{Event, Timed};
use super::failed;
use super::inputs::Inputs;
use super::observed::Observed;
use super::output::KnownOutput;
use super::prefix::{prefix, sink, watched_for};
use super::serving;
use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::control::{Asker, Request};
use crate::command::running;
use crate::command::stale::{Began, Stale};
use crate::project::config::{OnBusy, Pattern, RunIn};
use crate::render::failure::Failure;
use crate::text::style::DIM;
use crate::text::time;

/// A function that shows the message of a failed build over open pages, or takes it away.
pub(crate) type Pages = Box<dyn Fn(Option<&str>)>;

/// The settings of the loop.
pub(crate) struct Settings {
    pub(crate) builder: Builder,
    pub(crate) sources: Arc<Sources>,
    /// The folder that printed paths are relative to.
    pub(crate) root: PathBuf,
    /// The project's file, and the time of its last change.
    pub(crate) config: Option<(PathBuf, Option<SystemTime>)>,
    pub(crate) debounce: Duration,
    /// The interval of polling, if it replaces events.
    pub(crate) poll: Option<Duration>,
    pub(crate) on_busy: OnBusy,
    /// Whether to activate builds during which sources changed.
    pub(crate) show_changed: bool,
    pub(crate) programs: Vec<Program>,
    pub(crate) run_in: RunIn,
    pub(crate) emptying: Emptying,
    /// Shows the message of a failed build over open pages, or takes it away.
    pub(crate) pages: Option<Pages>,
    /// The address at which the result is served.
    pub(crate) url: Option<String>,
    pub(crate) stage: StageOptions,
}

/// A program of the watch.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// The sources that only the program reads; `None` if the project does not list them.
    pub(crate) own: Option<Arc<Sources>>,
    /// A line of its output that matches this says that it is ready.
    pub(crate) pattern: Option<Pattern>,
}

/// Returns the names of some programs.
fn names_of(programs: &[Program], is_meant: impl Fn(&Program) -> bool) -> Vec<String> {
    programs.iter().filter(|one| is_meant(one)).map(|one| one.child.name.clone()).collect()
}

/// Returns the ports by which programs are known to be ready, by their names.
fn ports_of(programs: &[Program]) -> BTreeMap<String, u16> {
    // A socket that the watch holds is no other program's.
    let others = programs.iter().filter(|program| program.child.socket.is_none());
    let ports = others.filter_map(|program| match &program.child.ready {
        Some(Ready::Port(port)) => Some((program.child.name.clone(), *port)),
        Some(Ready::Url(url)) => Some((program.child.name.clone(), url.port())),
        Some(Ready::Output) | None => None,
    });
    ports.collect()
}

/// The owner of sources.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Build,
    /// A program with its own sources.
    Program(usize),
}

/// A message from another thread to the loop.
pub(super) enum Message {
    /// Sources may have changed.
    Heard(Of),
    /// `current` may have moved.
    Notice,
    /// A request. A key press has no asker.
    Asked(Request, Option<Asker>),
    /// The build with this number has ended.
    Built(u64, Finished),
    Child(ChildReport),
    /// The first signal, and the number of signals so far.
    Signal(i32, usize),
}

/// A running build.
pub(super) struct Building<'s> {
    pub(super) number: u64,
    pub(super) stage: Stage<'s>,
    /// The lease of the previous generation, held until the build has ended.
    pub(super) _previous: Option<Generation>,
    pub(super) stopper: Stopper,
    pub(super) since: Instant,
    pub(super) name: String,
    pub(super) kill_at: Option<Instant>,
    pub(super) why: Option<Stop>,
    pub(super) began: Option<Began>,
}

/// The reason for which a build is stopped.
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
    /// The sources of programs, by their names.
    pub(super) own: Vec<(String, Observed)>,
    /// The names of the programs that restart on commits and have no sources of their own.
    pub(super) unclaimed: Vec<String>,
    /// The names of the programs that restart on commits.
    pub(super) on_commit: BTreeSet<String>,
    /// Programs whose own sources changed, and that wait for a build, with the changes.
    pub(super) due_restarts: BTreeMap<usize, BTreeSet<PathBuf>>,
    /// The builder's own folder, if there are events for it.
    pub(super) output: Option<KnownOutput>,
    /// The stale files of that folder in the last report.
    pub(super) stale: Stale,
    /// The sources before the last build began.
    pub(super) built_from: Scan,
    pub(super) inputs: Inputs,
    pub(super) building: Option<Building<'a>>,
    /// Whether another build must follow.
    pub(super) wanted: bool,
    /// Whether a build was requested in addition.
    pub(super) asked: bool,
    /// The time of the next build, if it is delayed.
    pub(super) again_at: Option<Instant>,
    /// Whether the last build failed, or its result was refused.
    pub(super) has_failed: bool,
    /// The time of the last build.
    pub(super) took: Duration,
    /// Whether the current or last build was for a change of the sources.
    pub(super) for_change: bool,
    pub(super) builds: u64,
    pub(super) published: u64,
    /// The names of the children.
    pub(super) names: Vec<String>,
    /// The ports by which programs are known to be ready, by their names.
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) children: Children<Generation>,
    pub(super) current: Option<GenerationId>,
    /// The generation on which the children were started.
    pub(super) shown: Option<GenerationId>,
    /// The last kept generation while a rollback held `current`.
    pub(super) kept: Option<(GenerationId, TreeId)>,
    pub(super) ending: Option<i32>,
    /// The folders that contain views, and their watcher.
    pub(super) views: (Vec<PathBuf>, Option<RecommendedWatcher>),
    /// Whether the watch ends because its store was removed.
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
        let names = names_of(&programs, |_| true);
        let own = programs.iter().filter_map(|program| {
            let own = program.own.as_ref()?;
            Some((program.child.name.clone(), observe(Arc::clone(own))))
        });
        let own = own.collect();
        let on_commit = |program: &Program| program.child.restart == Restart::Commit;
        let unclaimed = names_of(&programs, |program| program.own.is_none() && on_commit(program));
        let on_commit = names_of(&programs, on_commit).into_iter().collect();
        let sources = observe(Arc::clone(&settings.sources));
        let prefixes = names.clone();
        let patterns: BTreeMap<String, Pattern> = programs
            .iter()
            .filter_map(|program| Some((program.child.name.clone(), program.pattern.clone()?)))
            .collect();
        let ports = ports_of(&programs);
        let children = Children::new(
            programs.into_iter().map(|program| program.child).collect(),
            GuardCommand::this_program([running::GUARD]),
            move |name, announce| {
                let sink = sink(prefix(&prefixes, name, colored), json);
                match patterns.get(name) {
                    Some(pattern) => Output::to(watched_for(pattern.clone(), announce, sink)),
                    None => Output::to(sink),
                }
            },
            move |ended| tell.send(Message::Child(ended)).unwrap_or_default(),
        );
        let current = store.current()?;
        Ok(Watch {
            context,
            store,
            sources,
            own,
            unclaimed,
            on_commit,
            due_restarts: BTreeMap::new(),
            output: None,
            stale: Stale::default(),
            built_from: Scan::default(),
            inputs: Inputs::default(),
            building: None,
            wanted: false,
            asked: false,
            again_at: None,
            has_failed: false,
            took: Duration::ZERO,
            for_change: false,
            builds: 0,
            published: 0,
            names,
            ports,
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
        if let Some(pages) = &self.settings.pages
            && matches!(event, Event::Published { .. } | Event::Unchanged { .. } | Event::Kept { .. })
        {
            pages(None);
        }
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
            let crashed = matches!(news.news, News::Crashed { .. }).then_some(&news.name);
            let port = crashed.and_then(|name| self.ports.get(name)).copied();
            self.tell(&Event::child(news));
            // It is dead, so nothing of it has the port.
            if let Some((port, holder)) = port.and_then(|port| Some((port, serving::holder(port)?))) {
                self.warn(format!("port {port} is taken: {holder} has it"));
            }
        }
    }

    /// Prints warnings of other parts, such as hooks.
    pub(super) fn tell_warnings(&self) {
        for message in self.context.out.take_warnings() {
            self.tell(&Event::Warning { message });
        }
    }

    /// Prints a failure that does not end the watch.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        if let Some(pages) = &self.settings.pages {
            pages(Some(&failed::text(error)));
        }
        let failure = Failure::of(error);
        match self.context.out.json() {
            true => self.tell(&Event::Error { failure: Box::new(failure) }),
            false => drop(failure.report(self.context.out, None)),
        }
    }
}

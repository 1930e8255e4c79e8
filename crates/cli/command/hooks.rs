//! `[hooks]`: commands of the project that run after `current` has moved.
//!
//! The commit is done, so a failing hook is a warning with exit status 3.

use genstore::{GenerationId, Store};
use genstore_run::{Ended, Limits, Output};

use crate::command::context::Context;
use crate::command::running;
use crate::exit;
use crate::render::output;
use crate::text::human;

/// The result of the commands.
pub(crate) struct HooksEnded {
    failed: bool,
    /// The current generation after the hooks.
    current: Option<GenerationId>,
}

impl HooksEnded {
    /// The result without any commands.
    pub(crate) fn without(current: Option<GenerationId>) -> HooksEnded {
        HooksEnded { failed: false, current }
    }

    /// Returns whether this generation is current now.
    pub(crate) fn leave_current(&self, generation: GenerationId) -> bool {
        self.current == Some(generation)
    }

    /// Returns the exit status of a verb: `status`, or "partly done" if a hook failed.
    pub(crate) fn status(&self, context: &Context<'_>, status: u8) -> u8 {
        if !self.failed || status != exit::DONE {
            return status;
        }
        context.out.hint("the commit is done: fix the hook's command, and run it by hand");
        exit::PARTLY
    }
}

/// Runs the commands of `[hooks] post_commit` in order, in the project's root.
pub(crate) fn post_commit(
    context: &Context<'_>,
    store: &Store,
    generation: GenerationId,
    previous: Option<GenerationId>,
) -> HooksEnded {
    let mut ended = HooksEnded::without(Some(generation));
    // An unreadable file was reported before anything moved.
    let Ok(Some(project)) = context.own_project() else { return ended };
    let hooks = &project.config.hooks;
    let fail = |text: &str| {
        context.out.warn(text);
        true
    };
    for command in &hooks.post_commit {
        let name = human::line(&command.text(), 60);
        let Some(mut job) = running::job(&command.words()) else {
            ended.failed = fail("a command of [hooks] post_commit is empty");
            continue;
        };
        job.cwd = Some(project.root().to_owned());
        job.env = vec![
            ("GENSTORE_ROOT".into(), store.tree_path(generation).into()),
            ("GENSTORE_GENERATION".into(), generation.to_string().into()),
            ("GENSTORE_STORE".into(), store.path().into()),
            ("GENSTORE_VERB".into(), context.verb().into()),
        ];
        match previous {
            Some(previous) => {
                job.env.push(("GENSTORE_PREVIOUS".into(), previous.to_string().into()));
            }
            None => job.env_remove.push("GENSTORE_PREVIOUS".into()),
        }
        let limits = Limits { timeout: hooks.timeout, ..Limits::default() };
        // stdout is reserved for the verb's output.
        let output = Output::to(|_, bytes| output::pass_to_stderr(bytes));
        match running::run(context, &job, output, limits) {
            Ok(done) if done.finished.ended == Ended::Exited(0) => {}
            Ok(done) => {
                let how = running::ending(&name, done.finished.ended);
                ended.failed = fail(&format!("the hook post_commit: {how}"));
            }
            Err(error) => ended.failed = fail(&format!("the hook post_commit: {error:#}")),
        }
    }
    if !hooks.post_commit.is_empty() {
        // A command may have rolled back.
        match store.current() {
            Ok(current) => ended.current = current,
            Err(error) => {
                ended.failed = fail(&format!("cannot read the current generation after the hooks: {error}"))
            }
        }
    }
    if ended.current != Some(generation) {
        let now = ended.current.map_or("nothing".to_owned(), |id| format!("generation {id}"));
        context.out.warn(&format!("generation {generation} is no longer current: {now} is"));
    }
    ended
}

//! `[hooks]`: commands of the project that are run once `current` has moved.
//!
//! What fails there is a warning: the commit stands.

use genstore::{GenerationId, Store};
use genstore_run::{Ended, Limits, Output};

use crate::context::Context;
use crate::render::human;
use crate::{output, running};

/// Runs the commands of `[hooks] post_commit`, one after the other, in the project's root.
pub(crate) fn post_commit(
    context: &Context<'_>,
    store: &Store,
    generation: GenerationId,
    previous: Option<GenerationId>,
) {
    // A file that cannot be read was told of before anything moved.
    let Ok(Some(project)) = context.own_project() else { return };
    let hooks = &project.config.hooks;
    for command in &hooks.post_commit {
        let name = human::line(&command.text(), 60);
        let Some(mut job) = running::job(&command.words()) else {
            context.out.warn("a command of [hooks] post_commit is empty");
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
        // stdout is for what the verb has to tell.
        let output = Output::to(|_, bytes| output::pass_to_stderr(bytes));
        match running::run(context, &job, output, limits) {
            Ok(done) if done.finished.ended == Ended::Exited(0) => {}
            Ok(done) => {
                let how = running::ending(&name, done.finished.ended);
                context.out.warn(&format!("the hook post_commit: {how}"));
            }
            Err(error) => context.out.warn(&format!("the hook post_commit: {error:#}")),
        }
    }
}

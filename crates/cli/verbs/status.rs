//! `status`: what is current, whether a rollback holds it, the views, open stages, and a running watch.

use anyhow::Result;
use clap::Args;
use genstore::publish::{Hold, OpenStage, Owner};
use genstore::view::ViewState;
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::control::{self, BuildState, Request};
use crate::exit;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::style::{BAD, CARE, GOOD};
use crate::text::{human, time};
use crate::verbs::view::{self, ViewDoc};

#[derive(Args)]
pub(crate) struct Status {}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct StatusDoc {
    schema: &'static str,
    #[serde(flatten)]
    path: PathField,
    /// The current generation.
    current: Option<GenerationId>,
    /// Its tree id.
    tree: Option<String>,
    /// The hold of a rollback: automatic publications are kept, and do not become current.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldDoc>,
    /// The views.
    views: Vec<ViewDoc>,
    /// Stages that wait for their commit, oldest first.
    stages: Vec<StageDoc>,
    /// The running watch of the same user.
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<WatchDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct HoldDoc {
    /// The generation that was rolled back to.
    generation: GenerationId,
    /// The generation that was left.
    left: GenerationId,
    /// The time of the rollback.
    since: String,
    /// The user who rolled back.
    by: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct StageDoc {
    /// The id of the stage.
    stage: String,
    /// The time at which it was begun.
    since: String,
    /// The user who began it.
    by: String,
    /// The process with which the stage ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_pid: Option<u32>,
    /// The time at which the stage ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct WatchDoc {
    /// The number of its process.
    pid: u32,
    /// The names of its programs.
    programs: Vec<String>,
    /// The state of its build.
    build: BuildState,
}

impl Status {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let current = store.current()?;
        let head = match current {
            Some(id) => Some(store.open_generation(&Rev::Number(id))?.head()?),
            None => None,
        };
        let (hold, views, stages) = (store.hold()?, store.views()?, store.stages()?);
        // Without an answer there is none, or it is another user's.
        let watch = control::ask(&store, &Request::Look).ok();
        let document = StatusDoc {
            schema: "genstore.status/1",
            path: PathField::of_path(store.path()),
            current,
            tree: head.as_ref().map(|head| head.tree.to_string()),
            hold: hold.as_ref().map(hold_doc),
            views: views.iter().map(ViewDoc::of).collect(),
            stages: stages.iter().map(stage_doc).collect(),
            watch: watch.map(|answer| WatchDoc {
                pid: answer.pid,
                programs: answer.names,
                build: answer.build,
            }),
        };
        context.out.emit(&document, || {
            let now = context.now();
            let mut text = format!("Store    {}\n", show(store.path()));
            text.push_str(&match current.zip(head.as_ref()) {
                Some((id, head)) => {
                    let made = time::ago(head.created.into(), now);
                    let note = match head.note.is_empty() {
                        true => String::new(),
                        false => format!(": {}", human::line(&head.note, 60)),
                    };
                    format!("Current  {GOOD}{id}{GOOD:#} {}, created {made}{note}\n", head.tree.short())
                }
                None => format!("Current  {CARE}none{CARE:#}: {}\n", nothing(&store)),
            });
            if let Some(hold) = &hold {
                text.push_str(&format!(
                    "Held     {CARE}since {}{CARE:#}: {} was rolled back, by {}; `genstore resume` ends it\n",
                    time::local(hold.since),
                    hold.left,
                    hold.by
                ));
            }
            for view in &views {
                let good = matches!(view.state, ViewState::Ok | ViewState::Strangers(_));
                let style = if good { GOOD } else { BAD };
                let (path, state) = (show(&view.path), view::state(&view.state).1);
                text.push_str(&format!("View     {path} {style}{state}{style:#}\n"));
            }
            for stage in &stages {
                let begun = time::ago(stage.since, now);
                text.push_str(&format!(
                    "Stage    {} begun {begun} by {}{}\n",
                    stage.id,
                    stage.by,
                    end(stage)
                ));
            }
            if let Some(watch) = &document.watch {
                let programs = match watch.programs.is_empty() {
                    true => String::new(),
                    false => format!(", with {}", watch.programs.join(", ")),
                };
                let build = match watch.build {
                    BuildState::Building => format!("; {CARE}a build is under way{CARE:#}"),
                    BuildState::Failed => format!("; {BAD}the last build failed{BAD:#}"),
                    BuildState::Done => String::new(),
                };
                text.push_str(&format!("Watch    process {}{programs}{build}\n", watch.pid));
            }
            text
        });
        Ok(exit::DONE)
    }
}

/// Returns why nothing is current.
fn nothing(store: &Store) -> String {
    store.required_current().err().map_or_else(String::new, |error| error.to_string())
}

fn hold_doc(hold: &Hold) -> HoldDoc {
    HoldDoc {
        generation: hold.generation,
        left: hold.left,
        since: time::rfc3339(hold.since),
        by: hold.by.clone(),
    }
}

fn stage_doc(stage: &OpenStage) -> StageDoc {
    let (owner_pid, expires) = match stage.owner {
        Owner::Process(pid) => (Some(pid), None),
        Owner::Until(time) => (None, Some(time::rfc3339(time))),
        _ => (None, None),
    };
    let (id, since) = (stage.id.to_string(), time::rfc3339(stage.since));
    StageDoc { stage: id, since, by: stage.by.clone(), owner_pid, expires }
}

/// Describes when a stage ends.
fn end(stage: &OpenStage) -> String {
    match stage.owner {
        Owner::Process(pid) => format!("; ends with process {pid}"),
        Owner::Until(time) => format!("; ends at {}", time::local(time)),
        _ => String::new(),
    }
}

//! The common steps of `build` and `watch`: the build command, its stage or output folder, and the plan of
//! its output.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use genstore::audit::Failed;
use genstore::error::RefusedKind;
use genstore::plan::ScanRules;
use genstore::publish::{Emptying, Stage};
use genstore::{Error, Generation, GenerationId, Plan, Rev, Store};
use genstore_run::{Ended, GuardCommand, Job, Limits, Log, Output, Running, start_with};

use crate::command::advice;
use crate::command::context::Context;
use crate::command::place::{OUT, Place};
use crate::command::running;
use crate::command::stale::{self, Began, Prune, Stale};
use crate::errors::{BuildFailed, Fail};
use crate::exit;
use crate::text::human;

/// The largest part of a build's output that is kept.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// The build of a project.
pub(crate) struct Builder {
    job: Job,
    pub(crate) limits: Limits,
    /// The folder that the command writes to and keeps, if it does not use `GENSTORE_OUT`. It is published,
    /// and stays.
    output: Option<PathBuf>,
    /// The folder at which only the command sees its stage.
    place: Option<Place>,
    /// The treatment of its stale files; `None` ignores them.
    pub(crate) prune: Option<Prune>,
}

/// A build that is ready to start.
pub(crate) struct Prepared<'s> {
    pub(crate) stage: Stage<'s>,
    pub(crate) job: Job,
    pub(crate) log: Log,
    /// The current generation, leased as long as the build may read it.
    pub(crate) previous: Option<Generation>,
    /// When it began; `None` where that is not known.
    pub(crate) began: Option<Began>,
}

impl Builder {
    /// Creates a builder from the given command, which runs in the current directory, or else from the
    /// project's.
    pub(crate) fn new(
        context: &Context<'_>,
        command: &[OsString],
        output: Option<&Path>,
        timeout: Option<Duration>,
    ) -> Result<Builder> {
        let project = context.project()?;
        let section = project.map(|project| &project.config.build);
        let words = match section.and_then(|section| section.command.as_ref()) {
            _ if !command.is_empty() => command.to_vec(),
            Some(command) => command.words(),
            None => {
                let fail = Fail::usage("no-command", "no build command is set");
                let hint = "give one after `--`, or set `command` under [build] in genstore.toml";
                return Err(Fail { hint: hint.to_owned(), ..fail }.into());
            }
        };
        let has_env = section.is_some_and(|section| !section.env.is_empty());
        if command.is_empty() || has_env {
            context.check_commands()?;
        }
        let mut job = running::job(&words).ok_or_else(|| running::no_command("[build]"))?;
        if let (Some(project), true) = (project, command.is_empty()) {
            let root = project.root();
            job.cwd =
                Some(section.and_then(|s| s.cwd.as_ref()).map_or(root.to_owned(), |cwd| root.join(cwd)));
        }
        let env = section.map(|section| &section.env);
        job.env = context.out.colors_of_commands();
        job.env.extend(env.into_iter().flatten().map(|(key, value)| (key.into(), value.into())));
        let default = Limits::default();
        let limits = Limits {
            timeout: timeout.or(section.and_then(|section| section.timeout)),
            stop_timeout: section.and_then(|s| s.stop_timeout).unwrap_or(default.stop_timeout),
        };
        let output = match (output, project) {
            (Some(output), _) => Some(context.absolute(output)),
            (None, Some(project)) => {
                project.config.build.output.as_ref().map(|output| project.root().join(output))
            }
            (None, None) => None,
        };
        let prune = match (&output, project) {
            (Some(output), Some(project)) => {
                Prune::read(project.config.build.prune, output, project.root())?
            }
            (Some(_), None) => Some(Prune::Name),
            (None, _) => None,
        };
        let place = match project {
            Some(project) => Place::of(project)?.filter(|_| output.is_none()),
            None => None,
        };
        Ok(Builder { job, limits, output, place, prune })
    }

    /// Returns the command as one short line.
    pub(crate) fn name(&self) -> String {
        let words = [&self.job.program].into_iter().chain(&self.job.args);
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        match words.as_slice() {
            [shell, flag, text] if shell == "/bin/sh" && flag == "-c" => human::line(text, 60),
            words => human::line(&words.join(" "), 60),
        }
    }

    /// Returns the folder that the command writes to and keeps, if there is one.
    pub(crate) fn output(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    /// Prepares the command: its stage, its log, and its environment.
    pub(crate) fn prepare<'s>(&self, store: &'s Store) -> Result<Prepared<'s>> {
        let previous = match store.current()? {
            Some(id) => Some(store.open_generation(&Rev::Number(id))?),
            None => None,
        };
        let stage = store.begin_build()?;
        let mut job = Job { guard_keeps: true, ..self.job.clone() };
        let out = self.output.as_deref().unwrap_or(stage.path());
        job.env.push((OUT.into(), out.into()));
        job.env.push(("GENSTORE_PUBLIC".into(), store.path().join("current").into()));
        surround(&mut job, store, previous.as_ref().map(Generation::id));
        let log = Log { file: stage.log()?, limit_bytes: LOG_LIMIT_BYTES };
        let began = Began::at(&log.file);
        Ok(Prepared { stage, job, log, previous, began })
    }

    /// Starts a prepared build. Its stage is no debris as long as a process of the build lives, even if this
    /// program is killed: so no other build gets its path. `warn` gets a line if `GENSTORE_OUT` is another
    /// path than usual.
    pub(crate) fn start(
        &self,
        store: &Store,
        stage: &Stage<'_>,
        mut job: Job,
        output: Output,
        warn: impl FnOnce(String),
    ) -> Result<Running> {
        let mount = self.place.as_ref().map(|place| (place, place.mount(store, stage.path())));
        job.mount = mount.as_ref().and_then(|(_, mount)| mount.clone().ok());
        let guard = GuardCommand::this_program([running::GUARD]);
        let running = start_with(&guard, &job, output, Some(stage.lock())).map_err(running::not_started)?;
        let refused = running.unmounted().map(|error| format!("it cannot be mounted: {error}"));
        let warning = match mount {
            Some((place, mount)) => {
                mount.err().or(refused).and_then(|why| place.warning(&why, stage.path()))
            }
            None if self.output.is_none() && !stage.has_path_of_builds() => {
                let path = crate::text::escape::show(stage.path());
                Some(format!("another build has the usual {OUT}: it is {path} this time"))
            }
            None => None,
        };
        warning.map(warn);
        Ok(running)
    }

    /// Finds files of its output that a build which began then did not write, and does with them what the
    /// project wants.
    pub(crate) fn find_stale(
        &self,
        context: &Context<'_>,
        rules: &ScanRules,
        began: Option<Began>,
    ) -> Result<Option<Stale>> {
        let (Some(output), Some(prune)) = (self.output(), self.prune) else { return Ok(None) };
        context.check_interrupted()?;
        let stale = stale::find(output, rules, began, prune)?;
        Ok((!stale.paths.is_empty()).then_some(stale))
    }

    /// Creates a plan of the command's output. Returns the reason instead if the output is empty or missing
    /// and must not be. `scan` scans a folder that the command keeps.
    pub(crate) fn plan(
        &self,
        context: &Context<'_>,
        stage: &Stage<'_>,
        emptying: Emptying,
        scan: impl FnOnce(&Path) -> Result<Plan>,
    ) -> Result<Result<Plan, String>> {
        let (plan, place) = match &self.output {
            Some(output) => match std::fs::symlink_metadata(output) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(Err(format!(
                        "it did not create its output folder {}",
                        crate::text::escape::show(output)
                    )));
                }
                _ => (scan(output)?, crate::text::escape::show(output)),
            },
            None => match stage.scan(&context.scan_rules(None)?) {
                // The build fails with this reason, and its log is kept.
                Err(Error::Refused { kind: RefusedKind::StageOutputReplaced, why }) => return Ok(Err(why)),
                plan => (plan?, OUT.to_owned()),
            },
        };
        let refused = plan.is_empty() && emptying == Emptying::Refuse;
        Ok(if refused { Err(format!("it wrote nothing to {place}")) } else { Ok(plan) })
    }
}

/// Ends the stage of a failed build, and keeps its log. `ended` is the end of its command, if that failed.
pub(crate) fn failed(
    context: &Context<'_>,
    stage: Stage<'_>,
    why: String,
    ended: Option<Ended>,
) -> anyhow::Error {
    let keep = match context.own_project() {
        Ok(project) => project.map(|p| p.config.audit.keep_failed()).unwrap_or_default(),
        Err(error) => return error,
    };
    let failed: Option<Failed> = match stage.fail(&why, keep) {
        Ok(failed) => Some(failed),
        Err(error) => {
            context.out.warn(&format!("cannot keep the build log: {error}"));
            None
        }
    };
    let status = ended.map_or(exit::FAILED, Ended::exit_code);
    let advice = ended.and_then(|_| advice::of_failure(context, failed.as_ref()));
    BuildFailed { why, status, ended, failed, advice }.into()
}

/// Passes the current generation to the command, for incremental builds.
fn surround(job: &mut Job, store: &Store, previous: Option<GenerationId>) {
    match previous {
        Some(id) => job.env.extend([
            ("GENSTORE_PREV".into(), store.tree_path(id).into()),
            ("GENSTORE_GENERATION".into(), id.to_string().into()),
        ]),
        None => job.env_remove.extend(["GENSTORE_PREV".into(), "GENSTORE_GENERATION".into()]),
    }
}

//! What `build` and `watch` have in common: the command of a build, the stage that it writes to or
//! beside, and the plan of what it wrote.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use genstore::audit::Failed;
use genstore::error::RefusedKind;
use genstore::plan::ScanRules;
use genstore::publish::{Emptying, Stage};
use genstore::{Error, Generation, GenerationId, Plan, Rev, Store};
use genstore_run::{Job, Limits, Log};

use crate::command::context::Context;
use crate::command::running;
use crate::command::stale::{self, Began, Prune, Stale};
use crate::errors::{BuildFailed, Fail};
use crate::text::human;

/// So much of a build's output is kept.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// How a project is built.
pub(crate) struct Builder {
    job: Job,
    pub(crate) limits: Limits,
    /// The folder that the command writes to, where that is one of its own: it is published, and stays.
    output: Option<PathBuf>,
    /// What is done about its stale files; `None` is nothing.
    pub(crate) prune: Option<Prune>,
}

/// A build that can be started.
pub(crate) struct Prepared<'s> {
    pub(crate) stage: Stage<'s>,
    pub(crate) job: Job,
    pub(crate) log: Log,
    /// What is current, leased as long as the build may read it.
    pub(crate) previous: Option<Generation>,
    /// When it began; `None` where that is not known.
    pub(crate) began: Option<Began>,
}

impl Builder {
    /// Finds out how: the command that is given, where the program was started; or else the
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
                let fail = Fail::usage("no-command", "there is no command to build with");
                let hint = "name one after `--`, or as `command` under [build] in genstore.toml";
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
        Ok(Builder { job, limits, output, prune })
    }

    /// Names the command, on one short line.
    pub(crate) fn name(&self) -> String {
        let words = [&self.job.program].into_iter().chain(&self.job.args);
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        match words.as_slice() {
            [shell, flag, text] if shell == "/bin/sh" && flag == "-c" => human::line(text, 60),
            words => human::line(&words.join(" "), 60),
        }
    }

    /// Gives the folder that the command writes to, where that is one of its own.
    pub(crate) fn output(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    /// Makes all ready for the command: a stage, its log, and what the command is told.
    pub(crate) fn prepare<'s>(&self, store: &'s Store) -> Result<Prepared<'s>> {
        let previous = match store.current()? {
            Some(id) => Some(store.open_generation(&Rev::Number(id))?),
            None => None,
        };
        let stage = store.begin()?;
        let mut job = self.job.clone();
        let out = self.output.as_deref().unwrap_or(stage.path());
        job.env.push(("GENSTORE_OUT".into(), out.into()));
        surround(&mut job, store, previous.as_ref().map(Generation::id));
        let log = Log { file: stage.log()?, limit_bytes: LOG_LIMIT_BYTES };
        let began = Began::at(&log.file);
        Ok(Prepared { stage, job, log, previous, began })
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

    /// Makes a plan of what the command wrote; none, with the reason, where that is nothing and must not
    /// be. `scan` looks at a folder of its own.
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
                        "it did not make its output, {}",
                        crate::text::escape::show(output)
                    )));
                }
                _ => (scan(output)?, crate::text::escape::show(output)),
            },
            None => match stage.scan(&context.scan_rules(None)?) {
                // The build fails by it, with its log kept.
                Err(Error::Refused { kind: RefusedKind::StageOutputReplaced, why }) => return Ok(Err(why)),
                plan => (plan?, "GENSTORE_OUT".to_owned()),
            },
        };
        let refused = plan.is_empty() && emptying == Emptying::Refuse;
        Ok(if refused { Err(format!("it wrote nothing to {place}")) } else { Ok(plan) })
    }
}

/// Ends the stage of a build that failed, and keeps its log.
pub(crate) fn failed(context: &Context<'_>, stage: Stage<'_>, why: String, status: u8) -> anyhow::Error {
    let keep = match context.own_project() {
        Ok(project) => project.map(|p| p.config.audit.keep_failed()).unwrap_or_default(),
        Err(error) => return error,
    };
    let failed: Option<Failed> = match stage.fail(&why, keep) {
        Ok(failed) => Some(failed),
        Err(error) => {
            context.out.warn(&format!("the log of the build could not be kept: {error}"));
            None
        }
    };
    BuildFailed { why, status, failed }.into()
}

/// Tells the command of the generation that is current, which incremental builders begin from.
fn surround(job: &mut Job, store: &Store, previous: Option<GenerationId>) {
    match previous {
        Some(id) => job.env.extend([
            ("GENSTORE_PREV".into(), store.tree_path(id).into()),
            ("GENSTORE_GENERATION".into(), id.to_string().into()),
        ]),
        None => job.env_remove.extend(["GENSTORE_PREV".into(), "GENSTORE_GENERATION".into()]),
    }
}

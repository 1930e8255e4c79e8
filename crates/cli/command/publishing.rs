//! The common steps of `publish`, `build` and `commit`: the arguments of the commit, the audit of the
//! staged tree, the commit, and the report.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use genstore::audit::{Audited, Failed, Judged, Rejected};
use genstore::publish::{Activate, Emptying, Expect, Lossy, Staged};
use genstore::{CommitOptions, Durability, StageOptions, Store};

use crate::command::checks::Checks;
use crate::command::context::Context;
use crate::command::hooks::HooksEnded;
use crate::command::{declared, hooks, refs};
use crate::errors::{Fail, Refused};
use crate::render::publish::{self, PublishDoc, Scanned};

/// The arguments of a publication.
#[derive(Args, Default)]
pub(crate) struct PublishArgs {
    /// A note for people
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
    /// A fact for programs; may be repeated
    #[arg(long = "fact", value_name = "K=V", value_parser = parse_fact)]
    facts: Vec<(String, String)>,
    /// Publish only if this generation is current (`none`: if nothing was published before)
    #[arg(long, value_name = "REF|none")]
    expect: Option<String>,
    /// Keep the new generation without making it current
    #[arg(long)]
    no_activate: bool,
    /// Create a generation even if nothing changed
    #[arg(long)]
    pub(crate) always: bool,
    /// Publish an empty tree even if it replaces one that is not empty
    #[arg(long)]
    allow_empty: bool,
    /// Read every file, even if its metadata is unchanged
    #[arg(long)]
    rehash: bool,
    /// The handling of files that lose access rights or attributes: `warn` (the default, unless the project
    /// says otherwise), `refuse` or `allow`
    #[arg(long, value_name = "warn|refuse|allow", hide_possible_values = true)]
    lossy: Option<AboutLosses>,
    /// Durability of the result: `full` (it survives a power loss) or `none` (for development loops)
    #[arg(long, value_name = "full|none", hide_possible_values = true)]
    durability: Option<Wanted>,
}

#[derive(Clone, Copy, ValueEnum)]
enum AboutLosses {
    Warn,
    Refuse,
    Allow,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    Full,
    None,
}

fn parse_fact(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE"),
    }
}

impl PublishArgs {
    /// Parses the facts. Each key may be given once.
    pub(crate) fn facts(&self) -> Result<BTreeMap<String, String>> {
        let mut facts = BTreeMap::new();
        for (key, value) in &self.facts {
            if facts.insert(key.clone(), value.clone()).is_some() {
                let shown = genstore::tree::show_path(key.as_bytes());
                let hint = "give each key only once".to_owned();
                let fail = Fail::usage("bad-fact", format!("the fact {shown} is given twice"));
                return Err(Fail { hint, ..fail }.into());
            }
        }
        Ok(facts)
    }

    /// Returns the durability of the arguments, if given.
    pub(crate) fn durability(&self) -> Option<Durability> {
        self.durability.map(|wanted| match wanted {
            Wanted::Full => Durability::Full,
            Wanted::None => Durability::None,
        })
    }

    /// Parses the expected current generation.
    pub(crate) fn expect(&self, store: Option<&Store>) -> Result<Expect> {
        refs::expected(store, self.expect.as_deref())
    }

    /// Returns whether an empty tree may become current.
    pub(crate) fn emptying(&self, context: &Context<'_>) -> Result<Emptying> {
        emptying(context, self.allow_empty)
    }

    /// Returns whether the new generation is kept without becoming current.
    pub(crate) fn only_keeps(&self) -> bool {
        self.no_activate
    }

    /// Returns the options for staging. If the project asks for it, generations that retention gives up are
    /// recycled.
    pub(crate) fn stage_options(&self, context: &Context<'_>, consume: bool) -> Result<StageOptions> {
        let retain = context.own_project()?.map(|project| &project.config.retain);
        let recycle = retain.filter(|retain| retain.auto.unwrap_or(false)).map(|retain| retain.retention());
        let lossy = match self.lossy {
            Some(AboutLosses::Warn) => Lossy::Warn,
            Some(AboutLosses::Refuse) => Lossy::Refuse,
            Some(AboutLosses::Allow) => Lossy::Allow,
            None => lossy(context)?,
        };
        let mut options = StageOptions::default().lossy(lossy);
        (options.always, options.rehash) = (self.always, self.rehash);
        (options.consume, options.recycle) = (consume, recycle);
        Ok(options)
    }
}

/// A publication before its commit.
pub(crate) struct Pending<'a> {
    pub(crate) store: &'a Store,
    /// Whether the store was created for it.
    pub(crate) created: bool,
    pub(crate) scanned: &'a Scanned,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) expect: Expect,
    pub(crate) start: Instant,
}

impl PublishArgs {
    /// Audits the staged tree, commits it, prints the report, and returns the exit status.
    pub(crate) fn audit_and_commit(
        &self,
        context: &Context<'_>,
        pending: Pending<'_>,
        staged: Staged<'_>,
    ) -> Result<u8> {
        let Pending { store, created, scanned, facts, expect, start } = pending;
        let audited = audit(context, staged)?;
        let findings = audited.findings().to_vec();
        context.check_interrupted()?;
        let mut done = audited.commit(
            &CommitOptions::default()
                .note(self.message.clone().unwrap_or_default())
                .facts(facts)
                .expect(expect)
                .activate(if self.no_activate { Activate::Never } else { Activate::Always })
                .emptying(self.emptying(context)?),
        )?;
        if done.changed {
            context.out.has_changed(format!("generation {} was published", done.generation));
        }
        context.progress.finish();
        done.warnings.extend(declared::make_views(context, store));
        if !context.out.json() {
            findings.iter().for_each(|finding| context.out.warn(&publish::finding_line(finding)));
        }
        context.out.confirm_text(|| publish::report(scanned, &done, start.elapsed()));
        publish::print_details(context.out, &done);
        let ended = match done.changed && done.current {
            true => hooks::post_commit(context, store, done.generation, done.previous),
            false => HooksEnded::without(done.current.then_some(done.generation)),
        };
        // The document shows the final state.
        done.current = ended.leave_current(done.generation);
        let document = PublishDoc::done(context.out, store, scanned, &done, created, &findings);
        context.out.confirm_document(&document);
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }
}

/// Returns whether an empty tree may become current, by the flag or the project.
pub(crate) fn emptying(context: &Context<'_>, flag: bool) -> Result<Emptying> {
    let project = context.project()?.is_some_and(|project| project.config.publish.allow_empty);
    Ok(if flag || project { Emptying::Allow } else { Emptying::Refuse })
}

/// Returns the project's rule for files that lose attributes.
pub(crate) fn lossy(context: &Context<'_>) -> Result<Lossy> {
    Ok(context.project()?.map_or_else(Lossy::default, |project| project.config.publish.lossy))
}

/// Audits the staged tree by the project's rules.
pub(crate) fn audit<'s>(context: &Context<'_>, staged: Staged<'s>) -> Result<Audited<'s>> {
    let Some(project) = context.project()? else { return Ok(staged.unaudited()) };
    let section = &project.config.audit;
    let rules = section.rules();
    let judged = if section.run.is_empty() {
        staged.audit(&rules)?
    } else {
        let checks = Checks { context, section, root: project.root() };
        staged.audit_with(&rules, |path| checks.run(path))?
    };
    match judged {
        Judged::Accepted(audited) => Ok(audited),
        Judged::Rejected(rejected) => {
            let findings = rejected.findings().to_vec();
            context.progress.finish();
            // The number of kept trees is a setting of the store; this project may not be the store's own.
            let own = context.own_project()?;
            let failed =
                keep(context, rejected, own.map(|p| p.config.audit.keep_failed()).unwrap_or_default());
            Err(Refused { findings, failed }.into())
        }
    }
}

/// Keeps a refused tree for inspection. If that fails, the reason of the refusal must still be shown.
fn keep(
    context: &Context<'_>,
    rejected: Rejected<'_>,
    keep: genstore::audit::KeepFailed,
) -> Option<Failed> {
    match rejected.keep(keep) {
        Ok(failed) => Some(failed),
        Err(error) => {
            context.out.warn(&format!("cannot keep the refused output: {error}"));
            None
        }
    }
}

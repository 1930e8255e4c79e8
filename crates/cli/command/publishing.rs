//! What `publish`, `build` and `commit` have in common: wishes for the commit, the audit of what
//! was staged, the commit, and the report.

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

/// What is wished for the new generation.
#[derive(Args, Default)]
pub(crate) struct Wishes {
    /// A note for people
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
    /// A fact for programs; may stand several times
    #[arg(long = "fact", value_name = "K=V", value_parser = parse_fact)]
    facts: Vec<(String, String)>,
    /// Publish only if this generation is current (`none`: if nothing has been published)
    #[arg(long, value_name = "REF|none")]
    expect: Option<String>,
    /// Keep the new generation, but leave current as it is
    #[arg(long)]
    no_activate: bool,
    /// Make a generation even if nothing changed
    #[arg(long)]
    pub(crate) always: bool,
    /// Publish also what is empty, in the place of what is not
    #[arg(long)]
    allow_empty: bool,
    /// Read every file, also those that are as they were when the current generation was made
    #[arg(long)]
    rehash: bool,
    /// Files that lose access rights or attributes: `warn` of them (unless the project says otherwise),
    /// `refuse` or `allow` them
    #[arg(long, value_name = "warn|refuse|allow", hide_possible_values = true)]
    lossy: Option<AboutLosses>,
    /// What success means: `full` (it survives a power loss) or `none` (for development loops)
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
        _ => Err("a fact is KEY=VALUE"),
    }
}

impl Wishes {
    /// Reads the facts, of which each key has one value.
    pub(crate) fn facts(&self) -> Result<BTreeMap<String, String>> {
        let mut facts = BTreeMap::new();
        for (key, value) in &self.facts {
            if facts.insert(key.clone(), value.clone()).is_some() {
                let shown = genstore::tree::show_path(key.as_bytes());
                let hint = "give each key one value".to_owned();
                let fail = Fail::usage("bad-fact", format!("the fact {shown} stands twice"));
                return Err(Fail { hint, ..fail }.into());
            }
        }
        Ok(facts)
    }

    /// Gives what success is to mean, if that was said.
    pub(crate) fn durability(&self) -> Option<Durability> {
        self.durability.map(|wanted| match wanted {
            Wanted::Full => Durability::Full,
            Wanted::None => Durability::None,
        })
    }

    /// Reads what must be current.
    pub(crate) fn expect(&self, store: Option<&Store>) -> Result<Expect> {
        refs::expected(store, self.expect.as_deref())
    }

    /// Returns whether what is empty may become current.
    pub(crate) fn emptying(&self, context: &Context<'_>) -> Result<Emptying> {
        emptying(context, self.allow_empty)
    }

    /// Returns whether the new generation is only to be kept.
    pub(crate) fn only_keeps(&self) -> bool {
        self.no_activate
    }

    /// Gives the options for staging; where the project wants that, what retention gives up is
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

/// What is known of a publication before its commit.
pub(crate) struct Pending<'a> {
    pub(crate) store: &'a Store,
    /// The store was made for it.
    pub(crate) created: bool,
    pub(crate) scanned: &'a Scanned,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) expect: Expect,
    pub(crate) start: Instant,
}

impl Wishes {
    /// Audits what was staged, commits it, tells, and gives the exit status.
    pub(crate) fn conclude(
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
        publish::tell_more(context.out, &done);
        let ended = match done.changed && done.current {
            true => hooks::post_commit(context, store, done.generation, done.previous),
            false => HooksEnded::without(done.current.then_some(done.generation)),
        };
        // The document tells how it all ended.
        done.current = ended.leave_current(done.generation);
        let document = PublishDoc::done(context.out, store, scanned, &done, created, &findings);
        context.out.confirm_document(&document);
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }
}

/// Returns whether what is empty may become current, as a flag or the project says.
pub(crate) fn emptying(context: &Context<'_>, flag: bool) -> Result<Emptying> {
    let project = context.project()?.is_some_and(|project| project.config.publish.allow_empty);
    Ok(if flag || project { Emptying::Allow } else { Emptying::Refuse })
}

/// Tells what the project wants to be done about files that lose more than a generation can keep.
pub(crate) fn lossy(context: &Context<'_>) -> Result<Lossy> {
    Ok(context.project()?.map_or_else(Lossy::default, |project| project.config.publish.lossy))
}

/// Judges what was staged as the project wants it judged.
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
            // How much is kept is the store's matter; this project may not be its own.
            let own = context.own_project()?;
            let failed =
                keep(context, rejected, own.map(|p| p.config.audit.keep_failed()).unwrap_or_default());
            Err(Refused { findings, failed }.into())
        }
    }
}

/// Keeps a refused tree for a look. That this fails must not hide why it was refused.
fn keep(
    context: &Context<'_>,
    rejected: Rejected<'_>,
    keep: genstore::audit::KeepFailed,
) -> Option<Failed> {
    match rejected.keep(keep) {
        Ok(failed) => Some(failed),
        Err(error) => {
            context.out.warn(&format!("what was refused could not be kept for a look: {error}"));
            None
        }
    }
}

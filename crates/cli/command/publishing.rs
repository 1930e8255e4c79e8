//! The common steps of `publish`, `build` and `commit`: the arguments of the commit, the audit of the
//! staged tree, the commit, and the report.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use genstore::audit::{Audited, Failed, Judged, Rejected};
use genstore::diff::diff;
use genstore::publish::{Activate, Emptying, Expect, Lossy, Publication, Staged};
use genstore::{CommitOptions, Durability, GenerationId, Retention, Rev, StageOptions, Store};
use genstore_remote::Pushed;

use crate::command::checks::Checks;
use crate::command::compare::Side;
use crate::command::context::Context;
use crate::command::hooks::HooksEnded;
use crate::command::{declared, hooks, pushing, refs, remotes, secrets};
use crate::errors::{Fail, Refused};
use crate::project::config::Secrets;
use crate::render::diff as list;
use crate::render::publish::{self, PublishDoc, PushedPart, Scanned};

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
    /// Push the generation to this remote afterwards: a name or an address, and `/CHANNEL` after a name
    #[arg(long, value_name = "REMOTE[/CHANNEL]")]
    push: Option<String>,
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

    /// Returns the expected current generation of a publication with a base. If the base is what is current, that
    /// must not change until the commit: what another publisher changed meanwhile would be undone.
    pub(crate) fn expect_with_base(&self, store: Option<&Store>, base: Option<Rev>) -> Result<Expect> {
        let expect = self.expect(store)?;
        let (Expect::Any, Some(rev), Some(store)) = (expect, base, store) else {
            return Ok(expect);
        };
        let base = store.resolve(&rev)?;
        let is_current = store.current()? == Some(base);
        Ok(if is_current && !self.only_keeps() { Expect::Current(base) } else { expect })
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
        let lossy = match self.lossy {
            Some(AboutLosses::Warn) => Lossy::Warn,
            Some(AboutLosses::Refuse) => Lossy::Refuse,
            Some(AboutLosses::Allow) => Lossy::Allow,
            None => lossy(context)?,
        };
        let mut options = StageOptions::default().lossy(lossy);
        (options.always, options.rehash) = (self.always, self.rehash);
        (options.consume, options.recycle) = (consume, recycled(context)?);
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
        warn_of_secrets(context, &staged)?;
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
        if context.out.details() && done.changed {
            list_changes(context, store, &done)?;
        }
        publish::print_details(context.out, &done);
        let ended = match done.changed && done.current {
            true => hooks::post_commit(context, store, done.generation, done.previous),
            false => HooksEnded::without(done.current.then_some(done.generation)),
        };
        // The document shows the final state.
        done.current = ended.leave_current(done.generation);
        let mut document = PublishDoc::done(context.out, store, scanned, &done, created, &findings);
        // A hook may have taken it back.
        let pushed = match &self.push {
            Some(remote) if done.current || self.no_activate => {
                self.push_to(context, store, remote, done.generation).map(Some)
            }
            _ => Ok(None),
        };
        if let Ok(Some((pushed, line))) = &pushed {
            document.pushed = Some(pushed.clone());
            context.out.confirm_text(|| line.clone());
        }
        context.out.confirm_document(&document);
        // The generation is published all the same.
        pushed?;
        Ok(ended.status(context, context.warn_of(&done.warnings)))
    }
}

/// Lists the changed paths, for `-v`.
fn list_changes(context: &Context<'_>, store: &Store, done: &Publication) -> Result<()> {
    let old = match done.previous {
        Some(id) => Side::generation(store, &Rev::Number(id))?,
        None => Side::nothing(),
    };
    let new = Side::generation(store, &Rev::Number(done.generation))?;
    context.out.detail(list::list(&diff(&old.tree, &new.tree)).trim_end());
    Ok(())
}

/// The most paths that a warning names.
const NAMED: usize = 5;

/// Warns of files that are hardly meant for readers.
///
/// # Errors
/// If the project refuses such files.
fn warn_of_secrets(context: &Context<'_>, staged: &Staged<'_>) -> Result<()> {
    let rule = context.project()?.map_or_else(Secrets::default, |project| project.config.publish.secrets);
    if staged.is_current() || rule == Secrets::Allow {
        return Ok(());
    }
    let found = secrets::find(staged.tree(), staged.path());
    if found.is_empty() {
        return Ok(());
    }
    let named = found.iter().take(NAMED);
    let lines = named.map(|(path, what)| format!("{} is {what}", genstore::tree::show_path(path)));
    let mut text = lines.collect::<Vec<_>>().join("; ");
    if found.len() > NAMED {
        text.push_str(&format!("; and {} more", found.len() - NAMED));
    }
    let hint = "leave them out with --exclude, or `exclude` under [publish] in genstore.toml; `secrets = \"allow\"` \
                there ends this warning";
    if rule == Secrets::Refuse {
        return Err(Fail::new("secrets", format!("the output holds secrets: {text}"), hint).into());
    }
    context.out.warn(&format!("readers will see what is hardly meant for them: {text}"));
    context.out.hint(hint);
    Ok(())
}

impl PublishArgs {
    fn push_to(
        &self,
        context: &Context<'_>,
        store: &Store,
        remote: &str,
        id: GenerationId,
    ) -> Result<(PushedPart, String)> {
        let (name, channel) = match refs::remote_of(context, remote)? {
            Some((name, channel)) => (name, Some(channel)),
            None => (remote, None),
        };
        let named = remotes::open(context, name)?;
        let channel = channel.unwrap_or(&named.section.channel);
        let generation = store.open_generation(&Rev::Number(id))?;
        let done = pushing::push(context, store, &generation, (&named, channel), false)?;
        let Pushed { record, objects, bytes, .. } = done.pushed;
        let part =
            PushedPart { remote: name.to_owned(), channel: channel.to_owned(), record, objects, bytes };
        Ok((part, done.line))
    }
}

/// Returns whether an empty tree may become current, by the flag or the project.
pub(crate) fn emptying(context: &Context<'_>, flag: bool) -> Result<Emptying> {
    let project = context.project()?.is_some_and(|project| project.config.publish.allow_empty);
    Ok(if flag || project { Emptying::Allow } else { Emptying::Refuse })
}

/// Returns the rule by which old generations are used again, if the project asks for it.
pub(crate) fn recycled(context: &Context<'_>) -> Result<Option<Retention>> {
    let retain = context.own_project()?.map(|project| &project.config.retain);
    Ok(retain.filter(|retain| retain.auto.unwrap_or(false)).map(|retain| retain.retention()))
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

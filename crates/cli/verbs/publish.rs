//! `publish`: plans the input, stages it, and commits it as a new generation.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::diff::diff;
use genstore::publish::{Emptying, Expect, Stage};
use genstore::{Durability, Error, Options, Store};

use crate::command::advice;
use crate::command::before::check_publish;
use crate::command::choice::Choice;
use crate::command::compare::Side;
use crate::command::context::Context;
use crate::command::publishing::{Pending, PublishArgs};
use crate::command::refs;
use crate::errors::{Fail, Refused, is_absence};
use crate::inputs::Inputs;
use crate::render::publish::{self, PublishDoc, Scanned};
use crate::text::escape::show;
use crate::{environment, exit};

#[derive(Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    args: PublishArgs,
    /// Move the files into the store instead of copying them
    #[arg(long, conflicts_with_all = ["plan", "from_tar"])]
    consume: bool,
    /// Show what would be published, without writing anything
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Publish {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        if self.inputs.names_paths() && !self.choice.is_empty() {
            let message = "--include and --exclude are for directories, and not for plans and archives";
            let hint = "list only the wanted entries, or use --subdir".to_owned();
            return Err(Fail { hint, ..Fail::usage("bad-choice", message) }.into());
        }
        context.choose(&self.choice);
        let facts = self.args.facts()?;
        let durability = self.args.durability();
        let found = context.find_store()?;
        let existing = match context.open_found(&found, durability) {
            Ok(store) => Some(store),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::NotAStore { path }) => {
                    check_place(path)?;
                    None
                }
                _ => return Err(error),
            },
        };
        if !self.dry_run {
            check_publish(context)?;
        }
        let expect = self.args.expect_with_base(existing.as_ref(), self.inputs.base())?;
        // Streamed input is received by a stage: the store's own or, if there is no store yet or nothing is
        // to be written, one of a temporary store.
        let streamed = self.inputs.is_stream();
        let needed = if existing.is_none() { self.dry_run || streamed } else { self.dry_run && streamed };
        let spare = match needed {
            true => Some(temporary_store(context.options(Some(Durability::None))?)?),
            false => None,
        };
        let spare = spare.as_ref().map(|(_, store)| store);
        let taking = spare.or(existing.as_ref()).filter(|_| streamed);
        let stage = taking.map(Store::begin).transpose()?;
        let scanned = self.plan(context, existing.as_ref(), &found.path, stage.as_ref())?;
        if let Some(store) = existing.as_ref().or(spare).filter(|_| self.dry_run) {
            return self.preview(context, store, &scanned, expect);
        }
        let made;
        let store = match &existing {
            Some(store) => store,
            None => {
                // If the expectation fails, the store must not be created.
                refs::check_expected(expect, None)?;
                made = Store::init(&found.path, context.options(durability)?)?.store;
                if !context.out.json() {
                    context.out.confirm(&(), || format!("   Created the store {}\n", show(made.path())));
                    advice::hint_of_new(context, made.path())?;
                }
                &made
            }
        };
        let options = self.args.stage_options(context, self.consume)?;
        let staged = match stage {
            Some(stage) if existing.is_some() => stage.seal_plan(&scanned.plan, options)?,
            _ => store.stage(&scanned.plan, options)?,
        };
        let created = existing.is_none();
        let pending = Pending { store, created, scanned: &scanned, facts, expect, start };
        self.args.audit_and_commit(context, pending, staged)
    }

    fn plan(
        &self,
        context: &Context<'_>,
        store: Option<&Store>,
        place: &Path,
        stage: Option<&Stage<'_>>,
    ) -> Result<Scanned> {
        let scanned = self.inputs.plan(context, store, place, stage)?;
        if self.consume {
            scanned.plan.check_consume()?;
        }
        Ok(scanned)
    }

    /// Prints what would be published. If there is no store yet, the temporary one does the hashing.
    fn preview(
        &self,
        context: &Context<'_>,
        store: &Store,
        scanned: &Scanned,
        expect: Expect,
    ) -> Result<u8> {
        let base = match store.current()? {
            Some(id) => Side::generation(store, &genstore::Rev::Number(id))?,
            None => Side::nothing(),
        };
        refs::check_expected(expect, base.number())?;
        let start = Instant::now();
        let tree = store.preview(&scanned.plan)?;
        let hashed = start.elapsed();
        let found = diff(&base.tree, &tree);
        let changed = base.number().is_none() || tree.id() != base.tree.id() || self.args.always;
        let findings = match context.project()?.filter(|_| changed) {
            // Audit commands need a staged tree, which a dry run does not have.
            Some(project) => store.judge(&tree, &project.config.audit.rules())?,
            None => vec![],
        };
        let emptied = match base.number() {
            Some(id) if !self.args.only_keeps() && self.args.emptying(context)? == Emptying::Refuse => {
                scanned.plan.check_emptying(&tree, id, &base.tree)
            }
            _ => Ok(()),
        };
        context.progress.finish();
        let mut document = PublishDoc::preview(scanned, hashed, base.number(), &tree, &found, changed);
        document.add_findings(&findings);
        context.out.emit(&document, || {
            let text = match base.number().filter(|_| !changed) {
                Some(current) => publish::unchanged(current, tree.id()),
                None => publish::preview(&base.title(), &self.inputs.title(), &tree, &found),
            };
            let end = if findings.is_empty() && emptied.is_ok() { publish::WOULD_PUBLISH } else { "" };
            scanned.line(tree.bytes()) + &text + if changed { end } else { "" }
        });
        emptied?;
        match findings.is_empty() {
            true => Ok(exit::DONE),
            false => Err(Refused { findings, failed: None }.into()),
        }
    }
}

/// Checks early that a store may be created at `store`. The library would check it only after the work.
fn check_place(store: &Path) -> Result<()> {
    match std::fs::read_dir(store) {
        Err(e) if is_absence(&e) => {}
        Err(source) => return Err(Error::Io { op: "list", path: store.to_owned(), source }.into()),
        Ok(names) => {
            // A lone marker is a store whose creation was interrupted: it may be completed.
            let foreign =
                |name: std::io::Result<std::fs::DirEntry>| name.map_or(true, |n| n.file_name() != "format");
            if names.into_iter().any(foreign) {
                return Err(Error::NotEmpty { path: store.to_owned() }.into());
            }
        }
    }
    Ok(())
}

fn temporary_store(options: Options) -> Result<(tempfile::TempDir, Store)> {
    let temp = tempfile::Builder::new()
        .prefix("genstore-dry-run-")
        .tempdir()
        .map_err(|source| Error::Io { op: "make a directory in", path: environment::temp_dir(), source })?;
    let mut options = options;
    // A dry run changes nothing, so faults do not apply.
    options.faults = genstore::faults::Faults::default();
    let store = Store::init(&temp.path().join("store"), options)?.store;
    Ok((temp, store))
}

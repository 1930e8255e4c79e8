//! `publish`: scans a directory, stages it, and commits it as a new generation.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::{Durability, Error, Expect, GenerationId, Options, Plan, Store, diff};

use crate::compare::Side;
use crate::context::Context;
use crate::environment;
use crate::errors::exit;
use crate::find::is_absence;
use crate::output::show;
use crate::publishing::{Pending, Wishes};
use crate::render::publish::{self, PublishDoc, Scanned};

#[derive(Args)]
pub(crate) struct Publish {
    /// The directory to publish
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    wishes: Wishes,
    /// Move the directory's files into the store instead of copying them
    #[arg(long)]
    consume: bool,
    /// Show what would be published; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Publish {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let start = Instant::now();
        let facts = self.wishes.facts()?;
        let durability = self.wishes.durability();
        let found = context.find_store()?;
        let existing = match context.open_found(&found, durability) {
            Ok(store) => Some(store),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::NotAStore { path }) => {
                    check_place(path, &self.dir)?;
                    None
                }
                _ => return Err(error),
            },
        };
        let expect = self.wishes.expect(existing.as_ref())?;
        let scanned = self.scan(context, existing.as_ref())?;
        if self.dry_run {
            return self.preview(context, existing, &scanned, expect);
        }
        let created = existing.is_none();
        let store = match existing {
            Some(store) => store,
            None => {
                // An expectation that an absent store cannot meet leaves it absent.
                check_expected(expect, None)?;
                Store::init(&found.path, context.options(durability)?)?.0
            }
        };
        if created && !context.out.json() {
            context.out.confirm(&(), || format!("   Created the store {}\n", show(store.path())));
        }
        let staged = store.stage(&scanned.plan, self.wishes.stage_options(self.consume))?;
        let pending = Pending { store: &store, created, scanned: &scanned, facts, expect, start };
        self.wishes.conclude(context, pending, staged)
    }

    fn scan(&self, context: &Context<'_>, store: Option<&Store>) -> Result<Scanned> {
        let start = Instant::now();
        let plan = Plan::scan(&self.dir, &context.scan_rules(store)?)?;
        Ok(Scanned { plan, time: start.elapsed() })
    }

    /// Tells what would be published. Where there is no store yet, one in the system's directory
    /// for temporary files does the hashing, and goes again.
    fn preview(
        &self,
        context: &Context<'_>,
        existing: Option<Store>,
        scanned: &Scanned,
        expect: Expect,
    ) -> Result<u8> {
        let (_temp, store, base) = match existing {
            Some(store) => {
                let base = match store.current()? {
                    Some(id) => Side::generation(&store, &genstore::Rev::Number(id))?,
                    None => Side::nothing(),
                };
                (None, store, base)
            }
            None => {
                let (temp, store) = temporary_store(context.options(Some(Durability::None))?)?;
                (Some(temp), store, Side::nothing())
            }
        };
        check_expected(expect, base.number())?;
        let start = Instant::now();
        let tree = store.preview(&scanned.plan)?;
        let hashed = start.elapsed();
        let found = diff(&base.tree, &tree);
        let changed = base.number().is_none() || tree.id() != base.tree.id() || self.wishes.always;
        context.progress.finish();
        let document = PublishDoc::preview(scanned, hashed, base.number(), &tree, &found, changed);
        context.out.emit(&document, || {
            let text = match base.number().filter(|_| !changed) {
                Some(current) => publish::unchanged(current, tree.id()),
                None => publish::preview(&base, &self.dir, &tree, &found),
            };
            scanned.line(tree.bytes()) + &text
        });
        Ok(exit::DONE)
    }
}

/// Makes sure that a store may be made at `store`, before anything is done, as the library would
/// find out afterwards.
fn check_place(store: &Path, source: &Path) -> Result<()> {
    match std::fs::read_dir(store) {
        Err(e) if is_absence(&e) => {}
        Err(source) => return Err(Error::Io { op: "list", path: store.to_owned(), source }.into()),
        Ok(names) => {
            // A lone marker is a store whose making was cut short: it may be completed.
            let foreign =
                |name: std::io::Result<std::fs::DirEntry>| name.map_or(true, |n| n.file_name() != "format");
            if names.into_iter().any(foreign) {
                return Err(Error::NotEmpty { path: store.to_owned() }.into());
            }
        }
    }
    let find = |path: &Path| std::fs::canonicalize(path).ok();
    // What is missing here is reported by whoever needs it.
    let (Some(real), Ok(absolute)) = (find(source), std::path::absolute(store)) else { return Ok(()) };
    if absolute.ancestors().any(|above| find(above).as_ref() == Some(&real)) {
        return Err(Error::BadSource { path: source.to_owned(), why: "the store lies in it" }.into());
    }
    Ok(())
}

fn check_expected(expect: Expect, found: Option<GenerationId>) -> Result<(), Error> {
    let expected = match expect {
        Expect::Any => return Ok(()),
        Expect::Unborn => None,
        Expect::Current(id) => Some(id),
    };
    if expected == found { Ok(()) } else { Err(Error::Lost { expected, found, by: None, at: None }) }
}

fn temporary_store(options: Options) -> Result<(tempfile::TempDir, Store)> {
    let temp = tempfile::Builder::new()
        .prefix("genstore-dry-run-")
        .tempdir()
        .map_err(|source| Error::Io { op: "make a directory in", path: environment::temp_dir(), source })?;
    let mut options = options;
    // A dry run changes nothing that a fault could be about.
    options.faults = genstore::Faults::default();
    let (store, _) = Store::init(&temp.path().join("store"), options)?;
    Ok((temp, store))
}

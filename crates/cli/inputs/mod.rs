//! The inputs of `publish`: a directory, several roots, a plan as NDJSON, or a tar archive. Each becomes a
//! [`Plan`](genstore::Plan), so the same content has the same tree id whatever its input was.
//!
//! The sizes in an archive allocate nothing: names and extended headers are capped, bytes pass through the
//! spool in small pieces, and a size counts against the limit before any byte is read.

mod base;
pub(crate) mod compressed;
mod entry;
pub(crate) mod members;
pub(crate) mod ndjson;
pub(crate) mod pax;
pub(crate) mod roots;
pub(crate) mod source;
mod sparse;
pub(crate) mod spool;
pub(crate) mod tar;
mod web;
mod zip;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use genstore::error::BadSourceReason;
use genstore::plan::{Base, PlanBuilder};
use genstore::publish::Stage;
use genstore::tree::RelPath;
use genstore::{Error, Plan, Rev, Store};

use crate::command::context::Context;
use crate::render::publish::Scanned;
use crate::text::escape::show;
use crate::text::{human, size};
use roots::Root;
use source::{name_of, open, would_hold};

/// The input to publish, and its limits.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Inputs {
    #[command(flatten)]
    from: From,
    /// Refuse an archive that holds more than SIZE (write it like 500M or 2GiB)
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with_all = ["dir", "roots", "plan"])]
    max_total: Option<u64>,
    /// Remove this many folders from the beginning of each path in an archive
    #[arg(long, value_name = "N", conflicts_with_all = ["dir", "roots", "plan"])]
    strip_components: Option<usize>,
    /// Publish only this folder of an archive
    #[arg(long, value_name = "PATH", value_parser = base::parser(), conflicts_with_all = ["dir", "roots", "plan"])]
    subdir: Option<RelPath>,
    /// Keep what this generation has beside the input, without reading it [default with --keep or --remove: @]
    #[arg(long, value_name = "REF")]
    base: Option<Rev>,
}

/// The one input that is published, and the paths of a base.
#[derive(Args)]
#[group(id = "input", required = true, multiple = true)]
struct From {
    /// The directory to publish
    #[arg(value_name = "DIR", conflicts_with_all = ["roots", "plan", "from_tar", "base", "keep", "remove"])]
    dir: Option<PathBuf>,
    /// Put a directory or a single file at NAME; may be repeated
    #[arg(long = "root", value_name = "NAME=PATH", value_parser = roots::parser())]
    roots: Vec<Root>,
    /// Publish the entries listed in FILE, one JSON object per line
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["roots", "from_tar"])]
    plan: Option<PathBuf>,
    /// Publish the members of a tar or zip archive: a file, or https://HOST/FILE#sha256-HEX
    #[arg(long, visible_alias = "from-zip", value_name = "FILE|-", conflicts_with = "roots")]
    from_tar: Option<PathBuf>,
    /// Keep only this path of the base; may be repeated
    #[arg(long, value_name = "PATH", value_parser = base::parser())]
    keep: Vec<RelPath>,
    /// Leave out this path of the base; may be repeated
    #[arg(long, value_name = "PATH", value_parser = base::parser())]
    remove: Vec<RelPath>,
}

impl Inputs {
    /// Returns whether the input is a stream, whose bytes a stage must receive before there is a plan.
    pub(crate) fn is_stream(&self) -> bool {
        self.from.from_tar.is_some()
    }

    /// Returns whether the input lists its entries itself, as a plan or an archive does.
    pub(crate) fn names_paths(&self) -> bool {
        self.from.plan.is_some() || self.from.from_tar.is_some()
    }

    /// Creates a plan of the input. `place` is the path of the store, or of the store to be created.
    /// `stage` receives streams.
    pub(crate) fn plan(
        &self,
        context: &Context<'_>,
        store: Option<&Store>,
        place: &Path,
        stage: Option<&Stage<'_>>,
    ) -> Result<Scanned> {
        let start = Instant::now();
        let rules = context.scan_rules(store)?;
        let from = &self.from;
        let empty = || Ok::<_, anyhow::Error>(self.with_base(store, place)?.rules(&rules));
        let plan = if let Some(dir) = &from.dir {
            if store.is_none() && would_hold(dir, place) {
                return Err(
                    Error::BadSource { path: dir.clone(), reason: BadSourceReason::HoldsStore }.into()
                );
            }
            Plan::scan(dir, &rules)?
        } else if let Some(file) = &from.plan {
            let (name, mut bytes) = open(file)?;
            ndjson::read(&mut bytes, &name, empty()?)?
        } else if let (Some(file), Some(mut stage)) = (&from.from_tar, stage) {
            let (limit, part) = (self.limit(context)?, self.part());
            let (name, bytes): (String, Box<dyn Read>) = match web::is_address(file) {
                true => (show(file), Box::new(web::fetch(file, limit)?)),
                false => open(file)?,
            };
            match zip::find(bytes, file, &name)? {
                zip::Found::Zip(bytes) => zip::read(bytes, &name, empty()?, (limit, &part), &mut stage)?,
                zip::Found::Other(bytes) => {
                    let mut bytes = compressed::open(bytes, &name)?;
                    tar::read(&mut bytes, &name, empty()?, (limit, &part), &mut stage)?
                }
            }
        } else {
            let future = store.is_none().then_some(place);
            roots::plan(empty()?, &from.roots, &rules, future)?
        };
        Ok(Scanned { plan, time: start.elapsed(), build: None })
    }

    /// Returns the part of an archive that is published.
    fn part(&self) -> tar::Part {
        tar::Part { subdir: self.subdir.clone(), strip: self.strip_components.unwrap_or(0) }
    }

    /// Returns an empty plan, which keeps the entries of the base.
    fn with_base(&self, store: Option<&Store>, place: &Path) -> Result<PlanBuilder> {
        let Some(rev) = self.base() else { return Ok(Plan::builder()) };
        let store = store.ok_or_else(|| Error::NotAStore { path: place.to_owned() })?;
        let base = Base::of(store.open_generation(&rev)?)?;
        let base = self.from.keep.iter().cloned().fold(base, Base::only);
        Ok(Plan::builder().base(self.from.remove.iter().cloned().fold(base, Base::without)))
    }

    /// Returns the base, if there is one.
    pub(crate) fn base(&self) -> Option<Rev> {
        let names_paths = !self.from.keep.is_empty() || !self.from.remove.is_empty();
        self.base.clone().or(names_paths.then_some(Rev::Current { older: 0 }))
    }

    /// Returns the most bytes that an archive may hold: by the flag, or else by the audit.
    fn limit(&self, context: &Context<'_>) -> Result<Option<u64>> {
        let audit = context.project()?.and_then(|project| project.config.audit.max_total);
        Ok(self.max_total.or(audit))
    }

    /// Returns the name of the input for the headline of a difference.
    pub(crate) fn title(&self) -> String {
        let from = &self.from;
        match (&from.dir, from.plan.as_ref().or(from.from_tar.as_ref())) {
            (Some(dir), _) => show(dir),
            (None, Some(file)) => name_of(file),
            (None, None) if from.roots.is_empty() => "parts of the base".to_owned(),
            (None, None) => human::count(from.roots.len() as u64, "root"),
        }
    }
}

//! `export`: copies a generation out of the store. The copy shares no inode with it. Or writes whole generations to
//! an archive.

#![allow(clippy::disallowed_methods, reason = "the archive is no part of a store")]

use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use genstore::generation::{Exported, Listed, SharedExport};
use genstore::{Error, GenerationId, Rev, Store};
use serde::Serialize;

use crate::archives::write;
use crate::command::context::Context;
use crate::errors::Fail;
use crate::exit;
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{DIM, GOOD};

#[derive(Args)]
pub(crate) struct Export {
    /// The generation
    #[arg(value_name = "REF", required_unless_present = "archive")]
    generation: Option<Rev>,
    /// The directory to create; it must not exist or be empty
    #[arg(value_name = "DIR", required_unless_present = "archive")]
    dir: Option<PathBuf>,
    /// Write the generation whole to a tar archive, for `import`; without REF, all generations, with marks and pins
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["dir", "shared"])]
    archive: Option<PathBuf>,
    /// The copy's shared paths: `link` (to their places), `copy` (what is there now) or `leave` (left out)
    #[arg(
        long,
        value_name = "link|copy|leave",
        hide_possible_values = true,
        default_value = "link",
        hide_default_value = true
    )]
    shared: Shared,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shared {
    Link,
    Copy,
    Leave,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ExportDoc {
    schema: &'static str,
    generation: GenerationId,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    /// The number of files.
    files: u64,
    /// A number of bytes.
    bytes: u64,
    #[serde(flatten)]
    path: PathField,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ArchivedDoc {
    schema: &'static str,
    /// The generations in the archive.
    generations: Vec<GenerationId>,
    /// The number of files in all of them.
    files: u64,
    /// The bytes of these files, each once.
    bytes: u64,
    #[serde(flatten)]
    path: PathField,
}

impl Export {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        match (&self.archive, &self.generation, &self.dir) {
            (Some(archive), ..) => self.archive(context, archive),
            (None, Some(generation), Some(dir)) => self.copy(context, generation, dir),
            // The parser requires both.
            _ => Err(Fail::usage("usage", "a generation and a directory are required").into()),
        }
    }

    /// Writes an archive. A file appears complete under its name, or not at all.
    fn archive(&self, context: &Context<'_>, archive: &Path) -> Result<u8> {
        let to_stdout = archive.as_os_str() == "-";
        if to_stdout && context.out.json() {
            return Err(Fail::usage("usage", "--json and an archive cannot both go to stdout").into());
        }
        let store = context.open()?;
        let mut listing = store.list()?.generations;
        if let Some(rev) = &self.generation {
            let only = store.resolve(rev)?;
            listing.retain(|listed| listed.id == only);
        }
        listing.sort_by_key(|listed| listed.id);
        let listed: Vec<&Listed> = listing.iter().collect();
        if listed.is_empty() {
            let hint = "publish something first: `genstore publish DIR`";
            return Err(Fail::new("unknown-ref", "there is no generation to export", hint).into());
        }
        if to_stdout {
            let written = write::write(&store, &listed, &mut BufWriter::new(context.out.writer()))?;
            context.progress.finish();
            context.out.note(&exported(&written, "standard output"));
            return Ok(exit::DONE);
        }
        let written = to_file(&store, &listed, archive)?;
        context.out.has_changed(format!("{} was written", show(archive)));
        context.progress.finish();
        let text = exported(&written, &show(archive));
        let write::Written { generations, files, bytes } = written;
        let path = PathField::of_path(archive);
        let document = ArchivedDoc { schema: "genstore.export-archive/1", generations, files, bytes, path };
        context.out.confirm(&document, || text);
        Ok(exit::DONE)
    }

    fn copy(&self, context: &Context<'_>, generation: &Rev, dir: &Path) -> Result<u8> {
        let store = context.open()?;
        let generation = store.open_generation(generation)?;
        let tree = generation.head()?.tree;
        let shared = match self.shared {
            Shared::Link => SharedExport::Link,
            Shared::Copy => SharedExport::Copy,
            Shared::Leave => SharedExport::Leave,
        };
        let Exported { files, bytes, .. } =
            store.export_with(&generation, dir, shared).map_err(|error| match error {
                Error::NotEmpty { path } => {
                    let message = format!("{} already exists and is not empty", show(&path));
                    Fail::new("not-empty", message, "name a directory that does not exist or is empty")
                        .into()
                }
                other => anyhow::Error::from(other),
            })?;
        context.out.has_changed(format!("generation {} was exported", generation.id()));
        context.progress.finish();
        let document = ExportDoc {
            schema: "genstore.export/1",
            generation: generation.id(),
            tree: tree.to_string(),
            files,
            bytes,
            path: PathField::of_path(dir),
        };
        context.out.confirm(&document, || {
            format!(
                "{GOOD}Exported{GOOD:#} generation {} {DIM}{}{DIM:#} to {}: {}, {}\n",
                generation.id(),
                tree.short(),
                show(dir),
                human::count(files, "file"),
                human::bytes(bytes),
            )
        });
        Ok(exit::DONE)
    }
}

/// Writes an archive to a new file.
fn to_file(store: &Store, listed: &[&Listed], path: &Path) -> Result<write::Written> {
    let io = |op| move |source| Error::Io { op, path: path.to_owned(), source };
    let exists = || {
        let hint = "name a file that does not exist";
        Fail::new("not-empty", format!("{} already exists", show(path)), hint)
    };
    if std::fs::symlink_metadata(path).is_ok() {
        return Err(exists().into());
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".genstore-export-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(io("create"))?;
    let written = write::write(store, listed, &mut BufWriter::with_capacity(1 << 20, temporary.as_file()))?;
    temporary.as_file().sync_all().map_err(io("flush"))?;
    temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::Error::from(exists()),
        _ => io("rename to")(error.error).into(),
    })?;
    Ok(written)
}

fn exported(written: &write::Written, to: &str) -> String {
    format!(
        "{GOOD}Exported{GOOD:#} {} to {to}: {}, {}\n",
        human::generations(&written.generations),
        human::count(written.files, "file"),
        human::bytes(written.bytes),
    )
}

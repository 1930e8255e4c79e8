//! Finding the store and the project's file, from the working directory upwards.
//!
//! The way up ends at the project's root: the nearest folder with a project file, of a version control
//! system, or of a package manager's workspaces. What lies above it belongs to another project: it is
//! named, and not taken.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::trust::regular;
use crate::errors::is_absence;

/// The project's file.
pub(crate) const PROJECT_FILE: &str = "genstore.toml";

/// A store's name, where nobody gave another.
pub(crate) const STORE_FOLDER: &str = "genstore";

/// What only the root of a project has: folders (or, of a linked worktree, files) of version control
/// systems, and files of package managers.
const ROOTS: [&str; 8] =
    [".git", ".hg", ".jj", ".svn", ".pijul", "_darcs", ".fslckout", "pnpm-workspace.yaml"];

/// How a store was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By `--store`.
    Flag,
    /// By `GENSTORE_STORE`.
    Environment,
    /// By `store.path` of this file.
    Project(PathBuf),
    /// It is a `genstore/` folder here or above.
    Folder,
    /// Nobody named one: it is where a first publish makes it.
    Default,
}

impl Origin {
    /// Says so: a sentence's end.
    pub(crate) fn text(&self) -> String {
        match self {
            Origin::Flag => "by --store".to_owned(),
            Origin::Environment => "by GENSTORE_STORE".to_owned(),
            Origin::Project(file) => format!("by store.path of {}", crate::text::escape::show(file)),
            Origin::Folder => "as a genstore folder here or above".to_owned(),
            Origin::Default => "by nobody".to_owned(),
        }
    }
}

/// A store's place.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
}

/// What lies between a folder and the root of its project.
#[derive(Default, Debug)]
pub(crate) struct Around {
    /// The project's file. It lies in the root.
    pub(crate) project: Option<PathBuf>,
    /// The nearest store.
    pub(crate) store: Option<PathBuf>,
    /// The nearest store above the root: another project's.
    pub(crate) beyond: Option<PathBuf>,
}

/// Looks at a folder and at those above it, up to the ground if there is one.
pub(crate) fn around(start: &Path, ground: Option<&Path>) -> Result<Around> {
    let mut around = Around::default();
    let mut is_beyond = false;
    for dir in start.ancestors() {
        if ground.is_some_and(|ground| ground.starts_with(dir) && ground != dir) {
            break;
        }
        let store = dir.join(STORE_FOLDER);
        if is_there(&store.join("format"))? {
            match (is_beyond, &around.store) {
                (true, _) => {
                    around.beyond = Some(store);
                    return Ok(around);
                }
                (false, None) => around.store = Some(store),
                _ => {}
            }
        }
        if is_beyond {
            continue;
        }
        let file = dir.join(PROJECT_FILE);
        if is_there(&file)? {
            around.project = Some(file);
        }
        is_beyond = around.project.is_some() || is_root(dir)?;
        if is_beyond && around.store.is_some() {
            return Ok(around);
        }
    }
    Ok(around)
}

fn is_root(dir: &Path) -> Result<bool> {
    for name in ROOTS {
        if is_there(&dir.join(name))? {
            return Ok(true);
        }
    }
    // What cannot be read is no package's.
    let package = regular::read_text(&dir.join("package.json")).unwrap_or_default();
    // The whole of it is parsed only where it can be one.
    Ok(package.contains("\"workspaces\"")
        && serde_json::from_str::<serde_json::Value>(&package)
            .is_ok_and(|package| package.get("workspaces").is_some()))
}

fn is_there(path: &Path) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        // A neighbour's directory that we may not look into (`/home/genstore`, say) is no store of ours
        // either.
        Err(e) if is_absence(&e) || e.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(source) => Err(genstore::Error::Io { op: "look at", path: path.to_owned(), source }.into()),
    }
}

//! Finds the store and the project's file, from the working directory upwards.
//!
//! The search ends at the project's root: the nearest folder with a project file, with a folder of a
//! version control system, or with workspaces of a package manager. A store above it belongs to another
//! project: it is mentioned, but not used.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::trust::regular;
use crate::errors::is_absence;

/// The name of the project's file.
pub(crate) const PROJECT_FILE: &str = "genstore.toml";

/// The default name of a store.
pub(crate) const STORE_FOLDER: &str = "genstore";

/// The folder of a store that most tools pass over. Only a project's file finds it.
pub(crate) const HIDDEN_STORE_FOLDER: &str = ".genstore";

/// Names that only the root of a project has: folders of version control systems (files in a linked
/// worktree), and files of package managers.
const ROOTS: [&str; 8] =
    [".git", ".hg", ".jj", ".svn", ".pijul", "_darcs", ".fslckout", "pnpm-workspace.yaml"];

/// The way in which a store was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By `--store`.
    Flag,
    /// By `GENSTORE_STORE`.
    Environment,
    /// By `store.path` of this file.
    Project(PathBuf),
    /// As a `genstore/` folder here or above.
    Folder,
    /// Not at all: this is the place where a first publish creates it.
    Default,
}

impl Origin {
    /// Describes it, as the end of a sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Origin::Flag => "by --store".to_owned(),
            Origin::Environment => "by GENSTORE_STORE".to_owned(),
            Origin::Project(file) => format!("by store.path of {}", crate::text::escape::show(file)),
            Origin::Folder => "as a genstore folder here or above".to_owned(),
            Origin::Default => "by default".to_owned(),
        }
    }
}

/// The place of a store.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
}

/// The findings between a folder and the root of its project.
#[derive(Default, Debug)]
pub(crate) struct Around {
    /// The project's file. It lies in the root.
    pub(crate) project: Option<PathBuf>,
    /// The nearest store.
    pub(crate) store: Option<PathBuf>,
    /// The nearest store above the root, which belongs to another project.
    pub(crate) beyond: Option<PathBuf>,
}

/// Searches a folder and those above it, up to the ground if there is one.
pub(crate) fn around(start: &Path, ground: Option<&Path>) -> Result<Around> {
    let mut around = Around::default();
    let mut is_beyond = false;
    // Folders that may be the root. They are examined only once something is found: each costs ten
    // system calls, and most searches find nothing.
    let mut maybe_roots = Vec::new();
    for dir in start.ancestors() {
        if ground.is_some_and(|ground| ground.starts_with(dir) && ground != dir) {
            break;
        }
        let (store, file) = (dir.join(STORE_FOLDER), dir.join(PROJECT_FILE));
        let has_store = is_there(&store.join("format"))?;
        let has_file = !is_beyond && is_there(&file)?;
        if has_store || has_file {
            is_beyond = is_beyond || any_root(&std::mem::take(&mut maybe_roots))?;
        }
        match (is_beyond, has_store) {
            (true, true) => {
                around.beyond = Some(store);
                return Ok(around);
            }
            (true, false) => continue,
            (false, true) => around.store = around.store.or(Some(store)),
            (false, false) => {}
        }
        if has_file {
            around.project = Some(file);
        }
        maybe_roots.push(dir);
        is_beyond = around.project.is_some();
        if around.store.is_some() && (is_beyond || any_root(&std::mem::take(&mut maybe_roots))?) {
            return Ok(around);
        }
    }
    Ok(around)
}

fn any_root(dirs: &[&Path]) -> Result<bool> {
    for dir in dirs {
        if is_root(dir)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_root(dir: &Path) -> Result<bool> {
    for name in ROOTS {
        if is_there(&dir.join(name))? {
            return Ok(true);
        }
    }
    // An unreadable file is no package.
    let package = regular::read_text(&dir.join("package.json")).unwrap_or_default();
    // The file is parsed only if it can have the key.
    Ok(package.contains("\"workspaces\"")
        && serde_json::from_str::<serde_json::Value>(&package)
            .is_ok_and(|package| package.get("workspaces").is_some()))
}

fn is_there(path: &Path) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        // A directory of another user that is not accessible (`/home/genstore`, say) is not the user's
        // store either.
        Err(e) if is_absence(&e) || e.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(source) => {
            Err(genstore::Error::Io { op: "read the metadata of", path: path.to_owned(), source }.into())
        }
    }
}

//! Finding the store and the project's file, from the working directory upwards.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The project's file.
pub(crate) const PROJECT_FILE: &str = "genstore.toml";

/// A store's name, where nobody gave another.
pub(crate) const STORE_FOLDER: &str = "genstore";

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
            Origin::Project(file) => format!("by store.path of {}", crate::output::show(file)),
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

/// Finds the file or folder `name` in `start` or the nearest directory above it.
pub(crate) fn upwards(start: &Path, name: &str) -> Result<Option<PathBuf>> {
    for dir in start.ancestors() {
        let path = dir.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(_) => return Ok(Some(path)),
            // A neighbour's directory that we may not look into (`/home/genstore`, say) is no
            // store of ours either.
            Err(e) if is_absence(&e) || e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(source) => return Err(genstore::Error::Io { op: "look at", path, source }.into()),
        }
    }
    Ok(None)
}

/// Finds a `genstore/` folder with a `format` file in `start` or above it.
pub(crate) fn folder(start: &Path) -> Result<Option<PathBuf>> {
    let marker = upwards(start, &format!("{STORE_FOLDER}/format"))?;
    Ok(marker.and_then(|marker| marker.parent().map(Path::to_owned)))
}

/// Tells whether an error only says that nothing is there.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

//! `[build] at`: the folder of the project at which only a build sees its stage.

#![allow(clippy::disallowed_methods, reason = "the folder is the project's and no part of a store")]

use std::cell::RefCell;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Result;
use genstore::Store;
use genstore::view::ViewKind;
use genstore_run::Mount;

use crate::errors::Fail;
use crate::project::config::Project;
use crate::text::escape::show;

/// The variable with the path of a build's output.
pub(crate) const OUT: &str = "GENSTORE_OUT";

/// The folder at which builds see their stages.
pub(crate) struct Place {
    path: PathBuf,
    /// Whether the project declares a link as its view there.
    is_link_view: bool,
    /// The last reason that was reported.
    said: RefCell<Option<String>>,
}

impl Place {
    /// Reads it from the project's file. Returns `None` if the file has none.
    ///
    /// # Errors
    /// Fails if the path is not below the project's root, or if the build has an output folder as well.
    pub(crate) fn of(project: &Project) -> Result<Option<Place>> {
        let section = &project.config.build;
        let Some(at) = &section.at else { return Ok(None) };
        let bad = |why: &str, hint: &str| {
            let fail =
                Fail::usage("bad-at", format!("`at` under [build] in {} {why}", show(&project.file)));
            Fail { hint: hint.to_owned(), ..fail }.into()
        };
        if section.output.is_some() {
            return Err(bad(
                "stands beside `output`",
                "the command writes to one of the two: remove the other",
            ));
        }
        let root = project.root();
        let path = root.join(at);
        // The last name may be a link, and is reported then.
        let is_below = path.file_name().zip(path.parent()).is_some_and(|(_, parent)| {
            let existing = parent.ancestors().find_map(|folder| folder.canonicalize().ok());
            let is_plain = !at.components().any(|part| part == std::path::Component::ParentDir);
            is_plain
                && existing.zip(root.canonicalize().ok()).is_some_and(|(at, root)| at.starts_with(root))
        });
        if !is_below || path == root {
            let hint = "name a folder below the project, such as \"dist\"";
            return Err(bad(&format!("is {}, which is not below the project", show(at)), hint));
        }
        let mut views = project.config.view.iter();
        let is_link_view = views.any(|view| view.kind == ViewKind::Link && root.join(&view.path) == path);
        Ok(Some(Place { path, is_link_view, said: RefCell::default() }))
    }

    /// Returns the mount of a stage, and creates the folder if it is missing. Returns the reason if nothing
    /// can be mounted there.
    pub(crate) fn mount(&self, store: &Store, stage: &Path) -> Result<Mount, String> {
        const LINK: &str = "it is a link, and a view with `as = \"mirror\"` is a folder";
        if self.is_link_view {
            return Err(LINK.to_owned());
        }
        if store.path().starts_with(&self.path) || self.path.starts_with(store.path()) {
            return Err(format!("the store is {}", show(store.path())));
        }
        match fs::symlink_metadata(&self.path) {
            Ok(meta) if meta.is_symlink() => return Err(LINK.to_owned()),
            Ok(meta) if !meta.is_dir() => return Err("it is no folder".to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(&self.path).map_err(|error| format!("it cannot be created: {error}"))?;
            }
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        Ok(Mount { folder: stage.to_owned(), at: self.path.clone(), variable: OUT.into() })
    }

    /// Returns a line about a build that writes to `out` instead. Returns `None` if the reason is known from
    /// the build before.
    pub(crate) fn warning(&self, why: &str, out: &Path) -> Option<String> {
        let known = self.said.replace(Some(why.to_owned()));
        (known.as_deref() != Some(why)).then(|| {
            let (path, out) = (show(&self.path), show(out));
            format!("the build cannot have {path} to itself: {why}; {OUT} is {out}")
        })
    }
}

/// Creates a folder, and those above it. They belong to the owner of the folder in which they are, also if
/// root creates them.
fn create(path: &Path) -> io::Result<Metadata> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let owner = match fs::metadata(above) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(above)?,
        found => found?,
    };
    match fs::create_dir(path) {
        // Another build may create it, too.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
        // Only root may give files away, and for others there is nothing to do.
        Ok(()) => chown(path, Some(owner.uid()), Some(owner.gid())).unwrap_or_default(),
    }
    fs::metadata(path)
}

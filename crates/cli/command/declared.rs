//! The views that the project's file declares. Publishing creates missing ones.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use genstore::view::ViewOptions;
use genstore::{Store, Warning};

use crate::command::context::Context;
use crate::errors::Fail;
use crate::project::config::{Project, ViewSection};
use crate::text::escape::show;

/// Checks, before anything is published, that the views lie inside the project, or in a folder that the
/// user allows. A view that the store already knows was added by the user.
pub(crate) fn check(context: &Context<'_>, project: &Project) -> Result<()> {
    let root = project.root();
    for section in &project.config.view {
        let path = root.join(&section.path);
        let Some(folder) = folder_of(&path) else { continue };
        let is_inside = root.canonicalize().is_ok_and(|root| folder.starts_with(root));
        if is_inside || context.trust.allows_view_in(&folder)? {
            continue;
        }
        if context.open().is_ok_and(|store| store.has_view(&path).unwrap_or(false)) {
            continue;
        }
        let message =
            format!("the view {} of {} is outside the project", show(&section.path), show(&project.file));
        let hint = "list its folder as `views` in your configuration, allow it once with --trust, or add it \
                    by hand with `genstore view add`";
        return Err(Fail::new("view-outside", message, hint).into());
    }
    Ok(())
}

/// Returns the folder that contains or would contain a view, without symlinks. Returns `None` if there is
/// none: then the view cannot be created.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let mut real = PathBuf::new();
    let mut is_there = true;
    for part in path.parent()?.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        // A symlink must be resolved before a `..` that follows it.
        if is_there {
            match real.canonicalize() {
                Ok(path) => real = path,
                Err(_) => is_there = false,
            }
        }
    }
    Some(real)
}

/// Creates the views that the project declares and the store does not know. The commit is done, so a view
/// that cannot be created is a warning.
pub(crate) fn make_views(context: &Context<'_>, store: &Store) -> Vec<Warning> {
    // The file was read before anything was published.
    let Ok(Some(project)) = context.own_project() else { return vec![] };
    let make =
        |section: &ViewSection| make_view(context, store, &project.root().join(&section.path), section);
    project.config.view.iter().flat_map(make).collect()
}

fn make_view(context: &Context<'_>, store: &Store, path: &Path, section: &ViewSection) -> Vec<Warning> {
    let ViewSection { kind, from, copy, keep_removed, .. } = section;
    let mut options = ViewOptions::default().parents();
    (options.kind, options.from, options.copy) = (*kind, from.clone(), *copy);
    options.keep_removed = *keep_removed;
    let made = store.has_view(path).and_then(|is_there| match is_there {
        true => Ok(None),
        false => store.add_view(path, &options).map(Some),
    });
    match made {
        Ok(None) => vec![],
        Ok(Some(added)) => {
            context.out.note(&format!("   Created the view {}", show(&added.view.path)));
            added.warnings
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let message = format!("cannot create the view {}: {error:#}", show(path));
            vec![Warning::new(message)]
        }
    }
}

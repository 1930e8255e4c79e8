//! The views that the project's file declares: publishing makes those that are not there.

use std::path::Path;

use genstore::{Store, ViewOptions, Warning};

use crate::config::ViewSection;
use crate::context::Context;
use crate::output::show;

/// Makes the views that the project declares and the store does not know. The commit stands: what
/// cannot be made is a warning.
pub(crate) fn make_views(context: &Context<'_>, store: &Store) -> Vec<Warning> {
    // It was read before anything was published.
    let Ok(Some(project)) = context.project() else { return vec![] };
    let make =
        |section: &ViewSection| make_view(context, store, &project.root().join(&section.path), section);
    project.config.view.iter().flat_map(make).collect()
}

fn make_view(context: &Context<'_>, store: &Store, path: &Path, section: &ViewSection) -> Vec<Warning> {
    let ViewSection { kind, from, copy, .. } = section;
    let options =
        ViewOptions { kind: *kind, from: from.clone(), copy: *copy, replace: false, parents: true };
    let made = store.has_view(path).and_then(|is_there| match is_there {
        true => Ok(None),
        false => store.add_view(path, &options).map(Some),
    });
    match made {
        Ok(None) => vec![],
        Ok(Some(added)) => {
            context.out.note(&format!("      Made the view {}", show(&added.view.path)));
            added.warnings
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let message = format!("the view {} could not be made: {error:#}", show(path));
            vec![Warning { message, not_durable: false }]
        }
    }
}

//! Checks before a publication: its commands are allowed, its views are allowed, and the user sees where it
//! goes.

use anyhow::Result;

use crate::command::context::{Context, own_store};
use crate::command::declared;
use crate::project::find::Origin;
use crate::text::escape::show;

/// Checks the side effects of a publication, and prints its destination.
///
/// # Errors
/// If the project's commands are not allowed, or a view lies outside the project.
pub(crate) fn check_publish(context: &Context<'_>) -> Result<()> {
    let found = context.find_store()?;
    context.check_hooks()?;
    let project = context.project()?;
    if project.is_some_and(|project| !project.config.audit.run.is_empty()) {
        context.check_commands()?;
    }
    let own = context.own_project()?;
    if let Some(project) = own {
        declared::check(context, project)?;
    }
    if let (Some(project), None) = (project, own) {
        let sections = project.config.store_sections();
        if !sections.is_empty() {
            let (file, sections) = (show(&project.file), sections.join(", "));
            let own = show(&own_store(project));
            context.out.note(&format!("{file} applies only to the store {own}: {sections} ignored"));
        }
    }
    match found.origin {
        Origin::Folder | Origin::Project(_) if !context.is_here(&found.path) => {
            context.out.note(&format!("     Store {}", show(&found.path)));
        }
        Origin::Default => {
            if let Some(beyond) = context.store_beyond()? {
                let beyond = show(beyond);
                context.out.note(&format!(
                    "the store {beyond} belongs to another project; to publish there: --store {beyond}"
                ));
            }
        }
        _ => {}
    }
    Ok(())
}

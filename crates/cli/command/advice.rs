//! Hints about the project's own tools: when a store or a view is created, and when a build fails.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use genstore::Error;
use genstore::audit::Failed;
use genstore::view::{View, ViewKind};

use crate::command::context::Context;
use crate::project::tools::{Advice, Tools, packages_beside};
use crate::text::escape::show;

/// The part of a build's log in which paths of the store are searched.
const SEARCHED_BYTES: u64 = 1 << 20;

/// Returns the folder whose tools would find the store: the project's root, or else the folder with the
/// store.
///
/// # Errors
/// If the project's file is invalid or not trusted.
pub(crate) fn root(context: &Context<'_>, store: &Path) -> Result<PathBuf> {
    let beside = || store.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(context.project()?.map_or_else(beside, |project| project.root().to_owned()))
}

/// Adds the lines that keep tools out of the store, where that is safe. Returns what it added.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn add_lines(context: &Context<'_>, root: &Path, tools: &Tools<'_>) -> Result<Vec<Advice>> {
    let mut added = Vec::new();
    for advice in tools.find() {
        let fail = |source| Error::Io { op: "write", path: root.join(&advice.file), source };
        if tools.fix(&advice).map_err(fail)? {
            context.out.note(&format!("added to {}: {}", show(&advice.file), advice.line));
            added.push(advice);
        }
    }
    Ok(added)
}

/// Returns the names of the tools, each once: `jest and typescript`.
pub(crate) fn names(advice: &[Advice]) -> String {
    let mut names: Vec<&str> = advice.iter().map(|advice| advice.tool).collect();
    names.dedup();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Prints which tools walk into a store that was just created.
pub(crate) fn hint_of_new(context: &Context<'_>, store: &Path) -> Result<()> {
    let root = root(context, store)?;
    let found = Tools::of(&root, store).map(|tools| tools.find()).unwrap_or_default();
    if !found.is_empty() {
        let names = names(&found);
        context.out.hint(&format!("keep {names} out of the store: see `genstore doctor`"));
    }
    Ok(())
}

/// Returns a hint if a failed build read what was published: its log names paths of the store, or its
/// compiler finds packages in a view.
pub(crate) fn of_failure(context: &Context<'_>, failed: Option<&Failed>) -> Option<String> {
    // These are only hints, so errors end the search.
    let store = context.open_found(&context.find_store().ok()?, None).ok()?;
    let root = root(context, store.path()).ok()?;
    let tools = Tools::of(&root, store.path())?;
    let log = failed.and_then(|failed| read_start(&failed.path.join("build.log")).ok()).unwrap_or_default();
    if tools.is_named_by(&log) {
        let found = tools.find();
        let who = if found.is_empty() { "a tool of the build".to_owned() } else { names(&found) };
        return Some(format!("its log names files in the store: see `genstore doctor` to keep {who} out"));
    }
    let paths: Vec<PathBuf> = store.views().ok()?.into_iter().map(|view| view.path).collect();
    let declared = context.project().ok()?.map(|project| &project.config);
    let declared = declared.into_iter().flat_map(|config| &config.view).map(|view| root.join(&view.path));
    let paths: Vec<PathBuf> = paths.into_iter().chain(declared).collect();
    let first = tools.loops(&paths, None).into_iter().next()?;
    Some(format!("by {}, {}: see `genstore doctor`", show(&first.file), first.why))
}

fn read_start(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    #[allow(clippy::disallowed_methods, reason = "the log of a failed build is kept for people")]
    std::fs::File::open(path)?.take(SEARCHED_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the reason against a link, and a command that replaces it by a mirror, if Node does not find the
/// packages beside the link.
pub(crate) fn mirror_instead(view: &View, store: &Path) -> Option<(String, String)> {
    let beside = packages_beside(&view.path, store).filter(|_| view.kind == ViewKind::Link)?;
    let (path, beside) = (show(&view.path), show(&beside));
    let why = format!(
        "{path} is a link, which Node resolves: from the generation it does not find {beside}; a mirror is a \
         real folder"
    );
    Some((why, format!("genstore view rm {path} && genstore view add {path} --as mirror")))
}

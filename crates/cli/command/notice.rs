//! The store's notice, as a wake-up call: what counts is `current` itself, looked at after each.

use std::path::PathBuf;

use genstore::Store;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::command::context::Context;

/// Calls `wake`, in another thread, when the notice is written, as long as what it gives lives. Where
/// that cannot be had, there is nothing but to look again and again.
pub(crate) fn watch(
    context: &Context<'_>,
    store: &Store,
    wake: impl Fn() + Send + 'static,
) -> Option<RecommendedWatcher> {
    watch_paths(context, "the notice", &[store.notice_path()], wake)
}

/// Does the same for what happens at these paths, or in them where they are folders.
pub(crate) fn watch_paths(
    context: &Context<'_>,
    what: &str,
    paths: &[PathBuf],
    wake: impl Fn() + Send + 'static,
) -> Option<RecommendedWatcher> {
    if !genstore_watch::can_start_threads(1) {
        context.out.detail(&format!("no thread can be started to watch {what}; looking again and again"));
        return None;
    }
    let heard = move |event: notify::Result<Event>| {
        // Reading is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            wake();
        }
    };
    let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
        let mut watch = |path: &PathBuf| watcher.watch(path, RecursiveMode::NonRecursive);
        paths.iter().try_for_each(&mut watch)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            context.out.detail(&format!("cannot watch {what} ({error}); looking again and again"));
            None
        }
    }
}

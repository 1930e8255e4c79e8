//! The store's notice as a wake-up call. Only `current` itself decides; it is read after each wake.

use std::path::PathBuf;

use genstore::Store;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::command::context::Context;

/// Calls `wake`, in another thread, when the notice is written, until the result is dropped. If the system
/// grants no watch, callers must poll.
pub(crate) fn watch(
    context: &Context<'_>,
    store: &Store,
    wake: impl Fn() + Send + 'static,
) -> Option<RecommendedWatcher> {
    watch_paths(context, "the notice", &[store.notice_path()], wake)
}

/// Does the same for changes of these paths, or in these folders.
pub(crate) fn watch_paths(
    context: &Context<'_>,
    what: &str,
    paths: &[PathBuf],
    wake: impl Fn() + Send + 'static,
) -> Option<RecommendedWatcher> {
    if !genstore_watch::can_start_threads(1) {
        context.out.detail(&format!("cannot start a thread to watch {what}; polling instead"));
        return None;
    }
    let heard = move |event: notify::Result<Event>| {
        // Reading is not a change.
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
            context.out.detail(&format!("cannot watch {what} ({error}); polling instead"));
            None
        }
    }
}

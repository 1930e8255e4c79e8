//! The store's notice, as a wake-up call: what counts is `current` itself, looked at after each.

use genstore::Store;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::command::context::Context;

/// Calls `wake`, in another thread, when the notice is written, as long as what it gives lives. Where
/// that cannot be had, there is nothing but to look again and again.
pub(crate) fn watch(
    context: &Context<'_>,
    store: &Store,
    wake: impl Fn() + Send + 'static,
) -> Option<RecommendedWatcher> {
    if !genstore_watch::can_start_threads(1) {
        context.out.detail("no thread can be started to watch the notice; looking again and again");
        return None;
    }
    let watcher = notify::recommended_watcher(move |_| wake()).and_then(|mut watcher| {
        watcher.watch(&store.notice_path(), RecursiveMode::NonRecursive).map(|()| watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            context.out.detail(&format!("cannot watch the notice ({error}); looking again and again"));
            None
        }
    }
}

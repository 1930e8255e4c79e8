//! Checks whether libraries that start threads may be called.
//!
//! `notify` panics, or receives nothing, if the system refuses a thread. So it is called only after threads
//! were granted.

use std::sync::mpsc::channel;
use std::thread;

/// Returns whether the system grants this many threads at once.
///
/// It starts twice as many: ended threads still count for a moment, and other programs may take some.
pub fn can_start_threads(count: usize) -> bool {
    let mut ends = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..count * 2 {
        let (end, ended) = channel::<()>();
        // Each thread waits for the end of its sender.
        match thread::Builder::new().spawn(move || ended.recv().is_ok()) {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
        ends.push(end);
    }
    let granted = threads.len() == count * 2;
    drop(ends);
    for thread in threads {
        // The thread does not panic.
        thread.join().unwrap_or_default();
    }
    granted
}

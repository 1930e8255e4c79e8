//! Whether libraries that start threads of their own may be called.
//!
//! `notify` panics, or hears nothing, where the system refuses a thread. So it is called only where
//! threads were granted just before.

use std::sync::mpsc::channel;
use std::thread;

/// Returns whether the system grants so many threads at once.
///
/// It starts twice as many: those that ended still count for a moment, and others may take some.
pub fn can_start_threads(count: usize) -> bool {
    let mut ends = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..count * 2 {
        let (end, ended) = channel::<()>();
        // The end of the sender is what it waits for.
        match thread::Builder::new().spawn(move || ended.recv().is_ok()) {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
        ends.push(end);
    }
    let granted = threads.len() == count * 2;
    drop(ends);
    for thread in threads {
        // It does not panic.
        thread.join().unwrap_or_default();
    }
    granted
}

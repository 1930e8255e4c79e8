//! Flushing ahead: while a large publication is written, the disk is kept at work, so that the
//! flush before the commit finds little left to do.
//!
//! It is only ever an early part of that flush: a failure fails the publication, since the system
//! tells of what it could not write back no more than once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::error::Result;
use crate::fs::Durability;
use crate::parts::layout::StoreDir;

/// So much is written before the disk is given something to do: too little, and it writes its
/// journal again and again; too much, and it is idle first and late in the end. Measured with 60,000
/// files, where it takes a sixth off the whole.
const PORTION: u64 = 128 << 20;
/// What a file costs besides its bytes: its inode, its name, and what is left of its last block.
const PER_FILE: u64 = 8 << 10;

/// Counts what is written, and has it flushed a portion at a time.
pub(crate) struct Writeback {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    /// Since the last flush began.
    written: u64,
    is_over: bool,
}

impl Writeback {
    /// Does `work`, which tells how much it writes to the filesystem of `store`.
    pub(crate) fn during<T>(store: &StoreDir, work: impl FnOnce(&Writeback) -> Result<T>) -> Result<T> {
        let ahead = Writeback { state: Mutex::default(), woken: Condvar::new() };
        if store.options.durability == Durability::None {
            return work(&ahead);
        }
        thread::scope(|scope| {
            // Where the system gives no more threads, all is left to the flush at the end.
            let flusher = thread::Builder::new().spawn_scoped(scope, || ahead.flush(store)).ok();
            let over = Over(&ahead);
            let done = work(&ahead);
            drop(over);
            let flushed = flusher.map_or(Ok(()), |flusher| {
                flusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            done.and_then(|done| flushed.map(|()| done))
        })
    }

    /// Notes that a file was written.
    pub(crate) fn wrote(&self, bytes: u64) {
        let mut state = self.lock();
        let before = state.written;
        state.written += bytes + PER_FILE;
        if before < PORTION && state.written >= PORTION {
            self.woken.notify_one();
        }
    }

    fn flush(&self, store: &StoreDir) -> Result<()> {
        loop {
            let mut state = self.lock();
            while state.written < PORTION && !state.is_over {
                state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.is_over {
                return Ok(());
            }
            state.written = 0;
            drop(state);
            store.fs.sync_filesystem(&store.dir)?;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the flushing, also when the work panics.
struct Over<'a>(&'a Writeback);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.woken.notify_one();
    }
}

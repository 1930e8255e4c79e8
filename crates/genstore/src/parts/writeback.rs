//! Early writeback: during a large publication the disk is kept busy, so that the flush before the
//! commit has little left to write.
//!
//! It is only an early part of that flush. A failure fails the publication, because the system reports
//! each writeback error only once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::error::Result;
use crate::fs::Durability;
use crate::parts::layout::StoreDir;

/// The number of bytes after which a flush begins. If it is too small, the journal is written again and
/// again. If it is too large, the disk is idle first and late in the end. Measured with 60,000 files,
/// where it saves a sixth of the total time.
const PORTION: u64 = 128 << 20;
/// The cost of a file besides its bytes: its inode, its name, and the rest of its last block.
const PER_FILE: u64 = 8 << 10;

/// Counts written bytes, and has them flushed a portion at a time.
pub(crate) struct Writeback {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes since the last flush began.
    written: u64,
    is_over: bool,
}

impl Writeback {
    /// Runs `work`, which reports how much it writes to the filesystem of `store`.
    pub(crate) fn during<T>(store: &StoreDir, work: impl FnOnce(&Writeback) -> Result<T>) -> Result<T> {
        let ahead = Writeback { state: Mutex::default(), woken: Condvar::new() };
        if store.options.durability == Durability::None {
            return work(&ahead);
        }
        thread::scope(|scope| {
            // If the system refuses another thread, everything is left to the final flush.
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

    /// Records that a file was written. After each portion the reserve is checked.
    ///
    /// # Errors
    /// Code `reserve`.
    pub(crate) fn wrote(&self, store: &StoreDir, bytes: u64) -> Result<()> {
        let mut state = self.lock();
        let before = state.written;
        state.written += bytes + PER_FILE;
        let is_full = before < PORTION && state.written >= PORTION;
        if is_full && store.options.durability == Durability::None {
            // There is no flusher, which counts from 0 again.
            state.written = 0;
        }
        drop(state);
        if is_full {
            self.woken.notify_one();
            store.check_reserve()?;
        }
        Ok(())
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

/// Ends the flushing, also if the work panics.
struct Over<'a>(&'a Writeback);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.woken.notify_one();
    }
}

//! Rayon's threads, as many as the system grants.
//!
//! rayon panics if its global pool cannot be started, for example under a limit of processes. So each
//! use of rayon goes through this module, which starts the pool first. With fewer threads than
//! processors the pool is smaller. Without threads each caller works alone. `clippy.toml` refuses
//! direct calls.

#![allow(clippy::disallowed_methods, reason = "this is the only place that calls rayon")]

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rayon::ThreadBuilder;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

/// The replacement of rayon's prelude.
pub(crate) mod prelude {
    pub(crate) use rayon::iter::{IndexedParallelIterator, ParallelIterator};

    pub(crate) use super::{SharedOut, SharedOutByRef, SharedOutSlice};
}

/// `into_par_iter`, with the pool started.
pub(crate) trait SharedOut: IntoParallelIterator + Sized {
    fn into_par_iter(self) -> <Self as IntoParallelIterator>::Iter {
        ready();
        IntoParallelIterator::into_par_iter(self)
    }
}

impl<T: IntoParallelIterator> SharedOut for T {}

/// `par_iter`, with the pool started.
pub(crate) trait SharedOutByRef<'data> {
    type Iter: ParallelIterator;

    fn par_iter(&'data self) -> Self::Iter;
}

impl<'data, T: 'data + ?Sized> SharedOutByRef<'data> for T
where
    &'data T: IntoParallelIterator,
{
    type Iter = <&'data T as IntoParallelIterator>::Iter;

    fn par_iter(&'data self) -> Self::Iter {
        SharedOut::into_par_iter(self)
    }
}

/// `par_windows` and `par_chunks_mut`, with the pool started.
pub(crate) trait SharedOutSlice<T> {
    fn par_windows(&self, size: usize) -> rayon::slice::Windows<'_, T>
    where
        T: Sync;

    fn par_chunks_mut(&mut self, size: usize) -> rayon::slice::ChunksMut<'_, T>
    where
        T: Send;
}

impl<T> SharedOutSlice<T> for [T] {
    fn par_windows(&self, size: usize) -> rayon::slice::Windows<'_, T>
    where
        T: Sync,
    {
        ready();
        ParallelSlice::par_windows(self, size)
    }

    fn par_chunks_mut(&mut self, size: usize) -> rayon::slice::ChunksMut<'_, T>
    where
        T: Send,
    {
        ready();
        ParallelSliceMut::par_chunks_mut(self, size)
    }
}

/// Below this number of items the pool is not started: two threads cost as much as 100 stats.
const FEW: usize = 100;

/// Calls a function for each item, in parallel if there are many. Returns the results in order.
pub(crate) fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    call: impl Fn(&T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    if items.len() < FEW {
        return items.iter().map(call).collect();
    }
    items.par_iter().map(call).collect()
}

/// Calls a function for each item, in parallel if there are at least two. For calls that take long.
pub(crate) fn try_map_long<T: Sync, R: Send, E: Send>(
    items: &[T],
    call: impl Fn(&T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    match items {
        [] | [_] => items.iter().map(call).collect(),
        _ => items.par_iter().map(call).collect(),
    }
}

/// Runs two functions, concurrently if there is a thread for the second.
pub(crate) fn join<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    ready();
    rayon::join(first, second)
}

/// Makes sure that rayon can be called from this thread.
pub(crate) fn ready() {
    static HAS_POOL: OnceLock<bool> = OnceLock::new();
    // A thread of a pool, the caller's own or ours.
    if rayon::current_thread_index().is_some() {
        return;
    }
    if !HAS_POOL.get_or_init(|| start_pool(wanted())) {
        be_alone();
    }
}

/// Returns the number of threads that rayon would start.
fn wanted() -> usize {
    let named = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
    let count = named.filter(|count| *count > 0);
    count.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Starts the global pool with as many threads as are granted, up to `wanted`. Returns `false` if there
/// are none.
fn start_pool(wanted: usize) -> bool {
    // The threads are started first, and each waits for its part in the pool: a pool that lacks a
    // thread while it is built is lost, and rayon builds the global one only once.
    let mut waiting = Vec::new();
    for number in 0..wanted.min(rayon::max_num_threads()) {
        let (part, parts): (_, Receiver<ThreadBuilder>) = channel();
        let run = move || {
            if let Ok(part) = parts.recv() {
                part.run();
            }
        };
        match thread::Builder::new().name(format!("genstore-{number}")).spawn(run) {
            Ok(_) => waiting.push(part),
            Err(_) => break,
        }
    }
    if waiting.is_empty() {
        return false;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(waiting.len()).spawn_handler(|part| {
        let ended = || std::io::Error::other("the thread has ended");
        waiting.pop().ok_or_else(ended)?.send(part).map_err(|_| ended())
    });
    // It fails if the embedding program has started the pool already, which can be used as well.
    pool.build_global().ok();
    true
}

/// Makes the calling thread a pool of its own for the rest of its life. With a single pool for all,
/// other threads would wait for this one.
fn be_alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    // The thread stays in the pool, so the pool must stay.
    std::mem::forget(pool);
}

/// Locks a mutex, even if a panicking thread held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the content of a mutex, even if a panicking thread held it.
pub(crate) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::prelude::*;
    use super::{be_alone, join, start_pool};

    fn sum() -> (u64, u64) {
        let numbers: Vec<u64> = (0..10_000).collect();
        (numbers.par_iter().sum(), numbers.into_par_iter().map(|n| n % 7).sum())
    }

    #[test]
    fn threads_without_a_pool_work_alone_each_for_itself() {
        let expected = sum();
        let alone = || {
            be_alone();
            (rayon::current_num_threads(), rayon::current_thread_index(), sum(), join(|| 1, || 2))
        };
        let (first, second) = (thread::spawn(alone), thread::spawn(alone));
        for found in [first.join().unwrap(), second.join().unwrap()] {
            assert_eq!(found, (1, Some(0), expected, (1, 2)));
        }
    }

    #[test]
    fn no_threads_make_no_pool() {
        assert!(!start_pool(0));
    }
}

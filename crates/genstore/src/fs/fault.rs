//! Fault points: each call that changes the disk asks here first.
//!
//! With the feature `faults` a [`Faults`] can count those calls, write them down, and at a chosen
//! one kill the process or fail the call. Without it, asking is nothing at all.

use std::io;
use std::path::Path;

/// What a call does to the space on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// It may need a new block or inode, so a full disk fails it.
    Space,
    /// It works on a full disk.
    Nothing,
}

#[cfg(not(feature = "faults"))]
#[derive(Clone, Default, Debug)]
pub(crate) struct Faults;

#[cfg(not(feature = "faults"))]
impl Faults {
    pub(crate) fn point(&self, _op: &'static str, _path: &Path, _needs: Needs) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "faults")]
pub use enabled::{Fault, FaultKind, Faults};

#[cfg(feature = "faults")]
mod enabled {
    use super::*;
    use std::fmt;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// What happens at the chosen call.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum FaultKind {
        /// The process gets SIGKILL instead of the call.
        Kill,
        /// The call fails with EIO, once.
        Eio,
        /// This call and every later one fail with EIO, as on a disk that went away.
        EioFromHere,
        /// This call and every later one that needs space fail with ENOSPC.
        Full,
    }

    /// Which call, counted from 1, and what happens at it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Fault {
        /// The number of the call.
        pub step: u64,
        /// What happens.
        pub kind: FaultKind,
    }

    /// Counts the calls that change the disk, and fails the chosen one. Clones count together.
    #[derive(Clone, Default)]
    pub struct Faults(Option<Arc<Inner>>);

    struct Inner {
        fault: Option<Fault>,
        count: AtomicU64,
        seen: Mutex<Vec<String>>,
    }

    impl Faults {
        /// Counts and writes down, and fails nothing.
        pub fn record() -> Faults {
            Faults::new(None)
        }

        /// Fails as told.
        pub fn inject(fault: Fault) -> Faults {
            Faults::new(Some(fault))
        }

        fn new(fault: Option<Fault>) -> Faults {
            let inner = Inner { fault, count: AtomicU64::new(0), seen: Mutex::default() };
            Faults(Some(Arc::new(inner)))
        }

        /// Gives every call so far, as `operation path`, in the order in which they were made.
        pub fn seen(&self) -> Vec<String> {
            self.0.as_ref().map(|inner| lock(&inner.seen).clone()).unwrap_or_default()
        }

        /// Counts the calls so far of one that injects.
        pub fn count(&self) -> u64 {
            self.0.as_ref().map_or(0, |inner| inner.count.load(Ordering::SeqCst))
        }

        pub(crate) fn point(&self, op: &'static str, path: &Path, needs: Needs) -> io::Result<()> {
            let Some(inner) = &self.0 else { return Ok(()) };
            let step = match inner.fault {
                None => {
                    lock(&inner.seen).push(format!("{op} {}", path.display()));
                    return Ok(());
                }
                Some(_) => inner.count.fetch_add(1, Ordering::SeqCst) + 1,
            };
            match inner.fault {
                Some(Fault { step: at, kind: FaultKind::Kill }) if step == at => {
                    let _: Result<(), _> = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                    // Other threads must not get further than this one.
                    loop {
                        std::thread::park();
                    }
                }
                Some(Fault { step: at, kind: FaultKind::Eio }) if step == at => Err(eio()),
                Some(Fault { step: at, kind: FaultKind::EioFromHere }) if step >= at => Err(eio()),
                Some(Fault { step: at, kind: FaultKind::Full }) if step >= at && needs == Needs::Space => {
                    Err(rustix::io::Errno::NOSPC.into())
                }
                _ => Ok(()),
            }
        }
    }

    impl fmt::Debug for Faults {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("Faults").field(&self.0.as_ref().and_then(|inner| inner.fault)).finish()
        }
    }

    fn eio() -> io::Error {
        rustix::io::Errno::IO.into()
    }

    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

//! Fault points: each call that changes the disk asks here first, and each stage of a publication
//! announces its beginning.
//!
//! With the feature `faults` a [`Faults`] can count those calls and record them. At a chosen call, or
//! at the beginning of a chosen stage, it kills the process or fails. Without the feature the calls are
//! empty.

use std::io;
use std::path::Path;

/// The effect of a call on the free space of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// It may need a new block or inode, so it fails on a full disk.
    Space,
    /// It works on a full disk.
    Nothing,
}

/// The stages of a publication, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[cfg_attr(not(feature = "faults"), allow(unreachable_pub, reason = "it is public with the feature"))]
pub enum FaultStage {
    /// A plan was passed in; nothing has been written.
    Plan,
    /// New bytes are about to be written to the stage.
    Write,
    /// The staged tree is about to be audited.
    Audit,
    /// The stage is about to be made durable.
    Flush,
    /// A number is about to be taken.
    Number,
    /// `current` is about to move.
    Pointer,
    /// `current` has moved; views are about to be checked.
    View,
}

impl FaultStage {
    /// All stages.
    #[cfg(feature = "faults")]
    pub const ALL: [FaultStage; 7] = [
        FaultStage::Plan,
        FaultStage::Write,
        FaultStage::Audit,
        FaultStage::Flush,
        FaultStage::Number,
        FaultStage::Pointer,
        FaultStage::View,
    ];

    /// Returns its name: `plan`, `write`, `audit`, `flush`, `number`, `pointer`, `view`.
    #[cfg(feature = "faults")]
    pub fn name(self) -> &'static str {
        match self {
            FaultStage::Plan => "plan",
            FaultStage::Write => "write",
            FaultStage::Audit => "audit",
            FaultStage::Flush => "flush",
            FaultStage::Number => "number",
            FaultStage::Pointer => "pointer",
            FaultStage::View => "view",
        }
    }

    /// Returns the operation for the message of an error at its beginning.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            FaultStage::Plan => "plan for",
            FaultStage::Write => "write to a stage of",
            FaultStage::Audit => "audit for",
            FaultStage::Flush => "flush",
            FaultStage::Number => "take a number in",
            FaultStage::Pointer => "move current in",
            FaultStage::View => "check the views of",
        }
    }
}

#[cfg(not(feature = "faults"))]
#[derive(Clone, Default, Debug)]
pub(crate) struct Faults;

#[cfg(not(feature = "faults"))]
impl Faults {
    pub(crate) fn point(&self, _op: &'static str, _path: &Path, _needs: Needs) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn enter(&self, _stage: FaultStage) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "faults")]
pub use enabled::{FaultAt, FaultKind, FaultPlan, Faults};

#[cfg(feature = "faults")]
mod enabled {
    use super::*;
    use std::fmt;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// The kind of a fault.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum FaultKind {
        /// The process is killed with SIGKILL.
        Kill,
        /// EIO, once.
        Eio,
        /// EIO, here and at every later call, as on a disk that disappeared.
        EioFromHere,
        /// ENOSPC, here and at every later call that needs space.
        Full,
    }

    /// The place of a fault.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum FaultAt {
        /// At this call that changes the disk, counted from 1.
        Step(u64),
        /// At the beginning of this stage.
        Stage(FaultStage),
    }

    /// A fault and its place. A build tool that embeds the library uses it in its own tests.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FaultPlan {
        /// The place.
        pub at: FaultAt,
        /// The kind.
        pub kind: FaultKind,
    }

    impl FaultPlan {
        /// Plans a fault at a call that changes the disk, counted from 1.
        pub fn step(step: u64, kind: FaultKind) -> FaultPlan {
            FaultPlan { at: FaultAt::Step(step), kind }
        }

        /// Plans a fault at the beginning of a stage.
        pub fn stage(stage: FaultStage, kind: FaultKind) -> FaultPlan {
            FaultPlan { at: FaultAt::Stage(stage), kind }
        }
    }

    /// Counts the calls that change the disk, and fails as planned. Clones share one counter.
    #[derive(Clone, Default)]
    pub struct Faults(Option<Arc<Inner>>);

    struct Inner {
        plan: Option<FaultPlan>,
        count: AtomicU64,
        /// Whether the planned place was reached.
        reached: AtomicBool,
        seen: Mutex<Vec<String>>,
    }

    impl Faults {
        /// Creates one that records all calls and never fails.
        pub fn record() -> Faults {
            Faults::new(None)
        }

        /// Creates one that fails as planned.
        pub fn inject(plan: FaultPlan) -> Faults {
            Faults::new(Some(plan))
        }

        fn new(plan: Option<FaultPlan>) -> Faults {
            let (count, reached, seen) = Default::default();
            Faults(Some(Arc::new(Inner { plan, count, reached, seen })))
        }

        /// Returns every recorded call as `operation path`, in order.
        pub fn seen(&self) -> Vec<String> {
            self.0.as_ref().map(|inner| lock(&inner.seen).clone()).unwrap_or_default()
        }

        /// Returns the number of calls so far, of one that injects a fault.
        pub fn count(&self) -> u64 {
            self.0.as_ref().map_or(0, |inner| inner.count.load(Ordering::SeqCst))
        }

        pub(crate) fn point(&self, op: &'static str, path: &Path, needs: Needs) -> io::Result<()> {
            let Some(inner) = &self.0 else { return Ok(()) };
            let Some(plan) = inner.plan else {
                lock(&inner.seen).push(format!("{op} {}", path.display()));
                return Ok(());
            };
            let step = inner.count.fetch_add(1, Ordering::SeqCst) + 1;
            if plan.at == FaultAt::Step(step) {
                inner.reached.store(true, Ordering::SeqCst);
                return inner.fail(plan.kind, needs);
            }
            match plan.kind {
                FaultKind::EioFromHere | FaultKind::Full if inner.reached.load(Ordering::SeqCst) => {
                    inner.fail(plan.kind, needs)
                }
                _ => Ok(()),
            }
        }

        pub(crate) fn enter(&self, stage: FaultStage) -> io::Result<()> {
            let Some(inner) = &self.0 else { return Ok(()) };
            let Some(plan) = inner.plan.filter(|plan| plan.at == FaultAt::Stage(stage)) else {
                return Ok(());
            };
            // A stage that begins again, as after a lost race, does not fail a second time.
            if inner.reached.swap(true, Ordering::SeqCst) {
                return Ok(());
            }
            inner.fail(plan.kind, Needs::Space)
        }
    }

    impl Inner {
        fn fail(&self, kind: FaultKind, needs: Needs) -> io::Result<()> {
            match kind {
                FaultKind::Kill => {
                    let _: Result<(), _> = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                    // Other threads must not get further than this one.
                    loop {
                        std::thread::park();
                    }
                }
                FaultKind::Eio | FaultKind::EioFromHere => Err(rustix::io::Errno::IO.into()),
                FaultKind::Full if needs == Needs::Space => Err(rustix::io::Errno::NOSPC.into()),
                FaultKind::Full => Ok(()),
            }
        }
    }

    impl fmt::Debug for Faults {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("Faults").field(&self.0.as_ref().and_then(|inner| inner.plan)).finish()
        }
    }

    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

//! Fault points: each call that changes the disk asks here first, and each stage of a publication
//! says when it begins.
//!
//! With the feature `faults` a [`Faults`] can count those calls, write them down, and at a chosen
//! one, or at the beginning of a chosen stage, kill the process or fail. Without it, asking is
//! nothing at all.

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

/// The stages of a publication, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[cfg_attr(not(feature = "faults"), allow(unreachable_pub, reason = "it is public with the feature"))]
pub enum FaultStage {
    /// A plan was handed over; nothing has been written.
    Plan,
    /// New bytes are about to be written to the stage.
    Write,
    /// The staged tree is about to be judged.
    Audit,
    /// All of it is about to be made durable.
    Flush,
    /// A number is about to be taken.
    Number,
    /// `current` is about to move.
    Pointer,
    /// `current` has moved; views are about to be looked at.
    View,
}

impl FaultStage {
    /// All of them.
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

    /// Gives its name: `plan`, `write`, `audit`, `flush`, `number`, `pointer`, `view`.
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

    /// Says what an error at its beginning is about.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            FaultStage::Plan => "plan for",
            FaultStage::Write => "write to a stage of",
            FaultStage::Audit => "audit for",
            FaultStage::Flush => "flush",
            FaultStage::Number => "take a number in",
            FaultStage::Pointer => "move current in",
            FaultStage::View => "look at the views of",
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

    /// What goes wrong.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum FaultKind {
        /// The process gets SIGKILL.
        Kill,
        /// EIO, once.
        Eio,
        /// EIO, here and at every later call, as on a disk that went away.
        EioFromHere,
        /// ENOSPC, here and at every later call that needs space.
        Full,
    }

    /// Where something goes wrong.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum FaultAt {
        /// At this call that changes the disk, counted from 1.
        Step(u64),
        /// When this stage begins.
        Stage(FaultStage),
    }

    /// What goes wrong, and where: a build tool that embeds the library writes its own tests with it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FaultPlan {
        /// Where.
        pub at: FaultAt,
        /// What.
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

    /// Counts the calls that change the disk, and fails as planned. Clones count together.
    #[derive(Clone, Default)]
    pub struct Faults(Option<Arc<Inner>>);

    struct Inner {
        plan: Option<FaultPlan>,
        count: AtomicU64,
        /// The planned place was reached.
        reached: AtomicBool,
        seen: Mutex<Vec<String>>,
    }

    impl Faults {
        /// Counts and writes down, and fails nothing.
        pub fn record() -> Faults {
            Faults::new(None)
        }

        /// Fails as planned.
        pub fn inject(plan: FaultPlan) -> Faults {
            Faults::new(Some(plan))
        }

        fn new(plan: Option<FaultPlan>) -> Faults {
            let (count, reached, seen) = Default::default();
            Faults(Some(Arc::new(Inner { plan, count, reached, seen })))
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
            // A stage that is begun again, as after a lost race, fails no second time.
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

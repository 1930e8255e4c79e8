//! A store of build outputs, published as generations.
//!
//! The files of a build are hashed into immutable objects. A generation is a directory of hard links to
//! them. One symlink, `current`, names the generation that readers see, and a commit renames it over. So a
//! reader sees the whole old generation or the whole new one.
//!
//! # A first publish
//!
//! A [`Plan`] lists the wanted files and where their bytes come from. [`Store::stage`] brings it into the
//! store, where no reader sees it. [`audit::Audited::commit`] makes it a generation, and current.
//!
//! ```
//! use std::sync::Arc;
//! use genstore::{CommitOptions, Options, Plan, Source, StageOptions, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("genstore");
//! let options = Options::new(Arc::new(std::time::SystemTime::now));
//! let store = Store::init(&path, options)?.store;
//!
//! let plan = Plan::builder()
//!     .file("index.html", Source::Bytes(b"<h1>hello</h1>".to_vec()))
//!     .build()?;
//! let staged = store.stage(&plan, StageOptions::default())?;
//! let published = staged.unaudited().commit(&CommitOptions::default())?;
//!
//! assert!(published.changed);
//! assert_eq!(std::fs::read(path.join("current/index.html"))?, b"<h1>hello</h1>");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Plan::scan`] makes a plan of a directory. [`Store::begin`] creates a directory in the store, which any
//! program may write to. [`publish::Staged::audit`] refuses a tree that breaks a rule.
//!
//! # Rolling back
//!
//! A rollback moves `current` back, and marks the generation that it leaves as bad.
//!
//! ```
//! use genstore::publish::MarkLeft;
//!
//! # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
//! let done = store.rollback(1, MarkLeft::Bad)?;
//! assert_eq!(done.generation.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Store::activate`] moves `current` to any kept generation.
//!
//! # Collecting
//!
//! A [`Retention`] says which generations stay. [`Store::plan_gc`] changes nothing, and [`Store::collect`]
//! never removes more than the plan lists.
//!
//! ```
//! use genstore::Retention;
//!
//! # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
//! let plan = store.plan_gc(&Retention::default().keep_last(1).grace(std::time::Duration::ZERO))?;
//! let done = store.collect(&plan)?;
//! assert_eq!((done.generations.len(), done.objects), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - Until `current` is renamed, every error leaves it as it was. After that, nothing is an error: what
//!   goes wrong is a [`Warning`].
//! - On return, a commit survives a power loss, unless a warning says otherwise or the store was opened with
//!   [`Durability::None`].
//! - A process that is killed leaves nothing that the next writer does not finish or remove.
//! - Writers of other processes wait for each other. A reader takes no lock.
//! - `current` may be read by any program. A reader that wants a generation to stay has a lease:
//!   [`Store::open_generation`].
//!
//! # Where to look
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | the files to publish, from directories, memory and streams |
//! | [`publish`] | stages, commits, and moves of `current` |
//! | [`audit`] | rules for staged trees, and findings |
//! | [`generation`] | generations, their marks and pins, and lists of them |
//! | [`tree`] and [`mod@diff`] | trees as values, and their differences |
//! | [`objects`] | single objects: bytes that come from a remote |
//! | [`mod@history`] | who did what and when |
//! | [`gc`] | retention and collections |
//! | [`mod@forget`] | contents that must go from every generation |
//! | [`view`] | paths outside the store that show what is current |
//! | [`verify`] | checks and repairs |
//! | [`error`] and [`progress`] | errors, and the progress of long work |
//!
//! Options are built: `StageOptions::default().always()`. Options and results may get new fields. Enums that
//! may get new variants are marked so. The kinds in [`error`] are not, so that the compiler names a new
//! reason. A path in a tree is bytes (`&[u8]`), and a path on the disk is a [`std::path::Path`].
//!
//! The library reads no clock, no environment and no terminal. Its calls block, and it uses threads of its
//! own. `crates/README.md` is the map of its sources.

mod change;
mod check;
pub mod error;
mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod model;
mod parts;
pub mod plan;
pub mod progress;
mod publication;
mod repair;
mod store;
mod threads;
mod verbs;
mod views;
mod warning;

/// Publishing: from a plan to a generation, and the moves of `current`.
pub mod publish {
    pub use crate::change::expect::Expect;
    pub use crate::model::ids::{NotAStageId, StageId};
    pub use crate::parts::claim::{OpenStage, Owner};
    pub use crate::parts::hold::{Activate, Hold};
    pub use crate::parts::locks::WatchLock;
    pub use crate::plan::emptied::Emptying;
    pub use crate::publication::{Publication, Times};
    pub use crate::verbs::activate::Activation;
    pub use crate::verbs::publish::batch::PutRoot;
    pub use crate::verbs::publish::ingest::lossy::Lossy;
    pub use crate::verbs::publish::options::{CommitOptions, StageOptions};
    pub use crate::verbs::publish::stage::Stage;
    pub use crate::verbs::publish::staged::Staged;
    pub use crate::verbs::rollback::{HoldEnded, MarkLeft, RollbackPlan};
}

/// Audits: rules and programs that check a staged tree before it may be committed.
pub mod audit {
    pub use crate::model::audit::{AuditRules, Finding, Growth, LastGood, Severity};
    pub use crate::model::pattern::{NotAPattern, Pattern, Patterns};
    pub use crate::parts::failed::{Failed, KeepFailed};
    pub use crate::verbs::publish::staged::{Audited, Judged, Rejected};
}

/// Objects from elsewhere, before a generation names them.
pub mod objects {
    pub use crate::verbs::receive::Receiving;
}

/// The content of generations as values: paths, files and their digests.
pub mod tree {
    pub use crate::model::digest::{Digest, NotADigest};
    pub use crate::model::relpath::{PathProblem, RelPath, show as show_path};
    pub use crate::model::tree::builder::TreeBuilder;
    pub use crate::model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree, TreeId, TreeProblem};
}

/// The differences of two trees.
pub mod diff {
    pub use crate::model::diff::{Change, Diff, DiffSummary, diff};
}

/// The content of a store: generations, their manifests, marks and pins, and their disk usage.
pub mod generation {
    pub use crate::model::codec::{Head, Malformed, Manifest};
    pub use crate::model::fresh::{PublishedMtimes, Retired};
    pub use crate::model::ids::{GenerationId, NotAPinName, PinName, Rev};
    pub use crate::model::records::Mark;
    pub use crate::parts::generations::Generation;
    pub use crate::verbs::export::{Exported, SharedExport};
    pub use crate::verbs::follow::{Follower, Move};
    pub use crate::verbs::inspect::{Listed, Listing, Marking, Pin, Told};
    pub use crate::verbs::names::{Recorded, Unpinned};
    pub use crate::verbs::usage::{Usage, UsageReport};
}

/// History: who did what and when.
pub mod history {
    pub use crate::model::records::Cause;
    pub use crate::verbs::history::{HistoryEntry, HistoryEvent};
}

/// Garbage collection: the generations and objects that it removes.
pub mod gc {
    pub use crate::change::retain::UnreadGeneration;
    pub use crate::model::retention::{Reason, Retention, Verdict};
    pub use crate::verbs::collect::{Collected, GcPlan};
}

/// Forgetting: contents that a store must not hold any more.
pub mod forget {
    pub use crate::verbs::forget::{Forgot, Remembering};
}

/// Views: paths outside the store that show the current generation.
pub mod view {
    pub use crate::model::view::{ViewChange, ViewKind};
    pub use crate::views::view::{View, ViewAdded, ViewOptions, ViewRemoved, ViewState};
}

/// Verification of a store, and repair.
pub mod verify {
    pub use crate::check::owners::Foreign;
    pub use crate::check::report::{
        DamagedFile, DamagedGeneration, DamagedObject, GenerationFault, SharedFault, Unshared, VerifyReport,
    };
    pub use crate::check::strays::Strays;
    pub use crate::check::tree::{Depth, Fault as TreeFault, FaultKind as TreeFaultKind};
    pub use crate::repair::owners::GivenBack;
    pub use crate::repair::relink::SharedAgain;
    pub use crate::verbs::verify::{Relinked, Repaired};
}

/// Faults for tests: calls that fail or kill the process.
#[cfg(feature = "faults")]
pub mod faults {
    pub use crate::fs::fault::{FaultAt, FaultKind, FaultPlan, FaultStage, Faults};
}

#[doc(no_inline)]
pub use error::{Error, Result};
pub use fs::Durability;
#[doc(no_inline)]
pub use gc::Retention;
#[doc(no_inline)]
pub use generation::{Generation, GenerationId, Rev};
pub use parts::layout::{Audience, Clock, Options, STORE_FORMATS};
#[doc(no_inline)]
pub use plan::{Plan, Source};
#[doc(no_inline)]
pub use publish::{CommitOptions, Publication, StageOptions};
pub use store::{Initialized, Store};
pub use warning::Warning;

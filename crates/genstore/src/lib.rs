//! A store of build outputs.
//!
//! A build's output is hashed into immutable objects, a generation's directory is assembled from
//! hard links to them, and one symlink, `current`, is retargeted to commit. Readers see the whole
//! old generation or the whole new one.
//!
//! ```
//! use std::sync::Arc;
//! use genstore::{CommitOptions, Options, Plan, Source, StageOptions, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("genstore");
//! let options = Options::new(Arc::new(std::time::SystemTime::now));
//! let (store, _) = Store::init(&path, options)?;
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
//! The library knows no clock, no environment and no terminal. It is blocking and uses threads of
//! its own for hashing. `crates/README.md` is the map of its modules.

mod change;
mod check;
pub mod error;
mod fs;
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
    pub use crate::parts::claim::Owner;
    pub use crate::parts::hold::{Activate, Hold};
    pub use crate::parts::locks::WatchLock;
    pub use crate::plan::emptied::Emptying;
    pub use crate::publication::{Publication, Times};
    pub use crate::verbs::activate::Activation;
    pub use crate::verbs::publish::ingest::lossy::Lossy;
    pub use crate::verbs::publish::options::{CommitOptions, StageOptions};
    pub use crate::verbs::publish::stage::Stage;
    pub use crate::verbs::publish::staged::Staged;
    pub use crate::verbs::rollback::{HoldEnded, MarkLeft};
}

/// Audits: rules and programs that check a staged tree before it may be committed.
pub mod audit {
    pub use crate::model::audit::{AuditRules, Finding, Growth, LastGood, Severity};
    pub use crate::model::pattern::{NotAPattern, Pattern, Patterns};
    pub use crate::parts::failed::{Failed, KeepFailed};
    pub use crate::verbs::publish::audit::{Audited, Judged, Rejected};
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
    pub use crate::model::fresh::{Retired, Shown};
    pub use crate::model::ids::{GenerationId, NotAPinName, PinName, Rev};
    pub use crate::model::records::Mark;
    pub use crate::parts::generations::Generation;
    pub use crate::verbs::export::Exported;
    pub use crate::verbs::inspect::{Listed, Listing, Pin};
    pub use crate::verbs::usage::{Usage, UsageReport};
}

/// Garbage collection: the generations and objects that it removes.
pub mod gc {
    pub use crate::change::retain::UnreadGeneration;
    pub use crate::model::retention::{Reason, Retention, Verdict};
    pub use crate::verbs::collect::{Collected, GcPlan};
}

/// Views: paths outside the store that show the current generation.
pub mod view {
    pub use crate::model::view::{ViewChange, ViewKind};
    pub use crate::views::view::{View, ViewAdded, ViewOptions, ViewRemoved, ViewState};
}

/// Verification of a store, and repair.
pub mod verify {
    pub use crate::check::report::{DamagedObject, Unshared, VerifyReport};
    pub use crate::check::tree::{Depth, Fault as TreeFault, FaultKind as TreeFaultKind};
    pub use crate::repair::owners::{Foreign, GivenBack};
    pub use crate::verbs::verify::Repaired;
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
pub use parts::layout::{Audience, Clock, Options};
#[doc(no_inline)]
pub use plan::{Plan, Source};
#[doc(no_inline)]
pub use publish::{CommitOptions, Publication, StageOptions};
pub use store::{Initialized, Store};
pub use warning::Warning;

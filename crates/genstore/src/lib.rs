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
//!     .file("index.html", false, Source::Bytes(b"<h1>hello</h1>".to_vec()))
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
mod error;
mod fs;
mod model;
mod parts;
mod plan;
mod progress;
mod publication;
mod repair;
mod store;
mod threads;
mod verbs;
mod views;
mod warning;

pub use change::expect::Expect;
pub use check::report::Unshared;
pub use check::report::{DamagedObject, VerifyReport};
pub use check::tree::{Depth, Fault as TreeFault, FaultKind as TreeFaultKind};
pub use error::{
    BadSourceReason, Damaged, Error, Holder, Leftover, Problem, ProblemKind, RefusedKind, Result,
};
pub use fs::Durability;
#[cfg(feature = "faults")]
pub use fs::fault::{FaultAt, FaultKind, FaultPlan, FaultStage, Faults};
pub use model::audit::{AuditRules, Finding, Growth, LastGood, NotAPattern, Pattern, Severity};
pub use model::codec::{Head, Malformed, Manifest};
pub use model::diff::{Change, Diff, DiffSummary, diff};
pub use model::digest::{Digest, NotADigest};
pub use model::fresh::{Retired, Shown};
pub use model::ids::{GenerationId, NotAPinName, NotAStageId, PinName, Rev, StageId};
pub use model::records::Mark;
pub use model::relpath::{PathProblem, RelPath, show as show_path};
pub use model::retention::{Reason, Retention, Verdict};
pub use model::tree::builder::TreeBuilder;
pub use model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree, TreeId, TreeProblem};
pub use model::view::{ViewChange, ViewKind};
pub use parts::claim::Owner;
pub use parts::failed::{Failed, KeepFailed};
pub use parts::generations::Generation;
pub use parts::hold::{Activate, Hold};
pub use parts::layout::{Audience, Clock, Options};
pub use parts::locks::WatchLock;
pub use plan::item::{Source, Spooled, Symlinks};
pub use plan::scan::{ScanRules, StoreIdentity};
pub use plan::scan_memory::ScanMemory;
pub use plan::{Plan, PlanBuilder};
pub use progress::{Phase, Progress, Silent};
pub use publication::{Publication, Times};
pub use repair::owners::Foreign;
pub use store::Store;
pub use verbs::activate::Activation;
pub use verbs::collect::{Collected, GcPlan};
pub use verbs::inspect::{Listed, Listing, Pin};
pub use verbs::publish::audit::{Audited, Judged, Rejected};
pub use verbs::publish::emptied::Emptying;
pub use verbs::publish::ingest::lossy::Lossy;
pub use verbs::publish::options::{CommitOptions, StageOptions};
pub use verbs::publish::stage::Stage;
pub use verbs::publish::staged::Staged;
pub use verbs::usage::{Usage, UsageReport};
pub use views::view::{View, ViewAdded, ViewOptions, ViewRemoved, ViewState};
pub use warning::Warning;

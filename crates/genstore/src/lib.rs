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

mod activate;
mod ahead;
mod assemble;
mod audit;
mod before;
mod begin;
mod check;
mod claim;
mod commit;
mod emptied;
mod error;
mod export;
mod failed;
mod folders;
mod footprint;
mod freshen;
mod fs;
mod gc;
mod generations;
mod heal;
mod hold;
mod ingest;
mod intake;
mod known;
mod layout;
mod linked;
mod locks;
mod log;
mod look;
mod lossy;
mod lost;
mod mirror;
mod mirror_look;
mod mirror_plan;
mod mirror_work;
mod model;
mod naming;
mod objects;
mod owners;
mod plan;
mod pointer;
mod prepared;
mod progress;
mod publish;
mod query;
mod rebuild;
mod records;
mod recover;
mod recycle;
mod relink;
mod rollback;
mod roots;
mod scan;
mod scan_memory;
mod sealed;
mod second_look;
mod stage;
mod store;
mod threads;
mod unchanged;
mod usage;
mod verify;
mod view;
mod view_check;
mod view_disk;
mod view_parents;
mod view_place;
mod view_put;
mod views;

pub use activate::{Activation, Expect, Warning};
pub use audit::{Audited, Judged, Rejected};
pub use begin::Stage;
pub use check::{Depth, Fault as TreeFault, FaultKind as TreeFaultKind};
pub use claim::Owner;
pub use emptied::Emptying;
pub use error::{Damaged, Error, Holder, Leftover, Problem, Result};
pub use failed::{Failed, KeepFailed};
pub use fs::Durability;
#[cfg(feature = "faults")]
pub use fs::fault::{FaultAt, FaultKind, FaultPlan, FaultStage, Faults};
pub use gc::{Collected, GcPlan};
pub use generations::Generation;
pub use hold::{Activate, Hold};
pub use layout::{Audience, Clock, Options};
pub use locks::WatchLock;
pub use lossy::Lossy;
pub use model::audit::{AuditRules, Finding, Growth, LastGood, NotAPattern, Pattern, Severity};
pub use model::codec::{Head, Malformed, Manifest};
pub use model::diff::{Change, Diff, DiffSummary, diff};
pub use model::digest::{Digest, NotADigest};
pub use model::fresh::{Retired, Shown};
pub use model::ids::{GenerationId, NotAPinName, NotAStageId, PinName, Rev, StageId};
pub use model::relpath::{PathProblem, RelPath, show as show_path};
pub use model::retention::{Reason, Retention, Verdict};
pub use model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree, TreeBuilder, TreeId, TreeProblem};
pub use owners::Foreign;
pub use plan::{Plan, PlanBuilder, Source, Spooled, Symlinks};
pub use progress::{Phase, Progress, Silent};
pub use publish::{CommitOptions, Publication, StageOptions, Staged, Times};
pub use query::{Listed, Listing, Pin};
pub use records::Mark;
pub use relink::Unshared;
pub use scan::{ScanRules, StoreIdentity};
pub use scan_memory::ScanMemory;
pub use store::Store;
pub use usage::{Usage, UsageReport};
pub use verify::{DamagedObject, VerifyReport};
pub use view::{View, ViewAdded, ViewChange, ViewOptions, ViewRemoved, ViewState};
pub use views::ViewKind;

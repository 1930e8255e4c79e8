//! Plans: the wanted entries with the sources of their bytes. A plan changes nothing.
//!
//! A scanned directory and a builder create the same [`Plan`]. So a build in memory and a build on disk
//! take one path through the store, and the same content gets the same tree id. All problems of a plan
//! are reported together.

mod base;
mod batch;
pub(crate) mod builder;
pub(crate) mod emptied;
pub(crate) mod item;
pub(crate) mod kept;
pub(crate) mod planned;
pub(crate) mod roots;
pub(crate) mod scan;
pub(crate) mod scan_memory;
mod shared;
pub(crate) mod sources;

pub use crate::model::shared::{SharedKind, SharedPath, SharedPaths, SharedProblem};
pub use builder::{Plan, PlanBuilder};
pub use item::{Source, Spooled, Symlinks};
pub use kept::Base;
pub use scan::{ScanRules, StoreIdentity};
pub use scan_memory::ScanMemory;

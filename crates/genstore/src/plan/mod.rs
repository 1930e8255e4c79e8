//! Plans: the wanted entries with the sources of their bytes. A plan changes nothing.
//!
//! A scanned directory and a builder create the same [`Plan`]. So a build in memory and a build on disk
//! take one path through the store, and the same content gets the same tree id. All problems of a plan
//! are reported together.

pub(crate) mod builder;
pub(crate) mod emptied;
pub(crate) mod item;
pub(crate) mod roots;
pub(crate) mod scan;
pub(crate) mod scan_memory;
pub(crate) mod sources;

pub use builder::{Plan, PlanBuilder};
pub use item::{Source, Spooled, Symlinks};
pub use scan::{ScanRules, StoreIdentity};
pub use scan_memory::ScanMemory;

//! Plans: the wanted entries and where their bytes come from. A plan touches nothing.
//!
//! A directory that is scanned and a builder that is fed give the same [`Plan`], so a build in
//! memory and a build on disk take one way through the store, and the same content gets the same
//! tree id. Whatever is wrong with a plan is reported all together.

pub(crate) mod builder;
pub(crate) mod item;
pub(crate) mod roots;
pub(crate) mod scan;
pub(crate) mod scan_memory;
pub(crate) mod sources;

pub use builder::{Plan, PlanBuilder};
pub use item::{Source, Spooled, Symlinks};
pub use scan::{ScanRules, StoreIdentity};
pub use scan_memory::ScanMemory;

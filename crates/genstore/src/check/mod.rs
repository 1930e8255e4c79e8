//! Floor 3: comparing a store with what it ought to be. Changes nothing.

pub(crate) mod lost;
pub(crate) mod report;
pub(crate) mod store;
pub(crate) mod tree;
pub(crate) mod unshared;

//! Floor 3: compares a store with its records. Changes nothing.

pub(crate) mod lost;
pub(crate) mod owners;
pub(crate) mod report;
pub(crate) mod seen;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod strays;
pub(crate) mod tree;
pub(crate) mod unshared;

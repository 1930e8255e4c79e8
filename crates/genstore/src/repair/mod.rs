//! Floor 5: repairs differences between a store and its records.
//!
//! `mend` replaces single paths, `rescue` repairs objects and manifests, `rebuild` recreates lost
//! parts, `relink` restores links, modes and mtimes that a copy lost, `owners` restores ownership.
//! `second_look` filters findings of `verify` that a concurrent writer caused. `verbs/verify` calls all
//! of them.

pub(crate) mod mend;
pub(crate) mod owners;
pub(crate) mod rebuild;
pub(crate) mod relink;
pub(crate) mod rescue;
pub(crate) mod second_look;

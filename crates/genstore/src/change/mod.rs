//! Floor 4: what every verb that moves `current` shares.
//!
//! `begin` takes the commit lock and recovers from a change that was cut short, `freshen` gives files
//! that differ a newer mtime, `announce` does what comes after the move.

pub(crate) mod announce;
pub(crate) mod begin;
pub(crate) mod expect;
pub(crate) mod freshen;
pub(crate) mod retain;

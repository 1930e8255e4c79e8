//! Floor 4: the code that all verbs which move `current` share.
//!
//! `recover` takes the commit lock and recovers from an interrupted change. `freshen` gives changed files
//! a newer mtime. `announce` does the steps after the move. `retain` decides which generations stay.

pub(crate) mod announce;
pub(crate) mod expect;
pub(crate) mod freshen;
pub(crate) mod recover;
pub(crate) mod retain;

//! How things look: for people, for programs, and as differences.

pub(crate) mod diff;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod patch;
pub(crate) mod publish;

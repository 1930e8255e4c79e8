//! The output of the program: the two streams, the documents, the lists, and the error messages.

pub(crate) mod diff;
pub(crate) mod failure;
pub(crate) mod hints;
pub(crate) mod json;
pub(crate) mod leftover;
pub(crate) mod output;
pub(crate) mod pager;
pub(crate) mod patch;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod remote;
pub(crate) mod torture;

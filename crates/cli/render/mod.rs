//! What the program prints: the two outputs, the documents, the lists, and what is said of an error.

pub(crate) mod diff;
pub(crate) mod failure;
pub(crate) mod hints;
pub(crate) mod json;
pub(crate) mod leftover;
pub(crate) mod output;
pub(crate) mod patch;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod torture;

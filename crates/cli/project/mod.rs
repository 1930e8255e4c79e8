//! The project around the working directory: its file, its store, and whether they are trusted.

pub(crate) mod config;
pub(crate) mod find;
pub(crate) mod tools;
pub(crate) mod trust;

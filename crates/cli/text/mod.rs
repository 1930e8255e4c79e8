//! Words and numbers: written for people, and read from arguments and files. Pure functions of text.

pub(crate) mod human;
pub(crate) mod plain;
pub(crate) mod size;
pub(crate) mod time;

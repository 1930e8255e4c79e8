//! Formats and parses texts and numbers. Pure functions of text.

pub(crate) mod escape;
pub(crate) mod human;
pub(crate) mod nearest;
pub(crate) mod plain;
pub(crate) mod size;
pub(crate) mod style;
pub(crate) mod template;
pub(crate) mod time;

//! `--keep PATH` and `--remove PATH`: paths of the base.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::{OsStringValueParser, TypedValueParser};
use genstore::tree::RelPath;

/// Parses a path in a tree. One `/` at its end is ignored: shells complete folders so.
pub(crate) fn parser() -> impl TypedValueParser<Value = RelPath> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let mut bytes = text.into_vec();
        if bytes.len() > 1 && bytes.last() == Some(&b'/') {
            bytes.pop();
        }
        RelPath::new(bytes).map_err(|why| why.to_string())
    })
}

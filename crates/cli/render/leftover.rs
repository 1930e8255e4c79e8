//! Files that could not be removed: their document, their line, and their hint.

use genstore::error::Leftover;
use serde::Serialize;

use super::json::PathField;
use super::output::Out;
use crate::text::escape::show;

/// A file that could not be removed.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct LeftoverDoc {
    #[serde(flatten)]
    path: PathField,
    /// The reason, for people.
    why: String,
}

impl LeftoverDoc {
    pub(crate) fn of(left: &Leftover) -> LeftoverDoc {
        LeftoverDoc { path: PathField::of_path(&left.path), why: left.why.clone() }
    }
}

/// Formats a file that could not be removed as one line.
pub(crate) fn leftover_line(left: &Leftover) -> String {
    format!("{}: {}", show(&left.path), left.why)
}

/// Warns of files that could not be removed. Later commands try again.
pub(crate) fn warn_of_left(out: &Out, left: &[Leftover]) {
    for left in left {
        out.warn(&format!("could not remove {}", leftover_line(left)));
    }
    if !left.is_empty() {
        out.hint(LEFT_HINT);
    }
}

/// The hint for files that could not be removed.
pub(crate) const LEFT_HINT: &str = "everything around it was removed; unmount the filesystem there, or act as the owner or as root: \
     the next command that writes removes the rest";

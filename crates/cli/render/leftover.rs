//! What could not be removed: its document, its line, and what to do about it.

use genstore::error::Leftover;
use serde::Serialize;

use super::json::PathField;
use super::output::Out;
use crate::text::escape::show;

/// Something that could not be removed.
#[derive(Serialize)]
pub(crate) struct LeftoverDoc {
    #[serde(flatten)]
    path: PathField,
    why: String,
}

impl LeftoverDoc {
    pub(crate) fn of(left: &Leftover) -> LeftoverDoc {
        LeftoverDoc { path: PathField::of_path(&left.path), why: left.why.clone() }
    }
}

/// Says on one line what could not be removed.
pub(crate) fn leftover_line(left: &Leftover) -> String {
    format!("{}: {}", show(&left.path), left.why)
}

/// Warns of what could not be removed, which later commands try again.
pub(crate) fn warn_of_left(out: &Out, left: &[Leftover]) {
    for left in left {
        out.warn(&format!("could not remove {}", leftover_line(left)));
    }
    if !left.is_empty() {
        out.hint(LEFT_HINT);
    }
}

/// How to solve the problem.
pub(crate) const LEFT_HINT: &str = "all around it is removed; unmount what is mounted there, or act as its owner or as root: \
     the next command that writes removes the rest";

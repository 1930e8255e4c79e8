//! Replacements of the clock and of the disk, for this project's tests and for the torture's own children.
//! The shipped program uses none.

use std::path::PathBuf;

/// A fixed clock, a fault, a trace. The default is none of them.
#[derive(Default, Debug)]
pub struct Seams {
    /// The time of the clock, in RFC 3339.
    pub now: Option<String>,
    /// `N:KIND` makes the Nth call that changes the disk (from 1) fail: `kill`, `eio`, `eio-from` (and all
    /// later ones) or `enospc` (and all later ones that need space). `STAGE:KIND` does so at the beginning
    /// of a stage of a publication: `plan`, `write`, `audit`, `flush`, `number`, `pointer` or `view`.
    pub fault: Option<String>,
    /// The file for the calls that change the disk, one per line, written at the end of the run. It must
    /// not exist.
    pub trace: Option<PathBuf>,
    /// The folder above which nothing is read: no project, no store, and no owner of a folder. So a test
    /// does not depend on the folders above its own.
    pub ground: Option<PathBuf>,
}

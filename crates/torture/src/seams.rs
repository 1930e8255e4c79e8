//! What may be put in the place of the clock and of the disk: by the tests of this project, and by the
//! torture in its own children. The shipped program passes nothing.

use std::path::PathBuf;

/// A clock that stands still, a fault, a trace. The default is none of them.
#[derive(Default, Debug)]
pub struct Seams {
    /// The time that the clock shows, in RFC 3339.
    pub now: Option<String>,
    /// `N:KIND` makes call N that changes the disk (from 1) go wrong: `kill`, `eio`, `eio-from` (and
    /// all later ones) or `enospc` (and all later ones that need space). `STAGE:KIND` does it where a
    /// stage of a publication begins: `plan`, `write`, `audit`, `flush`, `number`, `pointer` or `view`.
    pub fault: Option<String>,
    /// Each call that changes the disk is written to this file at the end of the run, one per line.
    /// The file must not be there.
    pub trace: Option<PathBuf>,
    /// Nothing above this folder is looked at: no project, no store, and no owner of a folder. Whatever
    /// lies above the folder of a test is then no matter.
    pub ground: Option<PathBuf>,
}

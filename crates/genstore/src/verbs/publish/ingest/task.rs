//! One file on its way in, and what is known of it.

use crate::fs::Dir;
use crate::model::index::SourceStat;
use crate::model::tree::Mtime;
use crate::plan::item::ScannedRoot;
use crate::verbs::publish::ingest::context::{Ingest, Shared};

/// What may be done with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceOwnership {
    Copy,
    /// It lies in our own stage, and goes with it.
    Move,
    /// It was given to us, and is removed once it is committed.
    MoveAndRemove,
}

/// One file on its way in.
pub(crate) struct Intake<'a, 'b> {
    pub(crate) ingest: &'a Ingest<'a>,
    pub(crate) shared: &'a Shared,
    pub(crate) path_in_plan: &'a [u8],
    pub(crate) entry: u32,
    pub(crate) give: SourceOwnership,
    /// The directory that was scanned, if its source lies in one.
    pub(crate) root: Option<&'a ScannedRoot>,
    pub(crate) target: &'b mut Option<Dir>,
    /// What stat told of the source, once it is taken in and if it stays where it is.
    pub(crate) source: Option<SourceStat>,
}

/// Where the bytes of a file were found to be.
pub(crate) enum ObjectLocation {
    Store(Mtime),
    Stage(Mtime),
    Nowhere,
}

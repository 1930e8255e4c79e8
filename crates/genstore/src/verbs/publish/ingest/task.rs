//! One file on its way in, and what is known of it.

use crate::fs::Dir;
use crate::model::index::SourceStat;
use crate::plan::item::{Given, ItemSource, ScannedRoot};
use crate::verbs::publish::ingest::context::{Ingest, Shared};
use crate::verbs::publish::ingest::reuse::{Before, Reuse};

/// What may be done with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceOwnership {
    Copy,
    /// It lies in our own stage, and goes with it.
    Move,
    /// It was given to us, and is removed once it is committed.
    MoveAndRemove,
}

impl SourceOwnership {
    /// Returns what may be done with a source; where the caller gives the sources away, `consume` is set.
    pub(crate) fn of(source: &ItemSource, consume: bool) -> SourceOwnership {
        match source {
            ItemSource::Scanned(root) if root.ours => SourceOwnership::Move,
            ItemSource::Scanned(_) if consume => SourceOwnership::MoveAndRemove,
            ItemSource::Scanned(_) => SourceOwnership::Copy,
            ItemSource::Given(given) => match **given {
                Given::Spooled(_) => SourceOwnership::Move,
                Given::Root(_) if consume => SourceOwnership::MoveAndRemove,
                _ => SourceOwnership::Copy,
            },
        }
    }
}

/// One file on its way in.
pub(crate) struct Intake<'a, 'b> {
    pub(crate) ingest: &'a Ingest<'a>,
    pub(crate) shared: &'a Shared,
    pub(crate) reuse: &'a Reuse<'a>,
    /// The file that the current generation has at its path.
    pub(crate) before: Option<Before>,
    pub(crate) path_in_plan: &'a [u8],
    pub(crate) entry: u32,
    pub(crate) give: SourceOwnership,
    /// The directory that was scanned, if its source lies in one.
    pub(crate) root: Option<&'a ScannedRoot>,
    pub(crate) target: &'b mut Option<Dir>,
    /// What stat told of the source, once it is taken in and if it stays where it is.
    pub(crate) source: Option<SourceStat>,
}

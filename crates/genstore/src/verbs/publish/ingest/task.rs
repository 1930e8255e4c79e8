//! The state of one file during intake.

use crate::fs::Dir;
use crate::model::index::SourceStat;
use crate::plan::item::{Given, ItemSource, ScannedRoot};
use crate::verbs::publish::ingest::context::{Ingest, Shared};
use crate::verbs::publish::ingest::reuse::{Before, Reuse};

/// The permitted use of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceOwnership {
    Copy,
    /// It is in our own stage, and is removed with it.
    Move,
    /// The caller gave it away, and it is removed once it is committed.
    MoveAndRemove,
}

impl SourceOwnership {
    /// Returns the permitted use of a source. `consume`: the caller gives the sources away.
    pub(crate) fn of(source: &ItemSource, consume: bool) -> SourceOwnership {
        match source {
            ItemSource::Scanned(root) if root.ours => SourceOwnership::Move,
            ItemSource::Scanned(_) if consume => SourceOwnership::MoveAndRemove,
            ItemSource::Scanned(_) | ItemSource::Kept(..) => SourceOwnership::Copy,
            ItemSource::Given(given) => match **given {
                Given::Spooled(_) => SourceOwnership::Move,
                Given::Root(_) if consume => SourceOwnership::MoveAndRemove,
                _ => SourceOwnership::Copy,
            },
        }
    }
}

/// One file during intake.
pub(crate) struct Intake<'a, 'b> {
    pub(crate) ingest: &'a Ingest<'a>,
    pub(crate) shared: &'a Shared,
    pub(crate) reuse: &'a Reuse<'a>,
    /// The file that the current generation has at its path.
    pub(crate) before: Option<Before>,
    pub(crate) path_in_plan: &'a [u8],
    pub(crate) entry: u32,
    pub(crate) give: SourceOwnership,
    /// The scanned directory that contains its source, if any.
    pub(crate) root: Option<&'a ScannedRoot>,
    pub(crate) target: &'b mut Option<Dir>,
    /// The stat values of the source, once it is taken in and if it stays where it is.
    pub(crate) source: Option<SourceStat>,
}

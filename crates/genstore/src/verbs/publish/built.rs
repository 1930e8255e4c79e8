//! Builds the tree of hard links of a candidate in its stage.

use std::time::Instant;

use crate::error::Result;
use crate::fs::folders::Folders;
use crate::parts::stage_dir::{OwnStage, StageDir};
use crate::verbs::publish::assemble::assemble;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::recycle::{Origin, recycle};

/// The location of the files of a staged tree.
pub(crate) enum Files<'s> {
    /// The current generation has the same tree, so none was built. A stage exists if it was begun
    /// earlier, or if it contains the right bytes of damaged objects.
    Current(Option<OwnStage<'s>>),
    Built(Built<'s>),
}

/// A complete tree of hard links in a stage.
pub(crate) struct Built<'s> {
    pub(crate) stage: OwnStage<'s>,
    pub(crate) origin: Origin,
}

/// Recycles another tree, or assembles the tree of links, in the given stage or in a new one.
pub(crate) fn build<'s>(
    candidate: &mut Candidate<'s>,
    stage: Option<OwnStage<'s>>,
    folders: &Folders<'_>,
) -> Result<Built<'s>> {
    let start = Instant::now();
    let store = candidate.store;
    let mut stage = match stage {
        Some(stage) => stage,
        None => OwnStage::new(store, StageDir::create(store)?),
    };
    let origin = recycle(candidate, &mut stage, folders)?;
    if let Origin::New { .. } = origin {
        let Candidate { guard, objects, ingested, .. } = candidate;
        assemble(store, guard, objects, folders, ingested, &stage)?;
    }
    candidate.times.assemble = start.elapsed();
    Ok(Built { stage, origin })
}

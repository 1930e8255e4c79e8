//! The current generation as a new one is compared with it.

use crate::error::{Error, Result};
use crate::model::digest::Digest;
use crate::model::fresh::Shown;
use crate::model::ids::GenerationId;
use crate::model::index::SourceIndex;
use crate::model::tree::Tree;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;

/// What is current, as a new generation is compared with it.
pub(crate) struct CurrentGeneration {
    pub(crate) generation: Generation,
    pub(crate) tree: Tree,
    /// BLAKE3 of its manifest's body; `None` where that could not be read, and the files told.
    pub(crate) body: Option<Digest>,
    pub(crate) shown: Shown,
    /// What is known of the sources it was made from.
    pub(crate) index: Option<SourceIndex>,
}

/// Reads what is current, and leases it.
pub(crate) fn load(store: &StoreDir, id: GenerationId) -> Result<CurrentGeneration> {
    let generation = Generations::of(store).open(id)?;
    let (manifest, shown) = (generation.manifest()?, generation.shown()?);
    let body = Some(generation.head_and_body()?.1);
    Ok(CurrentGeneration { generation, tree: manifest.tree, body, shown, index: None })
}

/// Reads what readers were shown last, where `current` was lost: what is shown next must be newer.
/// Returns `None` where nothing was lost, and where that cannot be read any more.
pub(crate) fn load_lost(
    store: &StoreDir,
    current: Option<GenerationId>,
) -> Result<Option<CurrentGeneration>> {
    if current.is_some() {
        return Ok(None);
    }
    let history = match Log::of(store).history() {
        Err(Error::Damaged { .. }) => return Ok(None),
        history => history?,
    };
    let Some(last) = history.last_activation() else { return Ok(None) };
    match load(store, last.generation) {
        Err(Error::UnknownRev { .. } | Error::Damaged { .. }) => Ok(None),
        base => base.map(Some),
    }
}

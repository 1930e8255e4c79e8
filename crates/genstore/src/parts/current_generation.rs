//! The current generation, with which a new one is compared.

use crate::error::{Error, Result};
use crate::model::digest::Digest;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::index::SourceIndex;
use crate::model::tree::Tree;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;

/// The current generation, with which a new one is compared.
pub(crate) struct CurrentGeneration {
    pub(crate) generation: Generation,
    pub(crate) tree: Tree,
    /// BLAKE3 of its manifest's body. `None` if the manifest could not be read and the entries were
    /// reconstructed from the files.
    pub(crate) body: Option<Digest>,
    pub(crate) shown: PublishedMtimes,
    /// The index of the sources from which it was made.
    pub(crate) index: Option<SourceIndex>,
}

/// Reads the current generation, and takes a lease on it.
pub(crate) fn load(store: &StoreDir, id: GenerationId) -> Result<CurrentGeneration> {
    let generation = Generations::of(store).open(id)?;
    let (manifest, shown) = (generation.manifest()?, generation.published_mtimes()?);
    let body = Some(generation.head_and_body()?.1);
    Ok(CurrentGeneration { generation, tree: manifest.tree, body, shown, index: None })
}

/// Reads the generation that readers were shown last, if `current` was lost: the next mtimes must be
/// newer. Returns `None` if `current` was not lost, and if that generation cannot be read any more.
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

//! Suspects: damaged objects and generations that `verify` found, for the next publish to check again.
//! Owns `suspects/`.

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::object_name::{self, parse_name};
use crate::model::tree::ObjectId;
use crate::parts::layout::{SUSPECTS, StoreDir};
use crate::parts::locks::CommitLock;

/// Objects and generations that were found damaged and are not known to be repaired.
#[derive(Default, Debug)]
pub(crate) struct Suspects {
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) generations: Vec<GenerationId>,
}

pub(crate) fn object_marker(id: ObjectId) -> Vec<u8> {
    object_name::name(id).into_iter().filter(|&b| b != b'/').collect()
}

pub(crate) fn generation_marker(id: GenerationId) -> Vec<u8> {
    format!("generation-{id}").into_bytes()
}

pub(crate) fn suspects(store: &StoreDir) -> Result<Suspects> {
    let mut suspects = Suspects::default();
    for (name, _) in store.list(SUSPECTS)? {
        if let Some(number) = name.strip_prefix(b"generation-") {
            let id = std::str::from_utf8(number).ok().and_then(GenerationId::parse);
            suspects.generations.extend(id);
        } else if name.len() >= 2 {
            suspects.objects.extend(parse_name(&name[..2], &name[2..]));
        }
    }
    Ok(suspects)
}

pub(crate) fn mark_suspect(store: &StoreDir, name: &[u8]) -> Result<()> {
    let dir = store.sub(SUSPECTS)?;
    drop(store.fs.open_or_create(&dir, name)?);
    store.fs.sync_dir(&dir)
}

pub(crate) fn clear_suspect(store: &StoreDir, name: &[u8]) -> Result<()> {
    store.fs.unlink(&store.sub(SUSPECTS)?, name).map(drop)
}

pub(crate) fn suspect_object(store: &StoreDir, _: &CommitLock, id: ObjectId) -> Result<()> {
    mark_suspect(store, &object_marker(id))
}

pub(crate) fn suspect_generation(store: &StoreDir, _: &CommitLock, id: GenerationId) -> Result<()> {
    mark_suspect(store, &generation_marker(id))
}

pub(crate) fn is_suspect_generation(store: &StoreDir, id: GenerationId) -> Result<bool> {
    Ok(store.sub(SUSPECTS)?.stat(&generation_marker(id))?.is_some())
}

/// Removes the marks of repaired or removed objects and generations.
pub(crate) fn clear_object_suspect(store: &StoreDir, _: &CommitLock, id: ObjectId) -> Result<()> {
    clear_suspect(store, &object_marker(id))
}

pub(crate) fn clear_generation_suspect(store: &StoreDir, _: &CommitLock, id: GenerationId) -> Result<()> {
    clear_suspect(store, &generation_marker(id))
}

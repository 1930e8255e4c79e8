//! The second check of `verify`, which every finding must pass before it is reported.
//!
//! The first check takes no lock that blocks writers, so no writer waits while much is read. It may see
//! the intermediate states of a writer that moves `current` or renews files of a generation. So the
//! findings are checked again under the commit lock, which is held only for the time that the findings
//! take. An interrupted change is settled first, as by every writer. If the store cannot be written to,
//! the parts that recovery would undo are left out.

use std::collections::BTreeMap;

use crate::change::recover;
use crate::check::report::{DamagedGeneration, DamagedObject, GenerationFault, VerifyReport};
use crate::check::seen::Inodes;
use crate::check::store::{self, check_object};
use crate::check::tree::{Bytes, Depth, Fault, FaultKind, LoadedGeneration, Look, Part, look};
use crate::error::{Damaged, Error, Result};
use crate::model::ids::GenerationId;
use crate::model::records::Intent;
use crate::model::relpath;
use crate::model::tree::Node;
use crate::parts::current::Current;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::{OBJECTS, StoreDir};
use crate::parts::locks::{CommitLock, Locks};
use crate::parts::objects::Objects;
use crate::parts::records::Records;

/// Keeps the findings of a report that still hold under the commit lock.
///
/// # Locks
/// Takes the commit lock, also on a read-only mount. If it is missing or unusable, none.
pub(crate) fn look_again(
    store: &StoreDir,
    only: Option<GenerationId>,
    depth: Depth,
    first: VerifyReport,
) -> Result<VerifyReport> {
    let lock = Locks::of(store).commit_unchanged()?;
    let under_way = settle_if_possible(store, lock.as_ref())?;
    let objects = Objects::find(store)?;
    let objects = objects.as_ref();
    let mut report = VerifyReport { objects: vec![], generations: vec![], files: vec![], ..first };
    let faults = std::mem::take(&mut report.faults);
    report.objects = objects_again(store, objects, depth, first.objects)?;
    let mut by_id: BTreeMap<GenerationId, Vec<Fault>> =
        first.generations.iter().map(|damaged| (damaged.id, vec![])).collect();
    for GenerationFault { generation, fault } in faults {
        by_id.entry(generation).or_default().push(fault);
    }
    for (id, found) in by_id {
        if matches!(&under_way, Some(Intent::Publish { generation, .. }) if *generation == id) {
            continue;
        }
        let Some(generation) = open_again(store, id, &mut report)? else { continue };
        let mut left = faults_again(store, objects, &generation, depth, &found)?;
        if matches!(&under_way, Some(Intent::Activate { generation, .. }) if *generation == id) {
            // Recovery reads these mtimes from the inodes.
            left.retain(|fault| fault.kind != FaultKind::Mtime);
        }
        report.faults.extend(left.into_iter().map(|fault| GenerationFault { generation: id, fault }));
    }
    if only.is_none() && !first.files.is_empty() {
        let copied = (store.dir.join(OBJECTS), report.unshared.all);
        report.files.extend(first.files.into_iter().filter(|file| copied.1 && file.path == copied.0));
        store::check_files(store, objects, &mut report)?;
    }
    Ok(report)
}

/// Settles an interrupted change. Returns the change that remains because the store cannot be written
/// to.
fn settle_if_possible(store: &StoreDir, lock: Option<&CommitLock>) -> Result<Option<Intent>> {
    if pending(store)?.is_none() {
        return Ok(None);
    }
    // If it cannot be settled for any reason, its outcome is known nevertheless.
    match lock.map(|lock| recover::recover(store, lock)) {
        Some(Ok(_)) => Ok(None),
        Some(Err(_)) | None => pending(store),
    }
}

/// Returns the change that has begun and has not moved `current`.
fn pending(store: &StoreDir) -> Result<Option<Intent>> {
    let (sequence, current) = match (Records::of(store).sequence(), Current::of(store).id()) {
        // This damage is reported by its own check.
        (Err(Error::Damaged { .. }), _) | (_, Err(Error::Damaged { .. })) => return Ok(None),
        (sequence, current) => (sequence?, current?),
    };
    Ok(sequence.intent.filter(|intent| {
        let (Intent::Publish { generation, .. } | Intent::Activate { generation, .. }) = intent;
        current != Some(*generation)
    }))
}

/// Opens and reads a generation again. A damaged one is added to the report.
fn open_again(
    store: &StoreDir,
    id: GenerationId,
    report: &mut VerifyReport,
) -> Result<Option<(Generation, LoadedGeneration)>> {
    let read = |generation| {
        let loaded = LoadedGeneration::read(&generation)?;
        Ok((generation, loaded))
    };
    match Generations::of(store).find(id).and_then(|found| found.map(read).transpose()) {
        Ok(Some((_, loaded))) if !loaded.tree.has_right_id() => {
            let cause = "its manifest: the tree's id differs from the id of its entries".to_owned();
            report.generations.push(DamagedGeneration { id, cause });
            Ok(None)
        }
        Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
            report.generations.push(DamagedGeneration { id, cause });
            Ok(None)
        }
        found => found,
    }
}

fn objects_again(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    depth: Depth,
    found: Vec<DamagedObject>,
) -> Result<Vec<DamagedObject>> {
    let mut left = Vec::new();
    for mut object in found {
        if object.uses.is_empty() {
            if let Some(objects) = objects
                && objects.stat(object.id)?.is_some()
                && !objects.is_intact(object.id)?
            {
                left.push(object);
            }
            continue;
        }
        // gc may have removed all generations that use it.
        let mut uses = Vec::new();
        let mut file = None;
        for found in object.uses {
            let generation = match Generations::of(store).find(found.generation) {
                Ok(Some(generation)) => generation,
                Ok(None) | Err(Error::Damaged { .. }) => continue,
                Err(e) => return Err(e),
            };
            if file.is_none()
                && let Ok(manifest) = generation.manifest()
                && let Some(Node::File(node)) = manifest.tree.find(&found.path)
            {
                file = Some(node);
            }
            uses.push(found);
        }
        object.uses = uses;
        let Some(file) = file else { continue };
        if let (Some(cause), _) = check_object(objects, file, depth)? {
            left.push(DamagedObject { cause, ..object });
        }
    }
    Ok(left)
}

fn faults_again(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    (generation, loaded): &(Generation, LoadedGeneration),
    depth: Depth,
    found: &[Fault],
) -> Result<Vec<Fault>> {
    let paths: Vec<&[u8]> = found.iter().map(|fault| fault.path.as_slice()).collect();
    let part = Part::around(&paths);
    let bytes = if depth == Depth::Full { Bytes::All } else { Bytes::None };
    let how = Look { within: Some(&part), ..Look::new(Inodes::of(objects), bytes) };
    let mut left = look(store, generation, (&loaded.tree, &loaded.shown), &how)?;
    // All names of a folder were checked. New findings are left for the next run.
    left.retain(|fault| {
        paths.iter().any(|path| relpath::is_within(&fault.path, path) || *path == fault.path)
    });
    Ok(left)
}

//! Checks of a whole store: objects, generations, records, and unknown entries.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::check::lost;
use crate::check::report::{DamagedObject, MISSING, MODE_DIFFERS, VerifyReport};
use crate::check::tree::{self, Depth, Fault, LoadedGeneration};
use crate::check::unshared::unshared;
use crate::error::{Damaged, Error, Result};
use crate::fs::Kind;
use crate::fs::errno::is_absence;
use crate::model::ids::GenerationId;
use crate::model::object_name;
use crate::model::tree::{FileNode, ObjectId};
use crate::parts::generations::Generations;
use crate::parts::layout::{GENERATIONS, OBJECTS, StoreDir};
use crate::parts::objects::Objects;
use crate::progress::Phase;
use crate::threads::prelude::*;

struct Uses {
    file: FileNode,
    /// Index of the generation, and of the entry in it.
    places: Vec<(u32, u32)>,
}

pub(crate) fn check(
    store: &StoreDir,
    only: Option<GenerationId>,
    depth: Depth,
) -> Result<(VerifyReport, Vec<LoadedGeneration>)> {
    let mut report = VerifyReport::default();
    let objects = Objects::find(store)?;
    let objects = objects.as_ref();
    let mut all = Vec::new();
    let ids = match only {
        Some(id) => vec![id],
        None => Generations::of(store).ids()?,
    };
    for id in ids {
        report.checked_generations += 1;
        let known = match Generations::of(store).find(id) {
            Ok(Some(generation)) => LoadedGeneration::read(&generation),
            Ok(None) if only.is_some() => {
                return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] });
            }
            Ok(None) => continue,
            Err(e) => Err(e),
        };
        match known {
            Ok(known) if !known.tree.has_right_id() => {
                report.generations.push((
                    id,
                    "its manifest: the tree's id differs from the id of its entries".to_owned(),
                ));
            }
            Ok(known) => all.push(known),
            Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
                report.generations.push((id, cause));
            }
            Err(e) => return Err(e),
        }
    }
    check_objects(store, objects, &all, depth, &mut report)?;
    if let (None, Depth::Full, Some(objects)) = (only, depth, objects) {
        check_unused(store, objects, &all, &mut report)?;
    }
    for known in &all {
        match check_generation(store, objects, known, depth) {
            Ok(faults) => report.faults.extend(faults.into_iter().map(|fault| (known.id, fault))),
            // It was damaged after it was read.
            Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
                report.generations.push((id, cause));
            }
            Err(e) => return Err(e),
        }
    }
    if only.is_none() {
        if let Some(objects) = objects {
            report.unshared = unshared(store, objects, &all)?;
        }
        if report.unshared.all {
            let cause =
                "no object shares its inode with a generation: the store was copied without its hard links";
            report.files.push((store.dir.join(OBJECTS), cause.to_owned()));
        }
        check_files(store, objects, &mut report)?;
    }
    Ok((report, all))
}

/// Compares a generation's directory with its manifest. A generation that was removed meanwhile has no
/// faults.
fn check_generation(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    known: &LoadedGeneration,
    depth: Depth,
) -> Result<Vec<Fault>> {
    match known.lease(store)? {
        Some(leased) => tree::check_tree(store, objects, &leased, depth, None),
        None => Ok(vec![]),
    }
}

pub(crate) fn check_objects(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    all: &[LoadedGeneration],
    depth: Depth,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut uses: HashMap<ObjectId, Uses> = HashMap::new();
    for (nth, known) in all.iter().enumerate() {
        for (entry, node) in known.tree.iter().enumerate() {
            if let crate::model::tree::Node::File(file) = node.node
                && file.size > 0
            {
                let uses = uses.entry(file.object()).or_insert_with(|| Uses { file, places: vec![] });
                uses.places.push((nth as u32, entry as u32));
            }
        }
    }
    let progress = &store.options.progress;
    progress.begin(Phase::Verify, Some(uses.len() as u64));
    report.checked_objects = uses.len() as u64;
    report.checked_bytes = uses.values().map(|uses| uses.file.size).sum();
    let mut todo: Vec<(ObjectId, Uses)> = uses.into_iter().collect();
    // Names are hashes, so their order is the order of the folders.
    todo.sort_by_key(|(id, _)| *id);
    let damaged: Vec<Option<DamagedObject>> = todo
        .into_par_iter()
        .map(|(id, uses)| {
            let cause = check_object(objects, uses.file, depth)?;
            progress.advance(1);
            Ok(cause.map(|cause| {
                let place = |(nth, entry): &(u32, u32)| {
                    let known = &all[*nth as usize];
                    (known.id, known.tree.path(*entry as usize).to_vec())
                };
                let uses_ = uses.places.iter().map(place).collect();
                DamagedObject { id, size: uses.file.size, cause, uses: uses_ }
            }))
        })
        .collect::<Result<_>>()?;
    report.objects = damaged.into_iter().flatten().collect();
    Ok(())
}

/// Hashes the objects that no generation references: gc has not removed them yet.
pub(crate) fn check_unused(
    _store: &StoreDir,
    objects: &Objects<'_>,
    all: &[LoadedGeneration],
    report: &mut VerifyReport,
) -> Result<()> {
    let files = all.iter().flat_map(|known| known.tree.iter_files());
    let used: HashSet<ObjectId> = files.map(|(_, file)| file.object()).collect();
    let unused = objects.list()?.into_iter().filter_map(std::result::Result::ok);
    let unused: Vec<ObjectId> = unused.filter(|id| !used.contains(id)).collect();
    let damaged: Vec<Option<DamagedObject>> = unused
        .into_par_iter()
        .map(|id| {
            let size = objects.stat(id)?.map_or(0, |stat| stat.size);
            let cause = "its hash differs";
            let is_intact = objects.is_intact(id)?;
            Ok((!is_intact).then(|| DamagedObject { id, size, cause, uses: vec![] }))
        })
        .collect::<Result<_>>()?;
    report.objects.extend(damaged.into_iter().flatten());
    Ok(())
}

/// Checks everything except generations and objects: `current`, records, unknown names.
pub(crate) fn check_files(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    report: &mut VerifyReport,
) -> Result<()> {
    report.files.extend(lost::lost_parts(store)?);
    match lost::damaged_records(store) {
        // An entry that replaced a folder was reported just before.
        Err(Error::Damaged { .. }) => {}
        found => report.files.extend(found?),
    }
    let mut found = |path: PathBuf, why: String| report.files.push((path, why));
    let mut note = |result: Result<()>| match result {
        Err(Error::Damaged { what: Damaged::File(path), cause, .. }) => {
            found(path, cause);
            Ok(())
        }
        other => other,
    };
    note(lost::checked_current(store).map(drop))?;
    for name in objects.map_or(Ok(vec![]), Objects::list)?.into_iter().filter_map(std::result::Result::err)
    {
        let path = [OBJECTS, b"/", &name].concat();
        found(store.dir.join(&path), "it is not an object's name".to_owned());
    }
    for (name, kind) in store.list(GENERATIONS)? {
        let number = std::str::from_utf8(&name).ok().and_then(GenerationId::parse);
        if number.is_none() || kind != Kind::Dir {
            let path = store.dir.join(&[GENERATIONS, b"/", &name].concat());
            found(path, "it is not a generation's number".to_owned());
        }
    }
    Ok(())
}

pub(crate) fn check_object(
    objects: Option<&Objects<'_>>,
    file: FileNode,
    depth: Depth,
) -> Result<Option<&'static str>> {
    let Some(objects) = objects else { return Ok(Some(MISSING)) };
    let stat = match objects.stat(file.object()) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Ok(Some(MISSING)),
        Err(e) if is_absence(&e) => return Ok(Some(MISSING)),
        Err(e) => return Err(e),
    };
    if stat.kind != Kind::File {
        return Ok(Some("it is not a regular file"));
    }
    if stat.size != file.size {
        return Ok(Some("its size differs"));
    }
    if depth == Depth::Full && !objects.is_intact(file.object())? {
        return Ok(Some("its hash differs"));
    }
    if stat.mode != object_name::mode(file.executable) {
        return Ok(Some(MODE_DIFFERS));
    }
    Ok(None)
}

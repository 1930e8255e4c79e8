//! Checks of a whole store: objects, generations, records, and unknown entries.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::check::owners::Owners;
use crate::check::report::{
    DamagedFile, DamagedGeneration, DamagedObject, GenerationFault, MISSING, MODE_DIFFERS, VerifyReport,
};
use crate::check::seen::{Inodes, SeenObject, SeenObjects};
use crate::check::tree::{self, Bytes, Depth, Fault, FaultKind, LoadedGeneration, Look};
use crate::check::unshared::unshared;
use crate::check::{lost, shared};
use crate::error::{Damaged, Error, ObjectUse, Result};
use crate::fs::errno::is_absence;
use crate::fs::{Kind, Stat};
use crate::model::ids::GenerationId;
use crate::model::object_name;
use crate::model::relpath;
use crate::model::tree::{FileNode, ObjectId};
use crate::parts::generations::Generations;
use crate::parts::layout::{GENERATIONS, OBJECTS, StoreDir, TREE};
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
        let loaded = match Generations::of(store).find(id) {
            Ok(Some(generation)) => LoadedGeneration::read(&generation),
            Ok(None) if only.is_some() => {
                return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] });
            }
            Ok(None) => continue,
            Err(e) => Err(e),
        };
        match loaded {
            Ok(loaded) if !loaded.tree.has_right_id() => {
                let cause = "its manifest: the tree's id differs from the id of its entries".to_owned();
                report.generations.push(DamagedGeneration { id, cause });
            }
            Ok(loaded) => all.push(loaded),
            Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
                report.generations.push(DamagedGeneration { id, cause });
            }
            Err(e) => return Err(e),
        }
    }
    let owners = Owners::of(store)?;
    let seen = check_objects(store, objects, &all, depth, &mut report)?;
    if let (None, Depth::Full, Some(objects)) = (only, depth, objects) {
        check_unused(objects, &seen, &mut report)?;
    }
    let mut walked = Vec::new();
    for loaded in &all {
        match check_generation(store, loaded, depth, (&seen, &owners)) {
            Ok((faults, is_walked)) => {
                let faults =
                    faults.into_iter().map(|fault| GenerationFault { generation: loaded.id, fault });
                report.faults.extend(faults);
                walked.extend(is_walked.then(|| tree::tree_path(loaded.id)));
            }
            // It was damaged after it was read.
            Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
                report.generations.push(DamagedGeneration { id, cause });
            }
            Err(e) => return Err(e),
        }
    }
    note_owners(&owners, only, &seen, &walked)?;
    report.foreign = owners.count();
    report.shared = shared::look(store, &all)?;
    if only.is_none() {
        if objects.is_some() {
            report.unshared = unshared(store, &seen, &all)?;
        }
        if report.unshared.all {
            let cause =
                "no object shares its inode with a generation: the store was copied without its hard links";
            report.files.push(DamagedFile::new(store.dir.join(OBJECTS), cause));
        }
        check_files(store, objects, &mut report)?;
    }
    Ok((report, all))
}

/// Compares a generation's directory with its manifest. A generation that was removed meanwhile has no
/// faults. Returns also whether the owners of all names in its tree were recorded.
fn check_generation(
    store: &StoreDir,
    loaded: &LoadedGeneration,
    depth: Depth,
    (seen, owners): (&SeenObjects, &Owners<'_>),
) -> Result<(Vec<Fault>, bool)> {
    let Some(leased) = loaded.lease(store)? else { return Ok((vec![], false)) };
    let bytes = if depth == Depth::Full { Bytes::All } else { Bytes::None };
    let part = owners.part();
    let how = Look { owners: Some(&part), ..Look::new(Inodes::Seen(seen), bytes) };
    let faults = tree::look(store, &leased.generation, (&loaded.tree, &loaded.shown), &how)?;
    // The check did not enter folders that are in no manifest.
    let of_known_names = [FaultKind::Content, FaultKind::Mode, FaultKind::Mtime];
    let is_walked = faults.iter().all(|fault| of_known_names.contains(&fault.kind));
    if is_walked {
        owners.add(part);
    }
    Ok((faults, is_walked))
}

/// Records the owners of the objects, and of all names that no check has visited: `walked` are the trees that
/// were visited.
fn note_owners(
    owners: &Owners<'_>,
    only: Option<GenerationId>,
    seen: &SeenObjects,
    walked: &[Vec<u8>],
) -> Result<()> {
    for (id, _, stat) in seen.files() {
        owners.note(stat, || [OBJECTS, b"/", &object_name::name(id)].concat());
    }
    let from = only.map_or(vec![], |id| [GENERATIONS, b"/", id.to_string().as_bytes()].concat());
    owners.walk(&from, |folder, name| {
        let is_tree = || name == TREE && walked.contains(&relpath::join(folder, name));
        seen.is_name(folder, name) || is_tree()
    })
}

/// Checks the objects that generations need. Returns their stats.
pub(crate) fn check_objects(
    store: &StoreDir,
    objects: Option<&Objects<'_>>,
    all: &[LoadedGeneration],
    depth: Depth,
    report: &mut VerifyReport,
) -> Result<SeenObjects> {
    let mut uses: HashMap<ObjectId, Uses> = HashMap::new();
    for (nth, loaded) in all.iter().enumerate() {
        for (entry, node) in loaded.tree.iter().enumerate() {
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
    let checked: Vec<(ObjectId, SeenObject, Option<DamagedObject>)> = todo
        .into_par_iter()
        .map(|(id, uses)| {
            let (cause, stat) = check_object(objects, uses.file, depth)?;
            progress.advance(1);
            let seen = SeenObject { paths: uses.places.len() as u64, stat };
            let damaged = cause.map(|cause| {
                let place = |(nth, entry): &(u32, u32)| {
                    let loaded = &all[*nth as usize];
                    ObjectUse::new(loaded.id, loaded.tree.path(*entry as usize))
                };
                let uses_ = uses.places.iter().map(place).collect();
                DamagedObject { id, size: uses.file.size, cause, uses: uses_ }
            });
            Ok((id, seen, damaged))
        })
        .collect::<Result<_>>()?;
    Ok(SeenObjects::of(checked.into_iter().map(|(id, seen, damaged)| {
        report.objects.extend(damaged);
        (id, seen)
    })))
}

/// Hashes the objects that no generation references: gc has not removed them yet.
fn check_unused(objects: &Objects<'_>, seen: &SeenObjects, report: &mut VerifyReport) -> Result<()> {
    let unused = objects.list()?.into_iter().filter_map(std::result::Result::ok);
    let unused: Vec<ObjectId> = unused.filter(|id| !seen.is_used(*id)).collect();
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
    report.files.extend(shared::damaged(store)?);
    match lost::damaged_records(store) {
        // An entry that replaced a folder was reported just before.
        Err(Error::Damaged { .. }) => {}
        found => report.files.extend(found?),
    }
    let mut found = |path: PathBuf, cause: String| report.files.push(DamagedFile { path, cause });
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

/// Checks an object. Returns the cause of its damage, if any, and the stat of its name. The stat of an intact
/// object is that of the inode that was hashed.
pub(crate) fn check_object(
    objects: Option<&Objects<'_>>,
    file: FileNode,
    depth: Depth,
) -> Result<(Option<&'static str>, Option<Stat>)> {
    let Some(objects) = objects else { return Ok((Some(MISSING), None)) };
    let id = file.object();
    // The open file has the stat of an intact object.
    let intact = if depth == Depth::Full { objects.intact(id) } else { Ok(None) };
    let stat = match intact {
        Ok(Some(stat)) => Some(stat),
        _ => match objects.stat(id) {
            Err(e) if is_absence(&e) => None,
            stat => stat?,
        },
    };
    let Some(stat) = stat else { return Ok((Some(MISSING), None)) };
    let cause = if stat.kind != Kind::File {
        // A device without a driver cannot even be opened.
        Some("it is not a regular file")
    } else if stat.size != file.size {
        Some("its size differs")
    } else if depth == Depth::Full && intact?.is_none() {
        Some("its hash differs")
    } else {
        (stat.mode != object_name::mode(file.executable)).then_some(MODE_DIFFERS)
    };
    Ok((cause, Some(stat)))
}

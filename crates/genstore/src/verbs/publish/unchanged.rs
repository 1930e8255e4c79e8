//! Checks the current generation's own tree, before a publication is called unchanged.
//!
//! `ingest` has checked every object. This checks the rest of what readers see: names, link targets,
//! modes, and files that have an inode of their own. A folder whose stamp proves that its names and
//! inodes are unchanged costs one stat. In any other folder, each name costs one. If everything is
//! right, the stamps are renewed, so that the next check is short.

use crate::check::seen::Inodes;
use crate::check::tree::{Bytes, Fault, FaultKind, Look, Part, look};
use crate::error::{Damaged, Error, Result};
use crate::fs::dir::open_parent;
use crate::model::folder_stamps::FolderStamps;
use crate::model::index::SourceStat;
use crate::model::patch::folders;
use crate::model::relpath;
use crate::model::tree::Node;
use crate::parts::current_generation::CurrentGeneration;
use crate::parts::folder_stamps::{self, Seen};
use crate::parts::layout::{GENERATIONS, SEALED, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::objects::Objects;
use crate::parts::pending_write::PendingWrites;
use crate::threads::prelude::*;
use crate::verbs::publish::candidate::Candidate;
use crate::views::refresh::name_faults;

/// The result of a check of the current generation.
#[derive(Default)]
pub(crate) struct Looked {
    faults: Vec<Fault>,
    /// New folder stamps, if there are more than before.
    stamps: Option<FolderStamps>,
}

/// Checks the current generation's own tree, without a lock.
pub(crate) fn look_at_current(candidate: &Candidate<'_>) -> Result<Looked> {
    let Some((base, body)) = candidate.base.as_ref().and_then(|base| Some((base, base.body?))) else {
        return Ok(Looked::default());
    };
    let (heals, rotations) = (candidate.heals_seen, candidate.rotations_seen);
    let all = folders(&base.tree);
    let is_current = |stamps: &FolderStamps| {
        (stamps.folders.len(), stamps.heals, stamps.rotations) == (all.len(), heals, rotations)
    };
    let noted = base.generation.folder_stamps(body)?.filter(is_current);
    let seen = match &noted {
        Some(noted) if !candidate.options.rehash => {
            folder_stamps::compare(candidate.store, &base.generation.tree_dir()?, &all, &noted.folders)?
        }
        _ => None,
    };
    let proven = seen.as_ref().map_or(0, |seen| seen.iter().filter(|seen| **seen == Seen::Same).count());
    // Taken before the check, so that the next check detects a later change.
    let now = if proven < all.len() { folders_now(candidate.store, base, &all) } else { None };
    let part = seen.as_ref().map(|seen| unproven(base, &all, seen));
    let how = Look {
        within: part.as_ref(),
        ..Look::new(Inodes::Named(&candidate.objects), Bytes::Doubtful(candidate.quiet()?))
    };
    let faults = look(candidate.store, &base.generation, (&base.tree, &base.shown), &how)?;
    let stamped = |stats: &[SourceStat]| stats.iter().filter(|stat| stat.ino != 0).count();
    let flushed = noted.is_some_and(|noted| noted.flushed);
    let stamps = match now.filter(|now| faults.is_empty() && stamped(now) > proven) {
        Some(folders) if is_all_linked(&candidate.objects, base, part.as_ref())? => {
            Some(FolderStamps { body, heals, rotations, flushed, folders })
        }
        _ => None,
    };
    Ok(Looked { faults, stamps })
}

/// Fails if the current generation is still damaged under the lock that heals. Otherwise writes the
/// new folder stamps.
///
/// # Errors
/// [`crate::Error::Damaged`] with the faults.
pub(crate) fn settle_unchanged(
    candidate: &Candidate<'_>,
    lock: &CommitLock,
    looked: Looked,
    healed: u64,
) -> Result<()> {
    let Some(base) = &candidate.base else { return Ok(()) };
    if !looked.faults.is_empty() {
        let paths: Vec<&[u8]> = looked.faults.iter().map(|fault| fault.path.as_slice()).collect();
        let part = Part::around(&paths);
        let bytes = Bytes::Doubtful(candidate.quiet()?);
        let how = Look { within: Some(&part), ..Look::new(Inodes::Named(&candidate.objects), bytes) };
        let left = look(candidate.store, &base.generation, (&base.tree, &base.shown), &how)?;
        let (id, is_added) =
            (base.generation.id(), left.iter().any(|fault| fault.kind == FaultKind::Stranger));
        let what = if is_added { Damaged::Added(id) } else { Damaged::Generation(id) };
        return match name_faults(left) {
            Some(named) => {
                let cause = format!("its tree was written to: {named}");
                Err(Error::Damaged { what, cause, uses: vec![] })
            }
            None => Ok(()),
        };
    }
    // Healing gives paths other inodes than those that were checked.
    if let Some(stamps) = looked.stamps.filter(|_| healed == 0) {
        let folder = [GENERATIONS, b"/", base.generation.id().to_string().as_bytes()].concat();
        let written = PendingWrites::of(candidate.store).prepare(lock, &folder, SEALED, &stamps.encode());
        // It is a cache: without it the next check takes longer.
        drop(written.and_then(|written| written.put(lock)));
    }
    Ok(())
}

/// Takes the stamps of the folders. `None` if they cannot be used, or if a folder is missing.
fn folders_now(store: &StoreDir, base: &CurrentGeneration, all: &[&[u8]]) -> Option<Vec<SourceStat>> {
    let tree = base.generation.tree_dir().ok().filter(crate::fs::Dir::is_local)?;
    folder_stamps::take(store, &tree, all, vec![SourceStat::default(); all.len()]).ok()
}

/// Returns whether every file is its object's inode, except empty ones and those in `shown`. With
/// `unproven`, checks only those folders: for the others it was true when their stamps were taken.
fn is_all_linked(
    objects: &Objects<'_>,
    base: &CurrentGeneration,
    unproven: Option<&Part<'_>>,
) -> Result<bool> {
    let tree = base.generation.tree_dir()?;
    let is_linked = |entry: usize| -> Result<bool> {
        let entry = base.tree.get(entry);
        let Node::File(file) = entry.node else { return Ok(true) };
        let is_proven = unproven.is_some_and(|part| !part.folders.contains(relpath::split(entry.path).0));
        if file.size == 0 || is_proven || base.shown.fresh.contains_key(entry.path) {
            return Ok(true);
        }
        let (dir, name) = open_parent(&tree, entry.path)?;
        let (stat, object) = (dir.stat(name)?, objects.stat(file.object())?);
        Ok(stat.zip(object).is_some_and(|(stat, object)| stat.same_inode(&object)))
    };
    let is_apart = |entry| is_linked(entry).map(|is| !is).unwrap_or(true);
    Ok(!(0..base.tree.len()).into_par_iter().any(is_apart))
}

/// Returns the part that must be checked by name, if the stamps prove that the rest of the folders is
/// unchanged.
fn unproven<'a>(base: &'a CurrentGeneration, all: &[&'a [u8]], seen: &[Seen]) -> Part<'a> {
    let is_proven = |at: &usize| seen[*at] == Seen::Same;
    let folders = (0..all.len()).filter(|at| !is_proven(at)).map(|at| all[at]);
    let empty_folders = folders.clone().filter(|path| base.tree.find(path) == Some(Node::EmptyDir));
    let own = base.shown.fresh.keys().map(Vec::as_slice);
    let empty_files = base.tree.iter_files().filter(|(_, file)| file.size == 0).map(|(path, _)| path);
    Part { entries: empty_folders.chain(own).chain(empty_files).collect(), folders: folders.collect() }
}

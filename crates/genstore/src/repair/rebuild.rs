//! Rebuilds lost parts of a store from the remaining ones: the part of `verify --repair` that runs
//! before damaged bytes are repaired.
//!
//! 1. An entry in the place of a folder, a lock file or a record goes to quarantine, and the layout is
//!    completed. The locks are taken after that, as they need it.
//! 2. `log` is rebuilt from the manifests, with a line about the current generation. `current` is
//!    pointed at the generation that was activated last. Then `sequence` is written, with a number that
//!    is at least as high as every number found.
//! 3. A missing manifest is rebuilt from its generation's files and the log, the published mtimes from
//!    the files.
//!
//! Each step can be interrupted and repeated: nothing is removed, and files are written atomically.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::change::recover;
use crate::check::lost::{self, too_low};
use crate::check::report::DamagedFile;
use crate::error::{Damaged, Error, Result};
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind};
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::records::{Sequence, is_good};
use crate::model::relpath;
use crate::model::tree::Node;
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::hold::HoldFile;
use crate::parts::layout::{
    CURRENT, GENERATIONS, HOLD, LOCKS, LOG, MANIFEST, MARKS, NOTICE, OBJECTS, PINS, QUARANTINE, ROTATIONS,
    SEQUENCE, SHOWN, StoreDir, VIEWS,
};
use crate::parts::locks::CommitLock;
use crate::parts::log::{Event, Line, Log};
use crate::parts::objects::Objects;
use crate::parts::records::Records;
use crate::parts::suspects;
use crate::repair::rescue;

/// Names in quarantine have room for a random part.
const MAX_PREFIX: usize = 200;

/// Moves entries of the wrong kind out of the layout. Returns all lost or replaced parts, most of which
/// the next step of a repair completes.
///
/// # Errors
/// [`Error::Damaged`] if another entry replaced `generations`: without the manifests in it nothing can
/// be rebuilt, and it may be a link to them.
///
/// # Locks
/// None, as the lock files themselves may be missing.
pub(crate) fn mend_layout(store: &StoreDir) -> Result<Vec<DamagedFile>> {
    let found = lost::lost_parts(store)?;
    for (name, cause) in store.layout_state()?.replaced {
        if name == GENERATIONS {
            return Err(Error::damaged_file(&store.dir.join(name), cause));
        }
        move_aside(store, name)?;
    }
    Ok(found)
}

/// Rebuilds lost files at the top: log, `current`, sequence, in this order.
///
/// # Durability
/// On return all of it is durable.
pub(crate) fn rebuild_records(
    store: &StoreDir,
    lock: &CommitLock,
    sequence: &Sequence,
) -> Result<Vec<DamagedFile>> {
    let mut found = Vec::new();
    let lost = match lost::checked_current(store) {
        Err(Error::Damaged { what: Damaged::File(path), cause, .. }) if path == store.dir.join(CURRENT) => {
            found.push(DamagedFile { path, cause });
            true
        }
        current => current.map(|_| false)?,
    };
    let current = if lost { likely_current(store)? } else { Current::of(store).id()? };
    if store.dir.stat(LOG)?.is_none() && !Generations::of(store).ids()?.is_empty() {
        rebuild_log(store, lock, current)?;
    }
    if lost {
        move_aside(store, CURRENT)?;
        if let Some(id) = current {
            point_again(store, lock, id)?;
        }
    }
    let taken = Records::of(store).highest_number()?;
    let is_written = store.dir.stat(SEQUENCE)?.is_some();
    if taken > sequence.high && is_written {
        found.push(DamagedFile::new(store.dir.join(SEQUENCE), too_low(sequence.high, taken)));
    }
    if taken > sequence.high || (!is_written && taken > 0) {
        let high = sequence.high.max(taken);
        Records::of(store).write_sequence(lock, &Sequence { high, ..sequence.clone() })?;
    }
    if store.dir.stat(NOTICE)?.is_some_and(|stat| stat.size > crate::model::notice::NOTICE_LEN) {
        let file = store.fs.open_or_create(&store.dir, NOTICE)?;
        store.fs.set_len(&file, &store.dir.join(NOTICE), 0)?;
    }
    Current::of(store).restore_notice(lock)?;
    Ok(found)
}

/// Chooses the generation that was most likely current: the last in the log, the one of a hold, the one
/// in the notice, or the newest good one.
fn likely_current(store: &StoreDir) -> Result<Option<GenerationId>> {
    let ids = Generations::of(store).ids()?;
    let logged = Log::of(store).history()?.last_activation().map(|line| line.generation);
    let held = HoldFile::of(store).read().unwrap_or_default().map(|hold| hold.generation);
    let marks = Records::of(store).marks().unwrap_or_default();
    let newest = ids.iter().rev().find(|id| is_good(&marks, **id)).or(ids.last()).copied();
    let candidates = [logged, held, Current::of(store).noticed()?, newest];
    Ok(candidates.into_iter().flatten().find(|id| ids.contains(id)))
}

/// Writes a line for each generation with a readable manifest, and one about the current generation,
/// atomically.
fn rebuild_log(store: &StoreDir, lock: &CommitLock, current: Option<GenerationId>) -> Result<()> {
    let mut lines = Vec::new();
    let by = store.options.actor.clone();
    for id in Generations::of(store).ids()? {
        let made = Generations::of(store).find(id).and_then(|found| match found {
            Some(generation) => {
                Ok(Some((generation.head()?, recover::publication(&generation, None, None)?)))
            }
            None => Ok(None),
        });
        match made {
            Ok(Some((head, event))) => {
                let time = std::time::SystemTime::from(head.created).into();
                lines.push(Line { time, by: by.clone(), generation: id, event });
            }
            // Without its manifest there are no facts for a line.
            Ok(None) | Err(Error::Damaged { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    if let Some(id) = current {
        let time = Current::of(store).since()?.unwrap_or_else(|| store.now()).into();
        lines.push(Line { time, by, generation: id, event: Event::activated(None) });
    }
    Log::of(store).write(lock, &lines)
}

/// Makes a generation current again, and adds a line to the log if it is missing.
fn point_again(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    Current::of(store).set(lock, id)?;
    Current::of(store).make_durable(lock)?;
    if Log::of(store).history()?.last_activation().is_none_or(|line| line.generation != id) {
        Log::of(store).append(lock, id, Event::activated(None))?;
        Log::of(store).sync()?;
    }
    match Generations::of(store).open(id).and_then(|generation| generation.head()) {
        // Its damage is repaired later.
        Err(Error::Damaged { .. }) => Ok(()),
        head => Current::of(store).write_notice(lock, id, head?.tree),
    }
}

/// Rebuilds the manifest and the published mtimes of a generation, if possible.
///
/// # Errors
/// [`Error::Damaged`] if it is impossible.
pub(crate) fn rebuild_generation(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    let name = [GENERATIONS, b"/", id.to_string().as_bytes()].concat();
    let dir = match store.dir.open_dir(&name) {
        Err(e) if e.is_not_found() => return suspects::clear_generation_suspect(store, lock, id),
        dir => dir?,
    };
    if dir.stat(MANIFEST)?.is_none_or(|stat| stat.kind != Kind::File) {
        put_aside(store, &dir, MANIFEST, &format!("generation-{id}-"))?;
        // An empty file, which counts as damaged: healing writes to it in place.
        let file = store.fs.create_with(&dir, MANIFEST, 0o444)?;
        store.fs.sync_file(&file, &dir.join(MANIFEST))?;
        store.fs.sync_dir(&dir)?;
    }
    let generation = Generations::of(store).open(id)?;
    match generation.manifest() {
        Err(Error::Damaged { .. }) => rescue::rebuild_manifest(store, lock, &generation)?,
        manifest => drop(manifest?),
    }
    if let Err(Error::Damaged { .. }) = generation.published_mtimes() {
        let shown = shown_by_files(store, &generation)?;
        put_aside(store, &dir, SHOWN, &format!("generation-{id}-"))?;
        Generations::of(store).write_shown(lock, id, &shown)?;
    }
    suspects::clear_generation_suspect(store, lock, id)
}

/// Reads the published mtimes from the files that have an inode of their own. The mtimes of earlier
/// generations are lost with the record, so every other path counts as shown until now.
fn shown_by_files(
    store: &StoreDir,
    generation: &crate::parts::generations::Generation,
) -> Result<PublishedMtimes> {
    let (tree, root) = (generation.manifest()?.tree, generation.tree_dir()?);
    let objects = Objects::new(store)?;
    let floor = crate::model::tree::Mtime::from(store.now()).secs;
    let mut shown = PublishedMtimes { floor, ..PublishedMtimes::default() };
    for entry in tree.iter() {
        let Node::File(file) = entry.node else { continue };
        let found = crate::fs::dir::open_parent(&root, entry.path).and_then(|(dir, name)| dir.stat(name));
        let stat = match found {
            Ok(Some(stat)) if stat.kind == Kind::File && !stat.has_mtime(file.mtime) => stat,
            // A missing file shows nothing.
            Ok(_) => continue,
            Err(e) if crate::fs::errno::is_absence(&e) => continue,
            Err(e) => return Err(e),
        };
        let object = if file.size == 0 { None } else { objects.stat(file.object())? };
        if object.is_none_or(|object| !object.same_inode(&stat)) {
            shown.fresh.insert(entry.path.to_vec(), stat.mtime);
        }
    }
    Ok(shown)
}

/// Moves a wrong entry at a path of the store to quarantine. Returns `Ok(false)` if repair may not
/// clear this path.
pub(crate) fn move_aside_path(store: &StoreDir, path: &Path) -> Result<bool> {
    let Ok(below) = path.strip_prefix(store.dir.path()) else { return Ok(false) };
    move_aside(store, below.as_os_str().as_bytes())
}

fn move_aside(store: &StoreDir, below: &[u8]) -> Result<bool> {
    const FILES: [&[u8]; 6] = [SEQUENCE, CURRENT, HOLD, LOG, NOTICE, ROTATIONS];
    const FOLDERS: [&[u8]; 6] = [PINS, MARKS, VIEWS, GENERATIONS, OBJECTS, LOCKS];
    let (folder, name) = relpath::split(below);
    let is_part = folder.is_empty() && (FILES.contains(&below) || is_replaced(store, below)?);
    if !is_part && !FOLDERS.iter().any(|dir| relpath::is_within(folder, dir)) {
        return Ok(false);
    }
    let dir = store.sub(folder)?;
    let mut prefix = relpath::show(name);
    while prefix.len() > MAX_PREFIX {
        prefix.pop();
    }
    match put_aside(store, &dir, name, &format!("{prefix}-")) {
        // It cannot be renamed: something is mounted there, or it is in a lower layer of overlayfs.
        Err(e) if is_mount(&e) || is_errno(&e, Errno::XDEV) => Ok(false),
        done => done.map(|()| true),
    }
}

fn is_replaced(store: &StoreDir, name: &[u8]) -> Result<bool> {
    Ok(store.layout_state()?.replaced.iter().any(|(replaced, _)| *replaced == name))
}

/// Renames an entry into the quarantine, durably, if it exists.
fn put_aside(store: &StoreDir, dir: &Dir, name: &[u8], prefix: &str) -> Result<()> {
    if dir.stat(name)?.is_none() {
        return Ok(());
    }
    if store.dir.stat(QUARANTINE)?.is_some_and(|stat| stat.kind != Kind::Dir) {
        // The entry is `quarantine` itself. A name `quarantine-*` has no meaning.
        let prefix = format!("{}-", relpath::show(QUARANTINE));
        store.fs.unique(&store.dir, &prefix, "", |free| {
            store.fs.rename_to_free((&store.dir, QUARANTINE), (&store.dir, free))
        })?;
        if name == QUARANTINE {
            return store.fs.sync_dir(&store.dir);
        }
    }
    store.fs.make_dir(&store.dir, QUARANTINE)?;
    let quarantine = store.sub(QUARANTINE)?;
    let moved = store
        .fs
        .unique(&quarantine, prefix, "", |free| store.fs.rename_to_free((dir, name), (&quarantine, free)));
    match moved {
        // Another repair has moved it.
        Err(e) if e.is_not_found() => return Ok(()),
        moved => drop(moved?),
    }
    store.fs.sync_dir(&quarantine)?;
    store.fs.sync_dir(dir)
}

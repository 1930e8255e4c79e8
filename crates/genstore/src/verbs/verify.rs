//! Verify: compares the whole store with its records, and repairs it where possible.
//!
//! The check works on a read-only mount, and no writer waits while it reads. Its findings are checked
//! again before they are reported (`second_look`). If the store is writable, an interrupted change is
//! settled then, and damage is recorded in `suspects/`, so that the next publish checks it again.

use std::collections::{HashMap, HashSet};

use rustix::io::Errno;

use crate::change::recover;
use crate::check::report::{DamagedFile, DamagedGeneration, GenerationFault, VerifyReport};
use crate::check::tree::{Depth, FaultKind, LoadedGeneration};
use crate::check::{lost, store};
use crate::error::{Damaged, Error, ObjectUse, Result};
use crate::fs::Kind;
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::model::ids::GenerationId;
use crate::model::records::Sequence;
use crate::parts::current::Current;
use crate::parts::layout::{GENERATIONS, QUARANTINE, SUSPECTS, StoreDir};
use crate::parts::locks::{CommitLock, Locks, StoreShared};
use crate::parts::objects::Objects;
use crate::parts::records::Records;
use crate::parts::stage_dir::StageDir;
use crate::parts::suspects;
use crate::repair::mend::Mender;
use crate::repair::relink::SharedAgain;
use crate::repair::rescue::{self, GoodFile, Healer};
use crate::repair::{rebuild, relink, second_look};

/// The number of rounds of a repair: repairs may reveal hidden damage.
const MAX_ROUNDS: usize = 4;

/// Checks all generations, or one.
pub(crate) fn verify(store: &StoreDir, only: Option<GenerationId>, depth: Depth) -> Result<VerifyReport> {
    let _guard = Locks::of(store).share_unchanged()?;
    let mut report = store::check(store, only, depth)?.0;
    if !report.is_clean() {
        report = second_look::look_again(store, only, depth, report)?;
    }
    note_suspects(store, &report)?;
    Ok(report)
}

/// Records damage for the next publish, if the store is writable.
fn note_suspects(store: &StoreDir, report: &VerifyReport) -> Result<()> {
    if report.objects.is_empty() && report.generations.is_empty() {
        return Ok(());
    }
    let noted = || -> Result<()> {
        // A check does not recreate missing parts.
        if store.dir.stat(SUSPECTS)?.is_none_or(|stat| stat.kind != Kind::Dir) {
            return Ok(());
        }
        let Some(lock) = Locks::of(store).commit_unchanged()? else { return Ok(()) };
        // Only used objects are recorded: a publish reads every object that the current generation does
        // not reference.
        for object in report.objects.iter().filter(|object| !object.uses.is_empty()) {
            suspects::suspect_object(store, &lock, object.id)?;
        }
        for damaged in &report.generations {
            suspects::suspect_generation(store, &lock, damaged.id)?;
        }
        Ok(())
    };
    match noted() {
        Err(e) if is_read_only(&e) => Ok(()),
        done => done,
    }
}

/// The result of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The damage that was found.
    pub before: VerifyReport,
    /// The damage that is left.
    pub after: VerifyReport,
}

/// Repairs damage from intact copies, moves the rest to quarantine, and checks again.
///
/// # Locks
/// The exclusive store lock, and the commit lock.
pub(crate) fn repair(store: &StoreDir) -> Result<Repaired> {
    let mut lost = rebuild::mend_layout(store)?;
    let guard = Locks::of(store).exclude()?;
    let (lock, mut sequence) = loop {
        match recover::lock_and_recover(store) {
            // No change can begin without the records that it reads, so they are moved away and rebuilt
            // first.
            Err(Error::Damaged { what: Damaged::File(path), cause, .. })
                if rebuild::move_aside_path(store, &path)? =>
            {
                lost.push(DamagedFile { path, cause });
            }
            done => break done?,
        }
    };
    lost.extend(move_records_aside(store)?);
    lost.extend(rebuild::rebuild_records(store, &lock, &sequence)?);
    let mut named = HashSet::new();
    lost.retain(|file| named.insert(file.path.clone()));
    sequence = Records::of(store).sequence()?;
    let (mut after, mut loaded) = store::check(store, None, Depth::Full)?;
    let mut before = after.clone();
    for _ in 0..MAX_ROUNDS {
        let shared = relink::share_again(store, &lock, &mut sequence, guard.as_shared(), &after, &loaded)?;
        let shared = shared.any();
        if !shared && after.is_clean() {
            break;
        }
        if !shared {
            repair_all(store, &lock, &mut sequence, guard.as_shared(), &after, &loaded)?;
        }
        drop(loaded);
        let last = after;
        (after, loaded) = store::check(store, None, Depth::Full)?;
        if !shared && after == last {
            break;
        }
    }
    drop(loaded);
    // Already rebuilt or moved away: the present entries at those paths are intact.
    lost.retain(|file| !before.files.iter().any(|other| other.path == file.path));
    before.files.extend(lost);
    for object in &before.objects {
        if !after.objects.iter().any(|left| left.id == object.id) {
            suspects::clear_object_suspect(store, &lock, object.id)?;
        }
    }
    drop(lock);
    note_suspects(store, &after)?;
    Ok(Repaired { before, after })
}

/// The result of restoring hard links.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relinked {
    /// The changes.
    pub done: SharedAgain,
    /// The damage that was found.
    pub before: VerifyReport,
    /// The damage that is left.
    pub after: VerifyReport,
}

/// Restores the names of objects, their modes and mtimes, and hard links, from what the generations have. Nothing is
/// moved to quarantine: other damage is reported and stays.
///
/// # Locks
/// The exclusive store lock, and the commit lock.
pub(crate) fn relink(store: &StoreDir) -> Result<Relinked> {
    let guard = Locks::of(store).exclude()?;
    let (lock, mut sequence) = recover::lock_and_recover(store)?;
    let (mut after, mut loaded) = store::check(store, None, Depth::Full)?;
    let (before, mut done) = (after.clone(), SharedAgain::default());
    for _ in 0..MAX_ROUNDS {
        let mut round =
            relink::share_again(store, &lock, &mut sequence, guard.as_shared(), &after, &loaded)?;
        if !round.any() {
            round.relinked = mend_attributes(store, &lock, guard.as_shared(), &after, &loaded)?;
        }
        if !round.any() {
            break;
        }
        done.add(round);
        drop(loaded);
        (after, loaded) = store::check(store, None, Depth::Full)?;
    }
    drop((loaded, lock));
    note_suspects(store, &after)?;
    Ok(Relinked { done, before, after })
}

/// Restores modes and mtimes that no object has: of empty files and folders. Returns their number.
fn mend_attributes(
    store: &StoreDir,
    lock: &CommitLock,
    guard: &StoreShared,
    report: &VerifyReport,
    all: &[LoadedGeneration],
) -> Result<u64> {
    let (objects, stage) = (Objects::new(store)?, StageDir::create(store)?);
    let mender = Mender { store, guard, objects: &objects, stage: &stage };
    let run = || -> Result<u64> {
        let mut mended = 0;
        for GenerationFault { generation, fault } in &report.faults {
            if !matches!(fault.kind, FaultKind::Mode | FaultKind::Mtime) {
                continue;
            }
            let Some(loaded) = all.iter().find(|loaded| loaded.id == *generation) else { continue };
            let Some(leased) = loaded.lease(store)? else { continue };
            mended += u64::from(mender.mend(lock, &leased, fault)?);
        }
        Ok(mended)
    };
    let done = run();
    stage.remove(store)?;
    done
}

/// Moves damaged records away. A person must recreate pins, marks and views.
fn move_records_aside(store: &StoreDir) -> Result<Vec<DamagedFile>> {
    let mut moved = lost::damaged_records(store)?;
    let mut failed = Ok(());
    moved.retain(|file| match rebuild::move_aside_path(store, &file.path) {
        Ok(moved) => moved,
        Err(e) => {
            failed = Err(e);
            false
        }
    });
    failed.map(|()| moved)
}

fn repair_all(
    store: &StoreDir,
    lock: &CommitLock,
    sequence: &mut Sequence,
    guard: &StoreShared,
    report: &VerifyReport,
    all: &[LoadedGeneration],
) -> Result<()> {
    for file in &report.files {
        rebuild::move_aside_path(store, &file.path)?;
    }
    let objects = Objects::new(store)?;
    let stage = StageDir::create(store)?;
    let by_id: HashMap<GenerationId, &LoadedGeneration> =
        all.iter().map(|loaded| (loaded.id, loaded)).collect();
    let mut run = || -> Result<()> {
        for damage in &report.objects {
            let place = |found: &ObjectUse| Some((*by_id.get(&found.generation)?, found.path.clone()));
            let uses: Vec<(&LoadedGeneration, Vec<u8>)> = damage.uses.iter().filter_map(place).collect();
            let Some(file) = uses.first().and_then(|(loaded, path)| match loaded.tree.find(path) {
                Some(crate::model::tree::Node::File(file)) => Some(file),
                _ => None,
            }) else {
                if damage.uses.is_empty() && !objects.is_intact(damage.id)? {
                    objects.quarantine(lock, damage.id)?;
                }
                continue;
            };
            if objects.is_intact(damage.id)? {
                let mender = Mender { store, guard, objects: &objects, stage: &stage };
                mender.restore_object(file)?;
            } else if rescue::find_intact_copy(store, &objects, &stage, file, &uses, b"good")? {
                let good = GoodFile { dir: stage.dir(), name: b"good", node: file };
                let healer = Healer { store, guard, objects: &objects };
                healer.heal(lock, sequence, damage.id, Some(good))?;
            } else {
                objects.quarantine(lock, damage.id)?;
            }
        }
        for &DamagedGeneration { id, .. } in &report.generations {
            match rebuild::rebuild_generation(store, lock, id) {
                Err(Error::Damaged { .. }) => match put_generation_aside(store, lock, id) {
                    // It cannot be renamed. The next check reports it again.
                    Err(e) if is_mount(&e) || is_errno(&e, Errno::XDEV) => {}
                    done => done?,
                },
                done => done?,
            }
        }
        let mender = Mender { store, guard, objects: &objects, stage: &stage };
        for faults in report.faults.chunk_by(|a, b| a.generation == b.generation) {
            let Some(loaded) = by_id.get(&faults[0].generation) else { continue };
            let Some(leased) = loaded.lease(store)? else { continue };
            for GenerationFault { fault, .. } in faults {
                mender.mend(lock, &leased, fault)?;
            }
        }
        Ok(())
    };
    let done = run();
    stage.remove(store)?;
    done
}

/// Moves a generation that cannot be repaired to quarantine, unless it is the current one.
fn put_generation_aside(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    if Current::of(store).id()? == Some(id) {
        return Ok(());
    }
    let (generations, quarantine) = (store.sub(GENERATIONS)?, store.sub(QUARANTINE)?);
    let name = id.to_string().into_bytes();
    let prefix = format!("generation-{id}-");
    store.fs.unique(&quarantine, &prefix, "", |free| {
        store.fs.rename_to_free((&generations, &name), (&quarantine, free))
    })?;
    store.fs.sync_dir(&generations)?;
    store.fs.sync_dir(&quarantine)?;
    suspects::clear_generation_suspect(store, lock, id)
}

pub(crate) fn is_read_only(error: &Error) -> bool {
    [Errno::ROFS, Errno::ACCESS, Errno::PERM].into_iter().any(|errno| is_errno(error, errno))
}

//! Restores sharing: a copy of a store may lose it although all bytes are right.
//!
//! A copy may keep all bytes and lose the hard links, the mtimes and the modes, or leave out
//! `objects/`. Then the generations have inodes of their own, which can serve as objects:
//!
//! 1. *Adopt.* A missing object gets its name back by a link to an intact file of a generation.
//! 2. *Restore.* Objects get the mode and the mtime that manifests record.
//! 3. *Relink.* A path with an unshared inode is replaced, by rename, by a link to its object. If
//!    freshness gave it another mtime, it is linked to the same file of another generation with that
//!    mtime.
//!
//! Step 3 relies on the bytes of a path because a check has just hashed them under the locks of a
//! repair. Each step can be interrupted and repeated. Missing hard links are not damage in general: a
//! rotation, two writers of the same bytes and foreign owners cause paths with inodes of their own. So
//! a check counts them, and calls a store damaged only if no object is shared at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rustix::io::Errno;

use crate::check::report::{MISSING, MODE_DIFFERS, VerifyReport};
use crate::check::tree::{FaultKind, LoadedGeneration};
use crate::check::unshared::{Shows, is_apart, shows, stat_object};
use crate::error::Result;
use crate::fs::errno::is_errno;
use crate::fs::flush::{Flush, MANY};
use crate::fs::{Dir, Stat};
use crate::model::ids::GenerationId;
use crate::model::object_name;
use crate::model::records::Sequence;
use crate::model::tree::{Mtime, ObjectId};
use crate::parts::layout::StoreDir;
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::objects::{self, Objects};
use crate::parts::records::Records;
use crate::parts::stage_dir::StageDir;
use crate::threads::prelude::*;

/// The temporary name of a new link.
const TEMP: &[u8] = b"link";

/// The changes of a restoration of sharing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedAgain {
    /// The number of missing objects that got their names back.
    pub adopted: u64,
    /// The number of objects whose mode or mtime was restored.
    pub restored: u64,
    /// The number of paths that are links to their objects again, or have their own mode and mtime again.
    pub relinked: u64,
    /// The number of bytes that are free now.
    pub freed_bytes: u64,
}

impl SharedAgain {
    /// Returns whether anything was changed.
    pub fn any(&self) -> bool {
        self.adopted + self.restored + self.relinked > 0
    }

    pub(crate) fn add(&mut self, other: SharedAgain) {
        self.adopted += other.adopted;
        self.restored += other.restored;
        self.relinked += other.relinked;
        self.freed_bytes += other.freed_bytes;
    }
}

/// Does all three steps. Returns the number of changes.
///
/// # Durability
/// On return all of it is durable.
pub(crate) fn share_again(
    store: &StoreDir,
    lock: &CommitLock,
    sequence: &mut Sequence,
    guard: &StoreShared,
    report: &VerifyReport,
    all: &[LoadedGeneration],
) -> Result<SharedAgain> {
    let objects = Objects::new(store)?;
    let stage = StageDir::create(store)?;
    let wrong = [FaultKind::Missing, FaultKind::Replaced, FaultKind::Content];
    let bad = report.faults.iter().filter(|found| wrong.contains(&found.fault.kind));
    let sharing = Sharing {
        store,
        guard,
        objects: &objects,
        stage: &stage,
        bad: bad.map(|found| (found.generation, found.fault.path.as_slice())).collect(),
    };
    let done = sharing.run(lock, sequence, report, &shows(all, |_| true));
    stage.remove(store)?;
    done
}

struct Sharing<'a> {
    store: &'a StoreDir,
    guard: &'a StoreShared,
    objects: &'a Objects<'a>,
    stage: &'a StageDir,
    /// Paths whose entry differs from the manifest.
    bad: HashSet<(GenerationId, &'a [u8])>,
}

impl Sharing<'_> {
    fn run(
        &self,
        lock: &CommitLock,
        sequence: &mut Sequence,
        report: &VerifyReport,
        shows: &BTreeMap<ObjectId, Vec<Shows<'_>>>,
    ) -> Result<SharedAgain> {
        let gone = report.objects.iter().filter(|object| object.cause == MISSING);
        let gone: Vec<ObjectId> = gone.map(|object| object.id).collect();
        let adopted = self.adopt(&gone, shows)?;
        if adopted > 0 {
            // Names passed to other inodes, so earlier folder stamps are invalid.
            sequence.heals += 1;
            Records::of(self.store).write_sequence(lock, sequence)?;
        }
        let damaged =
            report.objects.iter().filter(|object| ![MISSING, MODE_DIFFERS].contains(&object.cause));
        let damaged: HashSet<ObjectId> = damaged.map(|object| object.id).collect();
        let restored = self.restore(&damaged, shows)?;
        let (relinked, freed_bytes) = self.relink(&damaged, shows)?;
        Ok(SharedAgain { adopted, restored, relinked, freed_bytes })
    }

    /// Step 1.
    fn adopt(&self, gone: &[ObjectId], shows: &BTreeMap<ObjectId, Vec<Shows<'_>>>) -> Result<u64> {
        let found = gone.par_iter().map(|id| {
            for shows in shows.get(id).into_iter().flatten() {
                if self.is_candidate(shows)? {
                    return Ok(Some((*id, shows)));
                }
            }
            Ok(None)
        });
        let found: Vec<_> = found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        // An inode must be durable before it gets an object's name.
        let mut bytes = ToFlush::default();
        for (_, shows) in &found {
            bytes.add(|| shows.flush(self.store))?;
        }
        bytes.flush(self)?;
        let (mut adopted, mut names) = (0, BTreeSet::new());
        for (id, shows) in &found {
            let (dir, name) = shows.open(self.store)?;
            match self.objects.insert(self.guard, (&dir, name), *id) {
                // The file belongs to another user: a copy is made of it instead.
                Err(e) if is_errno(&e, Errno::PERM) => continue,
                done => drop(done?),
            }
            adopted += 1;
            names.insert(object_name::name(*id)[..2].to_vec());
        }
        let mut folders = ToFlush::default();
        if adopted > 0 {
            folders.add(|| self.objects.dir().open_dir(b"").map(Flush::Dir))?;
        }
        for folder in names {
            folders.add(|| self.objects.dir().open_dir(&folder).map(Flush::Dir))?;
        }
        folders.flush(self)?;
        Ok(adopted)
    }

    /// Returns whether a file can become the object of its path, and sets its mode and mtime
    /// accordingly.
    fn is_candidate(&self, shows: &Shows<'_>) -> Result<bool> {
        let fs = &self.store.fs;
        let is_bad = self.bad.contains(&(shows.loaded.id, shows.path));
        if is_bad || shows.mtime() != shows.file.mtime || shows.stat(self.store)?.is_none() {
            return Ok(false);
        }
        let (dir, name) = shows.open(self.store)?;
        let (file, path) = (dir.open_file(name)?, dir.join(name));
        if objects::hash(&file, &path)?.0 != shows.file.digest {
            return Ok(false);
        }
        fs.set_mode(&file, &path, object_name::mode(shows.file.executable))?;
        if !Stat::of(&file, &path)?.has_mtime(shows.file.mtime) {
            fs.set_mtime(&file, &path, shows.file.mtime)?;
        }
        Ok(true)
    }

    /// Step 2. An object keeps its mtime if any manifest records it.
    fn restore(
        &self,
        damaged: &HashSet<ObjectId>,
        shows: &BTreeMap<ObjectId, Vec<Shows<'_>>>,
    ) -> Result<u64> {
        let whole = shows.par_iter().filter(|(id, _)| !damaged.contains(id));
        let restored = whole.map(|(id, paths)| Ok((*id, self.restore_one(*id, paths)?)));
        let restored: Vec<(ObjectId, bool)> = restored.collect::<Result<_>>()?;
        let mut changed = ToFlush::default();
        for (id, _) in restored.into_iter().filter(|(_, restored)| *restored) {
            let path = self.objects.dir().join(&object_name::name(id));
            changed.add(|| Ok(Flush::File(self.objects.open(id)?, path)))?;
        }
        changed.flush(self)
    }

    fn restore_one(&self, id: ObjectId, paths: &[Shows<'_>]) -> Result<bool> {
        let fs = &self.store.fs;
        let Some(stat) = stat_object(self.objects, id)? else { return Ok(false) };
        let is_recorded = paths.iter().any(|shows| stat.has_mtime(shows.file.mtime));
        let Some(first) = paths.first().filter(|shows| shows.file.size == stat.size) else {
            return Ok(false);
        };
        if is_recorded && stat.mode == object_name::mode(id.executable) {
            return Ok(false);
        }
        let (file, path) = (self.objects.open(id)?, self.objects.dir().join(&object_name::name(id)));
        fs.set_mode(&file, &path, object_name::mode(id.executable))?;
        if !is_recorded {
            fs.set_mtime(&file, &path, first.file.mtime)?;
        }
        Ok(true)
    }

    /// Step 3. Returns the numbers of paths and of freed bytes.
    fn relink(
        &self,
        damaged: &HashSet<ObjectId>,
        shows: &BTreeMap<ObjectId, Vec<Shows<'_>>>,
    ) -> Result<(u64, u64)> {
        let (mut changed, mut freed) = (ToFlush::default(), 0);
        for (id, paths) in shows.iter().filter(|(id, _)| !damaged.contains(id)) {
            let Some(object) = stat_object(self.objects, *id)? else { continue };
            if object.links > paths.len() as u64 {
                continue;
            }
            let name = object_name::name(*id);
            // An inode that freshness created for a path is shared with the same path of later
            // generations.
            let mut fresh: HashMap<(Mtime, &[u8]), (&Shows<'_>, Stat)> = HashMap::new();
            for shows in paths {
                let is_bad = self.bad.contains(&(shows.loaded.id, shows.path));
                let stat = shows.stat(self.store)?.filter(|stat| !is_bad && stat.size == shows.file.size);
                let Some(stat) = stat.filter(|stat| !object.same_inode(stat)) else { continue };
                let ((dir, file), wanted) = (shows.open(self.store)?, shows.mtime());
                let handed_on = fresh.get(&(wanted, shows.path)).filter(|_| !object.has_mtime(wanted));
                let linked = match handed_on {
                    Some((first, other)) if is_apart(&stat, other) => {
                        let (from, name) = first.open(self.store)?;
                        self.put_link((&from, name), (&dir, file))?
                    }
                    None if object.has_mtime(wanted) && is_apart(&stat, &object) => {
                        self.put_link((self.objects.dir(), &name), (&dir, file))?
                    }
                    _ => false,
                };
                if linked {
                    freed += if stat.links == 1 { stat.size } else { 0 };
                    changed.add(|| Ok(Flush::Dir(dir)))?;
                    continue;
                }
                if self.restore_path(shows, &stat)? {
                    changed.add(|| shows.flush(self.store))?;
                }
                if handed_on.is_none() && !object.has_mtime(wanted) {
                    fresh.insert((wanted, shows.path), (shows, stat));
                }
            }
        }
        Ok((changed.flush(self)?, freed))
    }

    /// Sets the mtime and mode of an inode that is not an object's to the ones that the path must have.
    fn restore_path(&self, shows: &Shows<'_>, stat: &Stat) -> Result<bool> {
        let mode = object_name::mode(shows.file.executable);
        // Another path with this inode may need the present values. Then this path gets another inode
        // later.
        if stat.links > 1 || (stat.has_mtime(shows.mtime()) && stat.mode == mode) {
            return Ok(false);
        }
        let (dir, name) = shows.open(self.store)?;
        let (file, path) = (dir.open_file(name)?, dir.join(name));
        self.store.fs.set_mode(&file, &path, mode)?;
        self.store.fs.set_mtime(&file, &path, shows.mtime())?;
        Ok(true)
    }

    /// Replaces a path by a link. Returns `Ok(false)` if no link can be made, and the path stays.
    fn put_link(&self, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<bool> {
        let fs = &self.store.fs;
        let temp = (self.stage.dir(), TEMP);
        match fs.link(from, temp) {
            // The inode has no links left, or the file belongs to another user.
            Err(e) if is_errno(&e, Errno::MLINK) || is_errno(&e, Errno::PERM) => return Ok(false),
            done => done?,
        }
        fs.rename(temp, to)?;
        Ok(true)
    }
}

/// Files and folders to flush: one by one if they are few, with syncfs if they are many.
#[derive(Default)]
struct ToFlush {
    each: Vec<Flush>,
    count: u64,
}

impl ToFlush {
    fn add(&mut self, flush: impl FnOnce() -> Result<Flush>) -> Result<()> {
        self.count += 1;
        if self.count <= MANY as u64 {
            self.each.push(flush()?);
        } else {
            // This many handles need not stay open.
            self.each.clear();
        }
        Ok(())
    }

    /// Flushes, and returns the number of items that were added.
    fn flush(self, sharing: &Sharing<'_>) -> Result<u64> {
        match self.count {
            0 => {}
            count if count > MANY as u64 => sharing.store.fs.sync_filesystem(sharing.objects.dir())?,
            _ => sharing.store.fs.sync_each(self.each)?,
        }
        Ok(self.count)
    }
}

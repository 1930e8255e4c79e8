//! Verify: comparing all of a store with what it ought to be, and repairing what can be. Floor 3.
//!
//! Looking works on a read-only mount, and keeps no writer waiting while it reads. What it finds is
//! looked at once more before it is reported (`second_look`). Where the store may be written, a change
//! that was cut short is settled then, and what was found damaged is noted in `suspects/`, so that the
//! next publish looks at it again.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::threads::prelude::*;
use rustix::io::Errno;

use crate::error::{Damaged, Error, Result};
use crate::fs::Kind;
use crate::fs::mount::is_mount;
use crate::model::ids::GenerationId;
use crate::model::tree::{FileNode, ObjectId};
use crate::parts::layout::{GENERATIONS, Home, OBJECTS, QUARANTINE, SUSPECTS};
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::objects::{self, Objects};
use crate::parts::records::Sequence;
use crate::parts::stage_dir::StageDir;
use crate::progress::Phase;
use crate::repair::check::{Depth, Fault, Known, Mender, is_absence};
use crate::repair::relink::{Unshared, unshared};

/// The causes of damaged objects that step by step repair distinguishes.
pub(crate) const MISSING: &str = "it is missing";
pub(crate) const MODE_DIFFERS: &str = "its mode differs";

/// So many times a repair looks again: what it mends may bring to light what was hidden.
const MAX_ROUNDS: usize = 4;

/// An object that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedObject {
    /// Which one.
    pub id: ObjectId,
    /// Its recorded size in bytes.
    pub size: u64,
    /// What is wrong with it.
    pub cause: &'static str,
    /// Every generation that needs it, and the path there; empty for an object that gc has not removed
    /// yet.
    pub uses: Vec<(GenerationId, Vec<u8>)>,
}

/// What `verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects with wrong bytes, or none.
    pub objects: Vec<DamagedObject>,
    /// Generations whose manifest, or what is kept beside it, is damaged.
    pub generations: Vec<(GenerationId, String)>,
    /// Paths of generations that differ from their manifests for other reasons than a damaged
    /// object.
    pub faults: Vec<(GenerationId, Fault)>,
    /// Other files of the store that are damaged or do not belong there.
    pub files: Vec<(PathBuf, String)>,
    /// Paths that could share an inode and do not. It is no damage.
    pub unshared: Unshared,
    /// How many generations were looked at.
    pub checked_generations: u64,
    /// How many objects were looked at.
    pub checked_objects: u64,
    /// Their sizes, added up.
    pub checked_bytes: u64,
}

impl VerifyReport {
    /// Returns whether everything is as it ought to be.
    pub fn is_clean(&self) -> bool {
        self.objects.is_empty()
            && self.generations.is_empty()
            && self.faults.is_empty()
            && self.files.is_empty()
    }
}

struct Uses {
    file: FileNode,
    /// Index of the generation, and of the entry in it.
    places: Vec<(u32, u32)>,
}

impl Home {
    /// Checks all generations, or one.
    pub(crate) fn verify(&self, only: Option<GenerationId>, depth: Depth) -> Result<VerifyReport> {
        let _guard = self.share_unchanged()?;
        let mut report = self.check(only, depth)?.0;
        if !report.is_clean() {
            report = self.look_again(only, depth, report)?;
        }
        self.note_suspects(&report)?;
        Ok(report)
    }

    fn check(&self, only: Option<GenerationId>, depth: Depth) -> Result<(VerifyReport, Vec<Known>)> {
        let mut report = VerifyReport::default();
        let objects = Objects::find(self)?;
        let objects = objects.as_ref();
        let mut all = Vec::new();
        let ids = match only {
            Some(id) => vec![id],
            None => self.generation_ids()?,
        };
        for id in ids {
            report.checked_generations += 1;
            let known = match self.find_generation(id) {
                Ok(Some(generation)) => self.known(generation),
                Ok(None) if only.is_some() => {
                    return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] });
                }
                Ok(None) => continue,
                Err(e) => Err(e),
            };
            match known {
                Ok(known) if !known.tree.has_right_id() => {
                    report
                        .generations
                        .push((id, "its manifest: the tree's id is not that of the entries".to_owned()));
                }
                Ok(known) => all.push(known),
                Err(Error::Damaged { what: Damaged::Generation(id), cause, .. }) => {
                    report.generations.push((id, cause));
                }
                Err(e) => return Err(e),
            }
        }
        self.check_objects(objects, &all, depth, &mut report)?;
        if let (None, Depth::Full, Some(objects)) = (only, depth, objects) {
            self.check_unused(objects, &all, &mut report)?;
        }
        for known in &all {
            for fault in self.check_tree(objects, known, depth, None)? {
                report.faults.push((known.generation.id(), fault));
            }
        }
        if only.is_none() {
            if let Some(objects) = objects {
                report.unshared = unshared(objects, &all)?;
            }
            if report.unshared.all {
                let cause = "no object shares its inode with a generation: the store was copied without its hard links";
                report.files.push((self.dir.join(OBJECTS), cause.to_owned()));
            }
            self.check_files(objects, &mut report)?;
        }
        Ok((report, all))
    }

    fn check_objects(
        &self,
        objects: Option<&Objects<'_>>,
        all: &[Known],
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
        let progress = &self.options.progress;
        progress.begin(Phase::Verify, Some(uses.len() as u64));
        report.checked_objects = uses.len() as u64;
        report.checked_bytes = uses.values().map(|uses| uses.file.size).sum();
        let mut todo: Vec<(ObjectId, Uses)> = uses.into_iter().collect();
        // Names are hashes, so their order is that of the folders.
        todo.sort_by_key(|(id, _)| *id);
        let damaged: Vec<Option<DamagedObject>> = todo
            .into_par_iter()
            .map(|(id, uses)| {
                let cause = check_object(objects, uses.file, depth)?;
                progress.advance(1);
                Ok(cause.map(|cause| {
                    let place = |(nth, entry): &(u32, u32)| {
                        let known = &all[*nth as usize];
                        (known.generation.id(), known.tree.path(*entry as usize).to_vec())
                    };
                    let uses_ = uses.places.iter().map(place).collect();
                    DamagedObject { id, size: uses.file.size, cause, uses: uses_ }
                }))
            })
            .collect::<Result<_>>()?;
        report.objects = damaged.into_iter().flatten().collect();
        Ok(())
    }

    /// Hashes the objects that no generation names: gc has not removed them yet.
    fn check_unused(&self, objects: &Objects<'_>, all: &[Known], report: &mut VerifyReport) -> Result<()> {
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

    /// Checks everything that is no generation and no object: the pointer, records, stray names.
    pub(crate) fn check_files(
        &self,
        objects: Option<&Objects<'_>>,
        report: &mut VerifyReport,
    ) -> Result<()> {
        report.files.extend(self.lost_parts()?);
        match self.damaged_records() {
            // What took the place of a folder was named just now.
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
        note(self.checked_current().map(drop))?;
        for name in
            objects.map_or(Ok(vec![]), Objects::list)?.into_iter().filter_map(std::result::Result::err)
        {
            let path = [OBJECTS, b"/", &name].concat();
            found(self.dir.join(&path), "it is no object's name".to_owned());
        }
        for (name, kind) in self.list(GENERATIONS)? {
            let number = std::str::from_utf8(&name).ok().and_then(GenerationId::parse);
            if number.is_none() || kind != Kind::Dir {
                let path = self.dir.join(&[GENERATIONS, b"/", &name].concat());
                found(path, "it is no generation's number".to_owned());
            }
        }
        Ok(())
    }

    /// Leaves a note of what is damaged for the next publish, where the store may be written.
    fn note_suspects(&self, report: &VerifyReport) -> Result<()> {
        if report.objects.is_empty() && report.generations.is_empty() {
            return Ok(());
        }
        let noted = || -> Result<()> {
            // Looking makes no part anew that is missing.
            if self.dir.stat(SUSPECTS)?.is_none_or(|stat| stat.kind != Kind::Dir) {
                return Ok(());
            }
            let Some(lock) = self.lock_commit_unchanged()? else { return Ok(()) };
            // Publishing reads each object that the current generation does not name.
            for object in report.objects.iter().filter(|object| !object.uses.is_empty()) {
                self.suspect_object(&lock, object.id)?;
            }
            for (id, _) in &report.generations {
                self.suspect_generation(&lock, *id)?;
            }
            Ok(())
        };
        match noted() {
            Err(e) if is_read_only(&e) => Ok(()),
            done => done,
        }
    }

    /// Mends what can be mended from intact copies, puts the rest into quarantine, and checks again.
    ///
    /// # Locks
    /// The store lock, exclusively, and the commit lock.
    pub(crate) fn repair(&self) -> Result<(VerifyReport, VerifyReport)> {
        let mut lost = self.mend_layout()?;
        let guard = self.exclude()?;
        let (lock, mut sequence) = loop {
            match self.begin_commit() {
                // Nothing can begin without the records that it reads, so they are made anew first.
                Err(Error::Damaged { what: Damaged::File(path), cause, .. })
                    if self.move_aside_path(&path)? =>
                {
                    lost.push((path, cause));
                }
                done => break done?,
            }
        };
        lost.extend(self.move_records_aside()?);
        lost.extend(self.rebuild_records(&lock, &sequence)?);
        let mut named = HashSet::new();
        lost.retain(|(path, _)| named.insert(path.clone()));
        sequence = self.sequence()?;
        let (mut after, mut known) = self.check(None, Depth::Full)?;
        let mut before = after.clone();
        for _ in 0..MAX_ROUNDS {
            let shared = self.share_again(&lock, &mut sequence, guard.as_shared(), &after, &known)?;
            if !shared && after.is_clean() {
                break;
            }
            if !shared {
                self.repair_all(&lock, &mut sequence, guard.as_shared(), &after, &known)?;
            }
            drop(known);
            let last = after;
            (after, known) = self.check(None, Depth::Full)?;
            if !shared && after == last {
                break;
            }
        }
        drop(known);
        // Made anew already, or out of the way; what stands at those paths by now is whole.
        lost.retain(|(path, _)| !before.files.iter().any(|(other, _)| other == path));
        before.files.extend(lost);
        for object in &before.objects {
            if !after.objects.iter().any(|left| left.id == object.id) {
                self.clear_object_suspect(&lock, object.id)?;
            }
        }
        drop(lock);
        self.note_suspects(&after)?;
        Ok((before, after))
    }

    /// Takes damaged records out of the way. A pin, a mark or a view is for a person to make again.
    fn move_records_aside(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut moved = self.damaged_records()?;
        let mut failed = Ok(());
        moved.retain(|(path, _)| match self.move_aside_path(path) {
            Ok(moved) => moved,
            Err(e) => {
                failed = Err(e);
                false
            }
        });
        failed.map(|()| moved)
    }

    fn repair_all(
        &self,
        lock: &CommitLock,
        sequence: &mut Sequence,
        guard: &StoreShared,
        report: &VerifyReport,
        all: &[Known],
    ) -> Result<()> {
        for (path, _) in &report.files {
            self.move_aside_path(path)?;
        }
        let objects = Objects::new(self)?;
        let stage = StageDir::create(self)?;
        let by_id: HashMap<GenerationId, &Known> = all.iter().map(|k| (k.generation.id(), k)).collect();
        let mut run = || -> Result<()> {
            for damage in &report.objects {
                let uses: Vec<(&Known, Vec<u8>)> = damage
                    .uses
                    .iter()
                    .filter_map(|(id, path)| Some((*by_id.get(id)?, path.clone())))
                    .collect();
                let Some(file) = uses.first().and_then(|(known, path)| match known.tree.find(path) {
                    Some(crate::model::tree::Node::File(file)) => Some(file),
                    _ => None,
                }) else {
                    if damage.uses.is_empty() && !objects.is_intact(damage.id)? {
                        objects.quarantine(lock, damage.id)?;
                    }
                    continue;
                };
                if objects.is_intact(damage.id)? {
                    let mender = Mender { home: self, guard, objects: &objects, stage: &stage };
                    mender.restore_object(file)?;
                } else if self.find_intact_copy(&objects, &stage, file, &uses, b"good")? {
                    let good = Some((stage.dir(), &b"good"[..], file));
                    self.heal_object(lock, sequence, &objects, guard, damage.id, good)?;
                } else {
                    objects.quarantine(lock, damage.id)?;
                }
            }
            for (id, _) in &report.generations {
                match self.rebuild_generation(lock, *id) {
                    Err(Error::Damaged { .. }) => match self.put_generation_aside(lock, *id) {
                        // It cannot be renamed, and is told of again by the check that follows.
                        Err(e) if is_mount(&e) || objects::is_errno(&e, Errno::XDEV) => {}
                        done => done?,
                    },
                    done => done?,
                }
            }
            let mender = Mender { home: self, guard, objects: &objects, stage: &stage };
            for (id, fault) in &report.faults {
                if let Some(known) = by_id.get(id) {
                    mender.mend(lock, known, fault)?;
                }
            }
            Ok(())
        };
        let done = run();
        stage.remove(self)?;
        done
    }

    /// A generation that cannot be mended goes to quarantine, unless readers are looking at it.
    fn put_generation_aside(&self, lock: &CommitLock, id: GenerationId) -> Result<()> {
        if self.current()? == Some(id) {
            return Ok(());
        }
        let (generations, quarantine) = (self.sub(GENERATIONS)?, self.sub(QUARANTINE)?);
        let name = id.to_string().into_bytes();
        let prefix = format!("generation-{id}-");
        self.fs.unique(&quarantine, &prefix, "", |free| {
            self.fs.rename_to_free((&generations, &name), (&quarantine, free))
        })?;
        self.fs.sync_dir(&generations)?;
        self.fs.sync_dir(&quarantine)?;
        self.clear_generation_suspect(lock, id)
    }
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
        return Ok(Some("it is no regular file"));
    }
    if stat.size != file.size {
        return Ok(Some("its size differs"));
    }
    if depth == Depth::Full && !objects.is_intact(file.object())? {
        return Ok(Some("its hash differs"));
    }
    if stat.mode != objects::mode(file.executable) {
        return Ok(Some(MODE_DIFFERS));
    }
    Ok(None)
}

pub(crate) fn is_read_only(error: &Error) -> bool {
    [Errno::ROFS, Errno::ACCESS, Errno::PERM].into_iter().any(|errno| objects::is_errno(error, errno))
}

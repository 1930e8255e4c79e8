//! Verify: comparing all of a store with what it ought to be, and repairing what can be. Floor 3.
//!
//! Looking changes nothing and works on a read-only mount; where the store may be written, what
//! was found damaged is noted in `suspects/`, so that the next publish looks at it again.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::threads::prelude::*;

use crate::check::{Depth, Fault, Known, Mender};
use crate::error::{Damaged, Error, Result};
use crate::fs::{Fs, Kind};
use crate::layout::{
    CURRENT, CommitLock, GENERATIONS, HOLD, Home, MARKS, OBJECTS, PINS, QUARANTINE, SEQUENCE, StoreShared,
    VIEWS,
};
use crate::log::Event;
use crate::model::ids::GenerationId;
use crate::model::relpath;
use crate::model::tree::{FileNode, ObjectId};
use crate::objects::{self, Objects};
use crate::progress::Phase;
use crate::records::{Sequence, is_good};
use crate::stage::StageDir;

/// An object that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedObject {
    /// Which one.
    pub id: ObjectId,
    /// Its recorded size in bytes.
    pub size: u64,
    /// What is wrong with it.
    pub cause: &'static str,
    /// Every generation that needs it, and the path there.
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
    /// How many generations were looked at.
    pub checked_generations: u64,
    /// How many objects were looked at.
    pub checked_objects: u64,
    /// Their sizes, added up.
    pub checked_bytes: u64,
}

impl VerifyReport {
    /// Tells whether everything is as it ought to be.
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
        let _guard = self.share_if_possible()?;
        let report = self.check(only, depth)?.0;
        self.note_suspects(&report)?;
        Ok(report)
    }

    /// Keeps gc away; on a read-only mount there is none to keep away.
    fn share_if_possible(&self) -> Result<Option<StoreShared>> {
        match self.share() {
            Ok(guard) => Ok(Some(guard)),
            Err(e) if is_read_only(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn check(&self, only: Option<GenerationId>, depth: Depth) -> Result<(VerifyReport, Vec<Known>)> {
        let mut report = VerifyReport::default();
        let objects = Objects::new(self)?;
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
        self.check_objects(&objects, &all, depth, &mut report)?;
        for known in &all {
            for fault in self.check_tree(&objects, known, depth, None)? {
                report.faults.push((known.generation.id(), fault));
            }
        }
        if only.is_none() {
            self.check_files(&objects, &mut report)?;
        }
        Ok((report, all))
    }

    fn check_objects(
        &self,
        objects: &Objects<'_>,
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

    /// Checks everything that is no generation and no object: the pointer, records, stray names.
    fn check_files(&self, objects: &Objects<'_>, report: &mut VerifyReport) -> Result<()> {
        let mut found = |path: PathBuf, why: String| report.files.push((path, why));
        let mut note = |result: Result<()>| match result {
            Err(Error::Damaged { what: Damaged::File(path), cause, .. }) => {
                found(path, cause);
                Ok(())
            }
            other => other,
        };
        note(self.sequence().map(drop))?;
        note(self.pins().map(drop))?;
        note(self.marks().map(drop))?;
        note(self.hold().map(drop))?;
        for view in self.view_records()? {
            note(view.map(drop))?;
        }
        for key in self.pending_views()? {
            note(self.pending_view(&key).map(drop))?;
        }
        for key in self.mirrors()? {
            note(self.inventory(&key).map(drop))?;
            note(self.next_inventory(&key).map(drop))?;
        }
        note(self.current().and_then(|current| match current {
            Some(id)
                if self.dir.stat(&[GENERATIONS, b"/", id.to_string().as_bytes()].concat())?.is_none() =>
            {
                let cause = format!("it names generation {id}, which is not there");
                Err(Error::damaged_file(&self.dir.join(CURRENT), cause))
            }
            _ => Ok(()),
        }))?;
        for name in objects.list()?.into_iter().filter_map(std::result::Result::err) {
            found(objects.dir().join(&name), "it is no object's name".to_owned());
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
            let lock = self.lock_commit()?;
            for object in &report.objects {
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
        let guard = self.exclude()?;
        let mut damaged_records = Vec::new();
        let (lock, mut sequence) = loop {
            match self.begin_commit() {
                // Without the sequence nothing can begin, so it is made anew before all else.
                Err(Error::Damaged { what: Damaged::File(path), cause, .. })
                    if self.replace_damaged_record(&path)? =>
                {
                    damaged_records.push((path, cause));
                }
                done => break done?,
            }
        };
        let (mut before, known) = self.check(None, Depth::Full)?;
        self.repair_all(&lock, &mut sequence, guard.as_shared(), &before, &known)?;
        drop(known);
        if damaged_records.iter().any(|(path, _)| *path == self.dir.join(CURRENT)) {
            self.mend_current(&lock)?;
        }
        // Out of the way already; what stands at those paths by now is whole.
        before.files.extend(damaged_records);
        let after = self.check(None, Depth::Full)?.0;
        for object in &before.objects {
            if !after.objects.iter().any(|left| left.id == object.id) {
                self.clear_object_suspect(&lock, object.id)?;
            }
        }
        drop(lock);
        self.note_suspects(&after)?;
        Ok((before, after))
    }

    fn repair_all(
        &self,
        lock: &CommitLock,
        sequence: &mut Sequence,
        guard: &StoreShared,
        report: &VerifyReport,
        all: &[Known],
    ) -> Result<()> {
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
                match self.heal_generation(lock, *id) {
                    Err(Error::Damaged { .. }) => self.put_generation_aside(lock, *id)?,
                    done => done?,
                }
            }
            let mender = Mender { home: self, guard, objects: &objects, stage: &stage };
            for (id, fault) in &report.faults {
                if let Some(known) = by_id.get(id) {
                    mender.mend(lock, known, fault)?;
                }
            }
            for (path, _) in &report.files {
                self.replace_damaged_record(path)?;
                if *path == self.dir.join(CURRENT) {
                    self.mend_current(lock)?;
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

    /// Takes a damaged record, or a name that does not belong where it is, out of the way. The
    /// sequence is made anew from the generations; a pin, a mark or a view is for a person to make again.
    /// `Ok(false)` for what is no such file.
    fn replace_damaged_record(&self, path: &std::path::Path) -> Result<bool> {
        let Ok(below) = path.strip_prefix(self.dir.path()) else { return Ok(false) };
        let below = std::os::unix::ffi::OsStrExt::as_bytes(below.as_os_str());
        let (folder, name) = relpath::split(below);
        let owned = [PINS, MARKS, VIEWS, GENERATIONS, OBJECTS];
        if ![SEQUENCE, CURRENT, HOLD].contains(&below)
            && !owned.iter().any(|dir| relpath::is_within(folder, dir))
        {
            return Ok(false);
        }
        let (dir, quarantine) = (self.sub(folder)?, self.sub(QUARANTINE)?);
        let prefix = format!("{}-", relpath::show(name));
        let fs: &Fs = &self.fs;
        fs.unique(&quarantine, &prefix, "", |free| fs.rename_to_free((&dir, name), (&quarantine, free)))?;
        fs.sync_dir(&dir)?;
        Ok(true)
    }

    /// Where something else took the place of `current`, or it names nothing: the generation that
    /// was activated last becomes current again, else the newest good one.
    fn mend_current(&self, lock: &CommitLock) -> Result<()> {
        let (ids, marks) = (self.generation_ids()?, self.marks()?);
        let last = self.history()?.last_activation().map(|line| line.generation);
        let good = |id: &&GenerationId| is_good(&marks, **id);
        let Some(id) = last.filter(|id| ids.contains(id)).or(ids.iter().rev().find(good).copied()) else {
            return Ok(());
        };
        self.set_current(lock, id)?;
        self.seal_current(lock)?;
        self.append_log(lock, id, Event::Activate { previous: None })?;
        self.sync_log()?;
        self.write_notice(lock, id, self.generation(id)?.head()?.tree)
    }
}

fn check_object(objects: &Objects<'_>, file: FileNode, depth: Depth) -> Result<Option<&'static str>> {
    let Some(stat) = objects.stat(file.object())? else {
        return Ok(Some("it is missing"));
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
        return Ok(Some("its mode differs"));
    }
    Ok(None)
}

fn is_read_only(error: &Error) -> bool {
    use rustix::io::Errno;
    [Errno::ROFS, Errno::ACCESS, Errno::PERM].into_iter().any(|errno| objects::is_errno(error, errno))
}

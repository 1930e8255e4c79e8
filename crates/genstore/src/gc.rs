//! Collecting: generations that nothing keeps, then objects that no manifest names. Floor 3.
//!
//! Liveness of objects comes from the manifests, never from link counts. Whatever cannot be read
//! ends gc before its first unlink: only ENOENT is absence.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use rayon::prelude::*;

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::generations::Generation;
use crate::layout::{CommitLock, Home, OBJECTS, STAGING, StoreExclusive};
use crate::model::fresh::Shown;
use crate::model::ids::GenerationId;
use crate::model::retention::{Candidate, Retention, Verdict, judge};
use crate::model::tree::ObjectId;
use crate::objects::{self, Objects};
use crate::progress::Phase;

/// What a collection would do. [`crate::Store::collect`] does no more than this.
#[derive(Clone, Debug)]
#[must_use]
pub struct GcPlan {
    /// Every generation, newest first, with the reasons that keep it.
    pub verdicts: Vec<Verdict>,
    /// The rule.
    pub retention: Retention,
    /// Objects that no kept generation names.
    pub(crate) objects: Vec<ObjectId>,
    /// Bytes of those objects, and of files that only removed generations have.
    pub freed_bytes: u64,
    /// Bytes of all objects, and of files that have an inode of their own.
    pub before_bytes: u64,
}

impl GcPlan {
    /// Lists the generations that go, newest first.
    pub fn removed(&self) -> Vec<GenerationId> {
        self.verdicts.iter().filter(|verdict| !verdict.keeps()).map(|verdict| verdict.id).collect()
    }

    /// Counts the objects that go.
    pub fn objects(&self) -> u64 {
        self.objects.len() as u64
    }
}

/// What a collection did.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Collected {
    /// Generations that are gone.
    pub generations: Vec<GenerationId>,
    /// Generations that the plan gave up and that something keeps by now.
    pub spared: Vec<GenerationId>,
    /// Number of objects that are gone.
    pub objects: u64,
    /// Their bytes, and those of files that only removed generations had.
    pub freed_bytes: u64,
    /// What was there before.
    pub before_bytes: u64,
}

struct Weighed {
    id: GenerationId,
    /// Size of every object that the generation names.
    objects: HashMap<ObjectId, u64>,
    /// Inodes that its fresh files have, with their sizes.
    private: HashMap<u64, u64>,
}

impl Home {
    /// Gathers what the rule of retention looks at.
    pub(crate) fn candidates(&self, now: SystemTime) -> Result<Vec<Candidate>> {
        let current = self.current()?;
        let (pins, marks, history) = (self.pins()?, self.marks()?, self.history()?);
        let since = self.current_since()?;
        let last_current = history.last_current(current, since);
        let mut candidates = Vec::new();
        for id in self.generation_ids()? {
            let Some(generation) = self.find_generation(id)? else {
                continue;
            };
            let head = generation.head()?;
            drop(generation);
            let unknown = !history.knows(id);
            candidates.push(Candidate {
                id,
                created: head.created.into(),
                // Where the log is lost, everything was current a moment ago.
                last_current: last_current.get(&id).copied().or(since.filter(|_| unknown)),
                current: current == Some(id),
                good: marks.get(&id).is_none_or(|mark| mark.mark == crate::records::Mark::Good),
                pins: pins
                    .iter()
                    .filter(|(_, pin)| pin.generation == id && pin.holds(now))
                    .map(|(name, _)| name.to_string())
                    .collect(),
                leased: self.exclude_leases(id)?.is_none(),
            });
        }
        Ok(candidates)
    }

    /// Plans a collection, and changes nothing.
    pub(crate) fn plan_gc(&self, retention: &Retention) -> Result<GcPlan> {
        let now = self.now();
        let verdicts = judge(&self.candidates(now)?, retention, now);
        let ids: Vec<GenerationId> = verdicts.iter().map(|verdict| verdict.id).collect();
        let weighed: Vec<Weighed> = ids.par_iter().map(|id| self.weigh(*id)).collect::<Result<_>>()?;
        let kept: HashSet<GenerationId> = verdicts.iter().filter(|v| v.keeps()).map(|v| v.id).collect();
        let mut live: HashSet<ObjectId> = HashSet::new();
        let mut sizes: HashMap<ObjectId, u64> = HashMap::new();
        let mut private: HashMap<u64, u64> = HashMap::new();
        let mut live_private: HashSet<u64> = HashSet::new();
        for generation in &weighed {
            sizes.extend(&generation.objects);
            private.extend(&generation.private);
            if kept.contains(&generation.id) {
                live.extend(generation.objects.keys());
                live_private.extend(generation.private.keys());
            }
        }
        let objects = Objects::new(self)?;
        let (mut dead, mut before, mut freed) = (Vec::new(), 0, 0);
        for id in objects.list()?.into_iter().flatten() {
            let size = match sizes.get(&id) {
                Some(size) => *size,
                None => objects.stat(id)?.map_or(0, |stat| stat.size),
            };
            before += size;
            if !live.contains(&id) {
                freed += size;
                dead.push(id);
            }
        }
        for (inode, size) in private {
            before += size;
            freed += if live_private.contains(&inode) { 0 } else { size };
        }
        Ok(GcPlan {
            verdicts,
            retention: retention.clone(),
            objects: dead,
            freed_bytes: freed,
            before_bytes: before,
        })
    }

    fn weigh(&self, id: GenerationId) -> Result<Weighed> {
        let generation = self.generation(id)?;
        let known = self.known(generation)?;
        let objects = known
            .tree
            .iter_files()
            .filter(|(_, file)| file.size > 0)
            .map(|(_, file)| (file.object(), file.size))
            .collect();
        let private = private_inodes(&known.generation, &known.shown)?;
        Ok(Weighed { id, objects, private })
    }

    /// Removes what the plan gives up and still nothing keeps.
    ///
    /// # Locks
    /// The store lock, exclusively, and the commit lock, so that no pin is made meanwhile.
    ///
    /// # Durability
    /// A generation is off the list durably before the first of its objects goes. Cut short, the
    /// next writer removes what is left of the directories, and the next gc the objects.
    pub(crate) fn collect(&self, plan: &GcPlan) -> Result<Collected> {
        let guard = self.exclude()?;
        let (lock, _) = self.begin_commit()?;
        let now = self.plan_gc(&plan.retention)?;
        let still_dead: HashSet<GenerationId> = now.removed().into_iter().collect();
        let mut done = Collected { before_bytes: now.before_bytes, ..Collected::default() };
        let mut graves = Vec::new();
        let removed = plan.removed();
        self.options.progress.begin(Phase::Sweep, Some((removed.len() + plan.objects.len()) as u64));
        for id in removed {
            let grave = match still_dead.contains(&id) {
                true => self.retire_generation(&guard, id)?,
                false => None,
            };
            match grave {
                Some(grave) => {
                    graves.push(grave);
                    done.generations.push(id);
                    self.remove_mark(&lock, id)?;
                    self.clear_generation_suspect(&lock, id)?;
                }
                None => done.spared.push(id),
            }
        }
        let staging = self.sub(STAGING)?;
        for grave in graves {
            self.fs.remove_all(&staging, &grave)?;
            self.options.progress.advance(1);
        }
        // Judged anew: a generation that was spared keeps its objects.
        let after = if done.spared.is_empty() { now } else { self.plan_gc(&plan.retention)? };
        self.sweep_objects(&guard, &lock, plan, &after, &mut done)?;
        self.compact_log(&lock, &self.generation_ids()?)?;
        Ok(done)
    }

    fn sweep_objects(
        &self,
        _: &StoreExclusive,
        lock: &CommitLock,
        plan: &GcPlan,
        now: &GcPlan,
        done: &mut Collected,
    ) -> Result<()> {
        let planned: HashSet<&ObjectId> = plan.objects.iter().collect();
        let dir = self.sub(OBJECTS)?;
        let suspects = self.suspects()?;
        for id in now.objects.iter().filter(|id| planned.contains(id)) {
            self.fs.unlink(&dir, &objects::name(*id))?;
            if suspects.objects.contains(id) {
                self.clear_object_suspect(lock, *id)?;
            }
            done.objects += 1;
            self.options.progress.advance(1);
        }
        done.freed_bytes = if planned.len() == now.objects.len() { now.freed_bytes } else { 0 };
        Ok(())
    }
}

/// Finds the inodes that a generation's fresh files have, with their sizes in bytes.
pub(crate) fn private_inodes(generation: &Generation, shown: &Shown) -> Result<HashMap<u64, u64>> {
    let mut private = HashMap::new();
    let root = generation.tree_dir()?;
    for path in shown.fresh.keys() {
        let (dir, name) = open_parent(&root, path)?;
        if let Some(stat) = dir.stat(name)? {
            private.insert(stat.ino, stat.size);
        }
    }
    Ok(private)
}

//! Forget: takes a content out of every generation.
//!
//! A manifest never changes (INV-6), so a generation that has the content is replaced:
//!
//! 1. The tombstones are durable. From here on no publish, pull or import brings the content back.
//! 2. For each generation that has the content, the oldest first: a new generation without these paths, with its note
//!    and facts and the fact `forget.from`. Its mark and its pins move to the new one. That of the current generation
//!    becomes current.
//! 3. The old generations and the objects are collected, whatever their age: a lease alone keeps one.
//! 4. Copies of the content in `quarantine/` and `failed/` are removed, and mirrors that show removed files are updated.
//!
//! Each step may be interrupted, and the same command again does the rest: a generation that has its replacement
//! already gets no second one. A publisher that staged the content before step 1 is waited for in step 3; what it
//! committed is forgotten in a second round.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::expect::Expect;
use crate::change::recover;
use crate::error::{Error, RefusedKind, Result};
use crate::fs::{Dir, Kind};
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::retention::Retention;
use crate::model::tree::{Node, Tree};
use crate::parts::current::Current;
use crate::parts::deeds::Deed;
use crate::parts::forgotten::{Forgotten, paths};
use crate::parts::generations::{Generation, Generations};
use crate::parts::hold::Activate;
use crate::parts::layout::{FAILED, QUARANTINE, StoreDir};
use crate::parts::log::Log;
use crate::parts::objects;
use crate::parts::records::Records;
use crate::plan::Plan;
use crate::plan::emptied::Emptying;
use crate::plan::item::Symlinks;
use crate::verbs::collect;
use crate::verbs::publish;
use crate::verbs::publish::options::{CommitOptions, StageOptions};
use crate::views::refresh;
use crate::warning::{AfterCommit, Warning};

/// The fact of a replacement: the number of the generation that it replaces.
const FROM: &str = "forget.from";
/// The number of rounds: publishers may commit what they staged before the tombstones.
const MAX_ROUNDS: usize = 3;

/// A generation that has a content to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remembering {
    /// Its number.
    pub generation: GenerationId,
    /// Whether it is current.
    pub current: bool,
    /// The paths with such a content.
    pub paths: Vec<Vec<u8>>,
}

/// The result of forgetting.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Forgot {
    /// The replaced generations, each with its replacement, the oldest first.
    pub replaced: Vec<(GenerationId, GenerationId)>,
    /// The number of objects that were removed.
    pub objects: u64,
    /// Copies that were removed from `quarantine/` and `failed/`.
    pub copies: u64,
    /// Generations that still have the content: a process holds a lease, or another user owns the files.
    pub left: Vec<GenerationId>,
    /// Failures after a commit.
    pub warnings: Vec<Warning>,
}

/// Lists the generations that have one of these contents, the oldest first.
pub(crate) fn find(store: &StoreDir, digests: &BTreeSet<Digest>) -> Result<Vec<Remembering>> {
    let current = Current::of(store).id()?;
    let mut found = Vec::new();
    for id in Generations::of(store).ids()? {
        let Some(generation) = Generations::of(store).find(id)? else { continue };
        let tree = generation.manifest()?.tree;
        let paths: Vec<Vec<u8>> = paths(&tree, digests).map(<[u8]>::to_vec).collect();
        if !paths.is_empty() {
            found.push(Remembering { generation: id, current: current == Some(id), paths });
        }
    }
    Ok(found)
}

/// Lists the contents that generations have at a path, each with the generations.
pub(crate) fn contents_at(store: &StoreDir, path: &[u8]) -> Result<BTreeMap<Digest, Vec<GenerationId>>> {
    let mut found: BTreeMap<Digest, Vec<GenerationId>> = BTreeMap::new();
    for id in Generations::of(store).ids()? {
        let Some(generation) = Generations::of(store).find(id)? else { continue };
        if let Some(Node::File(file)) = generation.manifest()?.tree.find(path)
            && file.size > 0
        {
            found.entry(file.digest).or_default().push(id);
        }
    }
    Ok(found)
}

/// Takes these contents out of every generation.
pub(crate) fn forget(store: &StoreDir, digests: &BTreeSet<Digest>) -> Result<Forgot> {
    if digests.contains(&Digest::of(b"")) {
        return Err(Error::refused(
            RefusedKind::Forgotten,
            "the content of an empty file cannot be forgotten",
        ));
    }
    let (lock, _) = recover::lock_and_recover(store)?;
    Forgotten::of(store).add(&lock, digests)?;
    let deed = Deed::Forget { digests: digests.iter().map(Digest::to_string).collect() };
    let mut after = AfterCommit::default();
    after.record("write the log", Log::of(store).tell(&lock, None, deed));
    drop(lock);
    let mut done = Forgot { warnings: after.warnings, ..Forgot::default() };
    for _ in 0..MAX_ROUNDS {
        let found = find(store, digests)?;
        for remembering in &found {
            let (new, warnings) = replace(store, remembering, digests)?;
            done.warnings.extend(warnings);
            if !done.replaced.iter().any(|(old, _)| *old == remembering.generation) {
                done.replaced.push((remembering.generation, new));
            }
        }
        let retention = Retention::only_last(0).chosen(found.iter().map(|one| one.generation));
        let collected = collect::collect(store, &collect::plan_gc(store, &retention)?)?;
        done.objects += collected.objects;
        done.left = find(store, digests)?.iter().map(|one| one.generation).collect();
        if done.left.iter().all(|left| found.iter().any(|one| one.generation == *left)) {
            break;
        }
    }
    let (lock, _) = recover::lock_and_recover(store)?;
    for folder in [QUARANTINE, FAILED] {
        if store.dir.stat(folder)?.is_some_and(|stat| stat.kind == Kind::Dir) {
            done.copies += remove_copies(store, store.sub(folder)?, digests)?;
        }
    }
    done.warnings.extend(refresh::check_views(store, &lock));
    Ok(done)
}

/// Makes the generation that replaces another, unless it exists. Moves the mark and the pins.
fn replace(
    store: &StoreDir,
    old: &Remembering,
    digests: &BTreeSet<Digest>,
) -> Result<(GenerationId, Vec<Warning>)> {
    let generation = Generations::of(store).open(old.generation)?;
    let head = generation.head()?;
    let plan = without(&generation.manifest()?.tree, digests)?;
    let (new, warnings) = match find_replacement(store, &generation)? {
        Some(new) if !old.current => (new, vec![]),
        _ => {
            let staged = publish::stage(store, None, &plan, StageOptions::default().always())?.unaudited();
            let commit = CommitOptions::default()
                .note(head.note)
                .facts(head.facts)
                .fact(FROM, old.generation.to_string())
                .emptying(Emptying::Allow);
            let done = staged.commit(&match old.current {
                true => commit.expect(Expect::Current(old.generation)).activate(Activate::Always),
                false => commit.activate(Activate::Never),
            })?;
            (done.generation, done.warnings)
        }
    };
    drop(generation);
    let (lock, _) = recover::lock_and_recover(store)?;
    let records = Records::of(store);
    if let Some(mark) = records.mark(old.generation)? {
        records.write_mark(&lock, new, &mark)?;
    }
    let pins = records.pins()?;
    let pins: Vec<_> = pins.into_iter().filter(|(_, pin)| pin.generation == old.generation).collect();
    for (name, mut pin) in pins {
        pin.generation = new;
        records.write_pin(&lock, &name, &pin)?;
    }
    Ok((new, warnings))
}

/// Finds the replacement that an interrupted command made.
fn find_replacement(store: &StoreDir, old: &Generation) -> Result<Option<GenerationId>> {
    let from = old.id().to_string();
    for id in Generations::of(store).ids()?.into_iter().filter(|id| *id > old.id()) {
        let Some(generation) = Generations::of(store).find(id)? else { continue };
        if generation.head()?.facts.get(FROM) == Some(&from) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Plans a tree without the files of these contents. Links are taken over as they are.
fn without(tree: &Tree, digests: &BTreeSet<Digest>) -> Result<Plan> {
    let mut plan = Plan::builder().symlinks(Symlinks::Any);
    for entry in tree.iter() {
        plan = match entry.node {
            Node::File(file) if digests.contains(&file.digest) => plan,
            Node::File(file) => plan.stored(entry.path, file),
            Node::Symlink(target) => plan.symlink(entry.path, target),
            Node::EmptyDir => plan.dir(entry.path),
        };
    }
    plan.build()
}

/// Removes the files in a folder that have one of these contents. Returns their number.
fn remove_copies(store: &StoreDir, top: Dir, digests: &BTreeSet<Digest>) -> Result<u64> {
    let (mut removed, mut todo) = (0, vec![top]);
    while let Some(dir) = todo.pop() {
        for (name, kind) in dir.list()? {
            match kind {
                Kind::Dir => todo.push(dir.open_dir(&name)?),
                Kind::File => {
                    let file = dir.open_file(&name)?;
                    if digests.contains(&objects::hash(&file, &dir.join(&name))?.0) {
                        removed += u64::from(store.fs.unlink(&dir, &name)?);
                    }
                }
                Kind::Symlink | Kind::Other => {}
            }
        }
    }
    Ok(removed)
}

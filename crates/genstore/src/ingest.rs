//! Ingest: reads every source once, in parallel, and writes what the store does not have.
//!
//! A new object is written straight to its path in the stage's tree; its name among the objects is
//! a second link, given after the flush. What the store has already is linked later, when it is
//! known that the tree is a new one at all: so publishing what is current writes nothing. Floor 3.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use rustix::io::Errno;

use crate::error::{Error, Problem, Result};
use crate::folders::Folders;
use crate::fs::Dir;
use crate::intake::{Give, Intake};
use crate::layout::{Home, StoreShared};
use crate::model::relpath;
use crate::model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree, TreeBuilder};
use crate::objects::Objects;
use crate::plan::{ItemSource, Plan, ScannedRoot, What};
use crate::progress::Phase;
use crate::stage::StageDir;

/// Files of one folder that one task takes: small enough to share out, large enough that opening
/// the folder does not count.
const BATCH: usize = 64;

/// How an entry of the new tree comes to its inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// It stands in the stage's tree already, new to the store.
    Placed,
    /// The store has the object.
    Object,
    /// The same bytes were placed at another path of this stage.
    Twin,
    /// A symlink, an empty directory or an empty file: made anew.
    Made,
}

/// A plan whose every byte has been read.
#[derive(Default)]
pub(crate) struct Ingested {
    pub(crate) tree: Tree,
    /// Per entry of the tree.
    pub(crate) how: Vec<How>,
    /// For each new object the entry that it was placed at.
    pub(crate) placed: HashMap<ObjectId, u32>,
    /// Objects of the store whose bytes turned out to be wrong; the right ones are placed.
    pub(crate) damaged: Vec<ObjectId>,
    /// Files that `consume` moved in: what to remove once they are committed.
    pub(crate) consumed: Vec<PathBuf>,
    pub(crate) new_bytes: u64,
}

/// What ingest may take for granted, and where it may write.
pub(crate) struct Ingest<'a> {
    pub(crate) home: &'a Home,
    pub(crate) _lock: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) folders: &'a Folders<'a>,
    /// What is current, as far as it can be read.
    pub(crate) base: Option<&'a Tree>,
    /// Objects that `verify` found wrong: looked at again whatever their size and mtime say.
    pub(crate) suspects: &'a [ObjectId],
    /// Where new objects are written; without one, nothing is.
    pub(crate) stage: Option<&'a LazyStage<'a>>,
    pub(crate) consume: bool,
}

/// A stage that is made when the first object needs it.
pub(crate) struct LazyStage<'a> {
    home: &'a Home,
    stage: OnceLock<StageDir>,
    making: Mutex<()>,
}

impl<'a> LazyStage<'a> {
    /// Gives the stage that there is already, or else one when it is needed.
    pub(crate) fn new(home: &'a Home, begun: Option<StageDir>) -> LazyStage<'a> {
        let stage = begun.map_or_else(OnceLock::new, OnceLock::from);
        LazyStage { home, stage, making: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Result<&StageDir> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let _one = lock(&self.making);
        if self.stage.get().is_none() {
            let stage = StageDir::create(self.home)?;
            // Nobody else sets it while we hold the mutex.
            drop(self.stage.set(stage));
        }
        Ok(self.stage.get().expect("it was set above"))
    }

    pub(crate) fn into_stage(mut self) -> Option<StageDir> {
        self.stage.take()
    }
}

impl Drop for LazyStage<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            // What cannot be removed now is debris, which the next writer removes.
            drop(stage.give_up(self.home));
        }
    }
}

pub(crate) struct Shared {
    pub(crate) claims: Vec<Mutex<HashMap<ObjectId, Claim>>>,
    pub(crate) problems: Mutex<Vec<Problem>>,
    pub(crate) damaged: Mutex<Vec<ObjectId>>,
    pub(crate) consumed: Mutex<Vec<PathBuf>>,
    pub(crate) recorded: OnceLock<HashMap<ObjectId, Mtime>>,
    pub(crate) can_reflink: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) entry: u32,
    pub(crate) mtime: Mtime,
}

impl Ingest<'_> {
    pub(crate) fn run(&self) -> Result<Ingested> {
        let items = &self.plan.items;
        let shared = Shared {
            claims: (0..64).map(|_| Mutex::default()).collect(),
            problems: Mutex::default(),
            damaged: Mutex::default(),
            consumed: Mutex::default(),
            recorded: OnceLock::new(),
            can_reflink: true.into(),
        };
        self.home.options.progress.begin(Phase::Store, Some(items.len() as u64));
        let batches: Vec<&[u32]> = self.folders.members().flat_map(|all| all.chunks(BATCH)).collect();
        let done: Vec<Vec<(u32, FileNode, How)>> =
            batches.into_par_iter().map(|batch| self.batch(&shared, batch)).collect::<Result<_>>()?;
        let mut problems = into_inner(shared.problems);
        if !problems.is_empty() {
            problems.sort_by(|a, b| relpath::compare(&a.path, &b.path));
            return Err(Error::BadPlan { problems });
        }
        let mut files: Vec<Option<(FileNode, How)>> = vec![None; items.len()];
        let mut new_bytes = 0;
        for (entry, node, how) in done.into_iter().flatten() {
            if how == How::Placed {
                new_bytes += node.size;
            }
            files[entry as usize] = Some((node, how));
        }
        let mut tree = TreeBuilder::default();
        let mut how = Vec::with_capacity(items.len());
        for (item, file) in items.iter().zip(files) {
            let (node, way) = match (&item.what, file) {
                (What::File { .. }, Some((node, way))) => (Node::File(node), way),
                (What::Symlink(target), _) => (Node::Symlink(target), How::Made),
                (What::Dir, _) => (Node::EmptyDir, How::Made),
                (What::File { .. }, None) => unreachable!("every file of the plan is in a batch"),
            };
            tree.push(Entry { path: &item.path, node }).expect("the plan was checked when it was built");
            how.push(way);
        }
        let placed = shared.claims.into_iter().flat_map(into_inner).map(|(id, c)| (id, c.entry)).collect();
        Ok(Ingested {
            tree: tree.finish(),
            how,
            placed,
            damaged: into_inner(shared.damaged),
            consumed: into_inner(shared.consumed),
            new_bytes,
        })
    }

    /// Takes in some files of one folder.
    fn batch(&self, shared: &Shared, batch: &[u32]) -> Result<Vec<(u32, FileNode, How)>> {
        let mut done = Vec::with_capacity(batch.len());
        let mut source: Option<(&ScannedRoot, Dir)> = None;
        let mut target: Option<Dir> = None;
        for &entry in batch {
            let item = &self.plan.items[entry as usize];
            let What::File { source: from, executable } = &item.what else {
                continue;
            };
            let give = match from {
                ItemSource::Scanned(root) if root.ours => Give::Move,
                ItemSource::Spooled(_) => Give::Move,
                ItemSource::Scanned(_) | ItemSource::Root(_) if self.consume => Give::MoveAndRemove,
                _ => Give::Copy,
            };
            let mut task = Intake { ingest: self, shared, item, entry, give, target: &mut target };
            let result = match from {
                ItemSource::Bytes(bytes) => task.bytes(bytes, *executable),
                ItemSource::File(path) | ItemSource::Spooled(path) => {
                    parent_of(path).and_then(|(dir, name)| task.disk((&dir, name), Some(*executable)))
                }
                ItemSource::Root(path) => {
                    parent_of(path).and_then(|(dir, name)| task.disk((&dir, name), None))
                }
                ItemSource::Scanned(root) => {
                    let (folder, name) = relpath::split(root.below(&item.path));
                    if source.as_ref().is_none_or(|(open, _)| !std::ptr::eq(*open, root.as_ref())) {
                        source = Some((root, Dir::open(&root.dir)?.open_dir(folder)?));
                    }
                    let dir = &source.as_ref().expect("it was opened above").1;
                    task.disk((dir, name), None)
                }
                ItemSource::Reader(reader) => match lock(reader).take() {
                    Some(reader) => task.stream(reader, *executable),
                    None => Err(Error::refused("reader-used-up", "a reader was read before")),
                },
            };
            match result {
                Ok((node, how)) => done.push((entry, node, how)),
                Err(error) => match problem_of(&error) {
                    Some(what) => lock(&shared.problems).push(Problem { path: item.path.to_vec(), what }),
                    None => return Err(error),
                },
            }
            self.home.options.progress.advance(1);
        }
        Ok(done)
    }
}

/// Opens the folder of a file that is named by a path of the system, and gives the file's name.
fn parent_of(path: &Path) -> Result<(Dir, &[u8])> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(Error::BadSource { path: path.to_owned(), why: "it is not a file" });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Ok((Dir::open(folder)?, std::os::unix::ffi::OsStrExt::as_bytes(name)))
}

/// Errors that concern one source alone, so that all of them can be named together.
fn problem_of(error: &Error) -> Option<String> {
    match error {
        Error::Io { op: "open", source, .. }
            if [Some(Errno::ACCESS), Some(Errno::LOOP), Some(Errno::NXIO)]
                .contains(&Errno::from_io_error(source)) =>
        {
            Some(format!("cannot be read: {source}"))
        }
        Error::BadSource { why, .. } => Some((*why).to_owned()),
        _ => None,
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

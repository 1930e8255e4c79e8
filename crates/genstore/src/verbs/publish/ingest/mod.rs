//! Ingest: reads every source once, in parallel, and writes what the store does not have.
//!
//! A new object is written straight to its path in the stage's tree; its name among the objects is
//! a second link, given after the flush. What the store has already is linked later, when it is
//! known that the tree is a new one at all: so publishing what is current writes nothing. Floor 3.

pub(crate) mod intake;
pub(crate) mod linked;
pub(crate) mod lossy;
pub(crate) mod previous;
pub(crate) mod reuse;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::threads::{self, prelude::*};
use rustix::io::Errno;

use crate::error::{Error, Problem, Result};
use crate::fs::Dir;
use crate::fs::folders::Folders;
use crate::fs::mount::is_mount;
use crate::fs::trail::Trail;
use crate::model::ids::GenerationId;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::object_map::ObjectMap;
use crate::model::relpath;
use crate::model::tree::{FileNode, Mtime, Node, ObjectId, Tree, TreeBuilder, TreeId};
use crate::parts::layout::Home;
use crate::parts::locks::StoreShared;
use crate::parts::objects::Objects;
use crate::parts::stage_dir::StageDir;
use crate::parts::writeback::FlushAhead;
use crate::plan::scan::MOUNT_POINT;
use crate::plan::{Given, ItemSource, Plan, ScannedRoot, Spooled, What};
use crate::progress::Phase;
use crate::verbs::publish::ingest::intake::{Consumed, Give, Intake};
use crate::verbs::publish::ingest::linked::LinkedFolders;
use crate::verbs::publish::ingest::lossy::{Losses, Lossy};
use crate::verbs::publish::ingest::previous::entries_before;

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
    /// A symlink, an empty directory, or an empty file that was there before: made anew.
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
    /// How many objects had another mode or mtime than recorded, which was put right.
    pub(crate) restored: u64,
    /// Files that `consume` moved in: what to remove once they are committed.
    pub(crate) consumed: Vec<Consumed>,
    pub(crate) new_bytes: u64,
    /// What stat told of the sources, where they stay: for the next publish.
    pub(crate) sources: Option<SourceIndex>,
    /// Folders with sources that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
    /// The attributes of the sources that are not kept.
    pub(crate) losses: Losses,
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
    /// The directory that holds its files.
    pub(crate) standing: Option<&'a Dir>,
    /// Which generation that is.
    pub(crate) base_id: Option<GenerationId>,
    /// What is known of the sources of what is current.
    pub(crate) index: Option<&'a SourceIndex>,
    /// How to handle sources with attributes that a generation does not keep.
    pub(crate) lossy: Lossy,
    /// Only the store's owner reads what is published.
    pub(crate) is_private: bool,
    /// Every source and every object is read, whatever is known of it.
    pub(crate) rehash: bool,
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

/// The source that a thread was at last, and its folders there.
type Near<'p> = Option<(&'p ScannedRoot, Trail<'p>)>;

pub(crate) struct Shared {
    /// Per entry of the plan that of what is current that has the same path; see
    /// [`crate::verbs::publish::ingest::previous::NO_ENTRY`].
    pub(crate) old: Vec<u32>,
    /// The filesystem of the first source, if it is one of this machine's.
    pub(crate) dev: OnceLock<Option<u64>>,
    pub(crate) claims: Vec<Mutex<HashMap<ObjectId, Claim>>>,
    pub(crate) problems: Mutex<Vec<Problem>>,
    pub(crate) damaged: Mutex<Vec<ObjectId>>,
    /// Objects whose mode or mtime was put right.
    pub(crate) restored: AtomicU64,
    pub(crate) consumed: Mutex<Vec<Consumed>>,
    /// Inodes of sources that have more than one name.
    pub(crate) linked: Mutex<HashSet<u64>>,
    pub(crate) losses: Mutex<Losses>,
    /// The files of what is current, by their objects.
    pub(crate) recorded: ObjectMap,
    /// Per entry of what is current: its object is in the store, and looks as it is recorded.
    pub(crate) intact: Vec<AtomicBool>,
    pub(crate) can_reflink: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) entry: u32,
    pub(crate) mtime: Mtime,
}

impl Shared {
    /// Gives the part of the claims in which an object's is.
    pub(crate) fn claims_of(&self, id: ObjectId) -> MutexGuard<'_, HashMap<ObjectId, Claim>> {
        lock(&self.claims[usize::from(id.digest.0[0]) % self.claims.len()])
    }
}

impl<'a> Ingest<'a> {
    pub(crate) fn run(&self) -> Result<Ingested> {
        let plan = self.plan;
        let start = self.home.fs.file_clock();
        let empty = Tree::empty();
        let base = self.base.unwrap_or(&empty);
        let (old, recorded) = threads::join(|| entries_before(plan, base), || ObjectMap::of(base));
        let shared = Shared {
            old,
            recorded,
            intact: (0..base.len()).map(|_| AtomicBool::new(false)).collect(),
            claims: (0..64).map(|_| Mutex::default()).collect(),
            dev: OnceLock::new(),
            problems: Mutex::default(),
            damaged: Mutex::default(),
            restored: AtomicU64::new(0),
            consumed: Mutex::default(),
            linked: Mutex::default(),
            losses: Mutex::default(),
            can_reflink: true.into(),
        };
        self.home.options.progress.begin(Phase::Store, Some(plan.len() as u64));
        let batches: Vec<&[u32]> = self.folders.members().flat_map(|all| all.chunks(BATCH)).collect();
        type Batches = Result<Vec<Vec<Done>>>;
        let take_in = |ahead: &FlushAhead| {
            let take = |near: &mut Near<'a>, batch: &&[u32]| self.batch(&shared, ahead, near, batch);
            let done: Batches = batches.par_iter().map_init(|| None, take).collect();
            let (done, looking) = (done?, Ingest { base_id: None, ..*self });
            let again = self.believed_and_linked(&shared);
            let look = |batch: &Vec<u32>| looking.batch(&shared, ahead, &mut None, batch);
            let seen: Batches = again.par_iter().map(look).collect();
            Ok((done, again, seen?))
        };
        let (done, again, seen) = FlushAhead::during(self.home, take_in)?;
        let mut problems = into_inner(shared.problems);
        if !problems.is_empty() {
            problems.sort_by(|a, b| relpath::compare(&a.path, &b.path));
            return Err(Error::BadPlan { problems });
        }
        let mut files: Vec<Done> = Vec::new();
        files.resize_with(plan.len(), || Done::AsBefore);
        let again = again.iter().map(Vec::as_slice).zip(seen);
        for (batch, done) in batches.into_iter().zip(done).chain(again) {
            let is_file = |entry: &&u32| matches!(plan.what[**entry as usize], What::File { .. });
            for (entry, done) in batch.iter().filter(is_file).zip(done) {
                files[*entry as usize] = done;
            }
        }
        let claims: HashMap<ObjectId, Claim> = shared.claims.into_iter().flat_map(into_inner).collect();
        let mut new_bytes = 0;
        let mut sources = Sources::new(start, self.plan.files());
        let mut linked = LinkedFolders::new(plan, into_inner(shared.linked));
        let mut tree = TreeBuilder::with_capacity(plan.len());
        let mut how = Vec::with_capacity(plan.len());
        let mut files = files.into_iter();
        while how.len() < plan.len() {
            let entry = how.len();
            if let Some((base, same)) = self.run_before(&shared.old, entry, files.as_slice()) {
                tree.push_files(base, same.clone());
                for (number, old) in same.clone().enumerate() {
                    let source = self.source_before(old);
                    linked.note(entry + number, source);
                    sources.add(source);
                }
                how.resize(entry + same.len(), How::Object);
                files.nth(same.len() - 1);
                continue;
            }
            let (node, way) = match (&plan.what[entry], files.next()) {
                (What::File { .. }, Some(Done::New(mut file))) => {
                    if file.how == How::Twin
                        && let Some(claim) = claims.get(&file.node.object())
                    {
                        // By now it is known what the filesystem made of it.
                        file.node.mtime = claim.mtime;
                    }
                    linked.note(entry, file.source);
                    sources.add(file.source);
                    new_bytes += if file.how == How::Placed { file.node.size } else { 0 };
                    (Node::File(file.node), file.how)
                }
                (What::Symlink(target), _) => (Node::Symlink(target), How::Made),
                _ => (Node::EmptyDir, How::Made),
            };
            tree.push_node(node).expect("the plan was checked when it was built");
            how.push(way);
        }
        let placed = claims.into_iter().map(|(id, claim)| (id, claim.entry)).collect();
        let tree = tree.finish_at(plan.paths.clone());
        Ok(Ingested {
            sources: sources.finish(tree.id(), shared.dev.get().copied().flatten()),
            tree,
            how,
            placed,
            damaged: into_inner(shared.damaged),
            restored: shared.restored.into_inner(),
            consumed: into_inner(shared.consumed),
            new_bytes,
            linked: linked.finish(),
            losses: into_inner(shared.losses),
        })
    }

    /// Takes in some files of one folder.
    fn batch(
        &self,
        shared: &Shared,
        ahead: &FlushAhead,
        near: &mut Near<'a>,
        batch: &[u32],
    ) -> Result<Vec<Done>> {
        let plan = self.plan;
        let mut done = Vec::with_capacity(batch.len());
        let mut target: Option<Dir> = None;
        for &entry in batch {
            let path = plan.path(entry as usize);
            let What::File { source: from, executable } = &plan.what[entry as usize] else {
                continue;
            };
            let give = match from {
                ItemSource::Scanned(root) if root.ours => Give::Move,
                ItemSource::Scanned(_) if self.consume => Give::MoveAndRemove,
                ItemSource::Scanned(_) => Give::Copy,
                ItemSource::Given(given) => match **given {
                    Given::Spooled(_) => Give::Move,
                    Given::Root(_) if self.consume => Give::MoveAndRemove,
                    _ => Give::Copy,
                },
            };
            let mut task = Intake {
                ingest: self,
                shared,
                path_in_plan: path,
                entry,
                give,
                root: match from {
                    ItemSource::Scanned(root) => Some(root),
                    ItemSource::Given(_) => None,
                },
                target: &mut target,
                source: None,
            };
            let result = match from {
                ItemSource::Given(given) => task.given(given, *executable),
                ItemSource::Scanned(root) => match task.unseen(root) {
                    Ok(Some(done)) => Ok(done),
                    Err(error) => Err(error),
                    Ok(None) => {
                        let (folder, name) = relpath::split(root.below(path));
                        if !near.as_ref().is_some_and(|(at, _)| std::ptr::eq(*at, root.as_ref())) {
                            *near = Some((root, Trail::new(&root.dir)));
                        }
                        let (_, trail) = near.as_mut().expect("it was set above");
                        task.disk((trail.dir(folder)?, name), None)
                    }
                },
            };
            match result {
                Ok((node, how)) => {
                    if how == How::Placed && self.stage.is_some() {
                        ahead.wrote(node.size);
                    }
                    let file = Taken { node, how, source: task.source };
                    let is_as_before = how == How::Object
                        && file.source.is_some_and(|source| {
                            self.before(&shared.old, entry as usize) == Some((node, source))
                        });
                    done.push(if is_as_before { Done::AsBefore } else { Done::New(Box::new(file)) });
                }
                Err(error) => match problem_of(&error) {
                    Some(what) => lock(&shared.problems).push(Problem { path: path.to_vec(), what }),
                    None => return Err(error),
                },
            }
            self.home.options.progress.advance(1);
        }
        Ok(done)
    }
}

/// What became of a file of the plan. Mostly nothing did, so that takes no room.
pub(crate) enum Done {
    /// It and its source are as in what is current, and the store has its bytes.
    AsBefore,
    New(Box<Taken>),
}

/// A file that was taken in.
pub(crate) struct Taken {
    node: FileNode,
    how: How,
    /// What stat told of its source, if that stays where it is.
    source: Option<SourceStat>,
}

/// Gathers what is known of the sources, file by file.
struct Sources {
    /// When the first of them was read, or before.
    start: Mtime,
    files: Vec<SourceStat>,
}

impl Sources {
    fn new(start: Mtime, files: usize) -> Sources {
        Sources { start, files: Vec::with_capacity(files) }
    }

    fn add(&mut self, source: Option<SourceStat>) {
        let settled = source.filter(|stat| stat.is_settled(self.start));
        self.files.push(settled.unwrap_or_default());
    }

    /// Gives the index, where there is anything to put into one.
    fn finish(self, tree: TreeId, dev: Option<u64>) -> Option<SourceIndex> {
        let known = self.files.iter().any(|stat| stat.ino != 0);
        dev.filter(|_| known).map(|dev| SourceIndex { tree, dev, files: self.files })
    }
}

impl Intake<'_, '_> {
    /// Takes in a source that was named by itself.
    fn given(&mut self, given: &Given, executable: bool) -> Result<(FileNode, How)> {
        let (path, executable) = match given {
            Given::Bytes(bytes) => return self.bytes(bytes, executable),
            Given::Reader(reader) => {
                let reader = lock(reader).take();
                let used_up = || Error::refused("reader-used-up", "a reader was read before");
                return self.stream(reader.ok_or_else(used_up)?, executable);
            }
            Given::Spooled(Spooled { dir, name }) => return self.disk((dir, name), Some(executable)),
            Given::File(path) => (path, Some(executable)),
            Given::Root(path) => (path, None),
        };
        let (dir, name) = parent_of(path)?;
        self.disk((&dir, name), executable)
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
        error if is_mount(error) => Some(MOUNT_POINT.to_owned()),
        _ => None,
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

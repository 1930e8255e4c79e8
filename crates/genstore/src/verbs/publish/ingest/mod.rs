//! Ingest: reads every source once, in parallel, and writes what the store does not have.
//!
//! A new object is written straight to its path in the stage's tree; its name among the objects is
//! a second link, given after the flush. What the store has already is linked later, when it is
//! known that the tree is a new one at all: so publishing what is current writes nothing. Floor 3.

pub(crate) mod consumed;
pub(crate) mod context;
pub(crate) mod intake;
pub(crate) mod linked;
pub(crate) mod lossy;
pub(crate) mod previous;
pub(crate) mod reuse;
pub(crate) mod task;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, OnceLock};

use rustix::io::Errno;

use crate::error::{BadSourceReason, Error, Problem, ProblemKind, RefusedKind, Result};
use crate::fs::Dir;
use crate::fs::dir_cursor::DirCursor;
use crate::fs::mount::is_mount;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::object_map::ObjectMap;
use crate::model::relpath;
use crate::model::tree::builder::TreeBuilder;
use crate::model::tree::{FileNode, Mtime, Node, ObjectId, Tree, TreeId};
use crate::parts::writeback::Writeback;
use crate::plan::item::{Given, ItemSource, ScannedRoot, Spooled, What};
use crate::plan::scan::MOUNT_POINT;
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::threads::{self, into_inner, lock};
use crate::verbs::publish::ingest::context::{Claim, Done, EntrySource, Ingest, Ingested, Shared, Taken};
use crate::verbs::publish::ingest::linked::LinkedFolders;
use crate::verbs::publish::ingest::previous::entries_before;
use crate::verbs::publish::ingest::task::{Intake, SourceOwnership};

/// Files of one folder that one task takes: small enough to share out, large enough that opening
/// the folder does not count.
const BATCH: usize = 64;

/// The source that a thread was at last, and its folders there.
type Near<'p> = Option<(&'p ScannedRoot, DirCursor<'p>)>;

impl<'a> Ingest<'a> {
    pub(crate) fn run(&self) -> Result<Ingested> {
        let plan = self.plan;
        let start = self.store.fs.file_clock();
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
        self.store.options.progress.begin(Phase::Store, Some(plan.len() as u64));
        let batches: Vec<&[u32]> = self.folders.members().flat_map(|all| all.chunks(BATCH)).collect();
        type Batches = Result<Vec<Vec<Done>>>;
        let take_in = |ahead: &Writeback| {
            let take = |near: &mut Near<'a>, batch: &&[u32]| self.batch(&shared, ahead, near, batch);
            let done: Batches = batches.par_iter().map_init(|| None, take).collect();
            let (done, looking) = (done?, Ingest { base_id: None, ..*self });
            let again = self.believed_and_linked(&shared);
            let look = |batch: &Vec<u32>| looking.batch(&shared, ahead, &mut None, batch);
            let seen: Batches = again.par_iter().map(look).collect();
            Ok((done, again, seen?))
        };
        let (done, again, seen) = Writeback::during(self.store, take_in)?;
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
                how.resize(entry + same.len(), EntrySource::Object);
                files.nth(same.len() - 1);
                continue;
            }
            let (node, way) = match (&plan.what[entry], files.next()) {
                (What::File { .. }, Some(Done::New(mut file))) => {
                    if file.how == EntrySource::Twin
                        && let Some(claim) = claims.get(&file.node.object())
                    {
                        // By now it is known what the filesystem made of it.
                        file.node.mtime = claim.mtime;
                    }
                    linked.note(entry, file.source);
                    sources.add(file.source);
                    new_bytes += if file.how == EntrySource::Placed { file.node.size } else { 0 };
                    (Node::File(file.node), file.how)
                }
                (What::Symlink(target), _) => (Node::Symlink(target), EntrySource::Made),
                _ => (Node::EmptyDir, EntrySource::Made),
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
        ahead: &Writeback,
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
                ItemSource::Scanned(root) if root.ours => SourceOwnership::Move,
                ItemSource::Scanned(_) if self.consume => SourceOwnership::MoveAndRemove,
                ItemSource::Scanned(_) => SourceOwnership::Copy,
                ItemSource::Given(given) => match **given {
                    Given::Spooled(_) => SourceOwnership::Move,
                    Given::Root(_) if self.consume => SourceOwnership::MoveAndRemove,
                    _ => SourceOwnership::Copy,
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
                            *near = Some((root, DirCursor::new(&root.dir)));
                        }
                        let (_, trail) = near.as_mut().expect("it was set above");
                        task.disk((trail.dir(folder)?, name), None)
                    }
                },
            };
            match result {
                Ok((node, how)) => {
                    if how == EntrySource::Placed && self.stage.is_some() {
                        ahead.wrote(node.size);
                    }
                    let file = Taken { node, how, source: task.source };
                    let is_as_before = how == EntrySource::Object
                        && file.source.is_some_and(|source| {
                            self.before(&shared.old, entry as usize) == Some((node, source))
                        });
                    done.push(if is_as_before { Done::AsBefore } else { Done::New(Box::new(file)) });
                }
                Err(error) => match problem_of(&error) {
                    Some((kind, what)) => lock(&shared.problems).push(Problem::new(path, kind, what)),
                    None => return Err(error),
                },
            }
            self.store.options.progress.advance(1);
        }
        Ok(done)
    }
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
    fn given(&mut self, given: &Given, executable: bool) -> Result<(FileNode, EntrySource)> {
        let (path, executable) = match given {
            Given::Bytes(bytes) => return self.bytes(bytes, executable),
            Given::Reader(reader) => {
                let reader = lock(reader).take();
                let used_up = || Error::refused(RefusedKind::ReaderUsedUp, "a reader was read before");
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
        return Err(Error::BadSource { path: path.to_owned(), reason: BadSourceReason::NotAFile });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Ok((Dir::open(folder)?, std::os::unix::ffi::OsStrExt::as_bytes(name)))
}

/// Errors that concern one source alone, so that all of them can be named together.
fn problem_of(error: &Error) -> Option<(ProblemKind, String)> {
    match error {
        Error::Io { op: "open", source, .. }
            if [Some(Errno::ACCESS), Some(Errno::LOOP), Some(Errno::NXIO)]
                .contains(&Errno::from_io_error(source)) =>
        {
            Some((ProblemKind::Unfit, format!("cannot be read: {source}")))
        }
        Error::BadSource { reason, .. } => Some((ProblemKind::Unfit, reason.to_string())),
        error if is_mount(error) => Some((ProblemKind::MountPoint, MOUNT_POINT.to_owned())),
        _ => None,
    }
}

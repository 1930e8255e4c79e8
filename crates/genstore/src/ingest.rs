//! Ingest: reads every source once, in parallel, and writes what the store does not have.
//!
//! A new object is written straight to its path in the stage's tree; its name among the objects is
//! a second link, given after the flush. What the store has already is linked later, when it is
//! known that the tree is a new one at all: so publishing what is current writes nothing. Floor 3.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use rustix::io::Errno;

use crate::error::{Error, Problem, Result};
use crate::folders::Folders;
use crate::fs::copy::CHUNK;
use crate::fs::{Dir, Kind, Stat};
use crate::layout::{Home, StoreShared};
use crate::model::digest::Digest;
use crate::model::relpath;
use crate::model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree, TreeBuilder};
use crate::objects::{self, Objects};
use crate::plan::{Item, ItemSource, Plan, ScannedRoot, What};
use crate::progress::Phase;
use crate::stage::Stage;

/// A file that changes while it is read is read again so many times.
const ATTEMPTS: usize = 3;
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
    stage: OnceLock<Stage>,
    making: Mutex<()>,
}

impl<'a> LazyStage<'a> {
    pub(crate) fn new(home: &'a Home) -> LazyStage<'a> {
        LazyStage { home, stage: OnceLock::new(), making: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Result<&Stage> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let _one = lock(&self.making);
        if self.stage.get().is_none() {
            let stage = Stage::create(self.home)?;
            // Nobody else sets it while we hold the mutex.
            drop(self.stage.set(stage));
        }
        Ok(self.stage.get().expect("it was set above"))
    }

    pub(crate) fn into_stage(self) -> Option<Stage> {
        self.stage.into_inner()
    }
}

struct Shared {
    claims: Vec<Mutex<HashMap<ObjectId, Claim>>>,
    problems: Mutex<Vec<Problem>>,
    damaged: Mutex<Vec<ObjectId>>,
    consumed: Mutex<Vec<PathBuf>>,
    recorded: OnceLock<HashMap<ObjectId, Mtime>>,
    can_reflink: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Copy)]
struct Claim {
    entry: u32,
    mtime: Mtime,
}

/// Where the bytes of a file were found to be.
enum Place {
    Store(Mtime),
    Stage(Mtime),
    Nowhere,
}

thread_local! {
    /// One buffer per thread for all small files, and the chunks of large ones.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
            let mut task = File1 { ingest: self, shared, item, entry, target: &mut target };
            let result = match from {
                ItemSource::Bytes(bytes) => task.bytes(bytes, *executable),
                ItemSource::File(path) => match path.parent().zip(path.file_name()) {
                    Some((folder, name)) => {
                        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                        Dir::open(folder).and_then(|dir| {
                            let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
                            task.disk((&dir, name), Some(*executable))
                        })
                    }
                    None => Err(Error::BadSource { path: path.clone(), why: "it is not a file" }),
                },
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

/// One file on its way in.
struct File1<'a, 'b> {
    ingest: &'a Ingest<'a>,
    shared: &'a Shared,
    item: &'a Item,
    entry: u32,
    target: &'b mut Option<Dir>,
}

impl File1<'_, '_> {
    fn bytes(&mut self, bytes: &[u8], executable: bool) -> Result<(FileNode, How)> {
        self.whole(bytes, executable, self.ingest.home.now().into(), None)
    }

    /// Takes in a file of the disk. What was hashed is what is written; that it did not change
    /// meanwhile is seen by its size, mtime and ctime before and after.
    fn disk(&mut self, from: (&Dir, &[u8]), executable: Option<bool>) -> Result<(FileNode, How)> {
        let path = from.0.join(from.1);
        // Only what lies in a scanned directory is the caller's to give away.
        let scanned = executable.is_none();
        for _ in 0..ATTEMPTS {
            let file = match from.0.open_file(from.1) {
                // It was there when the directory was listed, so it is changing.
                Err(e) if e.is_not_found() && executable.is_none() => break,
                file => file?,
            };
            let before = Stat::of(&file, &path)?;
            if before.kind != Kind::File {
                return Err(Error::BadSource { path, why: "is no regular file any more" });
            }
            let executable = executable.unwrap_or(before.mode & 0o100 != 0);
            let unchanged = |file: &File| -> Result<bool> {
                let after = Stat::of(file, &path)?;
                Ok((after.size, after.mtime, after.ctime) == (before.size, before.mtime, before.ctime))
            };
            let origin = Origin { dir: from.0, name: from.1, stat: &before };
            let done = if before.size <= CHUNK as u64 {
                BUFFER.with_borrow_mut(|buffer| {
                    read_up_to(&file, &path, buffer, CHUNK + 1)?;
                    if buffer.len() as u64 != before.size || !unchanged(&file)? {
                        return Ok(None);
                    }
                    self.whole(buffer, executable, before.mtime, Some(&origin)).map(Some)
                })?
            } else {
                self.large(&file, &path, executable, &origin, &unchanged)?
            };
            if let Some(done) = done {
                if self.ingest.consume && scanned {
                    lock(&self.shared.consumed).push(path);
                }
                return Ok(done);
            }
        }
        Err(Error::SourceChanged { path })
    }

    /// Takes in bytes that are in memory.
    fn whole(
        &mut self,
        bytes: &[u8],
        executable: bool,
        mtime: Mtime,
        origin: Option<&Origin<'_>>,
    ) -> Result<(FileNode, How)> {
        let node = FileNode { digest: Digest::of(bytes), size: bytes.len() as u64, executable, mtime };
        if bytes.is_empty() {
            return Ok((self.empty(node), How::Made));
        }
        match self.find(&node)? {
            Place::Store(mtime) => Ok((FileNode { mtime, ..node }, How::Object)),
            Place::Stage(mtime) => Ok((FileNode { mtime, ..node }, How::Twin)),
            Place::Nowhere => {
                if self.may_move(origin) {
                    return self.move_in(node, origin.expect("checked just now"));
                }
                let Some(file) = self.create()? else {
                    return Ok((node, How::Placed));
                };
                let path = self.path();
                self.ingest.home.fs.write(&file, &path, bytes)?;
                self.seal(&file, &path, node)
            }
        }
    }

    /// Takes in a file that is read in chunks. `None` when it changed meanwhile.
    fn large(
        &mut self,
        file: &File,
        path: &Path,
        executable: bool,
        origin: &Origin<'_>,
        unchanged: &dyn Fn(&File) -> Result<bool>,
    ) -> Result<Option<(FileNode, How)>> {
        let size = origin.stat.size;
        let mtime = origin.stat.mtime;
        let known_size = match self.ingest.base.and_then(|base| base.find(&self.item.path)) {
            Some(Node::File(file)) => file.size == size,
            _ => false,
        };
        // Where the same path had the same size, the bytes are probably known: hash first, write
        // perhaps. Elsewhere they are written while they are hashed, and thrown away if known.
        if known_size || self.ingest.stage.is_none() || self.may_move(Some(origin)) {
            let (digest, read) = objects::hash(file, path)?;
            if read != size || !unchanged(file)? {
                return Ok(None);
            }
            let node = FileNode { digest, size, executable, mtime };
            match self.find(&node)? {
                Place::Store(mtime) => {
                    return Ok(Some((FileNode { mtime, ..node }, How::Object)));
                }
                Place::Stage(mtime) => {
                    return Ok(Some((FileNode { mtime, ..node }, How::Twin)));
                }
                Place::Nowhere if self.ingest.stage.is_none() => {
                    return Ok(Some((node, How::Placed)));
                }
                Place::Nowhere if self.may_move(Some(origin)) => {
                    return self.move_in(node, origin).map(Some);
                }
                // The claim is ours now; the second pass must find the same bytes.
                Place::Nowhere => {
                    rewind(file, path)?;
                    let copy = self.create()?.expect("there is a stage");
                    let again = self.copy_hashing(file, &copy)?;
                    if again != (digest, size) || !unchanged(file)? {
                        self.discard()?;
                        self.forget(&node);
                        return Ok(None);
                    }
                    return self.seal(&copy, &self.path(), node).map(Some);
                }
            }
        }
        let copy = self.create()?.expect("there is a stage");
        let (digest, read) = self.copy_hashing(file, &copy)?;
        if read != size || !unchanged(file)? {
            self.discard()?;
            return Ok(None);
        }
        self.place(&copy, FileNode { digest, size, executable, mtime }).map(Some)
    }

    /// Takes in a stream of unknown length.
    fn stream(&mut self, mut reader: Box<dyn Read + Send>, executable: bool) -> Result<(FileNode, How)> {
        let path = PathBuf::from(relpath::show(&self.item.path));
        let mtime = self.ingest.home.now().into();
        let fail = |e| Error::io("read the stream for", &path, e);
        let mut bytes = Vec::new();
        reader.by_ref().take(CHUNK as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() <= CHUNK {
            return self.whole(&bytes, executable, mtime, None);
        }
        let copy = self.create()?;
        let mut hasher = blake3::Hasher::new();
        while !bytes.is_empty() {
            hasher.update(&bytes);
            if let Some(copy) = &copy {
                self.ingest.home.fs.write(copy, &self.path(), &bytes)?;
            }
            bytes.clear();
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut bytes).map_err(fail)?;
        }
        let node = FileNode { digest: hasher.finalize().into(), size: hasher.count(), executable, mtime };
        match copy {
            Some(copy) => self.place(&copy, node),
            None => Ok(match self.find(&node)? {
                Place::Store(mtime) => (FileNode { mtime, ..node }, How::Object),
                Place::Stage(mtime) => (FileNode { mtime, ..node }, How::Twin),
                Place::Nowhere => (node, How::Placed),
            }),
        }
    }

    /// Keeps what was written at this entry's path if it is new, else removes it.
    fn place(&mut self, copy: &File, node: FileNode) -> Result<(FileNode, How)> {
        match self.find(&node)? {
            Place::Nowhere => self.seal(copy, &self.path(), node),
            Place::Store(mtime) => self.discard().map(|()| (FileNode { mtime, ..node }, How::Object)),
            Place::Stage(mtime) => self.discard().map(|()| (FileNode { mtime, ..node }, How::Twin)),
        }
    }

    /// Copies a large file and hashes what the copy holds.
    fn copy_hashing(&self, file: &File, copy: &File) -> Result<(Digest, u64)> {
        use std::sync::atomic::Ordering::Relaxed;
        let path = self.path();
        let fs = &self.ingest.home.fs;
        // The first failure chooses the way for the rest of this ingest.
        if self.shared.can_reflink.load(Relaxed) {
            if fs.reflink(file, copy, &path)? {
                return objects::hash(copy, &path);
            }
            self.shared.can_reflink.store(false, Relaxed);
        }
        BUFFER.with_borrow_mut(|chunk| {
            chunk.resize(CHUNK, 0);
            let mut hasher = blake3::Hasher::new();
            let mut from = file;
            loop {
                match from.read(chunk).map_err(|e| Error::io("read", &path, e))? {
                    0 => return Ok((hasher.finalize().into(), hasher.count())),
                    n => {
                        hasher.update(&chunk[..n]);
                        fs.write(copy, &path, &chunk[..n])?;
                    }
                }
            }
        })
    }

    /// Finds out whether the store or this stage has the bytes; if not, this entry has the claim.
    fn find(&self, node: &FileNode) -> Result<Place> {
        let id = node.object();
        let objects = self.ingest.objects;
        if let Some(stat) = objects.stat(id)? {
            let as_recorded = stat.kind == Kind::File
                && stat.size == node.size
                && self.recorded(id) == Some(stat.mtime)
                && !self.ingest.suspects.contains(&id);
            // Root can write through a read-only file, and every path leads to the same inode.
            if as_recorded || objects.is_intact(id)? {
                return Ok(Place::Store(stat.mtime));
            }
        }
        let mut claims = lock(&self.shared.claims[usize::from(id.digest.0[0]) % self.shared.claims.len()]);
        if let Some(claim) = claims.get(&id) {
            return Ok(Place::Stage(claim.mtime));
        }
        // The right bytes of a damaged object keep the mtime that the manifests know.
        let mtime = self.recorded(id).unwrap_or(node.mtime);
        claims.insert(id, Claim { entry: self.entry, mtime });
        drop(claims);
        // Its bytes are wrong, or it is missing although a generation needs it.
        let known = self.recorded(id).is_some() || self.ingest.suspects.contains(&id);
        if known || objects.stat(id)?.is_some() {
            lock(&self.shared.damaged).push(id);
        }
        Ok(Place::Nowhere)
    }

    fn forget(&self, node: &FileNode) {
        let id = node.object();
        lock(&self.shared.claims[usize::from(id.digest.0[0]) % self.shared.claims.len()]).remove(&id);
    }

    /// Gives the mtime that the current generation's manifest records for an object.
    fn recorded(&self, id: ObjectId) -> Option<Mtime> {
        let base = self.ingest.base?;
        if let Some(Node::File(file)) = base.find(&self.item.path)
            && file.object() == id
        {
            return Some(file.mtime);
        }
        let all = self
            .shared
            .recorded
            .get_or_init(|| base.iter_files().map(|(_, file)| (file.object(), file.mtime)).collect());
        all.get(&id).copied()
    }

    /// An empty file at a path that had an empty file keeps its mtime; there is no object to do it.
    fn empty(&self, node: FileNode) -> FileNode {
        match self.ingest.base.and_then(|base| base.find(&self.item.path)) {
            Some(Node::File(old)) if old.object() == node.object() => old,
            _ => node,
        }
    }

    fn path(&self) -> PathBuf {
        let (_, name) = relpath::split(&self.item.path);
        self.target.as_ref().map_or_else(PathBuf::new, |dir| dir.join(name))
    }

    /// Opens the folder of this entry in the stage's tree.
    fn folder(&mut self) -> Result<Option<&Dir>> {
        let Some(stage) = self.ingest.stage else {
            return Ok(None);
        };
        if self.target.is_none() {
            let tree = stage.get()?.tree();
            *self.target = Some(self.ingest.folders.make(self.ingest.home, tree, self.entry)?);
        }
        Ok(self.target.as_ref())
    }

    /// Makes the file at this entry's path in the stage's tree.
    fn create(&mut self) -> Result<Option<File>> {
        let home = self.ingest.home;
        let name = relpath::split(&self.item.path).1;
        let Some(dir) = self.folder()? else {
            return Ok(None);
        };
        home.fs.create(dir, name).map(Some)
    }

    fn discard(&self) -> Result<()> {
        let dir = self.target.as_ref().expect("a file was made there");
        self.ingest.home.fs.unlink(dir, relpath::split(&self.item.path).1).map(drop)
    }

    /// Gives a new object its mode and mtime.
    fn seal(&self, file: &File, path: &Path, node: FileNode) -> Result<(FileNode, How)> {
        let fs = &self.ingest.home.fs;
        let id = node.object();
        let shard = &self.shared.claims[usize::from(id.digest.0[0]) % self.shared.claims.len()];
        let mtime = lock(shard).get(&id).map_or(node.mtime, |claim| claim.mtime);
        fs.set_mode(file, path, objects::mode(node.executable))?;
        fs.set_mtime(file, path, mtime)?;
        Ok((FileNode { mtime, ..node }, How::Placed))
    }

    /// Whether a source may be moved in: asked for, ours, and no other name leads to it.
    fn may_move(&self, origin: Option<&Origin<'_>>) -> bool {
        self.ingest.consume
            && self.ingest.stage.is_some()
            && origin.is_some_and(|origin| {
                origin.stat.links == 1
                    && origin.stat.uid == rustix::process::geteuid().as_raw()
                    && self.ingest.home.dir.stat_self().is_ok_and(|store| store.dev == origin.stat.dev)
            })
    }

    /// Moves a source in: a link now, and its old name removed once it is committed.
    fn move_in(&mut self, node: FileNode, origin: &Origin<'_>) -> Result<(FileNode, How)> {
        let home = self.ingest.home;
        let name = relpath::split(&self.item.path).1;
        let dir = self.folder()?.expect("there is a stage");
        home.fs.link((origin.dir, origin.name), (dir, name))?;
        let file = dir.open_file(name)?;
        let path = dir.join(name);
        if !Stat::of(&file, &path)?.same_inode(origin.stat) {
            return Err(Error::SourceChanged { path: origin.dir.join(origin.name) });
        }
        self.seal(&file, &path, node)
    }
}

/// A source on disk.
struct Origin<'a> {
    dir: &'a Dir,
    name: &'a [u8],
    stat: &'a Stat,
}

fn read_up_to(file: &File, path: &Path, buffer: &mut Vec<u8>, limit: usize) -> Result<()> {
    buffer.clear();
    file.take(limit as u64).read_to_end(buffer).map_err(|e| Error::io("read", path, e))?;
    Ok(())
}

fn rewind(mut file: &File, path: &Path) -> Result<()> {
    std::io::Seek::rewind(&mut file).map_err(|e| Error::io("read", path, e))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

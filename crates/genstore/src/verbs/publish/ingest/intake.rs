//! Intake: takes one file into the store.
//!
//! The bytes are hashed as they are read, and the hashed bytes are the ones that are written. Small
//! files are read whole before anything is decided, large ones in chunks.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{BadSourceReason, Error, RefusedKind, Result};
use crate::fs::copy::CHUNK;
use crate::fs::sparse::Sparse;
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::tree::{FileNode, Mtime};
use crate::model::{object_name, relpath};
use crate::parts::objects;
use crate::plan::item::{Given, ScannedRoot, Spooled};
use crate::threads::lock;
use crate::verbs::publish::ingest::claims::Claim;
use crate::verbs::publish::ingest::consumed::Consumed;
use crate::verbs::publish::ingest::context::EntrySource;
use crate::verbs::publish::ingest::lossy::{Losses, Lossy};
use crate::verbs::publish::ingest::reuse::{Before, InStore, source_stat};
use crate::verbs::publish::ingest::task::{Intake, SourceOwnership};

/// The number of attempts to read a file that changes while it is read.
const ATTEMPTS: usize = 3;
thread_local! {
    /// One buffer per thread for all small files, and for the chunks of large ones.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Intake<'_, '_> {
    /// Takes in a single source.
    pub(crate) fn given(&mut self, given: &Given, executable: bool) -> Result<(FileNode, EntrySource)> {
        let (path, executable) = match given {
            Given::Bytes(bytes) => return self.bytes(bytes, executable),
            Given::Stored(node) => return self.stored(*node),
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

    fn bytes(&mut self, bytes: &[u8], executable: bool) -> Result<(FileNode, EntrySource)> {
        self.whole(bytes, executable, self.ingest.store.now().into(), None)
    }

    /// Takes in a file whose bytes the store has.
    fn stored(&mut self, node: FileNode) -> Result<(FileNode, EntrySource)> {
        if node.size == 0 && node.digest == Digest::of(b"") {
            return self.empty(node);
        }
        if let InStore::Intact(mtime) = self.reuse.in_store(self.before.as_ref(), &node)? {
            return Ok((FileNode { mtime, ..node }, EntrySource::Object));
        }
        let path = relpath::show(self.path_in_plan);
        Err(Error::refused(
            RefusedKind::ObjectMissing,
            format!("the store has no intact object for {path}"),
        ))
    }

    /// Takes in a file on disk. The hashed bytes are the ones that are written. A change meanwhile is
    /// detected by its size, mtime and ctime before and after.
    pub(crate) fn disk(
        &mut self,
        from: (&Dir, &[u8]),
        executable: Option<bool>,
    ) -> Result<(FileNode, EntrySource)> {
        if let Some(before) = self.before.filter(|_| !self.ingest.rehash)
            && let Some(stat) = from.0.stat(from.1)?
            && self.reuse.is_unchanged(&before, &stat, executable.unwrap_or(stat.mode & 0o100 != 0))?
            && let Some(reused) = self.reuse.as_before(&before)?
        {
            // Files that would be refused must be opened to be found.
            let file = match self.ingest.lossy {
                Lossy::Refuse => Some(from.0.open_file(from.1)?),
                _ => None,
            };
            self.note_losses(&stat, file.as_ref());
            self.remember(from, &stat);
            return Ok(reused);
        }
        let path = from.0.join(from.1);
        // A file of the spool has the mode that we gave it.
        let is_spooled = self.give == SourceOwnership::Move && executable.is_some();
        for _ in 0..ATTEMPTS {
            let file = match from.0.open_file(from.1) {
                // It existed when the directory was listed, so it is changing.
                Err(e) if e.is_not_found() && executable.is_none() => break,
                file => file?,
            };
            let before = Stat::of(&file, &path)?;
            if before.kind != Kind::File {
                return Err(Error::BadSource { path, reason: BadSourceReason::NoLongerAFile });
            }
            let executable = executable.unwrap_or(before.mode & 0o100 != 0);
            let unchanged = |file: &File| -> Result<bool> {
                let after = Stat::of(file, &path)?;
                Ok((after.size, after.mtime, after.ctime) == (before.size, before.mtime, before.ctime))
            };
            let origin = Origin { dir: from.0, name: from.1, stat: &before };
            let done = if before.size <= CHUNK as u64 {
                BUFFER.with_borrow_mut(|buffer| {
                    let bytes = read_up_to(&file, &path, buffer, before.size as usize)?;
                    if bytes.len() as u64 != before.size || !unchanged(&file)? {
                        return Ok(None);
                    }
                    self.whole(bytes, executable, before.mtime, Some(&origin)).map(Some)
                })?
            } else {
                self.large(&file, &path, executable, &origin, &unchanged)?
            };
            if let Some(done) = done {
                if !is_spooled {
                    self.note_losses(&before, Some(&file));
                }
                self.remember(from, &before);
                return Ok(done);
            }
        }
        Err(Error::SourceChanged { path })
    }

    /// Takes in a file without reading its metadata, if the caller reported that it is unchanged since
    /// the index of the current generation was made.
    pub(crate) fn unseen(&mut self, root: &ScannedRoot) -> Result<Option<(FileNode, EntrySource)>> {
        let may_believe = !self.ingest.rehash && self.ingest.lossy != Lossy::Refuse;
        if !may_believe || !self.ingest.believes(root) {
            return Ok(None);
        }
        let (SourceOwnership::Copy, Some(before), Some(index)) =
            (self.give, self.before, self.ingest.index)
        else {
            return Ok(None);
        };
        let dev = *self.shared.dev.get_or_init(|| Some(index.dev));
        if before.source.is_none() || dev != Some(index.dev) {
            return Ok(None);
        }
        let done = self.reuse.as_before(&before)?;
        self.source = before.source.filter(|_| done.is_some());
        Ok(done)
    }

    /// Returns the entry of a file if the store or this stage has its bytes. If not, this entry must
    /// write them.
    fn find(&self, node: &FileNode) -> Result<Option<(FileNode, EntrySource)>> {
        let (id, before) = (node.object(), self.before.as_ref());
        let found = self.reuse.in_store(before, node)?;
        if let InStore::Intact(mtime) = found {
            return Ok(Some((FileNode { mtime, ..*node }, EntrySource::Object)));
        }
        // The right bytes of a damaged object keep the mtime that the manifests record.
        let mtime = self.reuse.recorded(before, id).unwrap_or(node.mtime);
        if let Some(Claim { mtime, .. }) = self.shared.claims.claim(id, Claim { entry: self.entry, mtime })
        {
            return Ok(Some((FileNode { mtime, ..*node }, EntrySource::Twin)));
        }
        // Its bytes are wrong, or it is missing although a generation needs it.
        if matches!(found, InStore::Damaged) || self.reuse.is_expected(before, id) {
            lock(&self.shared.damaged).push(id);
        }
        Ok(None)
    }

    /// Records the attributes of a source that are not kept.
    fn note_losses(&self, stat: &Stat, file: Option<&File>) {
        if self.ingest.lossy == Lossy::Allow {
            return;
        }
        let losses = Losses::of(stat, file, self.ingest.is_private);
        if !losses.is_empty() {
            lock(&self.shared.losses).add(losses, self.path_in_plan);
        }
    }

    /// Records the source of the bytes.
    fn remember(&mut self, from: (&Dir, &[u8]), stat: &Stat) {
        match self.give {
            SourceOwnership::Copy => {
                // An index covers only one filesystem: that of the first source.
                let dev = self.shared.dev.get_or_init(|| from.0.is_local().then_some(stat.dev));
                self.source = (*dev == Some(stat.dev)).then(|| source_stat(stat));
                if stat.links > 1 && self.ingest.plan.remembered {
                    lock(&self.shared.linked).insert(stat.ino);
                }
            }
            SourceOwnership::Move => {}
            SourceOwnership::MoveAndRemove => {
                let (root, path) = match self.root {
                    Some(root) => (Some(root.dir.clone()), root.below(self.path_in_plan).to_vec()),
                    None => (None, from.0.join(from.1).into_os_string().into_vec()),
                };
                let inode = (stat.dev, stat.ino);
                lock(&self.shared.consumed).push(Consumed { root, path, inode });
            }
        }
    }

    /// Takes in bytes in memory.
    fn whole(
        &mut self,
        bytes: &[u8],
        executable: bool,
        mtime: Mtime,
        origin: Option<&Origin<'_>>,
    ) -> Result<(FileNode, EntrySource)> {
        let node = FileNode { digest: Digest::of(bytes), size: bytes.len() as u64, executable, mtime };
        if bytes.is_empty() {
            return self.empty(node);
        }
        if let Some(reused) = self.find(&node)? {
            return Ok(reused);
        }
        if let Some(origin) = origin.filter(|origin| self.may_move(origin)) {
            return self.move_in(node, origin);
        }
        let Some(file) = self.create(executable)? else {
            return Ok((node, EntrySource::Placed));
        };
        let path = self.path();
        self.ingest.store.fs.write_sparsely(&file, &path, bytes)?;
        self.seal(&file, &path, node)
    }

    /// Takes in a file that is read in chunks. Returns `None` if it changed meanwhile.
    fn large(
        &mut self,
        file: &File,
        path: &Path,
        executable: bool,
        origin: &Origin<'_>,
        unchanged: &dyn Fn(&File) -> Result<bool>,
    ) -> Result<Option<(FileNode, EntrySource)>> {
        let size = origin.stat.size;
        let mtime = origin.stat.mtime;
        // If the same path had the same size, the bytes are probably known: they are hashed first, and
        // written only if new. Otherwise they are written while they are hashed, and removed if known.
        let has_known_size = self.before.is_some_and(|before| before.node.size == size);
        let may_move = self.may_move(origin);
        let copy = if has_known_size || may_move { None } else { self.create(executable)? };
        if let Some(copy) = copy {
            let (digest, read) = self.copy_hashing(file, &copy)?;
            if read != size || !unchanged(file)? {
                self.discard()?;
                return Ok(None);
            }
            return self.place(&copy, FileNode { digest, size, executable, mtime }).map(Some);
        }
        let (digest, read) = objects::hash(file, path)?;
        if read != size || !unchanged(file)? {
            return Ok(None);
        }
        let node = FileNode { digest, size, executable, mtime };
        if let Some(reused) = self.find(&node)? {
            return Ok(Some(reused));
        }
        if may_move {
            return self.move_in(node, origin).map(Some);
        }
        let Some(copy) = self.create(executable)? else {
            return Ok(Some((node, EntrySource::Placed)));
        };
        // This entry has the claim now. The second pass must find the same bytes.
        rewind(file, path)?;
        let again = self.copy_hashing(file, &copy)?;
        if again != (digest, size) || !unchanged(file)? {
            self.discard()?;
            self.shared.claims.release(node.object());
            return Ok(None);
        }
        self.seal(&copy, &self.path(), node).map(Some)
    }

    /// Takes in a stream of unknown length.
    fn stream(
        &mut self,
        mut reader: Box<dyn Read + Send>,
        executable: bool,
    ) -> Result<(FileNode, EntrySource)> {
        let path = PathBuf::from(relpath::show(self.path_in_plan));
        let mtime = self.ingest.store.now().into();
        let fail = |e| Error::io("read the stream for", &path, e);
        let mut bytes = Vec::new();
        reader.by_ref().take(CHUNK as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() <= CHUNK {
            return self.whole(&bytes, executable, mtime, None);
        }
        let copy = self.create(executable)?;
        let target = self.path();
        let mut sparse = copy.as_ref().map(|copy| Sparse::new(&self.ingest.store.fs, copy, &target));
        let mut hasher = blake3::Hasher::new();
        while !bytes.is_empty() {
            hasher.update(&bytes);
            if let Some(copy) = &mut sparse {
                copy.write(&bytes)?;
            }
            bytes.clear();
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut bytes).map_err(fail)?;
        }
        sparse.map_or(Ok(()), Sparse::finish)?;
        let node = FileNode { digest: hasher.finalize().into(), size: hasher.count(), executable, mtime };
        match copy {
            Some(copy) => self.place(&copy, node),
            None => Ok(self.find(&node)?.unwrap_or((node, EntrySource::Placed))),
        }
    }

    /// Keeps the file written at this entry's path if it is new, otherwise removes it.
    fn place(&mut self, copy: &File, node: FileNode) -> Result<(FileNode, EntrySource)> {
        match self.find(&node)? {
            Some(reused) => self.discard().map(|()| reused),
            None => self.seal(copy, &self.path(), node),
        }
    }

    /// Copies a large file and hashes the bytes of the copy.
    fn copy_hashing(&self, file: &File, copy: &File) -> Result<(Digest, u64)> {
        use std::sync::atomic::Ordering::Relaxed;
        let path = self.path();
        let fs = &self.ingest.store.fs;
        // The first failure decides the method for the rest of this ingest.
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
            let mut copy = Sparse::new(fs, copy, &path);
            loop {
                match from.read(chunk).map_err(|e| Error::io("read", &path, e))? {
                    0 => break,
                    n => {
                        hasher.update(&chunk[..n]);
                        copy.write(&chunk[..n])?;
                    }
                }
            }
            copy.finish()?;
            Ok((hasher.finalize().into(), hasher.count()))
        })
    }

    /// An empty file keeps the mtime of an empty file that was at the same path before, as there is no
    /// object that records it. Any other is created here, because its stored mtime is known only after
    /// that.
    fn empty(&mut self, node: FileNode) -> Result<(FileNode, EntrySource)> {
        if let Some(Before { node: old, .. }) = self.before
            && old.object() == node.object()
        {
            return Ok((old, EntrySource::Made));
        }
        match self.create(node.executable)? {
            Some(file) => self.seal(&file, &self.path(), node),
            None => Ok((node, EntrySource::Placed)),
        }
    }

    fn path(&self) -> PathBuf {
        let (_, name) = relpath::split(self.path_in_plan);
        self.target.as_ref().map_or_else(PathBuf::new, |dir| dir.join(name))
    }

    /// Opens the folder of this entry in the stage's tree.
    fn folder(&mut self) -> Result<Option<&Dir>> {
        let Some(stage) = self.ingest.stage else {
            return Ok(None);
        };
        if self.target.is_none() {
            let tree = stage.get()?.tree();
            *self.target = Some(self.ingest.folders.make(&self.ingest.store.fs, tree, self.entry)?);
        }
        Ok(self.target.as_ref())
    }

    /// Creates the file at this entry's path in the stage's tree.
    fn create(&mut self, executable: bool) -> Result<Option<File>> {
        let store = self.ingest.store;
        let name = relpath::split(self.path_in_plan).1;
        let Some(dir) = self.folder()? else {
            return Ok(None);
        };
        store.fs.create_with(dir, name, object_name::mode(executable)).map(Some)
    }

    /// Removes the file that was created at this entry's path.
    fn discard(&self) -> Result<()> {
        let name = relpath::split(self.path_in_plan).1;
        self.target.as_ref().map_or(Ok(()), |dir| self.ingest.store.fs.unlink(dir, name).map(drop))
    }

    /// Sets a new file's mode and mtime, and records the mtime that the filesystem stored.
    fn seal(&self, file: &File, path: &Path, node: FileNode) -> Result<(FileNode, EntrySource)> {
        let fs = &self.ingest.store.fs;
        let id = node.object();
        let mtime = self.shared.claims.mtime(id).unwrap_or(node.mtime);
        let kept = fs.set_mode_and_mtime(file, path, object_name::mode(node.executable), mtime)?;
        if kept != mtime {
            self.shared.claims.set_mtime(id, kept);
        }
        Ok((FileNode { mtime: kept, ..node }, EntrySource::Placed))
    }

    /// Returns whether a source may be moved in: the caller gave it away, we own it, and it has no
    /// other name.
    fn may_move(&self, origin: &Origin<'_>) -> bool {
        self.give != SourceOwnership::Copy
            && self.ingest.stage.is_some()
            && origin.stat.links == 1
            && origin.stat.uid == rustix::process::geteuid().as_raw()
            && self.ingest.store.dir.stat_self().is_ok_and(|store| store.dev == origin.stat.dev)
    }

    /// Moves a source in: it is linked now, and its old name is removed once it is committed.
    fn move_in(&mut self, node: FileNode, origin: &Origin<'_>) -> Result<(FileNode, EntrySource)> {
        let store = self.ingest.store;
        let name = relpath::split(self.path_in_plan).1;
        let Some(dir) = self.folder()? else {
            return Ok((node, EntrySource::Placed));
        };
        store.fs.link((origin.dir, origin.name), (dir, name))?;
        let file = dir.open_file(name)?;
        let path = dir.join(name);
        if !Stat::of(&file, &path)?.same_inode(origin.stat) {
            return Err(Error::SourceChanged { path: origin.dir.join(origin.name) });
        }
        store.fs.give_file(&file, &path)?;
        self.seal(&file, &path, node)
    }
}

/// A source on disk.
struct Origin<'a> {
    dir: &'a Dir,
    name: &'a [u8],
    stat: &'a Stat,
}

/// Opens the folder of a file at a path of the system. Returns it with the file's name.
fn parent_of(path: &Path) -> Result<(Dir, &[u8])> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(Error::BadSource { path: path.to_owned(), reason: BadSourceReason::NotAFile });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Ok((Dir::open(folder)?, std::os::unix::ffi::OsStrExt::as_bytes(name)))
}

/// Reads a file of this size. Returns fewer bytes if it is shorter. A file that is longer changed after
/// its metadata was read, which a second look at the metadata shows; but a file without a size, of a
/// special filesystem, may have bytes.
fn read_up_to<'b>(mut file: &File, path: &Path, buffer: &'b mut Vec<u8>, size: usize) -> Result<&'b [u8]> {
    let wanted = size.max(1);
    if buffer.len() < wanted {
        buffer.resize(wanted, 0);
    }
    let mut done = 0;
    while done < wanted {
        match file.read(&mut buffer[done..wanted]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, e)),
        }
    }
    Ok(&buffer[..done])
}

fn rewind(mut file: &File, path: &Path) -> Result<()> {
    std::io::Seek::rewind(&mut file).map_err(|e| Error::io("read", path, e))
}

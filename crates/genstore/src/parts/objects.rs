//! Objects: immutable inodes, named by their bytes and their executable bit.
//!
//! Owns `objects/`, `quarantine/` and `rotations`. An object is never opened for writing after it has
//! its name. A name passes to another inode in only two cases, and only this module decides them: its
//! inode has no links left (rotation), or its bytes are wrong (healing). An object that exists under
//! its name is durable. Empty files have no object: each is created anew where it is needed.

use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8};

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fs::copy::CHUNK;
use crate::fs::errno::is_errno;
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::object_name::{mode, name, parse_name};
use crate::model::tree::{FileNode, Mtime, ObjectId};
use crate::parts::layout::{OBJECTS, QUARANTINE, ROTATIONS, StoreDir};
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::stage_dir::StageDir;
use crate::threads::prelude::*;

/// The objects of one store.
pub(crate) struct Objects<'h> {
    store: &'h StoreDir,
    dir: Dir,
    /// One rotation at a time: the second caller finds a fresh inode.
    rotation: Mutex<()>,
    /// Whether some path of the tree being made has another inode than its object. It is recorded
    /// nowhere else.
    apart: AtomicBool,
    /// For each first byte of a digest whether its folder is there, once that was looked at.
    folders: [AtomicU8; 256],
}

/// The values of [`Objects::folders`].
const UNSEEN: u8 = 0;
const PRESENT: u8 = 1;
const ABSENT: u8 = 2;

/// Hashes the rest of a file.
pub(crate) fn hash(mut file: &File, path: &std::path::Path) -> Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).map_err(|e| Error::io("read", path, e))? {
            0 => return Ok((hasher.finalize().into(), hasher.count())),
            n => hasher.update(&chunk[..n]),
        };
    }
}

impl<'h> Objects<'h> {
    pub(crate) fn new(store: &'h StoreDir) -> Result<Objects<'h>> {
        Ok(Objects {
            store,
            dir: store.sub(OBJECTS)?,
            rotation: Mutex::new(()),
            apart: AtomicBool::new(false),
            folders: [const { AtomicU8::new(UNSEEN) }; 256],
        })
    }

    /// Opens the objects of a store. Returns `None` if `objects/` is missing or replaced.
    pub(crate) fn find(store: &'h StoreDir) -> Result<Option<Objects<'h>>> {
        match Objects::new(store) {
            Err(e) if e.is_not_found() => Ok(None),
            Err(Error::Damaged { .. }) => Ok(None),
            objects => objects.map(Some),
        }
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Records that a path of the tree being made has another inode than its object.
    pub(crate) fn set_apart(&self) {
        self.apart.store(true, Relaxed);
    }

    /// Returns whether that was recorded of any path.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart.load(Relaxed)
    }

    /// Looks an object up. Where its folder was missing at an earlier look, that is not repeated: a first
    /// publish asks for each of its files. If another process has created the object since then, the link
    /// that gives the name finds it.
    pub(crate) fn stat(&self, id: ObjectId) -> Result<Option<Stat>> {
        let folder = &self.folders[usize::from(id.digest.as_bytes()[0])];
        if folder.load(Relaxed) == ABSENT {
            return Ok(None);
        }
        let name = name(id);
        let stat = self.dir.stat(&name)?;
        if stat.is_none() && folder.load(Relaxed) == UNSEEN {
            let seen = if self.dir.stat(&name[..2])?.is_some() { PRESENT } else { ABSENT };
            // Not over the value of an `insert` that came between.
            let _ = folder.compare_exchange(UNSEEN, seen, Relaxed, Relaxed);
        }
        Ok(stat)
    }

    pub(crate) fn open(&self, id: ObjectId) -> Result<File> {
        self.dir.open_file(&name(id))
    }

    /// Returns whether the object's bytes are right. Returns `Ok(false)` also if it is missing, if its
    /// owner may not read it, and if its name leads to the inode of its twin, which has another mode.
    pub(crate) fn is_intact(&self, id: ObjectId) -> Result<bool> {
        Ok(self.intact(id)?.is_some())
    }

    /// Returns the stat of the object if [`Objects::is_intact`].
    pub(crate) fn intact(&self, id: ObjectId) -> Result<Option<Stat>> {
        let path = self.dir.join(&name(id));
        let file = match self.open(id) {
            Err(e) if e.is_not_found() => return Ok(None),
            // ENXIO: a socket.
            Err(e) if [Errno::LOOP, Errno::ACCESS, Errno::NXIO].iter().any(|no| is_errno(&e, *no)) => {
                return Ok(None);
            }
            file => file?,
        };
        let stat = Stat::of(&file, &path)?;
        if stat.kind != Kind::File || hash(&file, &path)?.0 != id.digest {
            return Ok(None);
        }
        if stat.mode == mode(id.executable) {
            return Ok(Some(stat));
        }
        let twin = self.stat(ObjectId { executable: !id.executable, ..id })?;
        Ok((!twin.is_some_and(|twin| twin.same_inode(&stat))).then_some(stat))
    }

    /// Restores the recorded mode and mtime of an object whose bytes are right, as far as they are
    /// given. Returns `Ok(false)` if neither is given, or if only the owner may do it.
    ///
    /// # Durability
    /// Not durable on return. After a power loss the next check finds the same again.
    pub(crate) fn restore(
        &self,
        id: ObjectId,
        executable: Option<bool>,
        mtime: Option<Mtime>,
    ) -> Result<bool> {
        if executable.is_none() && mtime.is_none() {
            return Ok(false);
        }
        let (file, path) = (self.open(id)?, self.dir.join(&name(id)));
        let fs = &self.store.fs;
        let restore = || -> Result<()> {
            executable.map_or(Ok(()), |executable| fs.set_mode(&file, &path, mode(executable)))?;
            mtime.map_or(Ok(()), |mtime| fs.set_mtime(&file, &path, mtime).map(drop))
        };
        match restore() {
            Err(e) if is_errno(&e, Errno::PERM) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Links an object into a generation's tree.
    ///
    /// On EMLINK (65,000 links on ext4) the object's inode is rotated first. On EPERM (objects of
    /// another user under `fs.protected_hardlinks`) the tree gets a private copy.
    pub(crate) fn link_into(&self, lock: &StoreShared, id: ObjectId, to: (&Dir, &[u8])) -> Result<()> {
        let object = name(id);
        let fs = &self.store.fs;
        match fs.link((&self.dir, &object), to) {
            Err(e) if is_errno(&e, Errno::MLINK) => {
                let _one = self.rotation.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match fs.link((&self.dir, &object), to) {
                    Err(e) if is_errno(&e, Errno::MLINK) => self.rotate(lock, id)?,
                    done => return done,
                }
                fs.link((&self.dir, &object), to)
            }
            Err(e) if is_errno(&e, Errno::PERM) => {
                self.set_apart();
                copy_file(self.store, (&self.dir, &object), to).map(drop)
            }
            done => done,
        }
    }

    /// Moves the object's name to a copy of it, which has links to spare.
    fn rotate(&self, _: &StoreShared, id: ObjectId) -> Result<()> {
        let object = name(id);
        let stage = StageDir::create(self.store)?;
        let copy = copy_file(self.store, (&self.dir, &object), (stage.dir(), b"copy"))?;
        self.store.fs.sync_file(&copy, &stage.dir().join(b"copy"))?;
        // A process that reads the counter between the two may link the old inode afterwards, so both
        // are needed.
        count_rotation(self.store)?;
        self.store.fs.rename((stage.dir(), b"copy"), (&self.dir, &object))?;
        count_rotation(self.store)?;
        stage.remove(self.store)
    }

    /// Creates the name of an object for a durable inode of a stage. Returns `Ok(false)` if the object
    /// exists already: it stays.
    pub(crate) fn insert(&self, lock: &StoreShared, from: (&Dir, &[u8]), id: ObjectId) -> Result<bool> {
        let object = name(id);
        let fs = &self.store.fs;
        self.folders[usize::from(id.digest.as_bytes()[0])].store(PRESENT, Relaxed);
        let mut result = fs.link(from, (&self.dir, &object));
        // EACCES: root was killed after it created the folder, and before it changed its owner.
        let is_left =
            |e: &Error| is_errno(e, Errno::ACCESS) && fs.remove_dir(&self.dir, &object[..2]).is_ok();
        if matches!(&result, Err(e) if e.is_not_found() || is_left(e)) {
            fs.make_dir(&self.dir, &object[..2])?;
            result = fs.link(from, (&self.dir, &object));
        }
        match result {
            Ok(()) => Ok(true),
            Err(e) if is_errno(&e, Errno::EXIST) => {
                self.set_apart();
                Ok(false)
            }
            // The stage used up all links of the inode. A copy gets the name.
            Err(e) if is_errno(&e, Errno::MLINK) => {
                self.set_apart();
                self.insert_copy(lock, from, &object)
            }
            Err(e) => Err(e),
        }
    }

    fn insert_copy(&self, _: &StoreShared, from: (&Dir, &[u8]), object: &[u8]) -> Result<bool> {
        let stage = StageDir::create(self.store)?;
        let copy = copy_file(self.store, from, (stage.dir(), b"copy"))?;
        self.store.fs.sync_file(&copy, &stage.dir().join(b"copy"))?;
        let linked = match self.store.fs.link((stage.dir(), b"copy"), (&self.dir, object)) {
            Err(e) if is_errno(&e, Errno::EXIST) => false,
            done => done.map(|()| true)?,
        };
        stage.remove(self.store)?;
        Ok(linked)
    }

    /// Moves a damaged object to quarantine, where its bytes can be inspected.
    pub(crate) fn quarantine(&self, _: &CommitLock, id: ObjectId) -> Result<()> {
        let quarantine = self.store.sub(QUARANTINE)?;
        let fs = &self.store.fs;
        let object = name(id);
        let prefix = format!("{}{}-", id.digest, if id.executable { ".x" } else { "" });
        let moved = fs.unique(&quarantine, &prefix, "", |free| {
            fs.rename_to_free((&self.dir, &object), (&quarantine, free))
        });
        match moved {
            Ok(_) => {
                fs.sync_dir(&quarantine)?;
                fs.sync_dir(&self.dir.open_dir(&object[..2])?)
            }
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Lists the names of all objects, in the order of their ids. A name that is not an object's is
    /// `Err(path)`.
    pub(crate) fn list(&self) -> Result<Vec<std::result::Result<ObjectId, Vec<u8>>>> {
        let list = |(folder, kind): (Vec<u8>, Kind)| {
            if kind != Kind::Dir {
                return Ok(vec![Err(folder)]);
            }
            let names = self.dir.open_dir(&folder)?.list()?.into_iter();
            let object = |(rest, kind): (Vec<u8>, Kind)| match parse_name(&folder, &rest) {
                Some(id) if kind == Kind::File => Ok(id),
                _ => Err([&folder[..], b"/", &rest].concat()),
            };
            Ok(names.map(object).collect())
        };
        let folders: Vec<Vec<_>> = self.dir.list()?.into_par_iter().map(list).collect::<Result<_>>()?;
        Ok(folders.into_iter().flatten().collect())
    }
}

/// Returns a number that changes with each rotation.
pub(crate) fn rotations(store: &StoreDir) -> Result<u64> {
    Ok(store.dir.stat(ROTATIONS)?.map_or(0, |stat| stat.size))
}

/// Appends a byte to the file, durably.
fn count_rotation(store: &StoreDir) -> Result<()> {
    let file = store.fs.open_or_create(&store.dir, ROTATIONS)?;
    let path = store.dir.join(ROTATIONS);
    let size = Stat::of(&file, &path)?.size;
    store.fs.write_at(&file, &path, b".", size)?;
    store.fs.sync_file(&file, &path)?;
    store.fs.sync_dir(&store.dir)
}

/// Creates a private copy of a file of ours, with its mode and mtime.
pub(crate) fn copy_file(store: &StoreDir, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<File> {
    let source = from.0.open_file(from.1)?;
    let stat = Stat::of(&source, &from.0.join(from.1))?;
    let path = to.0.join(to.1);
    let copy = store.fs.create(to.0, to.1)?;
    store.fs.copy(&source, &copy, &path)?;
    store.fs.set_mode(&copy, &path, stat.mode)?;
    store.fs.set_mtime(&copy, &path, stat.mtime)?;
    Ok(copy)
}

/// Creates an empty file. Empty files are never shared, as that would save nothing.
pub(crate) fn make_empty(store: &StoreDir, node: FileNode, dir: &Dir, name: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let file = store.fs.create_with(dir, name, mode(node.executable))?;
    store.fs.set_mode(&file, &path, mode(node.executable))?;
    store.fs.set_mtime(&file, &path, node.mtime).map(drop)
}

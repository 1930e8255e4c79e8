//! Repairs single paths of a generation.

use rustix::io::Errno;

use crate::check::tree::{Fault, FaultKind, Leased, LoadedGeneration};
use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::tree::{FileNode, Node};
use crate::model::{object_name, relpath};
use crate::parts::generations::Generation;
use crate::parts::layout::{QUARANTINE, StoreDir, TREE};
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::objects::{self, Objects, make_empty};
use crate::parts::stage_dir::StageDir;

/// Repairs paths of generations, one by one.
pub(crate) struct Mender<'a> {
    pub(crate) store: &'a StoreDir,
    pub(crate) guard: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) stage: &'a StageDir,
}

impl Mender<'_> {
    /// Makes a path match the manifest, durably. Returns `Ok(false)` if the right bytes are lost.
    ///
    /// The path is replaced by a rename, so a reader sees the old or the new entry. A foreign entry in
    /// the way goes to quarantine. A mount point and the path hidden by it are left alone: `Ok(false)`.
    pub(crate) fn mend(&self, lock: &CommitLock, leased: &Leased<'_>, fault: &Fault) -> Result<bool> {
        if fault.kind == FaultKind::Mounted {
            return Ok(false);
        }
        match self.mend_path(lock, leased, fault) {
            // It is a mount, or a directory in a lower layer of overlayfs, which cannot be renamed.
            Err(e) if is_mount(&e) || is_errno(&e, Errno::XDEV) => Ok(false),
            done => done,
        }
    }

    fn mend_path(&self, _: &CommitLock, leased: &Leased<'_>, fault: &Fault) -> Result<bool> {
        let Leased { generation, loaded } = leased;
        let fs = &self.store.fs;
        let path = fault.path.as_slice();
        if path.is_empty() && fault.kind == FaultKind::Missing {
            return self.make_root(generation).map(|()| true);
        }
        let root = generation.tree_dir()?;
        let node = loaded.tree.find(path);
        if matches!(node, None | Some(Node::EmptyDir)) && fault.kind == FaultKind::Mode {
            // It is a folder: opening it proves that.
            let dir = root.open_dir(path)?;
            let (parent, name) = match path {
                b"" => (generation.dir().open_dir(b"")?, TREE),
                path => open_parent(&root, path)?,
            };
            fs.set_dir_mode(&parent, name)?;
            fs.sync_dir(&dir)?;
            return Ok(true);
        }
        let (dir, name) = self.make_parent(&root, path)?;
        let standing = dir.stat(name)?;
        let in_the_way =
            standing.is_some_and(|stat| stat.kind == Kind::Dir) || fault.kind == FaultKind::Stranger;
        let Some(node) = node else {
            self.put_aside(&dir, name, generation)?;
            fs.sync_dir(&dir)?;
            return Ok(true);
        };
        let temp = b"mend";
        fs.remove_all(self.stage.dir(), temp)?;
        match node {
            Node::File(file) if !self.prepare(loaded, path, file, temp)? => return Ok(false),
            Node::File(_) => {}
            Node::Symlink(target) => fs.symlink(target, self.stage.dir(), temp)?,
            Node::EmptyDir => drop(fs.make_dir(self.stage.dir(), temp)?),
        }
        if in_the_way || (matches!(node, Node::EmptyDir) && standing.is_some()) {
            self.put_aside(&dir, name, generation)?;
        }
        fs.rename((self.stage.dir(), temp), (&dir, name))?;
        fs.remove_all(self.stage.dir(), temp)?;
        fs.sync_dir(&dir)?;
        Ok(true)
    }

    /// Puts a good file for `path` into the stage: the object's inode if its mtime is the published
    /// one, otherwise a copy.
    fn prepare(&self, loaded: &LoadedGeneration, path: &[u8], file: FileNode, temp: &[u8]) -> Result<bool> {
        let fs = &self.store.fs;
        let mtime = loaded.shown.mtime(path, &file);
        let place = self.stage.dir().join(temp);
        if file.size == 0 {
            make_empty(self.store, FileNode { mtime, ..file }, self.stage.dir(), temp)?;
            return Ok(true);
        }
        if !self.objects.is_intact(file.object())? {
            return Ok(false);
        }
        // Another generation may show the object's inode, and record another mtime for it.
        let object = self.objects.stat(file.object())?;
        let is_anothers = object.is_some_and(|object| object.links > 1 && !object.has_mtime(file.mtime));
        if !is_anothers {
            self.restore_object(file)?;
        }
        if mtime == file.mtime && !is_anothers {
            self.objects.link_into(self.guard, file.object(), (self.stage.dir(), temp))?;
        } else {
            let object = object_name::name(file.object());
            let copy =
                objects::copy_file(self.store, (self.objects.dir(), &object), (self.stage.dir(), temp))?;
            fs.set_mode(&copy, &place, object_name::mode(file.executable))?;
            fs.set_mtime(&copy, &place, mtime)?;
            fs.sync_file(&copy, &place)?;
        }
        Ok(true)
    }

    /// Restores the recorded mode and mtime of an intact object.
    pub(crate) fn restore_object(&self, file: FileNode) -> Result<()> {
        let id = file.object();
        let handle = self.objects.open(id)?;
        let path = self.objects.dir().join(&object_name::name(id));
        let stat = Stat::of(&handle, &path)?;
        if stat.mode != object_name::mode(file.executable) {
            self.store.fs.set_mode(&handle, &path, object_name::mode(file.executable))?;
        }
        if !stat.has_mtime(file.mtime) {
            self.store.fs.set_mtime(&handle, &path, file.mtime)?;
        }
        self.store.fs.sync_file(&handle, &path)
    }

    /// Recreates the folder of a generation's files, in place of an entry that is not a folder.
    fn make_root(&self, generation: &Generation) -> Result<()> {
        self.put_aside(generation.dir(), TREE, generation)?;
        self.store.fs.make_dir(generation.dir(), TREE)?;
        self.store.fs.sync_dir(generation.dir())
    }

    fn make_parent<'p>(&self, root: &Dir, path: &'p [u8]) -> Result<(Dir, &'p [u8])> {
        let (folder, name) = relpath::split(path);
        let mut dir = root.open_dir(b"")?;
        for part in folder.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            self.store.fs.make_dir(&dir, part)?;
            dir = dir.open_dir(part)?;
        }
        Ok((dir, name))
    }

    fn put_aside(&self, dir: &Dir, name: &[u8], generation: &Generation) -> Result<()> {
        let quarantine = self.store.sub(QUARANTINE)?;
        let prefix = format!("generation-{}-", generation.id());
        let fs = &self.store.fs;
        match fs
            .unique(&quarantine, &prefix, "", |free| fs.rename_to_free((dir, name), (&quarantine, free)))
        {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }
}

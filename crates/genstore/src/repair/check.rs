//! Checks of one generation's directory against its manifest, and mending what differs. Floor 3.

use std::collections::HashSet;

use crate::threads::prelude::*;
use rustix::io::Errno;

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::folders::Folders;
use crate::fs::mount::{self, is_mount};
use crate::fs::{Dir, Kind, Stat};
use crate::model::fresh::Shown;
use crate::model::relpath;
use crate::model::tree::{FileNode, Node, ObjectId, Tree};
use crate::parts::generations::Generation;
use crate::parts::layout::{Home, QUARANTINE, TREE};
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::look::{Quiet, has_digest};
use crate::parts::objects::{self, Objects, is_errno};
use crate::parts::stage_dir::StageDir;
use crate::verbs::activate::Base;
use crate::verbs::publish::assemble::make_empty;

/// How closely `verify` looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Depth {
    /// Every byte is hashed.
    #[default]
    Full,
    /// Sizes, mtimes, modes and links.
    Quick,
}

/// In which way a path of a generation differs from the manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing is there.
    Missing,
    /// Something of another kind is there, or a symlink to elsewhere.
    Replaced,
    /// Its bytes are others.
    Content,
    /// Its mode is another.
    Mode,
    /// Its mtime is another.
    Mtime,
    /// It is there, but in no manifest.
    Stranger,
    /// Something is mounted there, and hides it.
    Mounted,
}

/// A path of a generation that differs from the manifest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    /// The path in the generation.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// A generation with all that is known of it.
pub(crate) struct Known {
    pub(crate) generation: Generation,
    pub(crate) tree: Tree,
    pub(crate) shown: Shown,
}

impl Home {
    pub(crate) fn known(&self, generation: Generation) -> Result<Known> {
        let (tree, shown) = (generation.manifest()?.tree, generation.shown()?);
        Ok(Known { generation, tree, shown })
    }

    /// Compares a generation's directory with its manifest. A file that is its object's inode is
    /// left to the check of the objects; any other is hashed here. With `only`, looks at the paths
    /// of one object.
    pub(crate) fn check_tree(
        &self,
        objects: Option<&Objects<'_>>,
        known: &Known,
        depth: Depth,
        only: Option<ObjectId>,
    ) -> Result<Vec<Fault>> {
        let Known { generation, tree, shown } = known;
        let bytes = if depth == Depth::Full { Bytes::All } else { Bytes::None };
        look(self, generation, (tree, shown), &Look { objects, bytes, only, within: None })
    }
}

/// Compares a generation's directory with its manifest by one stat per path, without a look at the
/// objects: what was written to since it was published.
pub(crate) fn check_stats(home: &Home, base: &Base) -> Result<Vec<Fault>> {
    let by_stat = Look { objects: None, bytes: Bytes::None, only: None, within: None };
    look(home, &base.generation, (&base.tree, &base.shown), &by_stat)
}

/// What is looked at, and how closely.
pub(crate) struct Look<'a> {
    /// A file that is its object's inode is not compared further; without them, all are.
    pub(crate) objects: Option<&'a Objects<'a>>,
    pub(crate) bytes: Bytes,
    /// Only the paths of this object.
    pub(crate) only: Option<ObjectId>,
    /// Only a part of the tree.
    pub(crate) within: Option<&'a Part<'a>>,
}

/// Which files are read, of those that are not their object's inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bytes {
    All,
    /// Those of which the ctime does not prove that nobody wrote to them.
    Doubtful(Quiet),
    None,
}

/// A part of a tree.
#[derive(Default)]
pub(crate) struct Part<'a> {
    /// Folders, with every name directly in them.
    pub(crate) folders: HashSet<&'a [u8]>,
    /// Single entries.
    pub(crate) entries: Vec<&'a [u8]>,
}

impl<'a> Part<'a> {
    /// The entries at these paths, and the folders that they are or lie in.
    pub(crate) fn around(paths: &[&'a [u8]]) -> Part<'a> {
        let folders = paths.iter().flat_map(|path| [*path, relpath::split(path).0]).collect();
        Part { folders, entries: paths.to_vec() }
    }
}

/// Compares a generation's directory, or a part of it, with its manifest.
pub(crate) fn look(
    home: &Home,
    generation: &Generation,
    (tree, shown): (&Tree, &Shown),
    how: &Look<'_>,
) -> Result<Vec<Fault>> {
    let root = match generation.dir().open_dir(TREE) {
        Ok(root) => root,
        Err(e) if is_absence(&e) => {
            let missing = |path: &[u8]| Fault { path: path.to_vec(), kind: FaultKind::Missing };
            // The tree's own folder, and all that is in it.
            let entries = (0..tree.len()).map(|index| missing(tree.path(index)));
            return Ok([missing(b"")].into_iter().chain(entries).collect());
        }
        Err(e) if is_mount(&e) => return Ok(vec![Fault { path: vec![], kind: FaultKind::Mounted }]),
        Err(e) => return Err(e),
    };
    let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
    let check = TreeCheck { home, how, tree, shown, root };
    let names: HashSet<&[u8]> = folders.iter().map(|(path, _)| path).collect();
    let mut all: Vec<(&[u8], &[u32])> = folders.iter().collect();
    if all.is_empty() {
        // No entry tells of the folder of a tree without entries.
        all.push((b"", &[]));
    }
    if let Some(part) = how.within {
        all.retain(|(path, _)| part.folders.contains(path));
    }
    let mut faults: Vec<Fault> = all
        .into_par_iter()
        .map(|(path, members)| check.folder(&names, path, members))
        .collect::<Result<Vec<_>>>()?
        .concat();
    for path in how.within.iter().flat_map(|part| &part.entries) {
        faults.extend(check.single(path)?);
    }
    faults.sort_by(|a, b| relpath::compare(&a.path, &b.path).then(a.kind.cmp(&b.kind)));
    // Each folder that a mount hides finds that mount.
    faults.dedup();
    Ok(faults)
}

/// Nothing is there, or something that is no directory.
pub(crate) fn is_absence(error: &crate::error::Error) -> bool {
    error.is_not_found() || is_errno(error, Errno::NOTDIR) || is_errno(error, Errno::LOOP)
}

struct TreeCheck<'a> {
    home: &'a Home,
    how: &'a Look<'a>,
    tree: &'a Tree,
    shown: &'a Shown,
    root: Dir,
}

impl TreeCheck<'_> {
    fn folder(&self, folders: &HashSet<&[u8]>, path: &[u8], members: &[u32]) -> Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |path: &[u8], kind| faults.push(Fault { path: path.to_vec(), kind });
        let dir = match self.root.open_dir(path) {
            Ok(dir) => dir,
            Err(e) if is_absence(&e) => {
                for &entry in members {
                    fault(self.tree.path(entry as usize), FaultKind::Missing);
                }
                return Ok(faults);
            }
            Err(e) if is_mount(&e) => return Ok(vec![self.mounted(&e)]),
            Err(e) => return Err(e),
        };
        let mut known: HashSet<&[u8]> = HashSet::new();
        for &entry in members {
            let entry = self.tree.get(entry as usize);
            let name = relpath::split(entry.path).1;
            known.insert(name);
            match self.entry(&dir, name, entry.path, entry.node) {
                Err(e) if is_mount(&e) => fault(entry.path, FaultKind::Mounted),
                found => found?.into_iter().for_each(|kind| fault(entry.path, kind)),
            }
        }
        if self.how.only.is_none() {
            if !self.home.fs.is_dir_mode(&dir.stat_self()?) {
                fault(path, FaultKind::Mode);
            }
            for (name, kind) in dir.list()? {
                let full = relpath::join(path, &name);
                let is_folder = kind == Kind::Dir && folders.contains(full.as_slice());
                if !known.contains(name.as_slice()) && !is_folder {
                    fault(&full, FaultKind::Stranger);
                }
            }
        }
        Ok(faults)
    }

    /// Makes the fault of a mount point that was not crossed.
    fn mounted(&self, error: &crate::error::Error) -> Fault {
        let path = match error {
            crate::error::Error::Io { path, .. } => mount::below(self.root.path(), path),
            _ => vec![],
        };
        Fault { path, kind: FaultKind::Mounted }
    }

    /// Looks at one entry of the tree.
    fn single(&self, path: &[u8]) -> Result<Vec<Fault>> {
        let Some(node) = self.tree.find(path) else { return Ok(vec![]) };
        let found =
            open_parent(&self.root, path).and_then(|(dir, name)| self.entry(&dir, name, path, node));
        let kinds = match found {
            Err(e) if is_mount(&e) => return Ok(vec![self.mounted(&e)]),
            Err(e) if is_absence(&e) => vec![FaultKind::Missing],
            kinds => kinds?,
        };
        Ok(kinds.into_iter().map(|kind| Fault { path: path.to_vec(), kind }).collect())
    }

    fn entry(&self, dir: &Dir, name: &[u8], path: &[u8], node: Node<'_>) -> Result<Vec<FaultKind>> {
        if let (Some(only), Node::File(file)) = (self.how.only, node)
            && file.object() != only
        {
            return Ok(vec![]);
        }
        let Some(stat) = dir.stat(name)? else {
            return Ok(vec![FaultKind::Missing]);
        };
        match node {
            Node::File(file) => self.file(dir, name, path, file, &stat),
            Node::Symlink(target) => {
                let same = stat.kind == Kind::Symlink && dir.read_link(name)?.as_deref() == Some(target);
                Ok(if same { vec![] } else { vec![FaultKind::Replaced] })
            }
            Node::EmptyDir if stat.kind != Kind::Dir => Ok(vec![FaultKind::Replaced]),
            Node::EmptyDir => {
                let mut faults = Vec::new();
                if !self.home.fs.is_dir_mode(&stat) {
                    faults.push(FaultKind::Mode);
                }
                if !dir.open_dir(name)?.list()?.is_empty() {
                    faults.push(FaultKind::Stranger);
                }
                Ok(faults)
            }
        }
    }

    fn file(
        &self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        file: FileNode,
        stat: &Stat,
    ) -> Result<Vec<FaultKind>> {
        if stat.kind != Kind::File {
            return Ok(vec![FaultKind::Replaced]);
        }
        let mut faults = Vec::new();
        let is_object = || match self.how.objects {
            Some(objects) if file.size > 0 => match objects.stat(file.object()) {
                Err(e) if is_absence(&e) => Ok(false),
                object => object.map(|object| object.is_some_and(|one| one.same_inode(stat))),
            },
            _ => Ok(false),
        };
        let differs = match self.how.bytes {
            Bytes::Doubtful(quiet) => {
                stat.size != file.size
                    || (file.size > 0
                        && !quiet.covers(stat.ctime)
                        && !is_object()?
                        && !has_digest((dir, name), &file)?)
            }
            bytes => {
                !is_object()?
                    && (stat.size != file.size || (bytes == Bytes::All && !has_digest((dir, name), &file)?))
            }
        };
        if differs {
            return Ok(vec![FaultKind::Content]);
        }
        if stat.mode != objects::mode(file.executable) {
            faults.push(FaultKind::Mode);
        }
        if !stat.has_mtime(self.shown.mtime(path, &file)) {
            faults.push(FaultKind::Mtime);
        }
        Ok(faults)
    }
}

/// Mends paths of generations, one by one.
pub(crate) struct Mender<'a> {
    pub(crate) home: &'a Home,
    pub(crate) guard: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) stage: &'a StageDir,
}

impl Mender<'_> {
    /// Makes a path what the manifest says, durably. `Ok(false)` when the bytes are nowhere.
    ///
    /// The path is replaced by a rename, so a reader sees the old or the new. What is in the way
    /// and not ours goes to quarantine. What a mount hides is left alone, as is the mount: `Ok(false)`.
    pub(crate) fn mend(&self, lock: &CommitLock, known: &Known, fault: &Fault) -> Result<bool> {
        if fault.kind == FaultKind::Mounted {
            return Ok(false);
        }
        match self.mend_path(lock, known, fault) {
            // Or it is a directory of a lower layer of overlayfs, which cannot be renamed.
            Err(e) if is_mount(&e) || is_errno(&e, Errno::XDEV) => Ok(false),
            done => done,
        }
    }

    fn mend_path(&self, _: &CommitLock, known: &Known, fault: &Fault) -> Result<bool> {
        let fs = &self.home.fs;
        let path = fault.path.as_slice();
        if path.is_empty() && fault.kind == FaultKind::Missing {
            return self.make_root(&known.generation).map(|()| true);
        }
        let root = known.generation.tree_dir()?;
        let node = known.tree.find(path);
        if matches!(node, None | Some(Node::EmptyDir)) && fault.kind == FaultKind::Mode {
            // A folder; opening it proved that it is one.
            let dir = root.open_dir(path)?;
            let (parent, name) = match path {
                b"" => (known.generation.dir().open_dir(b"")?, TREE),
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
            self.put_aside(&dir, name, &known.generation)?;
            fs.sync_dir(&dir)?;
            return Ok(true);
        };
        let temp = b"mend";
        fs.remove_all(self.stage.dir(), temp)?;
        match node {
            Node::File(file) if !self.prepare(known, path, file, temp)? => return Ok(false),
            Node::File(_) => {}
            Node::Symlink(target) => fs.symlink(target, self.stage.dir(), temp)?,
            Node::EmptyDir => drop(fs.make_dir(self.stage.dir(), temp)?),
        }
        if in_the_way || (matches!(node, Node::EmptyDir) && standing.is_some()) {
            self.put_aside(&dir, name, &known.generation)?;
        }
        fs.rename((self.stage.dir(), temp), (&dir, name))?;
        fs.remove_all(self.stage.dir(), temp)?;
        fs.sync_dir(&dir)?;
        Ok(true)
    }

    /// Puts a good file for `path` into the stage: the object's inode where its mtime is the one
    /// that is shown, else a copy.
    fn prepare(&self, known: &Known, path: &[u8], file: FileNode, temp: &[u8]) -> Result<bool> {
        let fs = &self.home.fs;
        let mtime = known.shown.mtime(path, &file);
        let place = self.stage.dir().join(temp);
        if file.size == 0 {
            make_empty(self.home, FileNode { mtime, ..file }, self.stage.dir(), temp)?;
            return Ok(true);
        }
        if !self.objects.is_intact(file.object())? {
            return Ok(false);
        }
        self.restore_object(file)?;
        if mtime == file.mtime {
            self.objects.link_into(self.guard, file.object(), (self.stage.dir(), temp))?;
        } else {
            let object = objects::name(file.object());
            let copy = self.home.copy_file((self.objects.dir(), &object), (self.stage.dir(), temp))?;
            fs.set_mtime(&copy, &place, mtime)?;
            fs.sync_file(&copy, &place)?;
        }
        Ok(true)
    }

    /// Gives an intact object the mode and mtime back that it was recorded with.
    pub(crate) fn restore_object(&self, file: FileNode) -> Result<()> {
        let id = file.object();
        let handle = self.objects.open(id)?;
        let path = self.objects.dir().join(&objects::name(id));
        let stat = Stat::of(&handle, &path)?;
        if stat.mode != objects::mode(file.executable) {
            self.home.fs.set_mode(&handle, &path, objects::mode(file.executable))?;
        }
        if !stat.has_mtime(file.mtime) {
            self.home.fs.set_mtime(&handle, &path, file.mtime)?;
        }
        self.home.fs.sync_file(&handle, &path)
    }

    /// Makes the folder of a generation's files anew, in place of what is no folder.
    fn make_root(&self, generation: &Generation) -> Result<()> {
        self.put_aside(generation.dir(), TREE, generation)?;
        self.home.fs.make_dir(generation.dir(), TREE)?;
        self.home.fs.sync_dir(generation.dir())
    }

    fn make_parent<'p>(&self, root: &Dir, path: &'p [u8]) -> Result<(Dir, &'p [u8])> {
        let (folder, name) = relpath::split(path);
        let mut dir = root.open_dir(b"")?;
        for part in folder.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            self.home.fs.make_dir(&dir, part)?;
            dir = dir.open_dir(part)?;
        }
        Ok((dir, name))
    }

    fn put_aside(&self, dir: &Dir, name: &[u8], generation: &Generation) -> Result<()> {
        let quarantine = self.home.sub(QUARANTINE)?;
        let prefix = format!("generation-{}-", generation.id());
        let fs = &self.home.fs;
        match fs
            .unique(&quarantine, &prefix, "", |free| fs.rename_to_free((dir, name), (&quarantine, free)))
        {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }
}

//! Compares a mirror with the current generation: finds the entries that are right, the necessary
//! changes, and the foreign entries. Changes nothing.
//!
//! A file is ours if an inventory names it, and it is the inode that was linked there. A copy is ours
//! if it has the size and mtime that were set. An inode with no other link may have been freed and
//! reused for another file, so its size and mtime must match as well. Another inode with matching size
//! and mtime is ours if it has the same bytes: a copy of the mirror may have got its root's inode
//! number again.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::fs::errno::is_absence;
use crate::fs::mount::{self, is_mount};
use crate::fs::{Dir, Kind, Stat};
use crate::model::inventory::Inventory;
use crate::model::mirror::{Action, AtPath, Decision, KnownBy, Put, Wanted, decide};
use crate::model::relpath;
use crate::model::tree::{Entry, FileNode, Node};
use crate::parts::objects;
use crate::threads::prelude::*;
use crate::views::mirror::plan::{Found, Verdict, Verdicts, sum_up};
use crate::views::mirror::target::MirrorTarget;

/// The inputs of a comparison.
pub(crate) struct MirrorComparison<'a> {
    pub(crate) root: &'a Dir,
    pub(crate) root_inode: u64,
    /// The recorded entries of the mirror, and those of the last interrupted update.
    pub(crate) inventories: Vec<&'a Inventory>,
    pub(crate) wanted: &'a MirrorTarget,
}

/// The knowledge about one path before the disk is read.
#[derive(Default, Clone, Copy)]
struct Item {
    wanted: Option<usize>,
    folder_wanted: bool,
    /// A folder that genstore created.
    folder_known: bool,
}

/// The folder of the generation with the wanted files of a folder of the mirror. It is opened when the
/// first of them is needed.
struct Source<'a> {
    wanted: &'a MirrorTarget,
    dir: Option<Dir>,
}

impl Source<'_> {
    /// Returns the inode of a wanted file of the folder.
    fn inode(&mut self, folder: &[u8], name: &[u8]) -> Result<u64> {
        let path = relpath::join(folder, name);
        let explain = |error| self.wanted.explain(error, &path);
        let other;
        let dir = match &mut self.dir {
            _ if self.wanted.earlier.source(&path).is_some() => {
                other = self.wanted.folder_of(&path).map_err(explain)?;
                &other
            }
            Some(dir) => dir,
            none => none.insert(self.wanted.folder_of(&path).map_err(explain)?),
        };
        let gone = || explain(Error::io("stat", dir.join(name), rustix::io::Errno::NOENT));
        dir.stat(name)?.map(|stat| stat.ino).ok_or_else(gone)
    }
}

/// An entry that genstore created at a path, and that is still there.
struct Ours<'a> {
    node: Node<'a>,
    inode: u64,
    /// Whether it has the recorded size and mtime.
    looks_same: bool,
    inventory: &'a Inventory,
}

type Items<'a> = HashMap<&'a [u8], HashMap<&'a [u8], Item>>;

impl<'a> MirrorComparison<'a> {
    /// Checks every wanted path and every path of an inventory, and the other entries of their folders.
    pub(crate) fn take(&self) -> Result<Found> {
        let items = self.items();
        let verdicts: Vec<Verdicts> =
            items.par_iter().map(|(folder, items)| self.folder(folder, items)).collect::<Result<_>>()?;
        sum_up(self.wanted, self.root_inode, verdicts.concat())
    }

    fn items(&self) -> Items<'a> {
        let mut items = Items::new();
        items.entry(b"").or_default();
        let mut at = |path: &'a [u8], set: &dyn Fn(&mut Item)| {
            let (folder, name) = relpath::split(path);
            set(items.entry(folder).or_default().entry(name).or_default());
        };
        for index in 0..self.wanted.tree.len() {
            at(self.wanted.tree.path(index), &|item| item.wanted = Some(index));
        }
        for folder in &self.wanted.folders {
            at(folder, &|item| item.folder_wanted = true);
        }
        for inventory in &self.inventories {
            for index in 0..inventory.tree.len() {
                at(inventory.tree.path(index), &|_| {});
            }
            for folder in &inventory.folders {
                at(folder, &|item| item.folder_known = true);
            }
        }
        let listed = self.inventories.iter().flat_map(|inventory| &inventory.folders);
        for folder in self.wanted.folders.iter().chain(listed) {
            items.entry(folder).or_default();
        }
        items
    }

    fn folder(&self, path: &[u8], items: &HashMap<&[u8], Item>) -> Result<Verdicts> {
        let mut verdicts = Vec::new();
        let mut source = Source { wanted: self.wanted, dir: None };
        let mut late = false;
        let dir = match self.root.open_dir(path) {
            Ok(dir) => Some(dir),
            Err(e) if e.is_not_found() => None,
            Err(e) if is_absence(&e) => {
                match self.in_the_way(path)? {
                    Some((stranger, false)) => return Ok(vec![(stranger, Verdict::Stranger)]),
                    Some(_) => late = true,
                    None => {}
                }
                None
            }
            Err(e) if is_mount(&e) => {
                let point = match &e {
                    Error::Io { path, .. } => mount::below(self.root.path(), path),
                    _ => path.to_vec(),
                };
                return Ok(vec![(point, Verdict::Mount)]);
            }
            Err(e) => return Err(e),
        };
        for (name, item) in items {
            let full = relpath::join(path, name);
            let stat = dir.as_ref().map(|dir| dir.stat(name)).transpose()?.flatten();
            let found = match (&dir, stat) {
                (Some(dir), Some(stat)) => Some((dir, stat)),
                _ => None,
            };
            let mut say = |verdict| verdicts.push((full.clone(), verdict));
            match (item.wanted, found) {
                (Some(wanted), found) => {
                    let verdict = self.wanted(wanted, *item, found, (path, name), &mut source)?;
                    if let (Verdict::Add(..), true) = (verdict, self.is_known(&full)) {
                        say(Verdict::Gone);
                    }
                    if let Verdict::AddLate(..) = verdict {
                        say(Verdict::LeaveFolder);
                    }
                    say(match verdict {
                        Verdict::Add(wanted, inode) if late => Verdict::AddLate(wanted, inode),
                        verdict => verdict,
                    });
                }
                (None, None) if item.folder_wanted && late => say(Verdict::MakeFolderLate),
                (None, None) if item.folder_wanted => say(Verdict::MakeFolder),
                (None, None) => {}
                (None, Some((dir, stat))) => {
                    let ours = self.ours(dir, name, &full, &stat)?.is_some();
                    match (item.folder_wanted, stat.kind == Kind::Dir) {
                        (true, true) if item.folder_known => say(Verdict::KeepFolder),
                        (true, true) => {}
                        (true, false) if ours => {
                            say(Verdict::Delete);
                            say(Verdict::MakeFolderLate);
                        }
                        (false, true) if item.folder_known => say(Verdict::LeaveFolder),
                        (false, false) if ours => say(Verdict::Delete),
                        _ => say(Verdict::Stranger),
                    }
                }
            }
        }
        for (name, _) in dir.map_or(Ok(vec![]), |dir| dir.list())? {
            if !items.contains_key(name.as_slice()) {
                verdicts.push((relpath::join(path, &name), Verdict::Stranger));
            }
        }
        Ok(verdicts)
    }

    /// Finds the change for a wanted path: observes, decides, and reads more if the decision requires
    /// it.
    fn wanted(
        &self,
        wanted: usize,
        item: Item,
        found: Option<(&Dir, Stat)>,
        (folder, name): (&[u8], &[u8]),
        source: &mut Source<'_>,
    ) -> Result<Verdict> {
        let entry = self.wanted.tree.get(wanted);
        let asked = match entry.node {
            Node::File(_) if self.wanted.shows.copies => Wanted::CopiedFile,
            Node::File(_) => Wanted::LinkedFile,
            _ => Wanted::Symlink,
        };
        let standing = match &found {
            None => AtPath::Nothing,
            Some((dir, stat)) => self.observe(entry, item, (dir, name), stat)?,
        };
        let action = match (decide(asked, standing), entry.node, &found) {
            (Decision::Is(action), ..) => action,
            (Decision::IfSameBytes { .. }, Node::File(file), Some((dir, _)))
                if has_bytes(dir, name, &file)? =>
            {
                Action::Keep(KnownBy::Looks)
            }
            (Decision::IfSameInode { .. }, _, Some((_, stat)))
                if source.inode(folder, name)? == stat.ino =>
            {
                Action::Keep(KnownBy::Inode)
            }
            (Decision::IfSameBytes { otherwise } | Decision::IfSameInode { otherwise }, ..) => otherwise,
        };
        let mut inode = || match asked {
            Wanted::LinkedFile => source.inode(folder, name),
            Wanted::CopiedFile | Wanted::Symlink => Ok(0),
        };
        Ok(match (action, found) {
            (Action::Add, _) => Verdict::Add(wanted, inode()?),
            (Action::AddLate, _) => Verdict::AddLate(wanted, inode()?),
            (Action::Replace, _) => Verdict::Replace(wanted, inode()?),
            (Action::Keep(KnownBy::Inode), Some((_, stat))) => Verdict::Keep(wanted, stat.ino),
            (Action::Keep(_), _) => Verdict::Keep(wanted, 0),
            (Action::Leave, _) => Verdict::Stranger,
        })
    }

    /// Observes the entry at a wanted path.
    fn observe(
        &self,
        entry: Entry<'_>,
        item: Item,
        (dir, name): (&Dir, &[u8]),
        stat: &Stat,
    ) -> Result<AtPath> {
        if let Node::Symlink(target) = entry.node
            && stat.kind == Kind::Symlink
            && dir.read_link(name)?.as_deref() == Some(target)
        {
            return Ok(AtPath::SameSymlink);
        }
        let ours = self.ours(dir, name, entry.path, stat)?;
        Ok(match (ours, entry.node) {
            (Some(ours), _) => AtPath::Ours(self.put(&ours, entry, stat)),
            (None, _) if stat.kind == Kind::Dir && item.folder_known => AtPath::OurFolder,
            (None, Node::File(file)) if stat.kind == Kind::File => {
                AtPath::File { looks_wanted: looks_like(stat, &file) }
            }
            (None, _) => AtPath::Other,
        })
    }

    /// Compares a created entry with the wanted one.
    fn put(&self, ours: &Ours<'_>, wanted: Entry<'_>, stat: &Stat) -> Put {
        let (Node::File(shown), Node::File(file)) = (ours.node, wanted.node) else {
            return Put::Other;
        };
        let is_wanted = ours.looks_same
            && (shown.object(), shown.mtime) == (file.object(), file.mtime)
            && ours.inventory.shows.copies == self.wanted.shows.copies;
        let is_healed = ours.inventory.heals != self.wanted.heals;
        match ours.inode {
            0 => {
                let is_doubtful = is_healed || self.looks_like_another(wanted.path, &file, stat);
                Put::Copy { is_wanted, is_doubtful }
            }
            _ => Put::Link { is_wanted: is_wanted && !is_healed },
        }
    }

    /// Returns the entry that genstore created at a path, if it is still there.
    fn ours(&self, dir: &Dir, name: &[u8], path: &[u8], stat: &Stat) -> Result<Option<Ours<'a>>> {
        for &inventory in self.inventories.iter().rev() {
            let Some(index) = inventory.tree.index_of(path) else { continue };
            let (node, inode) = (inventory.tree.get(index).node, inventory.inode(index));
            let looks_same = match node {
                Node::File(file) => looks_like(stat, &file),
                Node::Symlink(target) => {
                    stat.kind == Kind::Symlink && dir.read_link(name)?.as_deref() == Some(target)
                }
                Node::EmptyDir => false,
            };
            let is_ours = match node {
                Node::File(file) if inode != 0 && inventory.root == self.root_inode => {
                    let is_linked = stat.kind == Kind::File && stat.ino == inode;
                    (is_linked && (looks_same || stat.links > 1))
                        || (looks_same && has_bytes(dir, name, &file)?)
                }
                _ => looks_same,
            };
            if is_ours {
                // In a copy of the mirror the inode differs.
                let inode = if inode == 0 { 0 } else { stat.ino };
                return Ok(Some(Ours { node, inode, looks_same, inventory }));
            }
        }
        Ok(None)
    }

    /// Returns whether the present entry at a path is ours, and so may be replaced or deleted.
    pub(crate) fn is_ours(&self, dir: &Dir, path: &[u8]) -> Result<bool> {
        let name = relpath::split(path).1;
        match dir.stat(name)? {
            Some(stat) => Ok(self.ours(dir, name, path, &stat)?.is_some()),
            None => Ok(false),
        }
    }

    /// Returns whether an interrupted update may have left other bytes with the same size and mtime at
    /// a path: FAT does not distinguish two consecutive mtimes that differ by a second.
    fn looks_like_another(&self, path: &[u8], file: &FileNode, stat: &Stat) -> bool {
        self.inventories.len() > 1
            && self.inventories.iter().any(|inventory| match inventory.tree.find(path) {
                Some(Node::File(other)) => other.digest != file.digest && looks_like(stat, &other),
                _ => false,
            })
    }

    fn is_known(&self, path: &[u8]) -> bool {
        self.inventories.first().is_some_and(|inventory| inventory.tree.index_of(path).is_some())
    }

    /// Finds the entry in the place of a wanted folder or of one above it, and whether it is ours.
    fn in_the_way(&self, path: &[u8]) -> Result<Option<(Vec<u8>, bool)>> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (folder, name) = relpath::split(&path[..end]);
            let dir = self.root.open_dir(folder)?;
            match dir.stat(name)? {
                None => return Ok(None),
                Some(stat) if stat.kind == Kind::Dir => {}
                Some(stat) => {
                    let ours = self.ours(&dir, name, &path[..end], &stat)?.is_some();
                    return Ok(Some((path[..end].to_vec(), ours)));
                }
            }
        }
        Ok(None)
    }
}

fn looks_like(stat: &Stat, file: &FileNode) -> bool {
    stat.kind == Kind::File && stat.size == file.size && stat.has_mtime(file.mtime)
}

fn has_bytes(dir: &Dir, name: &[u8], file: &FileNode) -> Result<bool> {
    Ok(objects::hash(&dir.open_file(name)?, &dir.join(name))?.0 == file.digest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::digest::Digest;
    use crate::model::inventory::Shows;
    use crate::model::tree::Mtime;
    use crate::model::tree::Tree;
    use crate::model::tree::builder::TreeBuilder;

    /// A mirror that an update was to change from `a` to `b`.
    #[test]
    fn what_fat_does_not_tell_apart_is_doubtful_after_an_update_that_was_cut() {
        let at = |secs| Mtime { secs, nanos: 0 };
        let file = |bytes: &[u8], secs| {
            let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
            FileNode { digest, size, executable: false, mtime: at(secs) }
        };
        let inventory = |file| {
            let mut tree = TreeBuilder::default();
            tree.push(Entry { path: b"f", node: Node::File(file) }).unwrap();
            let (shows, folders) = (Shows::default(), BTreeSet::new());
            Inventory { shows, heals: 0, root: 1, tree: tree.finish(), inodes: vec![0], folders }
        };
        let dir = tempfile::tempdir().unwrap();
        let root = Dir::open(dir.path()).unwrap();
        let wanted = MirrorTarget {
            shows: Shows::default(),
            heals: 0,
            tree: Tree::empty(),
            folders: BTreeSet::new(),
            source: None,
            earlier: crate::views::mirror::earlier::Earlier::default(),
        };
        // One second later, which FAT does not distinguish, or two seconds later.
        for (size_differs, later, doubtful) in [(false, 7, true), (false, 8, false), (true, 7, false)] {
            let (old, new) = (file(b"a", 6), file(if size_differs { b"bb" } else { b"b" }, later));
            let (now, next) = (inventory(old), inventory(new));
            let mut stat = root.stat_self().unwrap();
            (stat.kind, stat.size, stat.mtime) = (Kind::File, new.size, at(later & !1));
            stat.ctime = stat.mtime;
            let look =
                |inventories| MirrorComparison { root: &root, root_inode: 1, inventories, wanted: &wanted };
            assert!(looks_like(&stat, &new));
            assert_eq!(look(vec![&now, &next]).looks_like_another(b"f", &new, &stat), doubtful);
            assert!(!look(vec![&next]).looks_like_another(b"f", &new, &stat));
        }
    }
}

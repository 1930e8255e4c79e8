//! The work that turns the folders of one tree into another tree. Pure; `recycle` acts.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::fresh::PublishedMtimes;
use super::pairs::pairs;
use super::relpath;
use super::tree::{Node, Tree};
use crate::threads::prelude::*;

/// Number of entries whose folders one thread lists.
const LISTED_TOGETHER: usize = 8192;

/// The changes that turn one tree into another.
pub(crate) struct Patch<'t> {
    /// Folders that only the old tree has. Of nested folders only the topmost.
    pub(crate) dead: Vec<&'t [u8]>,
    /// Folders that only the new tree has, each after its parent.
    pub(crate) born: Vec<&'t [u8]>,
    /// The work in each folder of the new tree.
    pub(crate) work: HashMap<&'t [u8], Work>,
}

/// The work in one folder.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Work {
    /// Entries of the old tree that are removed.
    pub(crate) remove: Vec<u32>,
    /// Entries of the new tree that are created.
    pub(crate) make: Vec<u32>,
    /// Entries that are the same in both trees but have inodes of their own, which must be checked.
    pub(crate) look: Vec<u32>,
}

impl Patch<'_> {
    /// Returns the number of changes.
    pub(crate) fn size(&self) -> usize {
        let work = |work: &Work| work.remove.len() + work.make.len() + work.look.len();
        self.dead.len() + self.born.len() + self.work.values().map(work).sum::<usize>()
    }
}

/// Lists all folders of a tree, empty ones too, in path order. Each comes after its parent, and the
/// first is the tree itself.
pub(crate) fn folders(tree: &Tree) -> Vec<&[u8]> {
    folders_by(tree, LISTED_TOGETHER)
}

/// Does it with `together` entries per thread.
fn folders_by(tree: &Tree, together: usize) -> Vec<&[u8]> {
    let folder_of = |index| {
        let path = tree.path(index);
        if tree.is_empty_dir(index) { path } else { relpath::split(path).0 }
    };
    let starts: Vec<usize> = (0..tree.len()).step_by(together).collect();
    let parts = starts.into_par_iter().map(|start| {
        let mut part: Vec<&[u8]> = vec![];
        let mut last = start.checked_sub(1).map_or(&b""[..], folder_of);
        for folder in (start..tree.len().min(start + together)).map(folder_of) {
            if folder == last {
                continue;
            }
            // All entries of one folder are adjacent, so a new folder is never part of the last one's
            // path.
            let common = common_folder(last, folder);
            let ends = folder.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            part.extend(ends.chain([folder.len()]).filter(|end| *end > common).map(|end| &folder[..end]));
            last = folder;
        }
        part
    });
    [vec![&b""[..]], parts.flatten_iter().collect()].concat()
}

/// Returns the length of the longest folder that is or contains both.
fn common_folder(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends_at = |path: &[u8]| path.len() == same || path[same] == b'/';
    if ends_at(a) && ends_at(b) {
        return same;
    }
    a[..same].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// Finds a folder in a list made by [`folders`].
pub(crate) fn position(folders: &[&[u8]], path: &[u8]) -> Option<usize> {
    folders.binary_search_by(|folder| relpath::compare(folder, path)).ok()
}

/// Compares two lists made by [`folders`], and lists the folders that only the first and only the
/// second has.
fn apart<'t>(before: &[&'t [u8]], after: &[&'t [u8]]) -> (Vec<&'t [u8]>, Vec<&'t [u8]>) {
    let (mut gone, mut new) = (vec![], vec![]);
    let (mut before, mut after) = (before.iter().copied().peekable(), after.iter().copied().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some(a), Some(b)) => relpath::compare(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (gone, new),
        };
        let (a, b) = (before.next_if(|_| order.is_le()), after.next_if(|_| order.is_ge()));
        match (a, b) {
            (Some(path), None) => gone.push(path),
            (None, Some(path)) => new.push(path),
            _ => {}
        }
    }
}

/// Computes the changes that turn `old` into `new`. The paths in `shown.fresh` do not have their
/// object's inode. `before` and `after` are the [`folders`] of the two trees. `is_object` returns
/// whether the store has the object of an entry of the new tree.
pub(crate) fn patch<'t>(
    (old, before, shown): (&'t Tree, &[&'t [u8]], &PublishedMtimes),
    (new, after): (&'t Tree, &[&'t [u8]]),
    is_object: impl Fn(usize) -> bool,
) -> Patch<'t> {
    let (mut dead, born) = apart(before, after);
    dead.retain(|path| position(after, relpath::split(path).0).is_some());
    let mut work: HashMap<&'t [u8], Work> = HashMap::new();
    // Most entries are skipped: if the store has an object for an entry, it is a file and not empty.
    for pair in pairs(old, new, |j| !shown.fresh.is_empty() || !is_object(j)) {
        let (i, j) = (pair.base(), pair.next());
        let from = i.map(|i| old.get(i)).filter(|entry| entry.node != Node::EmptyDir);
        let to = j.map(|j| new.get(j)).filter(|entry| entry.node != Node::EmptyDir);
        if let (Some(from), Some(to), Some(j)) = (from, to, j)
            && from.node.same_content(&to.node)
        {
            let stays = match to.node {
                Node::File(file) if file.size == 0 => {
                    work.entry(relpath::split(to.path).0).or_default().look.push(j as u32);
                    true
                }
                Node::File(_) => is_object(j) && !shown.fresh.contains_key(to.path),
                _ => true,
            };
            if stays {
                continue;
            }
        }
        if let (Some(entry), Some(i)) = (from, i) {
            let folder = relpath::split(entry.path).0;
            // Entries of a removed folder are removed with it.
            if position(after, folder).is_some() {
                work.entry(folder).or_default().remove.push(i as u32);
            }
        }
        if let (Some(entry), Some(j)) = (to, j) {
            work.entry(relpath::split(entry.path).0).or_default().make.push(j as u32);
        }
    }
    Patch { dead, born, work }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::digest::Digest;
    use crate::model::tree::builder::TreeBuilder;
    use crate::model::tree::{Entry, FileNode, Mtime};
    use proptest::prelude::*;

    /// Paths with their bytes; `/` is an empty folder.
    type Files = BTreeMap<String, String>;

    fn tree(files: &Files) -> Tree {
        let mut sorted: Vec<(&String, &String)> = files.iter().collect();
        sorted.sort_by(|a, b| relpath::compare(a.0.as_bytes(), b.0.as_bytes()));
        let mut builder = TreeBuilder::default();
        for (path, content) in sorted {
            let file = FileNode {
                digest: Digest::of(content.as_bytes()),
                size: content.len() as u64,
                executable: false,
                mtime: Mtime::default(),
            };
            let node = if content == "/" { Node::EmptyDir } else { Node::File(file) };
            // A path below a file is not a valid path of a tree.
            drop(builder.push(Entry { path: path.as_bytes(), node }));
        }
        builder.finish()
    }

    fn text(path: &[u8]) -> String {
        String::from_utf8(path.to_vec()).unwrap()
    }

    /// The state on the disk: files with their digests, and folders.
    fn disk(tree: &Tree) -> BTreeMap<String, Option<Digest>> {
        let mut disk: BTreeMap<_, _> = folders(tree).into_iter().map(|path| (text(path), None)).collect();
        disk.extend(tree.iter_files().map(|(path, file)| (text(path), Some(file.digest))));
        disk
    }

    #[test]
    fn lists_every_folder_after_its_parent() {
        let paths = ["a/b/c/x", "a/b-c/x", "a/d", "e/", "f/g/", "f/gh/x", "z"];
        let files = paths.map(|path| match path.strip_suffix('/') {
            Some(path) => (path.to_owned(), "/".to_owned()),
            None => (path.to_owned(), "x".to_owned()),
        });
        let tree = tree(&files.into());
        let found: Vec<String> = folders(&tree).into_iter().map(text).collect();
        assert_eq!(found, ["", "a", "a/b", "a/b/c", "a/b-c", "e", "f", "f/g", "f/gh"]);
        for together in 1..9 {
            assert_eq!(folders_by(&tree, together), folders(&tree), "by {together}");
        }
        assert_eq!(folders(&Tree::empty()), [b""]);
    }

    #[test]
    fn looks_at_what_may_have_an_inode_of_its_own() {
        let files = [("d/empty", ""), ("d/fresh", "1"), ("d/lost", "2"), ("d/same", "3")];
        let tree = tree(&files.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
        let mut shown = PublishedMtimes::default();
        shown.fresh.insert(b"d/fresh".to_vec(), Mtime::default());
        let folders = folders(&tree);
        let is_object = |entry| tree.path(entry) != b"d/lost";
        let patch = patch((&tree, &folders, &shown), (&tree, &folders), is_object);
        let expected = Work { remove: vec![1, 2], make: vec![1, 2], look: vec![0] };
        assert_eq!(patch.work, [(&b"d"[..], expected)].into());
        assert!(patch.dead.is_empty() && patch.born.is_empty());
    }

    proptest! {
        #[test]
        fn applied_to_the_old_tree_it_gives_the_new_one(
            old in prop::collection::btree_map("[ab](/[ab-]){0,3}", "[01/]?", 0..12),
            new in prop::collection::btree_map("[ab](/[ab-]){0,3}", "[01/]?", 0..12),
        ) {
            let (old, new) = (tree(&old), tree(&new));
            let mut here = disk(&old);
            let (before, after) = (folders(&old), folders(&new));
            let patch = patch((&old, &before, &PublishedMtimes::default()), (&new, &after), |_| true);
            for dead in &patch.dead {
                here.retain(|path, _| !relpath::is_within(path.as_bytes(), dead));
            }
            for index in patch.work.values().flat_map(|work| &work.remove) {
                prop_assert!(here.remove(&text(old.path(*index as usize))).is_some_and(|d| d.is_some()));
            }
            for born in &patch.born {
                prop_assert_eq!(here.get(&text(relpath::split(born).0)), Some(&None), "no parent yet");
                prop_assert!(here.insert(text(born), None).is_none());
            }
            for index in patch.work.values().flat_map(|work| &work.make) {
                let Node::File(file) = new.get(*index as usize).node else { panic!("it is a file") };
                prop_assert!(here.insert(text(new.path(*index as usize)), Some(file.digest)).is_none());
            }
            prop_assert_eq!(here, disk(&new));
        }
    }
}

//! An index of a tree's files by their objects, with a few bytes of memory per file.

use super::little_endian::u64_at;
use super::tree::{FileNode, Node, ObjectId, Tree};

/// The files of a tree by their objects: a hash table with open addressing. Digests are as good as
/// random, so they are their own hashes.
pub(crate) struct ObjectMap {
    /// An entry's index plus one, or 0 for a free slot. At most half of the slots are taken.
    slots: Vec<u32>,
    /// For each entry the first file with the same object and mtime, or the entry itself.
    firsts: Vec<u32>,
}

impl ObjectMap {
    pub(crate) fn of(tree: &Tree) -> ObjectMap {
        let slots = vec![0; (tree.files() as usize * 2 + 1).next_power_of_two()];
        let mut map = ObjectMap { slots, firsts: Vec::with_capacity(tree.len()) };
        for index in 0..tree.len() {
            let mut first = index as u32;
            if let Some((digest, executable)) = tree.object_at(index) {
                let slot = map.probe(tree, digest, executable);
                match map.slots[slot] {
                    0 => map.slots[slot] = first + 1,
                    taken if tree.is_same_file(index, tree, taken as usize - 1) => first = taken - 1,
                    _ => {}
                }
            }
            map.firsts.push(first);
        }
        map
    }

    /// Finds the first file with these bytes and this executable bit. `tree` must be the tree of the
    /// map.
    pub(crate) fn find(&self, tree: &Tree, id: ObjectId) -> Option<FileNode> {
        match tree.get(self.place(tree, id)?).node {
            Node::File(file) => Some(file),
            _ => None,
        }
    }

    /// Returns the path of that file.
    pub(crate) fn path<'t>(&self, tree: &'t Tree, id: ObjectId) -> Option<&'t [u8]> {
        Some(tree.path(self.place(tree, id)?))
    }

    fn place(&self, tree: &Tree, id: ObjectId) -> Option<usize> {
        let slot = self.slots[self.probe(tree, id.digest.as_bytes(), id.executable)];
        (slot as usize).checked_sub(1)
    }

    /// Returns the first entry that is a file with the same object and mtime as this one.
    pub(crate) fn first(&self, index: usize) -> usize {
        self.firsts[index] as usize
    }

    /// Returns the slot of an object, or the free slot where it would be.
    fn probe(&self, tree: &Tree, digest: &[u8], executable: bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = u64_at(digest, 0) as usize & mask;
        let is_it =
            |slot: u32| slot == 0 || tree.object_at(slot as usize - 1) == Some((digest, executable));
        // Half of the slots are free.
        while !is_it(self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::tree::builder::TreeBuilder;
    use crate::model::tree::{Entry, Mtime};

    #[test]
    fn every_file_is_found_and_nothing_else() {
        let mut builder = TreeBuilder::default();
        let id = |content: u32| ObjectId {
            digest: Digest::of(&content.to_le_bytes()),
            executable: content.is_multiple_of(3),
        };
        for number in 0..1000u32 {
            let ObjectId { digest, executable } = id(number % 700);
            let mtime = Mtime { secs: i64::from(number / 900), nanos: 0 };
            let node = match number % 10 {
                9 => Node::EmptyDir,
                _ => Node::File(FileNode { digest, size: 4, executable, mtime }),
            };
            builder.push(Entry { path: format!("{number:04}").as_bytes(), node }).unwrap();
        }
        let tree = builder.finish();
        let map = ObjectMap::of(&tree);
        for content in 0..1400 {
            let first = tree.iter_files().map(|(_, file)| file).find(|file| file.object() == id(content));
            assert_eq!(map.find(&tree, id(content)), first, "{content}");
            let same =
                |index: &usize| matches!(tree.get(*index).node, Node::File(f) if f.object() == id(content));
            let all: Vec<usize> = (0..tree.len()).filter(same).collect();
            for index in &all {
                let alike = all.iter().find(|other| tree.get(**other).node == tree.get(*index).node);
                assert_eq!(Some(&map.first(*index)), alike, "{content}");
            }
            let other = ObjectId { executable: !id(content).executable, ..id(content) };
            assert_eq!(map.find(&tree, other), None, "{content}");
        }
        let none = ObjectMap::of(&Tree::empty());
        assert_eq!(none.find(&Tree::empty(), id(1)), None);
    }

    #[test]
    fn the_last_slot_is_followed_by_the_first() {
        let mut builder = TreeBuilder::default();
        let file = |last: u8| {
            let mut digest = [0xff; 32];
            digest[31] = last;
            FileNode {
                digest: Digest::from_bytes(digest),
                size: 1,
                executable: false,
                mtime: Mtime::default(),
            }
        };
        for last in 0..3 {
            builder.push(Entry { path: &[b'a' + last], node: Node::File(file(last)) }).unwrap();
        }
        let tree = builder.finish();
        let map = ObjectMap::of(&tree);
        for last in 0..3 {
            assert_eq!(map.find(&tree, file(last).object()), Some(file(last)));
        }
        assert_eq!(map.find(&tree, file(3).object()), None);
    }
}

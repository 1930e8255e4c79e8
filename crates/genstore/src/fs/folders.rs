//! Creates the folders of a new tree. Each is created once, when its first entry is created.

use std::sync::OnceLock;

use crate::error::Result;
use crate::fs::{Dir, Fs};
use crate::model::relpath;

/// The folders of a sorted list of paths, with the entries of each.
pub(crate) struct Folders<'p> {
    all: Vec<Folder<'p>>,
    /// For each entry its folder.
    of: Vec<u32>,
}

struct Folder<'p> {
    path: &'p [u8],
    parent: Option<u32>,
    members: Vec<u32>,
    made: OnceLock<()>,
}

impl<'p> Folders<'p> {
    pub(crate) fn of(paths: impl Iterator<Item = &'p [u8]>) -> Folders<'p> {
        let mut folders = Folders { all: Vec::new(), of: Vec::new() };
        // All entries of one folder are adjacent, so only the folders around the last entry can occur
        // again.
        let mut around: Vec<u32> = Vec::new();
        for (entry, path) in paths.enumerate() {
            let folder = relpath::split(path).0;
            let index = folders.enter(&mut around, folder);
            folders.all[index as usize].members.push(entry as u32);
            folders.of.push(index);
        }
        folders
    }

    /// Leaves folders and enters others until the folder at `path` is the innermost. Returns its index.
    fn enter(&mut self, around: &mut Vec<u32>, path: &'p [u8]) -> u32 {
        let holds = |outer: &[u8]| outer.is_empty() || relpath::is_within(path, outer);
        while around.last().is_some_and(|&index| !holds(self.all[index as usize].path)) {
            around.pop();
        }
        loop {
            let parent = around.last().map(|&index| (index, self.all[index as usize].path));
            let inner = match parent {
                Some((index, outer)) if outer.len() == path.len() => return index,
                None => 0,
                Some((_, b"")) => end_of_name(path, 0),
                Some((_, outer)) => end_of_name(path, outer.len() + 1),
            };
            let parent = parent.map(|(index, _)| index);
            around.push(self.all.len() as u32);
            let (made, members) = (OnceLock::new(), Vec::new());
            self.all.push(Folder { path: &path[..inner], parent, members, made });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the direct entries of each folder.
    pub(crate) fn members(&self) -> impl Iterator<Item = &[u32]> {
        self.all.iter().map(|folder| folder.members.as_slice())
    }

    /// Returns the direct entries of the folder at a path. Empty if there is no such folder.
    pub(crate) fn members_of(&self, path: &[u8]) -> &[u32] {
        let found = self.all.binary_search_by(|folder| relpath::compare(folder.path, path));
        found.map_or(&[], |at| &self.all[at].members)
    }

    /// Returns every folder's path with its direct entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u32])> {
        self.all.iter().map(|folder| (folder.path, folder.members.as_slice()))
    }

    /// Creates the folder of an entry below `tree`, unless that was done before, and opens it.
    pub(crate) fn make(&self, fs: &Fs, tree: &Dir, entry: u32) -> Result<Dir> {
        let folder = self.of[entry as usize];
        let mut missing = Vec::new();
        let mut at = Some(folder);
        while let Some(index) = at {
            let folder = &self.all[index as usize];
            if folder.made.get().is_some() {
                break;
            }
            missing.push(index);
            at = folder.parent;
        }
        let Some(&first) = missing.last() else {
            return tree.open_dir(self.all[folder as usize].path);
        };
        let mut dir = match self.all[first as usize].parent {
            Some(parent) => tree.open_dir(self.all[parent as usize].path)?,
            None => tree.open_dir(b"")?,
        };
        for index in missing.into_iter().rev() {
            let folder = &self.all[index as usize];
            let name = relpath::split(folder.path).1;
            // The top exists, and another thread may have created the others by now.
            if !name.is_empty() {
                fs.make_dir(&dir, name)?;
                dir = dir.open_dir(name)?;
            }
            folder.made.get_or_init(|| ());
        }
        Ok(dir)
    }
}

fn end_of_name(path: &[u8], start: usize) -> usize {
    path[start..].iter().position(|&b| b == b'/').map_or(path.len(), |length| start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_entries_by_folder() {
        let paths: [&[u8]; 4] = [b"a/b/c", b"a/d", b"e", b"f/g/h"];
        let folders = Folders::of(paths.into_iter());
        let seen: Vec<_> = folders.iter().map(|(p, m)| (relpath::show(p), m.to_vec())).collect();
        let expected = [("", vec![2]), ("a", vec![1]), ("a/b", vec![0]), ("f", vec![]), ("f/g", vec![3])];
        assert_eq!(seen, expected.map(|(p, m)| (p.to_owned(), m)));
    }
}

//! The state of the sources at one time, folder by folder; and the comparison of two such states.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::git::Repo;
use crate::rules::Chain;
use crate::stamp::Stamp;

/// A folder that was listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Folder {
    /// The inode: a folder that was created anew differs.
    pub(crate) inode: u64,
    /// Its own files that count, by name.
    pub(crate) files: Vec<(OsString, Stamp)>,
    /// The rules in it.
    pub(crate) rules: Chain,
}

/// The conditions under which an older scan is still valid.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Frame {
    /// The watched paths: the inode of each that is a folder.
    pub(crate) roots: Vec<Option<u64>>,
    /// The files of rules above them.
    pub(crate) rules: Vec<Option<Stamp>>,
    /// The positions of repositories above them: the inode of each `.git`.
    pub(crate) repos: Vec<Option<u64>>,
    pub(crate) never: Vec<PathBuf>,
}

/// The state of the sources at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The folders by path. Comparing paths by their components takes ten times as long as comparing bytes.
    pub(crate) folders: BTreeMap<OsString, Arc<Folder>>,
    /// The files that no walk finds: named individually, or tracked by git in spite of its rules.
    pub(crate) singles: BTreeMap<OsString, Stamp>,
    /// The folders of those files, with their inodes.
    pub(crate) parents: BTreeMap<OsString, u64>,
    /// The rules above each of the watched folders.
    pub(crate) above: BTreeMap<OsString, Chain>,
    /// The repositories around and inside the watched folders, by the tops of their worktrees.
    pub(crate) repos: BTreeMap<OsString, Repo>,
    /// `None` if each scan must be a full one.
    pub(crate) frame: Option<Frame>,
    /// The problems of the scan, as sentences.
    pub problems: Vec<String>,
}

impl Scan {
    /// Returns the paths whose files differ between the two scans, or exist in only one of them.
    pub fn changes(&self, newer: &Scan) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        differing(self.folders.iter(), newer.folders.iter(), |path, older, newer| {
            let [older, newer] = [older, newer].map(|folder| folder.map_or(&[][..], |f| &f.files));
            let [older, newer] =
                [older, newer].map(|files| files.iter().map(|(name, stamp)| (name, stamp)));
            differing(older, newer, |name, _, _| changed.push(Path::new(path).join(name)));
        });
        differing(self.singles.iter(), newer.singles.iter(), |path, _, _| {
            changed.push(PathBuf::from(path))
        });
        changed.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        changed.dedup();
        changed
    }

    /// Counts the files.
    pub fn files(&self) -> usize {
        let walked: usize = self.folders.values().map(|folder| folder.files.len()).sum();
        walked + self.singles.keys().filter(|path| !self.was_walked(path)).count()
    }

    fn was_walked(&self, file: &OsStr) -> bool {
        let path = Path::new(file);
        let folder = path.parent().and_then(|parent| self.folders.get(parent.as_os_str()));
        let name = path.file_name().unwrap_or_default();
        folder.is_some_and(|folder| folder.files.iter().any(|(known, _)| known == name))
    }

    /// Returns the directories to watch, with their inodes.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&OsStr, u64)> {
        let folders = self.folders.iter().map(|(path, folder)| (path.as_os_str(), folder.inode));
        let parents = self.parents.iter().filter(|(path, _)| !self.folders.contains_key(*path));
        folders.chain(parents.map(|(path, inode)| (path.as_os_str(), *inode)))
    }

    /// Forgets a folder with everything in it. Returns whether it was known.
    pub(crate) fn forget(&mut self, folder: &OsStr) -> bool {
        let below: Vec<OsString> = self.below(folder).cloned().collect();
        below.iter().for_each(|path| drop(self.folders.remove(path)));
        self.folders.remove(folder).is_some()
    }

    /// Returns all folders below one.
    pub(crate) fn below(&self, folder: &OsStr) -> impl Iterator<Item = &OsString> {
        let edge = |end: &str| {
            let mut path = if folder == "/" { OsString::new() } else { folder.to_owned() };
            path.push(end);
            path
        };
        // The byte `0` follows directly after `/`.
        let range = (Bound::Excluded(edge("/")), Bound::Excluded(edge("0")));
        self.folders.range(range).map(|(path, _)| path)
    }

    /// Returns the direct subfolders of a folder.
    pub(crate) fn inner(&self, folder: &OsStr) -> impl Iterator<Item = &OsString> {
        let length = if folder == "/" { 0 } else { folder.len() };
        self.below(folder).filter(move |path| !path.as_bytes()[length + 1..].contains(&b'/'))
    }

    /// Records a problem. A file that vanished during the scan is no problem: the next scan finds that.
    pub(crate) fn miss(&mut self, problem: String, gone: bool) {
        if !gone {
            self.problems.push(problem);
        }
    }
}

/// Calls `differs` for each key whose values differ, or that only one of the two has. Both are sorted.
fn differing<'a, V: PartialEq + 'a>(
    older: impl Iterator<Item = (&'a OsString, &'a V)>,
    newer: impl Iterator<Item = (&'a OsString, &'a V)>,
    mut differs: impl FnMut(&'a OsStr, Option<&'a V>, Option<&'a V>),
) {
    let (mut older, mut newer) = (older.peekable(), newer.peekable());
    loop {
        let order = match (older.peek(), newer.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let was = if order.is_le() { older.next() } else { None };
        let is = if order.is_ge() { newer.next() } else { None };
        if was != is
            && let Some((key, _)) = was.or(is)
        {
            differs(key, was.map(|(_, value)| value), is.map(|(_, value)| value));
        }
    }
}

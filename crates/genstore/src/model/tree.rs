//! Trees: the sorted, duplicate-free list of a generation's entries.
//!
//! A tree is kept in the form in which it is written, in columns (`store-layout.md`, "Tree"): all paths
//! in one run of bytes, all digests in another. Reading one takes one check instead of an allocation
//! per entry, which keeps `rollback` and `diff` in milliseconds. An entry takes its path and about 70
//! bytes.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::digest::{Digest, Hashing};
use super::little_endian::{u32_at, u64_at};
use super::relpath;
use crate::threads::prelude::*;

pub(crate) mod builder;
mod id;
pub(crate) mod runs;

pub use id::TreeId;

/// A modification time: seconds since 1970-01-01 UTC and nanoseconds (0 to 999,999,999).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mtime {
    /// Whole seconds since the epoch, rounded down.
    pub secs: i64,
    /// Nanoseconds beyond `secs`.
    pub nanos: u32,
}

impl From<SystemTime> for Mtime {
    fn from(time: SystemTime) -> Mtime {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Mtime { secs: after.as_secs() as i64, nanos: after.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                let (secs, nanos) = (before.as_secs() as i64, before.subsec_nanos());
                match nanos {
                    0 => Mtime { secs: -secs, nanos: 0 },
                    _ => Mtime { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
                }
            }
        }
    }
}

impl From<Mtime> for SystemTime {
    fn from(time: Mtime) -> SystemTime {
        let whole = Duration::from_secs(time.secs.unsigned_abs());
        let base = if time.secs < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        base + Duration::from_nanos(u64::from(time.nanos))
    }
}

/// The identity of a file's content in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Whether the file is executable.
    pub executable: bool,
}

/// A file of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileNode {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is executable: mode 0555 instead of 0444.
    pub executable: bool,
    /// The object's modification time. It is not part of the tree's id.
    pub mtime: Mtime,
}

impl FileNode {
    /// Returns the id of the object that holds the bytes.
    pub fn object(&self) -> ObjectId {
        ObjectId { digest: self.digest, executable: self.executable }
    }
}

/// The entry at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node<'a> {
    /// A regular file.
    File(FileNode),
    /// A symbolic link with this target.
    Symlink(&'a [u8]),
    /// An empty directory. Other directories follow from the paths of their entries.
    EmptyDir,
}

impl Node<'_> {
    /// Returns whether the two are the same apart from their mtime.
    pub fn same_content(&self, other: &Node<'_>) -> bool {
        match (self, other) {
            (Node::File(a), Node::File(b)) => a.object() == b.object(),
            (a, b) => a == b,
        }
    }
}

/// One entry of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// A valid relative path (see [`crate::tree::RelPath`]).
    pub path: &'a [u8],
    /// The entry itself.
    pub node: Node<'a>,
}

/// Number of paths that one thread checks at a time: some tenths of a millisecond.
const CHECKED_TOGETHER: usize = 4096;

pub(crate) const KIND_FILE: u8 = 0;
pub(crate) const KIND_EXECUTABLE: u8 = 1;
pub(crate) const KIND_SYMLINK: u8 = 2;
pub(crate) const KIND_EMPTY_DIR: u8 = 3;

/// The columns of a tree, in the order in which they are written. They are slices of the manifest's
/// bytes, or growing buffers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Columns<B = Bytes> {
    /// Every path, each followed by a NUL.
    pub(crate) paths: B,
    /// One kind per entry.
    pub(crate) kinds: B,
    /// One little-endian u64 per file.
    pub(crate) sizes: B,
    /// 32 bytes per file.
    pub(crate) digests: B,
    /// Every symlink's target, each followed by a NUL.
    pub(crate) targets: B,
    /// Per file the seconds (little-endian i64) and nanoseconds (little-endian u32).
    pub(crate) mtimes: B,
}

impl Columns<Vec<u8>> {
    /// Ends their growth.
    pub(crate) fn freeze(self) -> Columns {
        Columns {
            paths: self.paths.into(),
            kinds: self.kinds.into(),
            sizes: self.sizes.into(),
            digests: self.digests.into(),
            targets: self.targets.into(),
            mtimes: self.mtimes.into(),
        }
    }
}

/// The sorted, duplicate-free list of a generation's entries.
#[derive(Clone, Debug)]
pub struct Tree {
    columns: Columns,
    id: TreeId,
    /// The end of each path (its NUL): entry `i` is `ends[i-1] + 1 .. ends[i]`.
    ends: Vec<u32>,
    /// For each entry its index among the files, or among the ends of the targets.
    ranks: Vec<u32>,
    target_ends: Vec<u32>,
    bytes: u64,
}

/// The reason why columns or entries are not a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeProblem {
    /// The columns do not fit together, or contain invalid values.
    Malformed(&'static str),
    /// The path is not a relative path.
    BadPath(Vec<u8>, relpath::PathProblem),
    /// The path is a duplicate, out of order, or below something that is not a directory.
    Misplaced(Vec<u8>),
}

impl fmt::Display for TreeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeProblem::Malformed(what) => write!(f, "malformed tree: {what}"),
            TreeProblem::BadPath(path, why) => write!(f, "{}: {why}", relpath::show(path)),
            TreeProblem::Misplaced(path) => {
                write!(f, "{}: duplicate, out of order, or below a file", relpath::show(path))
            }
        }
    }
}

impl Tree {
    /// Returns the tree without entries.
    pub fn empty() -> Tree {
        Tree::of_built(Columns::default())
    }

    /// Returns the tree of the columns of a builder, which fit together.
    ///
    /// # Panics
    /// Beyond 4 GiB of paths or targets.
    fn of_built(columns: Columns) -> Tree {
        Tree::from_good_columns(columns, None).expect("the columns of a builder fit together")
    }

    /// Checks columns and finds their entries. Hashing the columns costs as much as all other work, so
    /// a caller that knows the id from a source with a checked hash passes it.
    pub(crate) fn from_columns(columns: Columns, id: Option<TreeId>) -> Result<Tree, TreeProblem> {
        let tree = Tree::from_good_columns(columns, id)?;
        tree.check_order()?;
        Ok(tree)
    }

    /// Finds the entries of columns whose paths and targets were checked.
    fn from_good_columns(columns: Columns, id: Option<TreeId>) -> Result<Tree, TreeProblem> {
        let malformed = |what| Err(TreeProblem::Malformed(what));
        let count = columns.kinds.len();
        if columns.paths.len() > u32::MAX as usize || columns.targets.len() > u32::MAX as usize {
            return malformed("paths or targets beyond 4 GiB");
        }
        let ends = nul_positions(&columns.paths, count);
        if ends.len() != count || columns.paths.last().is_some_and(|&b| b != 0) {
            return malformed("the number of paths differs from the number of kinds");
        }
        let target_ends = nul_positions(&columns.targets, 0);
        if columns.targets.last().is_some_and(|&b| b != 0) {
            return malformed("the last target has no end");
        }
        let mut ranks = Vec::with_capacity(count);
        let (mut files, mut links) = (0u32, 0u32);
        for kind in columns.kinds.iter() {
            let counter = match *kind {
                KIND_FILE | KIND_EXECUTABLE => &mut files,
                KIND_SYMLINK => &mut links,
                KIND_EMPTY_DIR => {
                    ranks.push(0);
                    continue;
                }
                _ => return malformed("unknown kind of entry"),
            };
            ranks.push(*counter);
            *counter += 1;
        }
        let files = files as usize;
        if columns.sizes.len() != files * 8
            || columns.digests.len() != files * 32
            || columns.mtimes.len() != files * 12
            || target_ends.len() != links as usize
        {
            return malformed("columns of different lengths");
        }
        if columns.mtimes.chunks_exact(12).any(|m| u32_at(m, 8) >= 1_000_000_000) {
            return malformed("nanoseconds beyond a second");
        }
        let mut bytes = 0u64;
        for size in columns.sizes.chunks_exact(8) {
            match bytes.checked_add(u64_at(size, 0)) {
                Some(sum) => bytes = sum,
                None => return malformed("sizes beyond 64 bits"),
            }
        }
        let id = id.unwrap_or_else(|| tree_id(&columns));
        Ok(Tree { columns, id, ends, ranks, target_ends, bytes })
    }

    fn check_order(&self) -> Result<(), TreeProblem> {
        let problem = |index: usize| {
            let path = self.path(index);
            let follows = match index {
                0 => relpath::check(path).map(|()| true),
                _ => relpath::check_next(self.path(index - 1), path),
            };
            match follows {
                Ok(true) => None,
                Ok(false) => Some(TreeProblem::Misplaced(path.to_vec())),
                Err(why) => Some(TreeProblem::BadPath(path.to_vec(), why)),
            }
        };
        let problem = match self.len() > CHECKED_TOGETHER {
            true => (0..self.len()).into_par_iter().with_min_len(CHECKED_TOGETHER).find_map_first(problem),
            // A rollback reads only small trees, and starting threads would take longer than the whole
            // check.
            false => (0..self.len()).find_map(problem),
        };
        if let Some(problem) = problem {
            return Err(problem);
        }
        let starts = std::iter::once(0).chain(self.target_ends.iter().map(|end| end + 1));
        if starts.zip(&self.target_ends).any(|(start, end)| start == *end) {
            return Err(TreeProblem::Malformed("a symlink without a target"));
        }
        Ok(())
    }

    /// Returns whether two entries are the same file, mtime included, without decoding them.
    pub(crate) fn is_same_file(&self, index: usize, other: &Tree, at: usize) -> bool {
        let kind = self.columns.kinds[index];
        if kind != other.columns.kinds[at] || !matches!(kind, KIND_FILE | KIND_EXECUTABLE) {
            return false;
        }
        let (a, b) = (self.ranks[index] as usize, other.ranks[at] as usize);
        self.columns.digests[a * 32..][..32] == other.columns.digests[b * 32..][..32]
            && self.columns.mtimes[a * 12..][..12] == other.columns.mtimes[b * 12..][..12]
    }

    /// Returns whether the id is the id of the entries.
    pub(crate) fn has_right_id(&self) -> bool {
        tree_id(&self.columns) == self.id
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Returns the id.
    pub fn id(&self) -> TreeId {
        self.id
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the number of files.
    pub fn files(&self) -> u64 {
        (self.columns.sizes.len() / 8) as u64
    }

    /// Returns the sum of the sizes of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the path of entry `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Tree::len`].
    pub fn path(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize + 1 };
        &self.columns.paths[start..self.ends[index] as usize]
    }

    /// Returns entry `index`, in the order of the paths.
    ///
    /// # Panics
    /// If `index` is not below [`Tree::len`].
    pub fn get(&self, index: usize) -> Entry<'_> {
        let rank = self.ranks[index] as usize;
        let node = match self.columns.kinds[index] {
            KIND_SYMLINK => {
                let start = if rank == 0 { 0 } else { self.target_ends[rank - 1] as usize + 1 };
                Node::Symlink(&self.columns.targets[start..self.target_ends[rank] as usize])
            }
            KIND_EMPTY_DIR => Node::EmptyDir,
            kind => {
                let mtime = &self.columns.mtimes[rank * 12..][..12];
                let mut digest = [0; 32];
                digest.copy_from_slice(&self.columns.digests[rank * 32..][..32]);
                Node::File(FileNode {
                    digest: Digest(digest),
                    size: u64_at(&self.columns.sizes, rank * 8),
                    executable: kind == KIND_EXECUTABLE,
                    mtime: Mtime { secs: u64_at(mtime, 0) as i64, nanos: u32_at(mtime, 8) },
                })
            }
        };
        Entry { path: self.path(index), node }
    }

    /// Returns the index of entry `index` among the files, or `None` if it is not a file.
    pub(crate) fn file_rank(&self, index: usize) -> Option<usize> {
        let is_file = matches!(self.columns.kinds[index], KIND_FILE | KIND_EXECUTABLE);
        is_file.then(|| self.ranks[index] as usize)
    }

    pub(crate) fn is_empty_dir(&self, index: usize) -> bool {
        self.columns.kinds[index] == KIND_EMPTY_DIR
    }

    /// Returns the digest of an entry's bytes and whether it is executable, or `None` if it is not a
    /// file.
    pub(crate) fn object_at(&self, index: usize) -> Option<(&[u8], bool)> {
        let rank = self.file_rank(index)?;
        Some((&self.columns.digests[rank * 32..][..32], self.columns.kinds[index] == KIND_EXECUTABLE))
    }

    /// Iterates over the entries in path order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Iterates over the files alone.
    pub fn iter_files(&self) -> impl Iterator<Item = (&[u8], FileNode)> {
        self.iter().filter_map(|entry| match entry.node {
            Node::File(file) => Some((entry.path, file)),
            _ => None,
        })
    }

    /// Finds the entry at `path`. Returns `None` for a directory with entries.
    pub fn find(&self, path: &[u8]) -> Option<Node<'_>> {
        self.index_of(path).map(|index| self.get(index).node)
    }

    /// Returns the index of the entry at `path`.
    pub(crate) fn index_of(&self, path: &[u8]) -> Option<usize> {
        let index = self.lower_bound(path);
        (index < self.len() && self.path(index) == path).then_some(index)
    }

    /// Iterates over the entries at or below `folder`. The empty folder is the whole tree.
    pub fn below<'a>(&'a self, folder: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
        let start = if folder.is_empty() { 0 } else { self.lower_bound(folder) };
        (start..self.len())
            .map(|index| self.get(index))
            .take_while(move |entry| folder.is_empty() || relpath::is_within(entry.path, folder))
    }

    /// Returns the index of the first entry that does not come before `path`.
    pub(crate) fn lower_bound(&self, path: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if relpath::compare(self.path(middle), path).is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::empty()
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        self.columns == other.columns
    }
}

impl Eq for Tree {}

/// BLAKE3 over every column except the mtimes, each after its length as a little-endian u64. These are
/// the bytes of a manifest up to the mtimes.
fn tree_id(columns: &Columns) -> TreeId {
    let mut hashing = Hashing::default();
    let Columns { paths, kinds, sizes, digests, targets, mtimes: _ } = columns;
    for column in [paths, kinds, sizes, digests, targets] {
        hashing.update(&(column.len() as u64).to_le_bytes());
        hashing.update(column);
    }
    TreeId::from_digest(hashing.digest())
}

fn nul_positions(bytes: &[u8], count: usize) -> Vec<u32> {
    let mut positions = Vec::with_capacity(count);
    positions.extend(memchr::memchr_iter(0, bytes).map(|at| at as u32));
    positions
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

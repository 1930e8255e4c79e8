//! Shared paths: paths of a project that every generation shows by a link, and that no generation holds
//! (uploads, `.env`, a database).
//!
//! A generation records the name of a shared path and not its place. Its tree has an ordinary symlink
//! there, with the target `places/NAME` of the store, written from the path itself:
//!
//! ```text
//! generations/7/tree/storage     -> ../../../places/storage
//! generations/7/tree/a/uploads   -> ../../../../places/a%2fuploads
//! places/storage                 -> ../../shared/storage/     (the store's own link, see `parts/places`)
//! ```
//!
//! The target depends on the path alone. So the tree id is the same in every store and on every host, the
//! format needs no new kind of entry, and a program that knows nothing of shared paths reads, copies and
//! compares the entry as a symlink. `generations/N/tree` and `failed/N/tree` are at the same depth below the
//! store; `staging/places` serves trees that are still staged.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::relpath::{self, NAME_MAX, RelPath};
use crate::model::tree::{Node, Tree};

/// The folder of the store with a link for each shared path.
pub(crate) const PLACES: &[u8] = b"places";

/// The kind of a shared path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SharedKind {
    /// A folder.
    #[default]
    Folder,
    /// A file.
    File,
}

impl fmt::Display for SharedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SharedKind::Folder => "folder",
            SharedKind::File => "file",
        })
    }
}

/// A path that every generation shows by a link, and its place outside the store.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SharedPath {
    /// The path in the tree.
    pub path: RelPath,
    /// The absolute path of its place. It is made if it is missing, and never changed after that.
    pub at: PathBuf,
    /// The kind of the place.
    pub kind: SharedKind,
    /// The mode of a place that is made: 0755 or 0644 if not given.
    pub mode: Option<u32>,
    /// Whether entries that a plan has at the path become the first content of a place that is made.
    /// Without it such a plan is refused.
    pub seed: bool,
}

impl SharedPath {
    /// Creates one for a folder, without seed.
    pub fn new(path: RelPath, at: impl Into<PathBuf>) -> SharedPath {
        SharedPath { path, at: at.into(), kind: SharedKind::Folder, mode: None, seed: false }
    }

    /// Sets the kind of the place.
    pub fn kind(mut self, kind: SharedKind) -> SharedPath {
        self.kind = kind;
        self
    }

    /// Sets the mode of a place that is made.
    pub fn mode(mut self, mode: u32) -> SharedPath {
        self.mode = Some(mode);
        self
    }

    /// Makes entries of the plan the first content of a place that is made.
    pub fn seed(mut self) -> SharedPath {
        self.seed = true;
        self
    }
}

/// The shared paths of a project, none of which is in another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedPaths(Arc<[SharedPath]>);

/// The reason why paths cannot be shared together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SharedProblem {
    /// The first is the second, or lies in it.
    Overlap(RelPath, RelPath),
    /// The name is too long for a file name of the store.
    TooLong(RelPath),
    /// The place is not absolute.
    Relative(RelPath),
}

impl fmt::Display for SharedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedProblem::Overlap(inner, outer) if inner == outer => {
                write!(f, "the shared path {inner} is given twice")
            }
            SharedProblem::Overlap(inner, outer) => {
                write!(f, "the shared path {inner} lies in the shared path {outer}")
            }
            SharedProblem::TooLong(path) => write!(f, "the shared path {path} is longer than 255 bytes"),
            SharedProblem::Relative(path) => {
                write!(f, "the place of the shared path {path} is not absolute")
            }
        }
    }
}

impl std::error::Error for SharedProblem {}

impl SharedPaths {
    /// Lists the shared paths of a tree: those that are its links to the places of a project.
    pub fn in_tree(tree: &Tree) -> Vec<&[u8]> {
        paths_of(tree).collect()
    }

    /// Checks the paths against each other.
    ///
    /// # Errors
    /// The first [`SharedProblem`].
    pub fn new(mut paths: Vec<SharedPath>) -> Result<SharedPaths, SharedProblem> {
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        for one in &paths {
            if name_of(one.path.as_bytes()).len() > NAME_MAX {
                return Err(SharedProblem::TooLong(one.path.clone()));
            }
            if !one.at.is_absolute() {
                return Err(SharedProblem::Relative(one.path.clone()));
            }
        }
        // The order keeps all paths of a folder together, right after the folder.
        match paths
            .windows(2)
            .find(|two| relpath::is_within(two[1].path.as_bytes(), two[0].path.as_bytes()))
        {
            Some(two) => Err(SharedProblem::Overlap(two[1].path.clone(), two[0].path.clone())),
            None => Ok(SharedPaths(paths.into())),
        }
    }

    /// Returns whether no path is shared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over them in path order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SharedPath> {
        self.0.iter()
    }

    /// Returns the shared path that is `path` or contains it, by its index.
    pub(crate) fn around(&self, path: &[u8]) -> Option<usize> {
        self.0.iter().position(|one| relpath::is_within(path, one.path.as_bytes()))
    }
}

/// Returns the name of a shared path in `places/`: its bytes, with `%` and `/` as `%25` and `%2f`.
pub(crate) fn name_of(path: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'%' => name.extend(b"%25"),
            b'/' => name.extend(b"%2f"),
            byte => name.push(*byte),
        }
    }
    name
}

/// Returns the shared path of a name in `places/`, or `None` if it is not such a name.
pub(crate) fn path_of(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        (rest, path) = match first {
            b'%' if after.starts_with(b"25") => (&after[2..], [path, vec![b'%']].concat()),
            b'%' if after.starts_with(b"2f") => (&after[2..], [path, vec![b'/']].concat()),
            b'%' => return None,
            byte => (after, [path, vec![*byte]].concat()),
        };
    }
    relpath::check(&path).is_ok().then_some(path)
}

/// Returns the target of the link at a shared path.
pub(crate) fn target_of(path: &[u8]) -> Vec<u8> {
    let folders = path.iter().filter(|byte| **byte == b'/').count();
    [&b"../".repeat(folders + 3), PLACES, b"/", &name_of(path)].concat()
}

/// Returns whether a symlink of a tree is the link of a shared path.
pub(crate) fn is_link(path: &[u8], target: &[u8]) -> bool {
    // Most symlinks lead elsewhere, and are not compared in full.
    target.starts_with(b"../../../") && target == target_of(path)
}

/// Returns whether a node is the link of a shared path.
pub(crate) fn is_shared(path: &[u8], node: &Node<'_>) -> bool {
    matches!(node, Node::Symlink(target) if is_link(path, target))
}

/// Returns whether a path lies behind a shared path of the tree.
pub(crate) fn lies_behind(tree: &Tree, path: &[u8]) -> bool {
    let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.any(|end| tree.find(&path[..end]).is_some_and(|node| is_shared(&path[..end], &node)))
}

/// Returns the paths in a tree that are shared.
pub(crate) fn paths_of(tree: &Tree) -> impl Iterator<Item = &[u8]> {
    tree.iter().filter(|entry| is_shared(entry.path, &entry.node)).map(|entry| entry.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_paths() {
        for (path, name, target) in [
            ("storage", "storage", "../../../places/storage"),
            ("a/up", "a%2fup", "../../../../places/a%2fup"),
            (".env", ".env", "../../../places/.env"),
            ("50%/x", "50%25%2fx", "../../../../places/50%25%2fx"),
        ] {
            assert_eq!(name_of(path.as_bytes()), name.as_bytes());
            assert_eq!(path_of(name.as_bytes()).as_deref(), Some(path.as_bytes()));
            assert_eq!(target_of(path.as_bytes()), target.as_bytes());
            assert!(is_link(path.as_bytes(), target.as_bytes()) && !is_link(b"other", target.as_bytes()));
        }
        for name in ["%", "%2", "%41", "%2fx", "a%2f"] {
            assert_eq!(path_of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn no_path_is_shared_within_another() {
        let new = |paths: &[&str]| {
            let path = |path: &&str| SharedPath::new(RelPath::new(*path).unwrap(), "/p/at");
            SharedPaths::new(paths.iter().map(path).collect()).map_err(|problem| problem.to_string())
        };
        let fails = |paths: &[&str], expected: &str| assert_eq!(new(paths).unwrap_err(), expected);
        assert_eq!(new(&["b", "a", "a-b"]).unwrap().around(b"a/x/y"), Some(0));
        fails(&["a/b", "a-c", "a"], "the shared path a/b lies in the shared path a");
        fails(&["a", "a"], "the shared path a is given twice");
        fails(
            &["x/".repeat(90).trim_end_matches('/')],
            &format!("the shared path {} is longer than 255 bytes", "x/".repeat(90).trim_end_matches('/')),
        );
        let relative = SharedPath::new(RelPath::new("a").unwrap(), "at");
        assert_eq!(
            SharedPaths::new(vec![relative]),
            Err(SharedProblem::Relative(RelPath::new("a").unwrap()))
        );
    }
}

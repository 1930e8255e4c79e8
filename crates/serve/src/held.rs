//! Generations that the server holds: a lease, so that gc does not remove them, and their tree.

use std::path::PathBuf;
use std::sync::Arc;

use genstore::tree::{FileNode, Node, Tree};
use genstore::{Error, Generation, GenerationId};

use crate::netlify::Rules;

/// The number of symlinks that are followed for one path.
const MOST_LINKS: usize = 40;
/// The largest `_headers` and `_redirects` that are read.
const MOST_RULES: u64 = 256 << 10;

/// A lease on a generation, and the place of its files.
pub(crate) struct Lease {
    generation: Generation,
    /// The folder of the tree.
    pub(crate) root: PathBuf,
}

impl Lease {
    /// Returns the number of the generation.
    pub(crate) fn id(&self) -> GenerationId {
        self.generation.id()
    }
}

/// A generation that can answer requests.
pub(crate) struct Held {
    pub(crate) lease: Arc<Lease>,
    pub(crate) tree: Tree,
    /// The rules in its `_headers` and `_redirects`.
    pub(crate) rules: Rules,
    has_links: bool,
}

/// The result of a look at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A file, with its path without symlinks.
    File(Vec<u8>, FileNode),
    /// A folder, with its path without symlinks.
    Folder(Vec<u8>),
    Nothing,
}

impl Held {
    /// Reads the manifest of an open generation.
    pub(crate) fn load(generation: Generation, site: &[u8]) -> Result<Held, Error> {
        let tree = generation.manifest()?.tree;
        let root = generation.path();
        let has_links = tree.iter().any(|entry| matches!(entry.node, Node::Symlink(_)));
        let lease = Arc::new(Lease { generation, root });
        let mut held = Held { lease, tree, rules: Rules::default(), has_links };
        let read = |name: &str| -> Result<Vec<u8>, Error> {
            let path = join(site, name.as_bytes());
            let mut bytes = vec![];
            if let Some(Node::File(file)) = held.tree.find(&path)
                && file.size <= MOST_RULES
            {
                held.lease.generation.cat(&path, &mut bytes)?;
            }
            Ok(bytes)
        };
        held.rules = Rules::parse(&read("_headers")?, &read("_redirects")?);
        Ok(held)
    }

    /// Returns the number of the generation.
    pub(crate) fn id(&self) -> GenerationId {
        self.lease.id()
    }

    /// Finds a path. Symlinks are followed within the tree; one that leaves it leads to nothing.
    pub(crate) fn find(&self, path: &[u8]) -> Found {
        if path.is_empty() {
            return Found::Folder(vec![]);
        }
        match self.tree.find(path) {
            Some(Node::File(file)) => return Found::File(path.to_vec(), file),
            Some(Node::EmptyDir) => return Found::Folder(path.to_vec()),
            None if !self.has_links => {
                return match self.tree.below(path).next() {
                    Some(_) => Found::Folder(path.to_vec()),
                    None => Found::Nothing,
                };
            }
            _ => {}
        }
        self.follow(path).unwrap_or(Found::Nothing)
    }

    fn follow(&self, path: &[u8]) -> Option<Found> {
        let mut rest: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect();
        let (mut done, mut links): (Vec<Vec<u8>>, usize) = (vec![], 0);
        while let Some(part) = rest.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    done.pop()?;
                    continue;
                }
                _ => done.push(part),
            }
            let here = done.join(&b'/');
            match self.tree.find(&here) {
                Some(Node::Symlink(target)) => {
                    links += 1;
                    if links > MOST_LINKS || target.starts_with(b"/") {
                        return None;
                    }
                    done.pop();
                    rest.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                Some(Node::File(file)) if rest.is_empty() => return Some(Found::File(here, file)),
                Some(Node::File(_)) => return None,
                Some(Node::EmptyDir) => {}
                None => drop(self.tree.below(&here).next()?),
            }
        }
        Some(Found::Folder(done.join(&b'/')))
    }
}

/// Joins two parts of a path, of which the first may be empty.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => folder.to_vec(),
        _ => [folder, b"/", name].concat(),
    }
}

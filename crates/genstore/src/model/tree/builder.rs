//! Builds a tree, entry by entry.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Columns, Entry, KIND_EMPTY_DIR, KIND_EXECUTABLE, KIND_FILE, KIND_SYMLINK, Node, Tree, TreeProblem,
};
use crate::model::relpath;

/// Collects entries in path order.
#[derive(Default)]
pub struct TreeBuilder {
    columns: Columns<Vec<u8>>,
    last: Vec<u8>,
}

impl TreeBuilder {
    /// Creates a builder with room for this number of nodes.
    pub(crate) fn with_capacity(entries: usize) -> TreeBuilder {
        let column = |width: usize| Vec::with_capacity(entries * width);
        let columns = Columns {
            paths: Vec::new(),
            kinds: column(1),
            sizes: column(8),
            digests: column(32),
            targets: Vec::new(),
            mtimes: column(12),
        };
        TreeBuilder { columns, last: Vec::new() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If the path is not a relative path, or does not come after all earlier ones.
    pub fn push(&mut self, entry: Entry<'_>) -> Result<(), TreeProblem> {
        let Entry { path, node } = entry;
        let follows = match self.columns.kinds.is_empty() {
            true => relpath::check(path).map(|()| true),
            false => relpath::check_next(&self.last, path),
        };
        if !follows.map_err(|why| TreeProblem::BadPath(path.to_vec(), why))? {
            return Err(TreeProblem::Misplaced(path.to_vec()));
        }
        if let Node::Symlink(target) = node
            && (target.is_empty() || target.contains(&0))
        {
            return Err(TreeProblem::Malformed("a symlink without a target"));
        }
        self.append(entry);
        self.last.clear();
        self.last.extend(path);
        Ok(())
    }

    /// Adds an entry of another tree, which comes after all earlier ones.
    pub(crate) fn append(&mut self, entry: Entry<'_>) {
        self.append_node(entry.node);
        self.append_path(entry.path);
    }

    fn append_path(&mut self, path: &[u8]) {
        self.columns.paths.extend(path);
        self.columns.paths.push(0);
    }

    /// Adds a node to a tree whose paths are all added at the end. The target of a symlink must have been
    /// checked.
    pub(crate) fn append_node(&mut self, node: Node<'_>) {
        let columns = &mut self.columns;
        columns.kinds.push(match node {
            Node::File(file) if file.executable => KIND_EXECUTABLE,
            Node::File(_) => KIND_FILE,
            Node::Symlink(_) => KIND_SYMLINK,
            Node::EmptyDir => KIND_EMPTY_DIR,
        });
        match node {
            Node::File(file) => {
                columns.sizes.extend(file.size.to_le_bytes());
                columns.digests.extend(file.digest.0);
                columns.mtimes.extend(file.mtime.secs.to_le_bytes());
                columns.mtimes.extend(file.mtime.nanos.to_le_bytes());
            }
            Node::Symlink(target) => {
                columns.targets.extend(target);
                columns.targets.push(0);
            }
            Node::EmptyDir => {}
        }
    }

    /// Adds the nodes of adjacent files of another tree.
    pub(crate) fn push_files(&mut self, tree: &Tree, entries: Range<usize>) {
        let (Some(first), from) = (tree.file_rank(entries.start), &tree.columns) else { return };
        let bytes = |width: usize| first * width..(first + entries.len()) * width;
        self.columns.kinds.extend(&from.kinds[entries.clone()]);
        self.columns.sizes.extend(&from.sizes[bytes(8)]);
        self.columns.digests.extend(&from.digests[bytes(32)]);
        self.columns.mtimes.extend(&from.mtimes[bytes(12)]);
    }

    /// Completes a tree that has only nodes, with their paths, each followed by a NUL. The paths must
    /// have been checked and be in order.
    ///
    /// # Panics
    /// If the number of paths differs, and as [`TreeBuilder::finish`].
    pub(crate) fn finish_at(self, paths: Bytes) -> Tree {
        Tree::of_built(Columns { paths, ..self.columns.freeze() })
    }

    /// Completes the tree.
    ///
    /// # Panics
    /// Beyond 4 GiB of paths; [`crate::Plan`] refuses those before.
    pub fn finish(self) -> Tree {
        Tree::of_built(self.columns.freeze())
    }
}

impl Tree {
    /// Returns the tree of some of the entries, chosen by their indexes. A part of a sorted tree is
    /// sorted.
    pub(crate) fn part(&self, is_in: impl Fn(usize) -> bool) -> Tree {
        let mut part = TreeBuilder::default();
        for index in (0..self.len()).filter(|index| is_in(*index)) {
            part.append(self.get(index));
        }
        part.finish()
    }
}

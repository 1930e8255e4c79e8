//! Differences of two trees: a merge of two sorted lists, then a search for renames by digest.

use std::collections::HashMap;

use super::pairs::{Pair, pairs};
use super::relpath::{self, RelPath};
use super::tree::{Entry, Node, ObjectId, Tree};

/// A change at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only the new tree has the entry.
    Added(Entry<'a>),
    /// Only the old tree has the entry.
    Removed(Entry<'a>),
    /// Both trees have the path, with other content or another kind.
    Modified(Entry<'a>, Entry<'a>),
    /// The same file has another path.
    Renamed(Entry<'a>, Entry<'a>),
}

impl<'a> Change<'a> {
    /// Returns the entry of the old tree.
    pub fn from(&self) -> Option<Entry<'a>> {
        match *self {
            Change::Removed(from) | Change::Modified(from, _) | Change::Renamed(from, _) => Some(from),
            Change::Added(_) => None,
        }
    }

    /// Returns the entry of the new tree.
    pub fn to(&self) -> Option<Entry<'a>> {
        match *self {
            Change::Added(to) | Change::Modified(_, to) | Change::Renamed(_, to) => Some(to),
            Change::Removed(_) => None,
        }
    }

    /// Returns the path under which the change is listed: the new path, or the old one of a removed
    /// entry.
    pub fn path(&self) -> &'a [u8] {
        self.to().or(self.from()).map_or(b"", |entry| entry.path)
    }
}

/// Counts of a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiffSummary {
    /// Paths that only the new tree has.
    pub added: u64,
    /// Paths that only the old tree has.
    pub removed: u64,
    /// Paths with other content.
    pub modified: u64,
    /// Files at another path.
    pub renamed: u64,
    /// Bytes by which the new tree is larger.
    pub bytes: i64,
}

/// The difference of two trees, in the order of the new paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff<'a> {
    /// The changes.
    pub changes: Vec<Change<'a>>,
    /// Their counts.
    pub summary: DiffSummary,
}

impl Diff<'_> {
    /// Keeps only the changes at these paths and below them. A rename counts for both of its paths.
    pub fn keep_within(&mut self, paths: &[RelPath]) {
        let within = |path: &[u8]| {
            paths.iter().any(|wanted| {
                let rest = path.strip_prefix(wanted.as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            })
        };
        self.changes
            .retain(|change| within(change.path()) || change.from().is_some_and(|from| within(from.path)));
        self.summary = summarize(&self.changes);
    }
}

/// Compares two trees. mtimes are ignored.
pub fn diff<'a>(old: &'a Tree, new: &'a Tree) -> Diff<'a> {
    let mut changes = merge(old, new);
    pair_renames(&mut changes);
    changes.sort_by(|a, b| relpath::compare(a.path(), b.path()));
    let summary = summarize(&changes);
    Diff { changes, summary }
}

fn summarize(changes: &[Change<'_>]) -> DiffSummary {
    let size = |entry: Option<Entry<'_>>| match entry.map(|entry| entry.node) {
        Some(Node::File(file)) => file.size as i64,
        _ => 0,
    };
    let mut summary = DiffSummary::default();
    for change in changes {
        *match change {
            Change::Added(_) => &mut summary.added,
            Change::Removed(_) => &mut summary.removed,
            Change::Modified(..) => &mut summary.modified,
            Change::Renamed(..) => &mut summary.renamed,
        } += 1;
        summary.bytes += size(change.to()) - size(change.from());
    }
    summary
}

fn merge<'a>(old: &'a Tree, new: &'a Tree) -> Vec<Change<'a>> {
    let change = |pair| match pair {
        Pair::Both(i, j) => {
            let (from, to) = (old.get(i), new.get(j));
            (!from.node.same_content(&to.node)).then_some(Change::Modified(from, to))
        }
        Pair::Base(i) => Some(Change::Removed(old.get(i))),
        Pair::Next(j) => Some(Change::Added(new.get(j))),
    };
    pairs(old, new, |_| false).filter_map(change).collect()
}

/// Pairs each added file with a removed file of the same content, if there is one. Of several, one with
/// the same name is preferred, then the first by path. Empty files are left out: they are alike by
/// chance.
fn pair_renames(changes: &mut Vec<Change<'_>>) {
    let mut removed: HashMap<ObjectId, Vec<usize>> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        if let Change::Removed(Entry { node: Node::File(file), .. }) = change
            && file.size > 0
        {
            removed.entry(file.object()).or_default().push(index);
        }
    }
    let mut taken = vec![false; changes.len()];
    for index in 0..changes.len() {
        let Change::Added(to @ Entry { node: Node::File(file), .. }) = changes[index] else {
            continue;
        };
        let Some(candidates) = removed.get_mut(&file.object()) else {
            continue;
        };
        let name = relpath::split(to.path).1;
        let same_name = candidates.iter().position(|&c| relpath::split(changes[c].path()).1 == name);
        if candidates.is_empty() {
            continue;
        }
        let from = candidates.remove(same_name.unwrap_or(0));
        if let Change::Removed(entry) = changes[from] {
            taken[from] = true;
            changes[index] = Change::Renamed(entry, to);
        }
    }
    let mut index = 0;
    changes.retain(|_| {
        index += 1;
        !taken[index - 1]
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::tree::builder::TreeBuilder;
    use crate::model::tree::{FileNode, Mtime};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Files = BTreeMap<String, String>;

    fn tree(files: &Files) -> Tree {
        let mut builder = TreeBuilder::default();
        for (path, content) in files {
            let file = FileNode {
                digest: Digest::of(content.as_bytes()),
                size: content.len() as u64,
                executable: false,
                mtime: Mtime { secs: content.len() as i64, nanos: 0 },
            };
            builder.push(Entry { path: path.as_bytes(), node: Node::File(file) }).unwrap();
        }
        builder.finish()
    }

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(p, c)| (p.to_string(), c.to_string())).collect()
    }

    fn lines(old: &Tree, new: &Tree) -> Vec<String> {
        let path = |entry: Option<Entry<'_>>| entry.map_or(String::new(), |e| relpath::show(e.path));
        diff(old, new)
            .changes
            .iter()
            .map(|change| {
                let letter = match change {
                    Change::Added(_) => 'A',
                    Change::Removed(_) => 'D',
                    Change::Modified(..) => 'M',
                    Change::Renamed(..) => 'R',
                };
                format!("{letter} {}>{}", path(change.from()), path(change.to()))
            })
            .collect()
    }

    #[test]
    fn names_what_changed() {
        let old = tree(&files(&[("a", "1"), ("b", "2"), ("c", "3"), ("gone", "4"), ("e", "")]));
        let new = tree(&files(&[("a", "1"), ("b", "two"), ("moved", "3"), ("new", "5"), ("f", "")]));
        let expected = ["M b>b", "D e>", "A >f", "D gone>", "R c>moved", "A >new"];
        assert_eq!(lines(&old, &new), expected);
        let summary = diff(&old, &new).summary;
        let expected = DiffSummary { added: 2, removed: 2, modified: 1, renamed: 1, bytes: 2 };
        assert_eq!(summary, expected);
    }

    #[test]
    fn of_several_sources_the_one_with_the_same_name_moved() {
        let old = tree(&files(&[("a/x", "1"), ("a/y", "1")]));
        let new = tree(&files(&[("b/y", "1"), ("b/z", "1")]));
        assert_eq!(lines(&old, &new), ["R a/y>b/y", "R a/x>b/z"]);
    }

    proptest! {
        #[test]
        fn applying_a_difference_gives_the_new_tree(
            old in prop::collection::btree_map("[a-d]{1,2}", "[01]{0,2}", 0..12),
            new in prop::collection::btree_map("[a-d]{1,2}", "[01]{0,2}", 0..12),
        ) {
            let (old_tree, new_tree) = (tree(&old), tree(&new));
            let content = |files: &Files, entry: Entry<'_>| files[std::str::from_utf8(entry.path).unwrap()].clone();
            let mut applied = old.clone();
            let diff = diff(&old_tree, &new_tree);
            for change in &diff.changes {
                if let Some(from) = change.from() {
                    applied.remove(std::str::from_utf8(from.path).unwrap());
                }
            }
            for change in &diff.changes {
                if let Some(to) = change.to() {
                    if let Change::Renamed(from, _) = change {
                        prop_assert_eq!(content(&old, *from), content(&new, to));
                    }
                    let path = String::from_utf8(to.path.to_vec()).unwrap();
                    prop_assert!(applied.insert(path, content(&new, to)).is_none());
                }
            }
            prop_assert_eq!(applied, new);
            prop_assert_eq!(diff.changes.is_empty(), old_tree.id() == new_tree.id());
        }
    }
}

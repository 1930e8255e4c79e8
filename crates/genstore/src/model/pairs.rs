//! Walks two trees at once, in path order.

use std::cmp::Ordering;

use super::relpath;
use super::tree::Tree;
use super::tree::runs::RUN;

/// The entries of two trees at one path, by their indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pair {
    Base(usize),
    Next(usize),
    Both(usize, usize),
}

impl Pair {
    pub(crate) fn base(self) -> Option<usize> {
        match self {
            Pair::Base(i) | Pair::Both(i, _) => Some(i),
            Pair::Next(_) => None,
        }
    }

    pub(crate) fn next(self) -> Option<usize> {
        match self {
            Pair::Next(j) | Pair::Both(_, j) => Some(j),
            Pair::Base(_) => None,
        }
    }

    /// Returns the path, from the tree that has it.
    pub(crate) fn path<'t>(self, base: &'t Tree, next: &'t Tree) -> &'t [u8] {
        match self {
            Pair::Base(i) => base.path(i),
            Pair::Next(j) | Pair::Both(_, j) => next.path(j),
        }
    }
}

/// Returns the entries of two trees at each path, except where both have the same entry (with the same
/// mtime) and `look` does not ask for the entry of `next`.
pub(crate) fn pairs<'a>(
    base: &'a Tree,
    next: &'a Tree,
    look: impl Fn(usize) -> bool + 'a,
) -> impl Iterator<Item = Pair> + 'a {
    let (mut i, mut j) = (0, 0);
    // The number of following entries that are known to be the same, or that are compared one by one.
    let (mut same, mut single) = (0, 0);
    std::iter::from_fn(move || {
        loop {
            if same == 0 && single == 0 {
                *(if base.same_run(i, next, j) { &mut same } else { &mut single }) = RUN;
            }
            if same > 0 {
                (same, i, j) = (same - 1, i + 1, j + 1);
                if look(j - 1) {
                    return Some(Pair::Both(i - 1, j - 1));
                }
                continue;
            }
            single -= 1;
            let order = match (i < base.len(), j < next.len()) {
                (true, true) => relpath::compare(base.path(i), next.path(j)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => return None,
            };
            let pair = match order {
                Ordering::Less => Pair::Base(i),
                Ordering::Equal => Pair::Both(i, j),
                Ordering::Greater => Pair::Next(j),
            };
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
            if let Pair::Both(i, j) = pair
                && base.is_same_file(i, next, j)
                && !look(j)
            {
                continue;
            }
            return Some(pair);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::tree::builder::TreeBuilder;
    use crate::model::tree::{Entry, FileNode, Mtime, Node};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Entries by number, each with its content.
    fn tree(entries: &BTreeMap<u16, u8>) -> Tree {
        let mut builder = TreeBuilder::default();
        for (number, content) in entries {
            let path = format!("d{:02}/{number:03}", number / 50);
            let node = match content {
                8 | 9 => Node::Symlink(if *content == 8 { b"x" } else { b"yy" }),
                10 => Node::EmptyDir,
                _ => Node::File(FileNode {
                    digest: Digest::of(&[content / 4]),
                    size: 1,
                    executable: content / 2 % 2 == 1,
                    mtime: Mtime { secs: i64::from(content % 2), nanos: 0 },
                }),
            };
            builder.push(Entry { path: path.as_bytes(), node }).unwrap();
        }
        builder.finish()
    }

    fn is_needed(base: &Tree, next: &Tree, pair: Pair, look: impl Fn(usize) -> bool) -> bool {
        match pair {
            Pair::Both(i, j) => base.get(i) != next.get(j) || look(j),
            Pair::Base(_) | Pair::Next(_) => true,
        }
    }

    /// The pairs that must be returned, found path by path.
    fn expected(base: &Tree, next: &Tree, look: impl Fn(usize) -> bool) -> Vec<Pair> {
        let all: BTreeSet<&[u8]> = base.iter().chain(next.iter()).map(|entry| entry.path).collect();
        let pair = |path| match (base.index_of(path), next.index_of(path)) {
            (Some(i), Some(j)) => Pair::Both(i, j),
            (Some(i), None) => Pair::Base(i),
            (None, j) => Pair::Next(j.unwrap()),
        };
        let pairs = all.into_iter().map(pair);
        pairs.filter(|pair| is_needed(base, next, *pair, &look)).collect()
    }

    proptest! {
        #[test]
        fn what_differs_or_is_asked_for_is_told(
            contents in prop::collection::vec(0u8..11, 400),
            changes in prop::collection::btree_map(0u16..400, prop::option::of(0u8..11), 0..6),
            asked in prop::collection::btree_set(0usize..400, 0..4),
        ) {
            let before: BTreeMap<u16, u8> = (0..).zip(contents).collect();
            let mut after = before.clone();
            for (number, content) in changes {
                match content {
                    Some(content) => after.insert(number, content),
                    None => after.remove(&number),
                };
            }
            let look = |j: usize| asked.contains(&j);
            for (base, next) in [(tree(&before), tree(&after)), (tree(&after), tree(&before))] {
                let told: Vec<_> = pairs(&base, &next, look).collect();
                // Links and folders that are the same may be returned, too.
                let is_needed = |pair: &&Pair| is_needed(&base, &next, **pair, look);
                let needed: Vec<_> = told.iter().filter(is_needed).copied().collect();
                prop_assert_eq!(needed, expected(&base, &next, look));
                let files = told.iter().filter(|pair| match pair {
                    Pair::Both(i, j) => base.is_same_file(*i, &next, *j) && !look(*j),
                    Pair::Base(_) | Pair::Next(_) => false,
                });
                prop_assert_eq!(files.count(), 0);
            }
        }
    }
}

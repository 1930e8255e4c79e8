//! The kept difference: the files in which a generation differs from the one before it, so that
//! going from one of the two to the other reads the entries of neither manifest.
//!
//! It is two small trees: what each of the two has of the files that differ, mtimes included. So
//! whatever compares two trees compares these, and comes to the same.

use super::digest::Digest;
use super::ids::GenerationId;
use super::pairs::pairs;
use super::tree::builder::TreeBuilder;
use super::tree::{Entry, Node, Tree};

/// Beyond so many bytes no difference is kept: then as many files differ, and take much longer.
const MAX_LEN: usize = 4 << 20;

/// How a generation differs from the one that was current when it was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delta {
    /// What was current.
    pub(crate) base: GenerationId,
    /// BLAKE3 of the body of its manifest.
    pub(crate) base_body: Digest,
    /// BLAKE3 of the body of this generation's manifest.
    pub(crate) body: Digest,
    /// What the base has of the files that differ.
    pub(crate) before: Tree,
    /// What this generation has of them.
    pub(crate) after: Tree,
}

/// Gives the files that only one of two trees has, or that differ; `None` where they are too many.
pub(crate) fn differing(base: &Tree, next: &Tree) -> Option<(Tree, Tree)> {
    let (mut before, mut after) = (TreeBuilder::default(), TreeBuilder::default());
    let mut room = MAX_LEN;
    for (i, j) in pairs(base, next, |_| false) {
        for (builder, entry) in
            [(&mut before, i.map(|i| base.get(i))), (&mut after, j.map(|j| next.get(j)))]
        {
            if let Some(entry @ Entry { node: Node::File(_), .. }) = entry {
                // A NUL, a kind, a size, a digest, an mtime.
                room = room.checked_sub(entry.path.len() + 54)?;
                builder.push(entry).expect("entries of a tree are in order");
            }
        }
    }
    Some((before.finish(), after.finish()))
}

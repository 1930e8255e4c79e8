//! The delta: the files in which a generation differs from the one before it. With it, a switch between
//! the two reads the entries of neither manifest.
//!
//! It consists of two small trees: the differing files of each generation, with their mtimes. Comparing
//! these two trees has the same result as comparing the whole trees.

use super::digest::Digest;
use super::ids::GenerationId;
use super::pairs::pairs;
use super::tree::builder::TreeBuilder;
use super::tree::{Entry, Node, Tree};

/// No delta larger than this is kept: with so many differing files, the rest of the work takes much
/// longer.
const MAX_LEN: usize = 4 << 20;

/// The difference between a generation and the one that was current when it was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delta {
    /// The generation that was current.
    pub(crate) base: GenerationId,
    /// BLAKE3 of the body of its manifest.
    pub(crate) base_body: Digest,
    /// BLAKE3 of the body of this generation's manifest.
    pub(crate) body: Digest,
    /// The differing files of the base.
    pub(crate) before: Tree,
    /// The differing files of this generation.
    pub(crate) after: Tree,
}

/// Returns the files that only one of two trees has, or that differ. `None` if they are too many.
pub(crate) fn differing(base: &Tree, next: &Tree) -> Option<(Tree, Tree)> {
    let (mut before, mut after) = (TreeBuilder::default(), TreeBuilder::default());
    let mut room = MAX_LEN;
    for pair in pairs(base, next, |_| false) {
        let (old, new) = (pair.base().map(|i| base.get(i)), pair.next().map(|j| next.get(j)));
        for (builder, entry) in [(&mut before, old), (&mut after, new)] {
            if let Some(entry @ Entry { node: Node::File(_), .. }) = entry {
                // A NUL, a kind, a size, a digest and an mtime.
                room = room.checked_sub(entry.path.len() + 54)?;
                builder.append(entry);
            }
        }
    }
    Some((before.finish(), after.finish()))
}

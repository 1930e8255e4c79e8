//! Tombstones: contents that the store must not hold any more. Owns `forgotten/`.
//!
//! The name of a tombstone is the digest, and the file is empty. It is durable before the first generation with that
//! content is given up, so an interrupted `forget` cannot be mistaken for a finished one.

use std::collections::BTreeSet;

use crate::error::{Error, RefusedKind, Result};
use crate::model::digest::Digest;
use crate::model::relpath;
use crate::model::tree::{Node, Tree};
use crate::parts::layout::{FORGOTTEN, StoreDir};
use crate::parts::locks::CommitLock;

/// The tombstones of a store.
#[derive(Clone, Copy)]
pub(crate) struct Forgotten<'s> {
    store: &'s StoreDir,
}

impl<'s> Forgotten<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Forgotten<'s> {
        Forgotten { store }
    }

    /// Lists the contents. Names that are no digest are ignored: `verify` reports them.
    pub(crate) fn list(&self) -> Result<BTreeSet<Digest>> {
        // Most stores never forgot anything.
        if self.store.dir.stat(FORGOTTEN)?.is_none() {
            return Ok(BTreeSet::new());
        }
        let listed = self.store.list(FORGOTTEN)?;
        let parse = |(name, _): (Vec<u8>, _)| std::str::from_utf8(&name).ok()?.parse().ok();
        Ok(listed.into_iter().filter_map(parse).collect())
    }

    /// Creates tombstones, durably.
    pub(crate) fn add(&self, _: &CommitLock, digests: &BTreeSet<Digest>) -> Result<()> {
        let fs = &self.store.fs;
        fs.make_dir(&self.store.dir, FORGOTTEN)?;
        let dir = self.store.sub(FORGOTTEN)?;
        for digest in digests {
            drop(fs.open_or_create(&dir, digest.to_string().as_bytes())?);
        }
        fs.sync_dir(&dir)?;
        fs.sync_dir(&self.store.dir)
    }

    /// Removes tombstones, durably. Returns the number of those that existed.
    pub(crate) fn remove(&self, _: &CommitLock, digests: &BTreeSet<Digest>) -> Result<u64> {
        if self.store.dir.stat(FORGOTTEN)?.is_none() {
            return Ok(0);
        }
        let dir = self.store.sub(FORGOTTEN)?;
        let mut removed = 0;
        for digest in digests {
            removed += u64::from(self.store.fs.unlink(&dir, digest.to_string().as_bytes())?);
        }
        self.store.fs.sync_dir(&dir)?;
        Ok(removed)
    }

    /// Fails if a tree has a forgotten content.
    ///
    /// # Errors
    /// Code `forgotten`, with the first path.
    pub(crate) fn refuse(&self, tree: &Tree) -> Result<()> {
        let all = self.list()?;
        if all.is_empty() {
            return Ok(());
        }
        match paths(tree, &all).next() {
            None => Ok(()),
            Some(path) => {
                let why = format!("{} has a content that this store must forget", relpath::show(path));
                Err(Error::refused(RefusedKind::Forgotten, why))
            }
        }
    }
}

/// Lists the paths of a tree that have one of these contents.
pub(crate) fn paths<'t>(tree: &'t Tree, digests: &BTreeSet<Digest>) -> impl Iterator<Item = &'t [u8]> {
    let is_it = |node: Node<'_>| matches!(node, Node::File(file) if digests.contains(&file.digest));
    tree.iter().filter(move |entry| is_it(entry.node)).map(|entry| entry.path)
}

//! Forgetting: contents that the store must not hold any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::recover;
use crate::error::Result;
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::tree::Tree;
use crate::parts::forgotten::Forgotten;
use crate::store::Store;
use crate::verbs::forget::{self, Forgot, Remembering};

impl Store {
    /// Lists the contents that must not come back.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(store.forgotten()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn forgotten(&self) -> Result<BTreeSet<Digest>> {
        Forgotten::of(&self.store).list()
    }

    /// Fails if a tree has a content that must not come back.
    ///
    /// # Errors
    /// Code `forgotten`; [`Error::Io`](crate::Error::Io).
    pub fn check_forgotten(&self, tree: &Tree) -> Result<()> {
        Forgotten::of(&self.store).refuse(tree)
    }

    /// Lists the generations that have one of these contents, the oldest first. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Io`](crate::Error::Io).
    pub fn remembering(&self, digests: &BTreeSet<Digest>) -> Result<Vec<Remembering>> {
        forget::find(&self.store, digests)
    }

    /// Lists the contents that generations have at a path, each with the generations. Empty files are left out.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Io`](crate::Error::Io).
    pub fn contents_at(&self, path: &[u8]) -> Result<BTreeMap<Digest, Vec<GenerationId>>> {
        forget::contents_at(&self.store, path)
    }

    /// Takes contents out of every generation, and refuses them from now on. Each generation that has one is replaced
    /// by a new one without these paths. If it is interrupted, the same call does the rest.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::tree::Digest;
    ///
    /// let secret = [Digest::of(b"one")].into();
    /// let done = store.forget(&secret)?;
    /// assert_eq!((done.replaced[0].0.get(), done.replaced[0].1.get(), done.objects), (1, 3, 1));
    /// assert!(store.remembering(&secret)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost) if another generation became current meanwhile;
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Locked`](crate::Error::Locked),
    /// [`Error::Io`](crate::Error::Io). By then a part may be done.
    ///
    /// # Locks
    /// The store lock, shared and then exclusive, and the commit lock.
    pub fn forget(&self, digests: &BTreeSet<Digest>) -> Result<Forgot> {
        forget::forget(&self.store, digests)
    }

    /// Allows contents again. Returns the number of those that were forgotten.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    pub fn allow_again(&self, digests: &BTreeSet<Digest>) -> Result<u64> {
        let (lock, _) = recover::lock_and_recover(&self.store)?;
        Forgotten::of(&self.store).remove(&lock, digests)
    }
}

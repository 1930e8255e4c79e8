//! Single objects: reading them, and receiving them from elsewhere.

use std::fs::File;

use crate::error::Result;
use crate::model::digest::Digest;
use crate::model::tree::ObjectId;
use crate::store::Store;
use crate::verbs::receive::{self, Receiving};

impl Store {
    /// Returns whether the store has an object. Its bytes are not checked.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::tree::{Digest, ObjectId};
    ///
    /// let object = |text: &[u8]| ObjectId { digest: Digest::of(text), executable: false };
    /// assert!(store.has_object(object(b"one"))? && !store.has_object(object(b"three"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn has_object(&self, id: ObjectId) -> Result<bool> {
        receive::has(&self.store, id)
    }

    /// Opens the object with these bytes for reading, executable or not. Its bytes are not checked. A
    /// lease on a generation that has it keeps it: [`Store::open_generation`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::tree::Digest;
    ///
    /// let object = store.open_object(Digest::of(b"one"))?.expect("a generation has it");
    /// assert_eq!(std::io::read_to_string(object)?, "one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn open_object(&self, digest: Digest) -> Result<Option<File>> {
        receive::open(&self.store, digest)
    }

    /// Begins to receive objects. A plan may name them once [`Receiving::finish`] has returned:
    /// [`PlanBuilder::stored`](crate::plan::PlanBuilder::stored).
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::tree::{Digest, FileNode, Mtime};
    /// use genstore::{CommitOptions, Plan, StageOptions};
    ///
    /// let mtime = Mtime { secs: 1_700_000_000, nanos: 0 };
    /// let file = FileNode { digest: Digest::of(b"three"), size: 5, executable: false, mtime };
    /// let mut receiving = store.receive()?;
    /// assert!(receiving.put(file.object(), mtime, &mut &b"three"[..])?);
    /// assert!(receiving.put(file.object(), mtime, &mut &b"lies"[..]).is_ok_and(|is_new| !is_new));
    /// receiving.finish()?;
    ///
    /// let plan = Plan::builder().stored("index.html", file).build()?;
    /// let published = store.stage(&plan, StageOptions::default())?.unaudited();
    /// assert_eq!(published.commit(&CommitOptions::default())?.generation.get(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    ///
    /// # Locks
    /// Takes the shared store lock, and keeps it as long as the returned value lives.
    pub fn receive(&self) -> Result<Receiving<'_>> {
        receive::receive(&self.store)
    }
}

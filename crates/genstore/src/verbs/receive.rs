//! Receives objects from elsewhere, before a generation names them.
//!
//! The bytes are written in a stage and hashed. [`Receiving::finish`] makes them durable, and then creates
//! their names (INV-3), as a publish does. A process that is killed before leaves debris for the next
//! writer. One that is killed later leaves objects that no manifest names, and the next gc removes those.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use crate::change::recover;
use crate::error::{Error, RefusedKind, Result};
use crate::fs::copy::CHUNK;
use crate::fs::flush::{Flush, MANY};
use crate::fs::sparse::Sparse;
use crate::model::digest::Digest;
use crate::model::object_name;
use crate::model::tree::{Mtime, ObjectId};
use crate::parts::forgotten::Forgotten;
use crate::parts::layout::StoreDir;
use crate::parts::locks::{Locks, StoreShared};
use crate::parts::naming::{FanOuts, Naming};
use crate::parts::objects::Objects;
use crate::parts::stage_dir::{OwnStage, StageDir};

/// Objects that are being received. Dropping it gives them up.
#[must_use]
pub struct Receiving<'s> {
    store: &'s StoreDir,
    objects: Objects<'s>,
    received: BTreeSet<ObjectId>,
    forgotten: BTreeSet<Digest>,
    bytes: u64,
    // The stage is removed before the lock is released.
    stage: OwnStage<'s>,
    guard: StoreShared,
}

/// Returns whether the store has an object.
pub(crate) fn has(store: &StoreDir, id: ObjectId) -> Result<bool> {
    Ok(Objects::new(store)?.stat(id)?.is_some())
}

/// Opens the object with these bytes, executable or not.
pub(crate) fn open(store: &StoreDir, digest: Digest) -> Result<Option<File>> {
    let objects = Objects::new(store)?;
    for executable in [false, true] {
        match objects.open(ObjectId { digest, executable }) {
            Err(e) if e.is_not_found() => {}
            file => return file.map(Some),
        }
    }
    Ok(None)
}

/// Begins to receive objects.
///
/// # Locks
/// Takes the shared store lock. The returned value holds it.
pub(crate) fn receive(store: &StoreDir) -> Result<Receiving<'_>> {
    let guard = Locks::of(store).share()?;
    drop(recover::lock_and_recover(store)?);
    let objects = Objects::new(store)?;
    let stage = OwnStage::new(store, StageDir::create(store)?);
    let forgotten = Forgotten::of(store).list()?;
    Ok(Receiving { store, objects, received: BTreeSet::new(), forgotten, bytes: 0, stage, guard })
}

impl Receiving<'_> {
    /// Writes the bytes of an object to the stage. Returns `Ok(false)`, and reads nothing, if the store or
    /// this stage has the object.
    ///
    /// # Errors
    /// Code `wrong-bytes` if the bytes have another digest: none of them is kept. Code `forgotten` if the store must
    /// forget them.
    pub fn put(&mut self, id: ObjectId, mtime: Mtime, bytes: &mut dyn Read) -> Result<bool> {
        if self.received.contains(&id) || self.objects.stat(id)?.is_some() {
            return Ok(false);
        }
        if self.forgotten.contains(&id.digest) {
            let why = format!("this store must forget object {}", id.digest);
            return Err(Error::refused(RefusedKind::Forgotten, why));
        }
        let (fs, dir, name) = (&self.store.fs, self.stage.dir(), flat_name(id));
        let (path, mode) = (dir.join(&name), object_name::mode(id.executable));
        let file = fs.create_with(dir, &name, mode)?;
        let mut written = Sparse::new(fs, &file, &path);
        let mut hasher = blake3::Hasher::new();
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let read = bytes.take(CHUNK as u64).read_to_end(&mut chunk);
            if read.map_err(|e| Error::io("receive", &path, e))? == 0 {
                break;
            }
            hasher.update(&chunk);
            written.write(&chunk)?;
        }
        written.finish()?;
        if Digest::from(hasher.finalize()) != id.digest {
            fs.unlink(dir, &name)?;
            let why = format!("the bytes received for object {} are others", id.digest);
            return Err(Error::refused(RefusedKind::WrongBytes, why));
        }
        fs.set_mode(&file, &path, mode)?;
        fs.set_mtime(&file, &path, mtime)?;
        self.bytes += hasher.count();
        self.received.insert(id);
        Ok(true)
    }

    /// Returns the number of bytes that were received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Creates the names of all objects. Returns their number.
    ///
    /// # Durability
    /// On return they survive a power loss, if the store is opened so.
    ///
    /// # Errors
    /// [`Error::Io`]. Then some of them may have their names.
    pub fn finish(self) -> Result<u64> {
        if self.received.is_empty() {
            return self.stage.remove().map(|()| 0);
        }
        let (store, dir) = (self.store, self.stage.dir());
        self.flush()?;
        let fan_outs = FanOuts::of(self.received.iter().copied());
        Naming::of(store).begin(dir, &fan_outs)?;
        for id in &self.received {
            // Another process may have brought it meanwhile.
            self.objects.insert(&self.guard, (dir, &flat_name(*id)), *id)?;
        }
        fan_outs.flush(store)?;
        Naming::of(store).end(dir)?;
        self.stage.remove().map(|()| self.received.len() as u64)
    }

    fn flush(&self) -> Result<()> {
        let (dir, fs) = (self.stage.dir(), &self.store.fs);
        if self.received.len() > MANY {
            return fs.sync_filesystem(dir);
        }
        let file = |id: &ObjectId| {
            let name = flat_name(*id);
            Ok(Flush::File(dir.open_file(&name)?, dir.join(&name)))
        };
        fs.sync_each(self.received.iter().map(file).collect::<Result<_>>()?)
    }
}

/// Returns the name of an object in the stage: as among the objects, without folders.
fn flat_name(id: ObjectId) -> Vec<u8> {
    object_name::name(id).into_iter().filter(|byte| *byte != b'/').collect()
}

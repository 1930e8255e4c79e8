//! Generations on disk: `generations/<id>/{manifest,shown,index,delta,tree/}`, and leases on them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Damaged, Error, Result, chain};
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_errno, is_refused};
use crate::fs::lock::{Lock, Mode};
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::codec::{Head, Manifest};
use crate::model::delta::Delta;
use crate::model::digest::Digest;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::index::SourceIndex;
use crate::model::tree::{ObjectId, Tree};
use crate::parts::layout::{
    BUILD_LOG, DELTA, GENERATIONS, INDEX, MANIFEST, SHOWN, STAGING, StoreDir, TREE,
};
use crate::parts::locks::CommitLock;
use crate::parts::record;
use crate::threads::prelude::*;

/// The largest manifest, in bytes, that an activation hashes if it needs no entry of it: about 100,000
/// entries.
const MAX_CHECKED: u64 = 8 << 20;

/// Number of bytes of a manifest that one thread reads at a time.
const READ_TOGETHER: usize = 1 << 20;

/// An open generation with a lease: gc does not remove it until this is dropped.
pub struct Generation {
    id: GenerationId,
    dir: Dir,
    manifest: File,
    /// `None` if the filesystem has no locks: gc cannot run there.
    _lease: Option<Lock>,
}

impl Generation {
    /// Returns its number.
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// Returns the directory of its files.
    pub fn path(&self) -> PathBuf {
        self.dir.join(TREE)
    }

    /// Reads the head of its manifest: note, facts and counts, without the entries.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it differs from what was written.
    pub fn head(&self) -> Result<Head> {
        self.head_and_body().map(|(head, _)| head)
    }

    /// Reads the head, and the expected BLAKE3 of the manifest's body.
    pub(crate) fn head_and_body(&self) -> Result<(Head, Digest)> {
        read_head(&self.manifest, &self.dir.join(MANIFEST)).map_err(|e| self.or_damaged(e))
    }

    /// Checks the hash of its manifest without decoding the entries, if the manifest is small enough
    /// that this takes no noticeable time.
    pub(crate) fn check_small_manifest(&self) -> Result<()> {
        let path = self.dir.join(MANIFEST);
        let size = Stat::of(&self.manifest, &path)?.size;
        let malformed = |why: &str| self.damaged(&format!("its manifest: {why}"));
        let mut prefix = [0; Head::PREFIX_LEN];
        let io = |e| Error::io("read", &path, e);
        self.manifest.read_exact_at(&mut prefix, 0).map_err(io)?;
        let (body, len) = Head::body_from_prefix(&prefix).map_err(|why| malformed(&why.0))?;
        if size != Head::PREFIX_LEN as u64 + len {
            return Err(malformed("the length differs"));
        }
        if size > MAX_CHECKED {
            return Ok(());
        }
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0; 1 << 18];
        let mut at = Head::PREFIX_LEN as u64;
        while at < size {
            let wanted = chunk.len().min((size - at) as usize);
            self.manifest.read_exact_at(&mut chunk[..wanted], at).map_err(io)?;
            hasher.update(&chunk[..wanted]);
            at += wanted as u64;
        }
        if Digest::from(hasher.finalize()) != body {
            return Err(malformed("the hash differs"));
        }
        Ok(())
    }

    /// Reads its manifest and checks every byte of it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it differs from what was written.
    pub fn manifest(&self) -> Result<Manifest> {
        let bytes = self.manifest_bytes()?.into();
        Manifest::from_bytes(&bytes).map_err(|why| self.damaged(&format!("its manifest: {why}")))
    }

    /// Lists the objects of its files with their sizes. An object is listed once per file that has it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its manifest differs from what was written.
    pub(crate) fn objects(&self) -> Result<Vec<(ObjectId, u64)>> {
        let bytes = self.manifest_bytes()?;
        Manifest::objects(&bytes).map_err(|why| self.damaged(&format!("its manifest: {why}")))
    }

    /// Returns the published mtimes that differ from its manifest.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file differs from what was written.
    pub fn published_mtimes(&self) -> Result<PublishedMtimes> {
        let bytes = self.dir.read(SHOWN).map_err(|e| match e {
            Error::Damaged { cause, .. } => self.damaged(&format!("its published mtimes: {cause}")),
            e => e,
        })?;
        match bytes {
            None => Ok(PublishedMtimes::default()),
            Some(bytes) => PublishedMtimes::decode(&bytes)
                .map_err(|why| self.damaged(&format!("its published mtimes: {why}"))),
        }
    }

    /// Reads the index of its sources. It is a cache: a damaged one, and one of another tree, count as
    /// missing.
    pub(crate) fn index(&self, tree: &Tree) -> Result<Option<SourceIndex>> {
        let index = self.read_cache(INDEX)?.and_then(|bytes| SourceIndex::decode(&bytes).ok());
        Ok(index.filter(|index| index.tree == tree.id() && index.files.len() as u64 == tree.files()))
    }

    /// Reads its delta to the generation that was current when it was committed. It is a cache: a
    /// damaged one, and one of another manifest, count as missing.
    pub(crate) fn delta(&self, body: Digest) -> Result<Option<Delta>> {
        let delta = self.read_cache(DELTA)?.and_then(|bytes| Delta::decode(&bytes).ok());
        Ok(delta.filter(|delta| delta.body == body))
    }

    /// Reads a cache beside the manifest. Returns `None` if the entry is not a file.
    pub(crate) fn read_cache(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.dir.read(name) {
            Err(Error::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    /// Passes the lease on to programs that this process becomes or starts.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn share_lease_with_children(&self) -> Result<()> {
        rustix::io::fcntl_setfd(&self.manifest, rustix::io::FdFlags::empty())
            .map_err(|e| Error::io("share the lease of", self.dir.path(), e))
    }

    /// Reads its manifest as bytes, which mean the same in every store. They are not checked:
    /// [`Manifest::decode`] does it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn manifest_bytes(&self) -> Result<Vec<u8>> {
        let path = self.dir.join(MANIFEST);
        let file = &self.manifest;
        let size = Stat::of(file, &path)?.size;
        let mut bytes = vec![0; size as usize];
        // Most of the time is spent copying into fresh memory.
        bytes.par_chunks_mut(READ_TOGETHER).enumerate().try_for_each(|(number, chunk)| {
            let at = (number * READ_TOGETHER) as u64;
            file.read_exact_at(chunk, at).map_err(|e| Error::io("read", &path, e))
        })?;
        Ok(bytes)
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn tree_dir(&self) -> Result<Dir> {
        match self.dir.open_dir(TREE) {
            Err(e) if e.is_not_found() => Err(self.damaged("its tree is missing")),
            done => done,
        }
    }

    pub(crate) fn damaged(&self, cause: &str) -> Error {
        Error::Damaged { what: Damaged::Generation(self.id), cause: cause.to_owned(), uses: vec![] }
    }

    fn or_damaged(&self, error: HeadError) -> Error {
        match error {
            HeadError::Io(e) => e,
            HeadError::Malformed(why) => self.damaged(&format!("its manifest: {why}")),
        }
    }
}

/// The prefix of the empty files in `staging/` that unlist a generation.
const UNLISTED: &[u8] = b"unlisted-";

fn unlisted_name(id: GenerationId) -> Vec<u8> {
    [UNLISTED, id.to_string().as_bytes()].concat()
}

/// The result of retiring a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Retired {
    /// It is not listed any more, and has its new name.
    Moved,
    /// A living process has a lease on it. Nothing was changed.
    Leased,
    /// Its directory cannot be renamed, for example in a lower layer of overlayfs. Nothing was changed.
    Immovable,
}

enum HeadError {
    Io(Error),
    Malformed(String),
}

fn read_head(file: &File, path: &Path) -> std::result::Result<(Head, Digest), HeadError> {
    let malformed = |why: crate::model::codec::Malformed| HeadError::Malformed(why.to_string());
    let io = |e| HeadError::Io(Error::io("read", path, e));
    let size = Stat::of(file, path).map_err(HeadError::Io)?.size as usize;
    if size < Head::PREFIX_LEN {
        return Err(HeadError::Malformed("shorter than its frame".to_owned()));
    }
    let mut prefix = vec![0; Head::PREFIX_LEN];
    file.read_exact_at(&mut prefix, 0).map_err(io)?;
    let len = Head::len_from_prefix(&prefix).map_err(malformed)?;
    if size < Head::PREFIX_LEN + len {
        return Err(HeadError::Malformed("the length differs".to_owned()));
    }
    let mut head = vec![0; len];
    file.read_exact_at(&mut head, Head::PREFIX_LEN as u64).map_err(io)?;
    let (body, _) = Head::body_from_prefix(&prefix).map_err(malformed)?;
    Ok((Head::decode(&prefix, &head).map_err(malformed)?, body))
}

/// The generations of a store: `generations/`.
#[derive(Clone, Copy)]
pub(crate) struct Generations<'s> {
    store: &'s StoreDir,
}

impl<'s> Generations<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Generations<'s> {
        Generations { store }
    }

    /// Returns whether a generation with this number is listed.
    pub(crate) fn has(&self, id: GenerationId) -> Result<bool> {
        let name = [GENERATIONS, b"/", id.to_string().as_bytes()].concat();
        let is_there = self.store.dir.stat(&name)?.is_some_and(|stat| stat.kind == Kind::Dir);
        // In this order: a generation is marked as unlisted before it is removed.
        Ok(is_there && !self.is_unlisted(id)?)
    }

    /// Lists the generations, oldest first. `verify` reports names that are not numbers.
    pub(crate) fn ids(&self) -> Result<Vec<GenerationId>> {
        let listed = self.store.list(GENERATIONS)?;
        // Read after the listing: a generation is marked as unlisted before it is removed.
        let unlisted = self.unlisted()?;
        let mut ids: Vec<_> = listed
            .iter()
            .filter(|(_, kind)| *kind == Kind::Dir)
            .filter_map(|(name, _)| GenerationId::parse(std::str::from_utf8(name).ok()?))
            .filter(|id| !unlisted.contains(id))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Opens a generation and takes a lease on it. Returns `None` if there is no such generation.
    ///
    /// The lease is a shared flock on the manifest, taken on a handle for reading, so that it works on
    /// a read-only mount. gc may have moved the generation away between the open and the lock. So the
    /// path must still name the locked inode.
    pub(crate) fn find(&self, id: GenerationId) -> Result<Option<Generation>> {
        let name = [GENERATIONS, b"/", id.to_string().as_bytes()].concat();
        let damaged = |cause: &str| Error::Damaged {
            what: Damaged::Generation(id),
            cause: cause.to_owned(),
            uses: vec![],
        };
        // The contents behind a mount are unknown.
        let hidden = |e: Error| match is_mount(&e) {
            true => damaged(&chain(&e)),
            false => e,
        };
        let dir = match self.store.dir.open_dir(&name) {
            Ok(dir) => dir,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(hidden(e)),
        };
        let file = match dir.open_file(MANIFEST) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => {
                if self.store.dir.stat(&name)?.is_none() {
                    return Ok(None);
                }
                if self.is_unlisted(id)? {
                    return Ok(None);
                }
                return Err(damaged("its manifest is missing"));
            }
            Err(e) if is_errno(&e, Errno::LOOP) || is_errno(&e, Errno::NXIO) => {
                return Err(damaged("its manifest is not a regular file"));
            }
            Err(e) => return Err(hidden(e)),
        };
        let path = dir.join(MANIFEST);
        let locked = Stat::of(&file, &path)?;
        if locked.kind != Kind::File {
            return Err(damaged("its manifest is not a regular file"));
        }
        let manifest = file.try_clone().map_err(|e| Error::io("open", &path, e))?;
        let lease = match Lock::take(file, &path, Mode::Shared, self.store.options.lock_timeout) {
            Err(Error::LocksUnsupported { .. }) => None,
            lease => Some(lease?),
        };
        let named = self.store.dir.stat(&[&name[..], b"/", MANIFEST].concat())?;
        // A generation is unlisted under the exclusive lock, so before this lock was taken.
        if self.is_unlisted(id)? {
            return Ok(None);
        }
        if named.is_some_and(|named| named.same_inode(&locked)) {
            Ok(Some(Generation { id, dir, manifest, _lease: lease }))
        } else if named.is_none() {
            Ok(None)
        } else {
            // A repaired manifest replaced a damaged one.
            self.find(id)
        }
    }

    /// Opens a generation that must exist.
    pub(crate) fn open(&self, id: GenerationId) -> Result<Generation> {
        self.find(id)?.ok_or_else(|| Error::UnknownRev { rev: id.to_string(), near: vec![] })
    }

    /// Prevents new leases on a generation. Returns `None` if a living process has one.
    pub(crate) fn exclude_leases(&self, id: GenerationId) -> Result<Option<Lock>> {
        let name = [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", MANIFEST].concat();
        Lock::try_take(self.store.dir.open_file(&name)?, &self.store.dir.join(&name), Mode::Exclusive)
    }

    /// Unlists a generation durably, and moves its directory to a free name in staging.
    pub(crate) fn retire(&self, _: &CommitLock, id: GenerationId, to: (&Dir, &[u8])) -> Result<Retired> {
        let Some(_no_leases) = self.exclude_leases(id)? else {
            return Ok(Retired::Leased);
        };
        let generations = self.store.sub(GENERATIONS)?;
        match self.store.fs.rename_to_free((&generations, id.to_string().as_bytes()), to) {
            Err(e) if is_errno(&e, Errno::XDEV) => return Ok(Retired::Immovable),
            moved => moved?,
        }
        self.store.fs.sync_dir(&generations)?;
        Ok(Retired::Moved)
    }

    /// Unlists a generation durably, if its directory cannot be renamed.
    /// [`Generations::remove_unlisted`] does the rest. If this process dies, the next holder of the
    /// commit lock does it.
    pub(crate) fn unlist(&self, lock: &CommitLock, id: GenerationId) -> Result<bool> {
        let Some(_no_leases) = self.exclude_leases(id)? else {
            return Ok(false);
        };
        self.mark_unlisted(lock, id)?;
        Ok(true)
    }

    /// Marks a generation as unlisted, if no process can have a lease on it.
    pub(crate) fn mark_unlisted(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let staging = self.store.sub(STAGING)?;
        drop(self.store.fs.open_or_create(&staging, &unlisted_name(id))?);
        self.store.fs.sync_dir(&staging)
    }

    /// Removes an unlisted generation in place, and then its mark. A part that cannot be removed now
    /// stays unlisted.
    pub(crate) fn remove_unlisted(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let (generations, staging) = (self.store.sub(GENERATIONS)?, self.store.sub(STAGING)?);
        self.store.fs.remove_all(&generations, id.to_string().as_bytes())?;
        // Without this, a power loss may bring back a part of it, which would then be listed again.
        self.store.fs.sync_dir(&generations)?;
        self.store.fs.unlink(&staging, &unlisted_name(id)).map(drop)
    }

    /// Lists the unlisted generations that were not fully removed.
    pub(crate) fn unlisted(&self) -> Result<BTreeSet<GenerationId>> {
        let parse = |name: &[u8]| GenerationId::parse(std::str::from_utf8(name).ok()?);
        let names = match self.store.list(STAGING) {
            // Another entry replaced the folder, which `verify` reports. There can be no mark in it.
            Err(Error::Damaged { .. }) => vec![],
            names => names?,
        };
        Ok(names.into_iter().filter_map(|(name, _)| parse(name.strip_prefix(UNLISTED)?)).collect())
    }

    fn is_unlisted(&self, id: GenerationId) -> Result<bool> {
        match self.store.dir.stat(&[STAGING, b"/", &unlisted_name(id)].concat()) {
            Err(e) if is_errno(&e, Errno::NOTDIR) || is_errno(&e, Errno::LOOP) => Ok(false),
            mark => Ok(mark?.is_some()),
        }
    }

    /// Writes the published mtimes beside a generation's manifest.
    pub(crate) fn write_shown(
        &self,
        lock: &CommitLock,
        id: GenerationId,
        shown: &PublishedMtimes,
    ) -> Result<()> {
        let folder = [GENERATIONS, b"/", id.to_string().as_bytes()].concat();
        record::replace(self.store, lock, &folder, SHOWN, &shown.encode())
    }
}

/// Finds the inodes that only this generation has, with their sizes in bytes: its renewed files and its
/// build's log.
pub(crate) fn private_inodes(
    generation: &Generation,
    shown: &PublishedMtimes,
) -> Result<HashMap<u64, u64>> {
    let mut private = HashMap::new();
    if let Some(stat) = generation.dir().stat(BUILD_LOG)? {
        private.insert(stat.ino, stat.size);
    }
    for path in shown.fresh.keys() {
        let root = generation.tree_dir();
        let (dir, name) = match root.and_then(|root| open_parent(&root, path)) {
            // Only bytes are counted here. Files that are hidden by a mount or unreadable are skipped.
            Err(e) if is_refused(&e) => continue,
            opened => opened?,
        };
        if let Some(stat) = dir.stat(name)? {
            private.insert(stat.ino, stat.size);
        }
    }
    Ok(private)
}

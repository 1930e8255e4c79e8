//! Names of new objects that are not durable yet.
//!
//! Owns `staging/s-<id>/naming`, and `unflushed` and `unflushing` in the store's root. A publisher that
//! finds an object by its name relies on it, so the name must survive a power loss (INV-3). Between
//! link(2) and the flush of the folder it may not survive. The publisher that created it can die or
//! fail in that interval, or can still be in it when another publisher finds the name. Therefore:
//!
//! 1. A publisher creates `naming` in its stage before it creates the first name, and removes it when
//!    all of them are durable.
//! 2. A process that removes a stage, for any reason, first makes the names in its `naming` durable.
//! 3. A publisher that has found all its objects reads the `naming` of others, and flushes the folders
//!    in which both have names.
//!
//! None of these files is flushed. If a power loss removes one, the names that it listed were lost as
//! well, or are on the disk. So the whole cost is one file and one listing of `staging/`.
//!
//! A publisher without flushes declares in its `naming` that nothing at all is durable, and creates
//! `unflushed` before it removes that. The next writer with flushes makes the whole store durable.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::fs::flush::{Flush, MANY};
use crate::fs::{Dir, Durability, Kind};
use crate::model::tree::ObjectId;
use crate::parts::generations::Generations;
use crate::parts::layout::{OBJECTS, STAGING, StoreDir, UNFLUSHED, UNFLUSHING};
use crate::parts::locks::{CommitLock, Locks};

/// The file of a stage that lists the folders with names that are not durable yet.
pub(crate) const NAMING: &[u8] = b"naming";

/// Folders of `objects/`, by the first byte of the digests in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FanOuts {
    /// These folders, with objects whose bytes are durable.
    Some(BTreeSet<u8>),
    /// All folders, and the bytes of the objects, too.
    All,
}

impl FanOuts {
    /// Collects the folders of objects.
    pub(crate) fn of(ids: impl Iterator<Item = ObjectId>) -> FanOuts {
        FanOuts::Some(ids.map(|id| id.digest.as_bytes()[0]).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, FanOuts::Some(some) if some.is_empty())
    }

    /// Adds the intersection of two others.
    pub(crate) fn add_common(&mut self, one: &FanOuts, other: &FanOuts) {
        *self = match (std::mem::replace(self, FanOuts::All), one, other) {
            (FanOuts::Some(mut some), FanOuts::Some(one), FanOuts::Some(other)) => {
                some.extend(one.intersection(other));
                FanOuts::Some(some)
            }
            _ => FanOuts::All,
        };
    }

    fn add(&mut self, other: FanOuts) {
        *self = match (std::mem::replace(self, FanOuts::All), other) {
            (FanOuts::Some(mut some), FanOuts::Some(other)) => {
                some.extend(other);
                FanOuts::Some(some)
            }
            _ => FanOuts::All,
        };
    }

    /// Encodes each as two hex digits and a newline. All of them are encoded as an empty file.
    fn encode(&self) -> Vec<u8> {
        match self {
            FanOuts::Some(some) => {
                some.iter().flat_map(|byte| format!("{byte:02x}\n").into_bytes()).collect()
            }
            FanOuts::All => vec![],
        }
    }

    /// Decodes it. A torn or malformed file counts as all folders.
    fn decode(bytes: &[u8]) -> FanOuts {
        let parse = |line: &[u8]| match line {
            [digits @ .., b'\n'] if digits.len() == 2 => {
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
            }
            _ => None,
        };
        match bytes.chunks(3).map(parse).collect() {
            Some(some) if !bytes.is_empty() => FanOuts::Some(some),
            _ => FanOuts::All,
        }
    }

    /// Makes the names in these folders durable.
    pub(crate) fn flush(&self, store: &StoreDir) -> Result<()> {
        let objects = store.sub(OBJECTS)?;
        let some = match self {
            FanOuts::Some(some) if some.is_empty() => return Ok(()),
            FanOuts::Some(some) if some.len() <= MANY => some,
            _ => return store.fs.sync_filesystem(&objects),
        };
        let mut all = vec![Flush::Dir(objects.open_dir(b"")?)];
        for byte in some {
            match objects.open_dir(format!("{byte:02x}").as_bytes()) {
                Ok(dir) => all.push(Flush::Dir(dir)),
                // The process that was about to create it did not get that far.
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        store.fs.sync_each(all)
    }
}

/// Names of objects that are not durable yet.
#[derive(Clone, Copy)]
pub(crate) struct Naming<'s> {
    store: &'s StoreDir,
}

impl<'s> Naming<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Naming<'s> {
        Naming { store }
    }

    /// Declares in a stage that names are about to be created in these folders.
    pub(crate) fn begin(&self, stage: &Dir, fan_outs: &FanOuts) -> Result<()> {
        let said = match self.store.options.durability {
            Durability::Full => fan_outs.encode(),
            Durability::None => FanOuts::All.encode(),
        };
        let file = self.store.fs.create_with(stage, NAMING, 0o644)?;
        self.store.fs.write(&file, &stage.join(NAMING), &said)
    }

    /// Declares that they are durable.
    pub(crate) fn end(&self, stage: &Dir) -> Result<()> {
        if self.store.options.durability == Durability::None {
            self.note_unflushed()?;
        }
        self.store.fs.unlink(stage, NAMING).map(drop)
    }

    /// Makes durable the names that the owner of a stage was creating, and declares it.
    pub(crate) fn settle(&self, stage: &Dir) -> Result<()> {
        let Some(said) = stage.read(NAMING)? else { return Ok(()) };
        FanOuts::decode(&said).flush(self.store)?;
        self.end(stage)
    }

    /// Returns whether a stage has names that are not durable yet. Unknown counts as yes.
    pub(crate) fn is_open(&self, stage: &Dir) -> bool {
        !matches!(stage.stat(NAMING), Ok(None))
    }

    /// Declares that the names were removed again.
    pub(crate) fn forget(&self, stage: &Dir) -> Result<()> {
        self.store.fs.unlink(stage, NAMING).map(drop)
    }

    /// Removes the names of objects that a failed commit created. Returns `Ok(false)` if another
    /// generation may need them by now.
    ///
    /// `high` was the highest number when the commit searched for its objects: a generation that needs
    /// one of these has a higher number. A process that is about to use one has the store lock.
    pub(crate) fn take_back_names(&self, high: u64, named: &[ObjectId]) -> Result<bool> {
        if named.is_empty() {
            return Ok(true);
        }
        let Some(_alone) = Locks::of(self.store).try_exclude()? else { return Ok(false) };
        if Generations::of(self.store).ids()?.last().is_some_and(|newest| newest.get() > high) {
            return Ok(false);
        }
        let objects = self.store.sub(OBJECTS)?;
        for id in named {
            self.store.fs.unlink(&objects, &crate::model::object_name::name(*id))?;
        }
        Ok(true)
    }

    /// Returns the folders in which other processes are creating names, or were when they died.
    pub(crate) fn of_others(&self, own: &[u8]) -> Result<FanOuts> {
        let staging = self.store.sub(STAGING)?;
        let mut found = FanOuts::Some(BTreeSet::new());
        for (name, kind) in staging.list()? {
            if kind != Kind::Dir || name == own {
                continue;
            }
            match staging.read(&[&name, &b"/"[..], NAMING].concat()) {
                Ok(None) => {}
                Ok(Some(said)) => found.add(FanOuts::decode(&said)),
                // Another user's stage that is unreadable.
                Err(Error::Io { .. }) => found = FanOuts::All,
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Records that parts of the store are not durable.
    fn note_unflushed(&self) -> Result<()> {
        match self.store.dir.stat(UNFLUSHED)? {
            Some(_) => Ok(()),
            None => self.store.fs.open_or_create(&self.store.dir, UNFLUSHED).map(drop),
        }
    }

    /// Makes durable the changes of writers without flushes. If this writer does not flush, records
    /// that instead.
    pub(crate) fn settle_unflushed(&self, _: &CommitLock) -> Result<()> {
        if self.store.options.durability == Durability::None {
            return self.note_unflushed();
        }
        // The file is renamed during the flush, so that later changes create a new one.
        let noted = self.store.dir.stat(UNFLUSHED)?.is_some();
        if noted {
            self.store.fs.rename((&self.store.dir, UNFLUSHED), (&self.store.dir, UNFLUSHING))?;
        }
        if noted || self.store.dir.stat(UNFLUSHING)?.is_some() {
            self.store.fs.sync_filesystem(&self.store.dir)?;
            self.store.fs.unlink(&self.store.dir, UNFLUSHING)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_stands_for_all() {
        let some = |bytes: &[u8]| FanOuts::Some(bytes.iter().copied().collect());
        for (said, expected) in [
            (&b"00\nab\nff\n"[..], some(&[0, 0xab, 0xff])),
            (b"", FanOuts::All),
            (b"00\nab", FanOuts::All),
            (b"00\nag\n", FanOuts::All),
            (b"00 ab\n", FanOuts::All),
            (b"\0\0\0", FanOuts::All),
        ] {
            assert_eq!(FanOuts::decode(said), expected, "{said:?}");
        }
        assert_eq!(FanOuts::decode(&some(&[1, 2]).encode()), some(&[1, 2]));
        assert_eq!(FanOuts::decode(&FanOuts::All.encode()), FanOuts::All);
    }

    #[test]
    fn only_what_both_name_is_added() {
        let some = |bytes: &[u8]| FanOuts::Some(bytes.iter().copied().collect());
        let check = |one: FanOuts, other: FanOuts, expected: FanOuts| {
            let mut own = some(&[9]);
            own.add_common(&one, &other);
            assert_eq!(own, expected);
        };
        check(some(&[1, 2]), some(&[2, 3]), some(&[2, 9]));
        check(some(&[1]), some(&[]), some(&[9]));
        check(some(&[1]), FanOuts::All, FanOuts::All);
    }
}

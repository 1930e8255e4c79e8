//! Names that objects are given and that are not durable yet.
//!
//! Owns `staging/s-<id>/naming`, and `unflushed` and `unflushing` in the store's root. Whoever finds an
//! object by its name builds on it, so the name must not go in a power loss (INV-3). Between link(2)
//! and the flush of the folder it may: its giver can die there, fail there, or not be there yet when
//! another publisher finds the name. Therefore:
//!
//! 1. A publisher makes `naming` in its stage before it gives the first name, and removes it when all
//!    of them are durable.
//! 2. Whoever removes a stage, for whatever reason, makes durable what its `naming` speaks of first.
//! 3. A publisher that has found all its objects looks for the `naming` of others, and flushes the
//!    folders in which both have names.
//!
//! None of these files is flushed: what a power loss takes of them tells of names that it took as well,
//! or that are on the disk. So all that it costs is a file and a look at `staging/`.
//!
//! A publisher without flushes says in its `naming` that nothing at all is durable, and leaves
//! `unflushed` before it removes that. The next writer with flushes makes all of the store durable.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::fs::flush::{Flush, MANY};
use crate::fs::{Dir, Durability, Kind};
use crate::model::tree::ObjectId;
use crate::parts::generations::Generations;
use crate::parts::layout::{OBJECTS, STAGING, StoreDir, UNFLUSHED, UNFLUSHING};
use crate::parts::locks::{CommitLock, Locks};

/// The file of a stage that says where names are on their way.
pub(crate) const NAMING: &[u8] = b"naming";

/// Folders of `objects/`, by the first byte of the digests in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FanOuts {
    /// These, of objects whose bytes are durable.
    Some(BTreeSet<u8>),
    /// All of them, and the bytes of the objects, too.
    All,
}

impl FanOuts {
    /// Gathers the folders of objects.
    pub(crate) fn of(ids: impl Iterator<Item = ObjectId>) -> FanOuts {
        FanOuts::Some(ids.map(|id| id.digest.as_bytes()[0]).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, FanOuts::Some(some) if some.is_empty())
    }

    /// Adds what both of two others have.
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

    /// Writes two hex digits and a newline for each; nothing at all for all of them.
    fn encode(&self) -> Vec<u8> {
        match self {
            FanOuts::Some(some) => {
                some.iter().flat_map(|byte| format!("{byte:02x}\n").into_bytes()).collect()
            }
            FanOuts::All => vec![],
        }
    }

    /// Reads it back. What is not whole, or not of this form, may stand for anything.
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
                // Whoever was about to make it did not get so far.
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        store.fs.sync_each(&all)
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

    /// Says in a stage that names are about to be given in these folders.
    pub(crate) fn begin(&self, stage: &Dir, fan_outs: &FanOuts) -> Result<()> {
        let said = match self.store.options.durability {
            Durability::Full => fan_outs.encode(),
            Durability::None => FanOuts::All.encode(),
        };
        let file = self.store.fs.create_with(stage, NAMING, 0o644)?;
        self.store.fs.write(&file, &stage.join(NAMING), &said)
    }

    /// Says that they are durable.
    pub(crate) fn end(&self, stage: &Dir) -> Result<()> {
        if self.store.options.durability == Durability::None {
            self.note_unflushed()?;
        }
        self.store.fs.unlink(stage, NAMING).map(drop)
    }

    /// Makes durable the names that the owner of a stage was giving, and says so.
    pub(crate) fn settle(&self, stage: &Dir) -> Result<()> {
        let Some(said) = stage.read(NAMING)? else { return Ok(()) };
        FanOuts::decode(&said).flush(self.store)?;
        self.end(stage)
    }

    /// Returns whether names are on their way from a stage, as far as that can be told.
    pub(crate) fn is_open(&self, stage: &Dir) -> bool {
        !matches!(stage.stat(NAMING), Ok(None))
    }

    /// Says that the names are no more.
    pub(crate) fn forget(&self, stage: &Dir) -> Result<()> {
        self.store.fs.unlink(stage, NAMING).map(drop)
    }

    /// Removes the objects that a commit which failed gave their names; `Ok(false)` where something may
    /// have come to need them.
    ///
    /// `high` is the highest number that was taken when it looked for its objects: a generation that
    /// needs one of these has a higher one. And who is still on the way to one has the store lock.
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

    /// Tells where others are giving names now, or were when they died.
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
                // Another user's stage that hides what it does.
                Err(Error::Io { .. }) => found = FanOuts::All,
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Says that the store holds what is not durable.
    fn note_unflushed(&self) -> Result<()> {
        match self.store.dir.stat(UNFLUSHED)? {
            Some(_) => Ok(()),
            None => self.store.fs.open_or_create(&self.store.dir, UNFLUSHED).map(drop),
        }
    }

    /// Makes durable what writers without flushes left; or says of this one that it flushes nothing.
    pub(crate) fn settle_unflushed(&self, _: &CommitLock) -> Result<()> {
        if self.store.options.durability == Durability::None {
            return self.note_unflushed();
        }
        // Under another name while it is done: what is written meanwhile is noted anew.
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

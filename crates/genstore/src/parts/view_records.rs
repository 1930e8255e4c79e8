//! The store's records of views: one per view, another one while a view is being installed, and the
//! inventory of each mirror.
//!
//! Owns `views/`. All files are written atomically under the commit lock, and durable on return. Paths
//! are relative to the store's directory, so a project that is moved as a whole keeps its views.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::digest::Digest;
use crate::model::inventory::{Inventory, Shows};
use crate::model::records::Moment;
use crate::model::relpath;
use crate::model::view::ViewKind;
use crate::parts::layout::{StoreDir, VIEWS};
use crate::parts::locks::CommitLock;
use crate::parts::record::{self, wrap};

/// The suffix of the record of a view that is being installed.
const PENDING: &[u8] = b".pending";
/// The suffix of a mirror's inventory.
const INVENTORY: &[u8] = b".mirror";
/// The suffix of the next inventory of a mirror.
const NEXT_INVENTORY: &[u8] = b".next";

/// Bytes in a record's JSON: `%` and every byte that is not printable ASCII are written as `%xx`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Escaped(pub(crate) Vec<u8>);

impl From<Escaped> for String {
    fn from(bytes: Escaped) -> String {
        let mut text = String::new();
        for byte in bytes.0 {
            match byte {
                b'%' | 0..0x20 | 0x7f.. => text.push_str(&format!("%{byte:02x}")),
                _ => text.push(char::from(byte)),
            }
        }
        text
    }
}

impl TryFrom<String> for Escaped {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Escaped, &'static str> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'%' {
                bytes.push(first);
                continue;
            }
            let digits = rest.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            let text = digits.and_then(|two| std::str::from_utf8(two).ok());
            let byte = text.and_then(|two| u8::from_str_radix(two, 16).ok());
            bytes.push(byte.ok_or("an escape is not two hex digits")?);
            rest = &rest[2..];
        }
        Ok(Escaped(bytes))
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ViewRecord {
    /// Relative to the store's directory: `../site`.
    pub(crate) path: Escaped,
    /// The part of the tree that it shows, if that is not the whole tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Escaped>,
    #[serde(rename = "as")]
    pub(crate) kind: ViewKind,
    /// For a mirror: whether its files are private copies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) copy: bool,
    /// For a mirror: the seconds for which it still shows files that a commit removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_removed: Option<u64>,
    pub(crate) made: Moment,
    /// The filesystem of the view, if it is mounted separately from the store's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<DiskRecord>,
}

/// A filesystem outside the store. While it is not mounted, nothing is written to its mount point.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DiskRecord {
    /// The path from the store's directory to the mount point.
    pub(crate) at: Escaped,
    /// The filesystem's own id, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
}

/// A view that is being installed. This record is durable before the first change beside the view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PendingView {
    pub(crate) view: ViewRecord,
    /// The name of the link or the mirror, beside the view, until it is in place. Then the name of the
    /// entry that it replaced.
    pub(crate) temp: Escaped,
    /// The final name of the replaced entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aside: Option<Escaped>,
    /// The inode of the mirror's directory, recorded while it is still empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<u64>,
}

impl ViewRecord {
    /// Returns the name of its record: stable for any bytes in the path.
    pub(crate) fn key(&self) -> Vec<u8> {
        Digest::of(&self.path.0).to_string().into_bytes()[..32].to_vec()
    }

    pub(crate) fn from(&self) -> Option<&[u8]> {
        self.from.as_ref().map(|from| from.0.as_slice())
    }

    /// Returns the time for which a mirror still shows files that a commit removed.
    pub(crate) fn keep_removed(&self) -> Option<Duration> {
        self.keep_removed.filter(|_| self.kind == ViewKind::Mirror).map(Duration::from_secs)
    }

    /// Returns whether it requests the same as another record of this view.
    pub(crate) fn asks_the_same(&self, other: &ViewRecord) -> bool {
        let wish = |view: &ViewRecord| {
            (view.path.clone(), view.from.clone(), view.kind, view.copy, view.keep_removed())
        };
        wish(self) == wish(other)
    }

    /// Returns whether it is somewhere below the parent directory of the store, which usually is the
    /// project's.
    pub(crate) fn is_beside_store(&self) -> bool {
        !self.path.0.starts_with(b"../../")
    }

    /// Returns whether it is a valid view record under its own name.
    fn is_sound(&self, key: &[u8]) -> bool {
        let mut below = self.path.0.as_slice();
        while let Some(rest) = below.strip_prefix(b"../") {
            below = rest;
        }
        let outside = below.len() < self.path.0.len();
        let from_is_sound = self.from().is_none_or(|from| relpath::check(from).is_ok());
        outside && relpath::check(below).is_ok() && from_is_sound && self.key() == key
    }
}

impl PendingView {
    /// Returns whether it contains only a view and names beside it.
    fn is_sound(&self, key: &[u8]) -> bool {
        let mut names = [Some(&self.temp), self.aside.as_ref()].into_iter().flatten();
        let are_names = names.all(|name| relpath::check(&name.0).is_ok() && !name.0.contains(&b'/'));
        are_names && self.view.is_sound(key)
    }
}

/// Returns the path from one real directory to a real path.
pub(crate) fn relative(from: &Path, to: &Path) -> Vec<u8> {
    let (from, to): (Vec<Component<'_>>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| &b".."[..]);
    let names: Vec<&[u8]> = up.chain(to[shared..].iter().map(|c| c.as_os_str().as_bytes())).collect();
    names.join(&b'/')
}

/// Resolves such a path from a real directory.
pub(crate) fn follow(from: &Path, way: &[u8]) -> PathBuf {
    let mut path = from.to_owned();
    for name in way.split(|&b| b == b'/') {
        match name {
            b".." => drop(path.pop()),
            name => path.push(OsStr::from_bytes(name)),
        }
    }
    path
}

/// The records of views of a store: `views/`.
#[derive(Clone, Copy)]
pub(crate) struct ViewRecords<'s> {
    store: &'s StoreDir,
}

impl<'s> ViewRecords<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> ViewRecords<'s> {
        ViewRecords { store }
    }

    /// Returns whether there are any records: one readdir.
    pub(crate) fn any(&self) -> Result<bool> {
        Ok(!self.store.list(VIEWS)?.is_empty())
    }

    /// Reads all records, in the order of their names. A damaged one is an error in the list.
    pub(crate) fn list(&self) -> Result<Vec<Result<ViewRecord>>> {
        let names = self.store.list(VIEWS)?;
        let others = [PENDING, INVENTORY, NEXT_INVENTORY];
        let records = names.iter().filter(|(name, _)| !others.iter().any(|end| name.ends_with(end)));
        Ok(records.filter_map(|(name, _)| self.read(name).transpose()).collect())
    }

    pub(crate) fn read(&self, name: &[u8]) -> Result<Option<ViewRecord>> {
        let path = [VIEWS, b"/", name].concat();
        match record::read::<ViewRecord>(self.store, &path)? {
            Some(record) if !record.is_sound(name) => {
                Err(Error::damaged_file(&self.store.dir.join(&path), "it is not a view's record"))
            }
            record => Ok(record),
        }
    }

    /// Lists the views that are being installed, by the names of their records.
    pub(crate) fn pending_views(&self) -> Result<Vec<Vec<u8>>> {
        self.view_keys(PENDING)
    }

    /// Lists the views that are or have been mirrors, by the names of their records.
    pub(crate) fn mirrors(&self) -> Result<BTreeSet<Vec<u8>>> {
        let (now, next) = (self.view_keys(INVENTORY)?, self.view_keys(NEXT_INVENTORY)?);
        Ok(now.into_iter().chain(next).collect())
    }

    fn view_keys(&self, end: &[u8]) -> Result<Vec<Vec<u8>>> {
        let names = self.store.list(VIEWS)?.into_iter();
        Ok(names.filter_map(|(name, _)| Some(name.strip_suffix(end)?.to_vec())).collect())
    }

    /// Reads the inventory of a mirror.
    pub(crate) fn inventory(&self, key: &[u8]) -> Result<Option<Inventory>> {
        self.read_inventory(&[VIEWS, b"/", key, INVENTORY].concat())
    }

    /// Returns the generation and mode of a mirror, unless it is being changed.
    pub(crate) fn mirror_shows(&self, key: &[u8]) -> Result<Option<Shows>> {
        let path = [VIEWS, b"/", key, INVENTORY].concat();
        if self.store.dir.stat(&[VIEWS, b"/", key, NEXT_INVENTORY].concat())?.is_some() {
            return Ok(None);
        }
        let Some(bytes) = self.store.dir.read(&path)? else { return Ok(None) };
        Shows::decode(&bytes).map(Some).map_err(|why| Error::damaged_file(&self.store.dir.join(&path), why))
    }

    /// Reads the inventory that a mirror is being changed to.
    pub(crate) fn next_inventory(&self, key: &[u8]) -> Result<Option<Inventory>> {
        self.read_inventory(&[VIEWS, b"/", key, NEXT_INVENTORY].concat())
    }

    fn read_inventory(&self, path: &[u8]) -> Result<Option<Inventory>> {
        let Some(bytes) = self.store.dir.read(path)? else { return Ok(None) };
        Inventory::decode(&bytes)
            .map(Some)
            .map_err(|why| Error::damaged_file(&self.store.dir.join(path), why))
    }

    /// Writes the next inventory of a mirror, before anything in the mirror is changed.
    pub(crate) fn write_next_inventory(
        &self,
        lock: &CommitLock,
        key: &[u8],
        next: &Inventory,
    ) -> Result<()> {
        self.need_views()?;
        record::replace(self.store, lock, VIEWS, &[key, NEXT_INVENTORY].concat(), &next.encode())
    }

    /// Makes the next inventory the present one. The mirror must durably contain all of it, and nothing
    /// else of ours.
    pub(crate) fn promote_inventory(&self, _: &CommitLock, key: &[u8]) -> Result<()> {
        let dir = self.store.sub(VIEWS)?;
        let (next, name) = ([key, NEXT_INVENTORY].concat(), [key, INVENTORY].concat());
        if dir.stat(&next)?.is_some() {
            self.store.fs.rename((&dir, &next), (&dir, &name))?;
            self.store.fs.sync_dir(&dir)?;
        }
        Ok(())
    }

    /// Removes the next inventory of a mirror, and the present one if `over` is true.
    pub(crate) fn forget_inventory(&self, _: &CommitLock, key: &[u8], over: bool) -> Result<()> {
        let dir = self.store.sub(VIEWS)?;
        let ends = if over { &[NEXT_INVENTORY, INVENTORY][..] } else { &[NEXT_INVENTORY] };
        let mut removed = false;
        for end in ends {
            let name = [key, end].concat();
            removed |= dir.stat(&name)?.is_some() && self.store.fs.unlink(&dir, &name)?;
        }
        if removed { self.store.fs.sync_dir(&dir) } else { Ok(()) }
    }

    pub(crate) fn read_pending(&self, key: &[u8]) -> Result<Option<PendingView>> {
        let path = [VIEWS, b"/", key, PENDING].concat();
        match record::read::<PendingView>(self.store, &path)? {
            Some(pending) if !pending.is_sound(key) => {
                Err(Error::damaged_file(&self.store.dir.join(&path), "it is not a view's record"))
            }
            pending => Ok(pending),
        }
    }

    pub(crate) fn write(&self, lock: &CommitLock, record: &ViewRecord) -> Result<()> {
        self.need_views()?;
        record::replace(self.store, lock, VIEWS, &record.key(), &wrap(record))
    }

    pub(crate) fn write_pending(&self, lock: &CommitLock, pending: &PendingView) -> Result<()> {
        self.need_views()?;
        let name = [pending.view.key().as_slice(), PENDING].concat();
        record::replace(self.store, lock, VIEWS, &name, &wrap(pending))
    }

    /// Creates the directory, which stores of older programs lack.
    fn need_views(&self) -> Result<()> {
        if self.store.dir.stat(VIEWS)?.is_none() {
            self.store.fs.make_dir(&self.store.dir, VIEWS)?;
            self.store.fs.sync_dir(&self.store.dir)?;
        }
        Ok(())
    }

    pub(crate) fn remove(&self, _: &CommitLock, key: &[u8]) -> Result<()> {
        let dir = self.store.sub(VIEWS)?;
        self.store.fs.unlink(&dir, key)?;
        self.store.fs.sync_dir(&dir)
    }

    pub(crate) fn remove_pending(&self, lock: &CommitLock, key: &[u8]) -> Result<()> {
        self.remove(lock, &[key, PENDING].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_leads_there() {
        let check = |from: &str, to: &str, way: &str| {
            let (from, to) = (Path::new(from), Path::new(to));
            assert_eq!(String::from_utf8(relative(from, to)).unwrap(), way);
            assert_eq!(follow(from, way.as_bytes()), to);
        };
        check("/srv/p/genstore", "/srv/p/site", "../site");
        check("/srv/p/genstore", "/srv/www/site", "../../www/site");
        check("/srv/p/genstore", "/srv/p/genstore-2/site", "../genstore-2/site");
        check("/srv/p", "/srv/p/genstore", "genstore");
        check("/srv/p/web", "/srv/p/genstore", "../genstore");
    }

    #[test]
    fn any_bytes_survive_a_record() {
        let bytes: Vec<u8> = (1..=255).collect();
        let text = String::from(Escaped(bytes.clone()));
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
        assert_eq!(Escaped::try_from(text), Ok(Escaped(bytes)));
        assert_eq!(String::from(Escaped(b"../a%\xff".to_vec())), "../a%25%ff");
        for bad in ["%", "%f", "%zz", "a%+1", "%\u{e9}"] {
            assert!(Escaped::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pending_view_uses_names_beside_it() {
        let check = |temp: &str, aside: Option<&str>, sound: bool| {
            let bytes = |text: &str| Escaped(text.as_bytes().to_vec());
            let made = Moment { secs: 0, nanos: 0 };
            let view = ViewRecord {
                path: bytes("../site"),
                from: None,
                kind: ViewKind::Link,
                copy: false,
                keep_removed: None,
                made,
                disk: None,
            };
            let key = view.key();
            let pending = PendingView { view, temp: bytes(temp), aside: aside.map(bytes), root: None };
            assert_eq!(pending.is_sound(&key), sound, "{temp} {aside:?}");
        };
        check(".temp", None, true);
        check(".temp", Some("site.before-genstore"), true);
        check("../temp", None, false);
        check("", None, false);
        check(".temp", Some(".."), false);
        check(".temp", Some("a/b"), false);
    }

    #[test]
    fn a_record_is_for_a_path_outside_under_its_own_name() {
        let check = |path: &str, from: Option<&str>, sound: bool| {
            let bytes = |text: &str| Escaped(text.as_bytes().to_vec());
            let made = Moment { secs: 0, nanos: 0 };
            let (path, from) = (bytes(path), from.map(bytes));
            let (kind, copy, keep_removed) = (ViewKind::Link, false, None);
            let record = ViewRecord { path, from, kind, copy, keep_removed, made, disk: None };
            assert_eq!(record.is_sound(&record.key()), sound, "{record:?}");
            assert!(!record.is_sound(b"0123"));
        };
        check("../site", None, true);
        check("../../www/site", Some("app/public"), true);
        check("site", None, false);
        check("../", None, false);
        check("../a/../b", None, false);
        check("/site", None, false);
        check("../site", Some("../app"), false);
    }
}

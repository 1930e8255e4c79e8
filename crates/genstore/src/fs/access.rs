//! Owners and modes of created files and folders.
//!
//! A command that runs as root works in places of other users: a store of a deploy user, a project's
//! folder. Inodes that root creates there get the owner of the place, who could not write to them
//! otherwise. Every call that creates an inode asks here. For other users, and in root's own places, no
//! system call is made.
//!
//! In a store that is shared with a group, folders and the few files that are written in place are
//! writable by that group, whatever the umask. Objects never are.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid};
use rustix::io::Errno;

use super::fault::Needs;
use super::{Access, Dir, Fs, Kind, Stat, mode_of, system};
use crate::error::{Error, Result};

impl Access {
    /// Returns the access for a place that belongs to the owner of `place`.
    pub(super) fn of(place: &Stat) -> Access {
        let own = (rustix::process::geteuid(), rustix::process::getegid().as_raw());
        let owner = (place.uid, place.gid);
        if !own.0.is_root() || owner == (0, own.1) {
            return Access::default();
        }
        Access { user: place.uid, given_to: Some(owner), group: None }
    }
}

impl Fs {
    /// Returns a handle for work below `place`: inodes that root creates with it belong to the owner of
    /// `place`. A shared group stays the same.
    pub(crate) fn within(&self, place: &Dir) -> Result<Fs> {
        let access = Access { group: self.access.group, ..Access::of(&place.stat_self()?) };
        Ok(Fs { access, ..self.clone() })
    }

    /// Returns a handle that shares created inodes with a group, or with none.
    pub(crate) fn shared_with(&self, group: Option<u32>) -> Fs {
        Fs { access: Access { group, ..self.access }, ..self.clone() }
    }

    /// Returns whether an inode belongs to the user for whom this process works, or is shared with its
    /// group.
    pub(crate) fn is_ours(&self, stat: &Stat) -> bool {
        stat.uid == self.access.user || self.access.group == Some(stat.gid)
    }

    /// The mode of a created folder.
    pub(super) fn dir_mode(&self) -> u32 {
        if self.access.group.is_some() { 0o2775 } else { 0o755 }
    }

    /// Returns whether a folder has the mode that genstore sets. The set-group-id bit is ignored:
    /// folders inherit it from the one above.
    pub(crate) fn is_dir_mode(&self, stat: &Stat) -> bool {
        stat.folder_mode() == self.dir_mode() & 0o777
    }

    /// The mode of a file that only its creators read.
    pub(super) fn own_mode(&self) -> u32 {
        if self.access.group.is_some() { 0o640 } else { 0o600 }
    }

    /// Sets the mode that lets a group share a new folder. The group is set first, so no other group
    /// gets access. Returns the mode.
    pub(super) fn share_dir(&self, dir: &Dir, name: &[u8], made: &Stat) -> Result<u32> {
        match self.access.group {
            Some(group) if made.gid != group => {
                let path = dir.join(name);
                self.point("chown", &path, Needs::Nothing)?;
                let group = Some(Gid::from_raw(group));
                match rustix::fs::chownat(dir, name, None, group, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(()) => Ok(0o2775),
                    // This user is not a member of the group. `doctor` reports it.
                    Err(Errno::PERM) => Ok(0o755),
                    Err(e) => Err(Error::io("chown", path, e)),
                }
            }
            _ => Ok(self.dir_mode()),
        }
    }

    /// Sets the mode of a file that every writer writes in place.
    pub(super) fn set_shared_mode(&self, file: &File, path: &Path) -> Result<()> {
        let Some(group) = self.access.group else { return self.set_mode(file, path, 0o644) };
        if Stat::of(file, path)?.gid != group {
            self.point("chown", path, Needs::Nothing)?;
            match rustix::fs::fchown(file, None, Some(Gid::from_raw(group))) {
                Ok(()) => {}
                Err(Errno::PERM) => return self.set_mode(file, path, 0o644),
                Err(e) => return Err(Error::io("chown", path, e)),
            }
        }
        self.set_mode(file, path, 0o664)
    }

    /// Returns whether a group shares the created inodes.
    pub(crate) fn is_shared(&self) -> bool {
        self.access.group.is_some()
    }

    /// Returns whether the system keeps users from linking files of others (`fs.protected_hardlinks`).
    pub(crate) fn are_links_protected(&self) -> bool {
        std::fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.starts_with(b"1"))
    }

    /// Changes the owner of an entry to the owner of a store. In a shared store only its group is
    /// changed, and folders become writable to the group. The entry must still be the inode `seen`.
    pub(crate) fn give_back(&self, dir: &Dir, name: &[u8], seen: &Stat, store: &Stat) -> Result<()> {
        let path = dir.join(name);
        let fail = |e: Errno| Error::io("chown", &path, e);
        self.point("chown", &path, Needs::Nothing)?;
        let uid = (!self.is_shared()).then(|| Uid::from_raw(store.uid));
        let owner = (uid, Some(Gid::from_raw(store.gid)));
        let mut is_same = false;
        let accepts = |found: rustix::fs::Stat| {
            is_same = Stat::from(found).same_inode(seen);
            is_same
        };
        system::chown_if((dir.as_fd(), name), owner, accepts).map_err(fail)?;
        match (is_same && self.is_shared(), seen.kind) {
            (true, Kind::Dir) => self.set_dir_mode(dir, name),
            _ => Ok(()),
        }
    }

    /// Changes the owner of a new or moved file to the owner of its place.
    pub(crate) fn give_file(&self, file: &File, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.access.given_to else { return Ok(()) };
        self.point("chown", path, Needs::Nothing)?;
        let given = rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        unless_impossible(given).map_err(|e| Error::io("chown", path, e))
    }

    /// Changes the owner of a new folder or symlink to the owner of its place. The entry is opened
    /// first and checked, so an entry that another process created meanwhile is left alone.
    pub(super) fn give_name(&self, dir: &Dir, name: &[u8], kind: Kind) -> Result<()> {
        let Some((uid, gid)) = self.access.given_to else { return Ok(()) };
        let path = dir.join(name);
        self.point("chown", &path, Needs::Nothing)?;
        let fail = |e: Errno| Error::io("chown", &path, e);
        let own = rustix::process::geteuid().as_raw();
        let accepts = |found: rustix::fs::Stat| {
            let found = Stat::from(found);
            (found.kind, found.uid) == (kind, own) && (kind != Kind::Symlink || found.links == 1)
        };
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        unless_impossible(system::chown_if((dir.as_fd(), name), owner, accepts)).map_err(fail)
    }

    /// Changes the owner of a file of the store from root to the store's owner: an earlier command of
    /// root created it. A file with a second name is left alone, as it may be any file.
    pub(super) fn give_found(&self, file: &File, path: &Path) -> Result<()> {
        if self.access.given_to.is_none() {
            return Ok(());
        }
        let stat = Stat::of(file, path)?;
        let is_left = stat.kind == Kind::File && stat.links == 1 && stat.uid == 0;
        if is_left && !self.is_ours(&stat) { self.give_file(file, path) } else { Ok(()) }
    }

    /// Creates a file that has its owner and mode before its name. A kill in between leaves no file
    /// that the owner of the place cannot write to. Returns `None` if the filesystem has no nameless
    /// files, if the owner need not change, or if the name is taken by now.
    pub(super) fn create_given(&self, dir: &Dir, name: &[u8]) -> Result<Option<File>> {
        if self.access.given_to.is_none() {
            return Ok(None);
        }
        let path = dir.join(name);
        let Ok(file) = system::create_nameless(dir.as_fd(), mode_of(0o600)) else { return Ok(None) };
        self.give_file(&file, &path)?;
        self.set_shared_mode(&file, &path)?;
        // Linking by the handle alone needs CAP_DAC_READ_SEARCH, which few containers have.
        let nameless = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        self.point("link", &path, Needs::Space)?;
        let linked = rustix::fs::linkat(rustix::fs::CWD, nameless, dir, name, AtFlags::SYMLINK_FOLLOW);
        Ok(linked.is_ok().then_some(file))
    }
}

/// Ignores errors of owners that this system or filesystem cannot store: root in a container sees
/// unmapped owners, a network filesystem decides by itself. `doctor` reports the result.
fn unless_impossible(given: std::result::Result<(), Errno>) -> std::result::Result<(), Errno> {
    match given {
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::OVERFLOW) => Ok(()),
        given => given,
    }
}

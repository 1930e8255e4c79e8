//! Who owns what is made, and which modes it gets.
//!
//! A command that runs as root works in places of others: a store of a deploy user, a project's folder.
//! What root creates there is given to the owner of the place, who could not write to it otherwise.
//! Every call that makes an inode asks here; for anybody else, and in root's own places, that is no call.
//!
//! In a store that is shared with a group, whatever several users change is writable by that group,
//! whatever the umask: folders, and the few files that are written in place. Objects never are.

use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::fault::Needs;
use super::{Access, Dir, Fs, Kind, Stat};
use crate::error::{Error, Result};

impl Access {
    /// Returns how things are made in a place that belongs to the owner of `place`.
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
    /// Returns a handle for work below `place`: as root, what it makes belongs to the owner of `place`.
    /// What is shared with a group here is so there.
    pub(crate) fn within(&self, place: &Dir) -> Result<Fs> {
        let access = Access { group: self.access.group, ..Access::of(&place.stat_self()?) };
        Ok(Fs { access, ..self.clone() })
    }

    /// Returns a handle that shares what it makes with a group, or with none.
    pub(crate) fn shared_with(&self, group: Option<u32>) -> Fs {
        Fs { access: Access { group, ..self.access }, ..self.clone() }
    }

    /// Returns whether something belongs to whoever this process works for, or is shared with it.
    pub(crate) fn is_ours(&self, stat: &Stat) -> bool {
        stat.uid == self.access.user || self.access.group == Some(stat.gid)
    }

    /// The mode of a folder that is made.
    pub(super) fn dir_mode(&self) -> u32 {
        if self.access.group.is_some() { 0o2775 } else { 0o755 }
    }

    /// Returns whether a folder has the mode that it got. The set-group-id bit does not count: folders
    /// inherit it from the one above.
    pub(crate) fn is_dir_mode(&self, stat: &Stat) -> bool {
        stat.folder_mode() == self.dir_mode() & 0o777
    }

    /// The mode of a file that only its makers read.
    pub(super) fn own_mode(&self) -> u32 {
        if self.access.group.is_some() { 0o640 } else { 0o600 }
    }

    /// Gives a new folder the mode of one, through which a group may share it: the group first, so
    /// that no other one is let in.
    pub(super) fn share_dir(&self, dir: &Dir, name: &[u8], made: &Stat) -> Result<u32> {
        match self.access.group {
            Some(group) if made.gid != group => {
                let path = dir.join(name);
                self.point("chown", &path, Needs::Nothing)?;
                let group = Some(Gid::from_raw(group));
                match rustix::fs::chownat(dir, name, None, group, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(()) => Ok(0o2775),
                    // Not a member of it: `doctor` tells.
                    Err(Errno::PERM) => Ok(0o755),
                    Err(e) => Err(Error::io("chown", path, e)),
                }
            }
            _ => Ok(self.dir_mode()),
        }
    }

    /// Gives a file that is written in place by every writer its mode.
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

    /// Returns whether a group shares what is made here.
    pub(crate) fn is_shared(&self) -> bool {
        self.access.group.is_some()
    }

    /// Returns whether the system keeps users from naming files of others (`fs.protected_hardlinks`).
    pub(crate) fn are_links_protected(&self) -> bool {
        std::fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.starts_with(b"1"))
    }

    /// Gives what stands at a name to the owner of a store; in a shared one to its group alone, and folders
    /// become writable to it. It must still be what was looked at.
    pub(crate) fn give_back(&self, dir: &Dir, name: &[u8], seen: &Stat, store: &Stat) -> Result<()> {
        let path = dir.join(name);
        let fail = |e: Errno| Error::io("chown", &path, e);
        self.point("chown", &path, Needs::Nothing)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(fail)?;
        if !Stat::from(rustix::fs::fstat(&fd).map_err(fail)?).same_inode(seen) {
            return Ok(());
        }
        let uid = (!self.is_shared()).then(|| Uid::from_raw(store.uid));
        let gid = Some(Gid::from_raw(store.gid));
        rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(fail)?;
        match (self.is_shared(), seen.kind) {
            (true, Kind::Dir) => self.set_dir_mode(dir, name),
            _ => Ok(()),
        }
    }

    /// Gives a file that was just made, or moved in, to the owner of its place.
    pub(crate) fn give_file(&self, file: &File, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.access.given_to else { return Ok(()) };
        self.point("chown", path, Needs::Nothing)?;
        let given = rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        unless_impossible(given).map_err(|e| Error::io("chown", path, e))
    }

    /// Gives a folder or a symlink that was just made to the owner of its place. It is opened first,
    /// and looked at: what another process put there meanwhile is left alone.
    pub(super) fn give_name(&self, dir: &Dir, name: &[u8], kind: Kind) -> Result<()> {
        let Some((uid, gid)) = self.access.given_to else { return Ok(()) };
        let path = dir.join(name);
        self.point("chown", &path, Needs::Nothing)?;
        let fail = |e: Errno| Error::io("chown", &path, e);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(fail)?;
        let stat = Stat::from(rustix::fs::fstat(&fd).map_err(fail)?);
        let own = rustix::process::geteuid().as_raw();
        if (stat.kind, stat.uid) != (kind, own) || (kind == Kind::Symlink && stat.links != 1) {
            return Ok(());
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        unless_impossible(rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH)).map_err(fail)
    }

    /// Gives a file of the store's own that root finds as its own to the store's owner: what an
    /// earlier command of root left. A file with a second name may be something else altogether.
    pub(super) fn give_found(&self, file: &File, path: &Path) -> Result<()> {
        if self.access.given_to.is_none() {
            return Ok(());
        }
        let stat = Stat::of(file, path)?;
        let is_left = stat.kind == Kind::File && stat.links == 1 && stat.uid == 0;
        if is_left && !self.is_ours(&stat) { self.give_file(file, path) } else { Ok(()) }
    }

    /// Makes a file that has its owner and its mode before it has its name, so that a kill in between
    /// leaves none that the owner of the place cannot write to. `None` where the filesystem has no
    /// nameless files, where nothing is to be given away, or where the name is taken by now.
    pub(super) fn create_given(&self, dir: &Dir, name: &[u8]) -> Result<Option<File>> {
        if self.access.given_to.is_none() {
            return Ok(None);
        }
        let path = dir.join(name);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(dir, ".", flags, Mode::from_raw_mode(0o600)) else {
            return Ok(None);
        };
        let file = File::from(fd);
        self.give_file(&file, &path)?;
        self.set_shared_mode(&file, &path)?;
        // By its handle alone only who may search everywhere can link it, as few containers may.
        let nameless = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        self.point("link", &path, Needs::Space)?;
        let linked = rustix::fs::linkat(rustix::fs::CWD, nameless, dir, name, AtFlags::SYMLINK_FOLLOW);
        Ok(linked.is_ok().then_some(file))
    }
}

/// Owners that this system or this filesystem cannot keep stay as they are: root in a container sees
/// unmapped owners, a network filesystem decides by itself. `doctor` tells what came of it.
fn unless_impossible(given: std::result::Result<(), Errno>) -> std::result::Result<(), Errno> {
    match given {
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::OVERFLOW) => Ok(()),
        given => given,
    }
}

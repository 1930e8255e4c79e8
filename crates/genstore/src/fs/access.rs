//! Who owns what is made, and which modes it gets.
//!
//! A command that runs as root works in places of others: a store of a deploy user, a project's folder.
//! What root makes there belongs to whoever the place belongs to, or its owner could not go on with it.
//! Every call that makes an inode asks here; for anybody else, and in root's own places, that is no call.

use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::fault::Needs;
use super::{Dir, Fs, Kind, Stat};
use crate::error::{Error, Result};

/// Owner and modes of what is made in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Who folders and empty files must belong to for this process to go on with them.
    user: u32,
    /// Who everything is given to: only where this process is root and would make it another's.
    given_to: Option<(u32, u32)>,
}

impl Default for Access {
    /// What this process makes is its own.
    fn default() -> Access {
        Access { user: rustix::process::geteuid().as_raw(), given_to: None }
    }
}

impl Access {
    /// Returns how things are made in a place that belongs to the owner of `place`.
    fn of(place: &Stat) -> Access {
        let own = (rustix::process::geteuid(), rustix::process::getegid().as_raw());
        let owner = (place.uid, place.gid);
        if !own.0.is_root() || owner == (0, own.1) {
            return Access::default();
        }
        Access { user: place.uid, given_to: Some(owner) }
    }
}

impl Fs {
    /// Returns a handle for work below `place`: as root, what it makes belongs to the owner of `place`.
    pub(crate) fn within(&self, place: &Dir) -> Result<Fs> {
        Ok(Fs { access: Access::of(&place.stat_self()?), ..self.clone() })
    }

    /// Tells whether something belongs to whoever this process works for.
    pub(crate) fn is_ours(&self, stat: &Stat) -> bool {
        stat.uid == self.access.user
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
    pub(super) fn create_given(&self, dir: &Dir, name: &[u8], mode: u32) -> Result<Option<File>> {
        if self.access.given_to.is_none() {
            return Ok(None);
        }
        let path = dir.join(name);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(dir, ".", flags, Mode::from_raw_mode(0o600)) else {
            return Ok(None);
        };
        let file = File::from(fd);
        self.set_mode(&file, &path, mode)?;
        self.give_file(&file, &path)?;
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

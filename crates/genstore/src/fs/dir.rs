//! Directory handles, through which the store and the sources are read.
//!
//! Everything is opened relative to a handle, without following symlinks and without blocking on a
//! FIFO. So no path can be swapped for another between a check and its use. A path deeper than PATH_MAX
//! is walked in pieces.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::mount::{CROSS, is_mount, mount_of};
use super::system;
use crate::error::{Error, Result};
use crate::model::grain::is_kept_as;
use crate::model::relpath;
use crate::model::tree::Mtime;

/// PATH_MAX is 4096 with the NUL. Names are at most 255 bytes, so a piece never ends within one.
const PIECE_MAX: usize = 3800;

/// An open directory, with its path for messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether everything opened from here must be on the same mount.
    stays: bool,
}

/// The kind of a directory entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File,
    Dir,
    Symlink,
    Other,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Kind {
        match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        }
    }
}

/// The values of an inode that genstore uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Mtime,
    pub(crate) ctime: Mtime,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) links: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Stat {
        Stat {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            mode: stat.st_mode as u32 & 0o7777,
            size: stat.st_size as u64,
            mtime: Mtime { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
            ctime: Mtime { secs: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 },
            dev: stat.st_dev as u64,
            ino: stat.st_ino,
            links: stat.st_nlink as u64,
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }
}

impl Stat {
    /// Reads the values of an open file.
    pub(crate) fn of(file: &File, path: &Path) -> Result<Stat> {
        rustix::fs::fstat(file).map(Stat::from).map_err(|e| Error::io("stat", path, e))
    }

    /// Returns a folder's mode without the set-group-id bit. On most filesystems the bit is inherited
    /// from the folder above, if a group shares a project, and says nothing about this folder.
    pub(crate) fn folder_mode(&self) -> u32 {
        self.mode & !0o2000
    }

    /// Returns whether the mtime is `set`, as far as the filesystem can store it.
    pub(crate) fn has_mtime(&self, set: Mtime) -> bool {
        is_kept_as(set, self.mtime, self.ctime)
    }

    /// Returns whether the two are the same inode.
    pub(crate) fn same_inode(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A FIFO that replaced a file must not block the open forever.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens a directory by its path. Symlinks are followed, as for any user of that path.
    pub(crate) fn open(path: &Path) -> Result<Dir> {
        let fd =
            rustix::fs::open(path, DIR_FLAGS, Mode::empty()).map_err(|e| Error::io("open", path, e))?;
        Ok(Dir { fd, path: path.to_owned(), stays: false })
    }

    /// Returns the same directory with a restriction: nothing beyond a mount point is opened from it. A
    /// filesystem mounted inside our directories belongs to the user who mounted it.
    pub(crate) fn staying(&self) -> Result<Dir> {
        Ok(Dir { stays: true, ..self.open_dir(b"")? })
    }

    /// Opens a directory for reading from an `O_PATH` handle.
    pub(crate) fn reopened(way: &OwnedFd, path: &Path) -> Result<Dir> {
        let fd = rustix::fs::openat(way, ".", DIR_FLAGS, Mode::empty());
        Ok(Dir { fd: fd.map_err(|e| Error::io("open", path, e))?, path: path.to_owned(), stays: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of an entry in this directory, for messages and for calls that need a path.
    pub(crate) fn join(&self, name: &[u8]) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(std::ffi::OsStr::from_bytes(name)) }
    }

    /// Opens a directory below this one. The empty path is this one again.
    ///
    /// # Errors
    /// ELOOP or ENOTDIR if any part of the path is a symlink. EXDEV at a mount point, if this directory
    /// is restricted to its mount.
    pub(crate) fn open_dir(&self, path: &[u8]) -> Result<Dir> {
        let full = self.join(path);
        let fail = |e: Errno| self.fail("open", path, e);
        let mut fd: Option<OwnedFd> = None;
        let mut rest = path;
        loop {
            let (piece, after) = cut(rest);
            let at = fd.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            let piece = if piece.is_empty() { b"." } else { piece };
            let next = open_beneath(at, piece, self.stays).map_err(fail)?;
            if after.is_empty() {
                return Ok(Dir { fd: next, path: full, stays: self.stays });
            }
            fd = Some(next);
            rest = after;
        }
    }

    /// Opens the parent of this directory.
    pub(crate) fn parent(&self) -> std::result::Result<Dir, Errno> {
        let fd = rustix::fs::openat(&self.fd, "..", DIR_FLAGS, Mode::empty())?;
        let path = self.path.parent().unwrap_or(Path::new("..")).to_owned();
        Ok(Dir { fd, path, stays: self.stays })
    }

    /// Creates the error of an open. If a mount point was in the way, the error names it.
    fn fail(&self, op: &'static str, path: &[u8], error: Errno) -> Error {
        if !self.stays || error != Errno::XDEV {
            return Error::io(op, self.join(path), error);
        }
        let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let crosses = |end: &usize| {
            let opened = open_beneath(self.fd.as_fd(), &path[..*end], true);
            opened.is_err_and(|error| error == Errno::XDEV)
        };
        let end = ends.find(crosses).unwrap_or(path.len());
        Error::io(CROSS, self.join(&path[..end]), error)
    }

    /// Opens or creates a file of ours. Never opens a file that is mounted there.
    pub(crate) fn open_with(&self, name: &[u8], flags: OFlags, mode: Mode) -> Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match self.stays {
            true => open_staying(self.fd.as_fd(), name, flags, mode),
            false => rustix::fs::openat(&self.fd, name, flags, mode),
        };
        let op = if flags.contains(OFlags::CREATE) { "create" } else { "open" };
        opened.map(File::from).map_err(|e| self.fail(op, name, e))
    }

    /// Opens a file in this directory for reading. `name` may contain `/`, for our own folders.
    pub(crate) fn open_file(&self, name: &[u8]) -> Result<File> {
        self.open_with(name, FILE_FLAGS, Mode::empty())
    }

    /// Returns the values of an entry without following it. `None` only for ENOENT.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("stat", self.join(name), e)),
        }
    }

    /// Returns the values of the entry at a path below this directory, without following it. `None`
    /// only for ENOENT. Symlinks in the folders of the path are followed: the caller checks each folder
    /// itself.
    pub(crate) fn stat_below(&self, path: &[u8]) -> Result<Option<Stat>> {
        match path.len() {
            0 => self.stat_self().map(Some),
            1..=PIECE_MAX => self.stat(path),
            _ => {
                let (dir, name) = open_parent(self, path)?;
                dir.stat(name)
            }
        }
    }

    /// Returns whether its filesystem is local: this machine's clock stamps its files, and no other
    /// machine changes it. Unknown filesystems are not local.
    pub(crate) fn is_local(&self) -> bool {
        system::is_local(self.fd.as_fd())
    }

    /// Returns the number of bytes that this user may still write to its filesystem.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::fstatvfs(&self.fd).map_err(|e| Error::io("stat", &self.path, e))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Returns a number that its filesystem keeps from one mount to the next. `None` if it has none,
    /// and for filesystems in memory.
    pub(crate) fn filesystem_id(&self) -> Option<u64> {
        if !system::has_lasting_id(self.fd.as_fd()) {
            return None;
        }
        rustix::fs::fstatvfs(&self.fd).ok().map(|found| found.f_fsid).filter(|id| *id != 0)
    }

    /// Returns the values of the directory itself.
    pub(crate) fn stat_self(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd).map(Stat::from).map_err(|e| Error::io("stat", &self.path, e))
    }

    /// Returns the time of the directory's creation. `None` if the system does not report it.
    pub(crate) fn born(&self) -> Option<Mtime> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::StatxFlags;
            let stat = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
            let told = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
            told.then_some(Mtime { secs: stat.stx_btime.tv_sec, nanos: stat.stx_btime.tv_nsec })
        }
        #[cfg(target_os = "macos")]
        {
            let stat = rustix::fs::fstat(&self.fd).ok()?;
            Some(Mtime { secs: stat.st_birthtime, nanos: stat.st_birthtime_nsec as u32 })
        }
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        None
    }

    /// Reads a symlink. Returns `None` if there is no entry.
    pub(crate) fn read_link(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("read the link", self.join(name), e)),
        }
    }

    /// Reads a small file of ours whole. Returns `None` if there is no entry.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the entry is not a regular file.
    pub(crate) fn read(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let replaced = || Error::damaged_file(&self.join(name), "it is not a regular file");
        let mut file = match self.open_file(name) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            // A symlink, or a socket or a device without a driver, or a part of the path that is not a
            // folder.
            Err(Error::Io { source, .. })
                if [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::NOTDIR]
                    .iter()
                    .any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) =>
            {
                return Err(replaced());
            }
            Err(e) => return Err(e),
        };
        if Stat::of(&file, &self.join(name))?.kind != Kind::File {
            return Err(replaced());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io("read", self.join(name), e))?;
        Ok(Some(bytes))
    }

    /// Lists the names in this directory with their kinds, sorted.
    pub(crate) fn list(&self) -> Result<Vec<(Vec<u8>, Kind)>> {
        let mut names = Vec::new();
        self.open_dir(b"")?.each(|name, kind| names.push((name.to_vec(), kind)))?;
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Calls `each` once for every name in this directory with its kind, in no order.
    pub(crate) fn each(&mut self, mut each: impl FnMut(&[u8], Kind)) -> Result<()> {
        let each = |name: &[u8], kind: FileType| {
            if name == b"." || name == b".." {
                return Ok(());
            }
            let kind = match kind {
                // Some filesystems do not report the kind while listing.
                FileType::Unknown => match self.stat(name)? {
                    Some(stat) => stat.kind,
                    None => return Ok(()),
                },
                kind => Kind::from(kind),
            };
            each(name, kind);
            Ok(())
        };
        system::each_name(self.fd.as_fd(), each).map_err(|e| Error::io("list", &self.path, e))?
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Cuts a path so that the first piece fits into one call.
fn cut(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PIECE_MAX {
        return (path, b"");
    }
    match path[..PIECE_MAX].iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        // The system refuses such a name.
        None => (path, b""),
    }
}

fn open_beneath(at: BorrowedFd<'_>, path: &[u8], stays: bool) -> std::result::Result<OwnedFd, Errno> {
    match system::open_below(at, path, DIR_FLAGS, Mode::empty(), stays) {
        // Before Linux 5.6, or forbidden by a sandbox: open name by name, which is slower and as safe.
        Err(Errno::NOSYS | Errno::PERM) => open_by_name(at, path, stays),
        done => done,
    }
}

/// Opens a directory below another one without openat2.
pub(super) fn open_by_name(
    at: BorrowedFd<'_>,
    path: &[u8],
    stays: bool,
) -> std::result::Result<OwnedFd, Errno> {
    let mount = stays.then(|| mount_of(at)).transpose()?;
    let mut fd: Option<OwnedFd> = None;
    for name in path.split(|&b| b == b'/') {
        let at = fd.as_ref().map_or(at, AsFd::as_fd);
        let next = rustix::fs::openat(at, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
        if mount.is_some() && mount != Some(mount_of(next.as_fd())?) {
            return Err(Errno::XDEV);
        }
        fd = Some(next);
    }
    fd.ok_or(Errno::NOENT)
}

/// Opens a file below a directory, on the same mount.
fn open_staying(
    at: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    match system::open_below(at, path, flags, mode, true) {
        Err(Errno::NOSYS | Errno::PERM) => {
            let (folder, name) = relpath::split(path);
            let folder = match folder {
                b"" => None,
                folder => Some(open_by_name(at, folder, true)?),
            };
            let at = folder.as_ref().map_or(at, AsFd::as_fd);
            let fd = rustix::fs::openat(at, name, flags, mode)?;
            if mount_of(fd.as_fd())? == mount_of(at)? { Ok(fd) } else { Err(Errno::XDEV) }
        }
        done => done,
    }
}

/// Splits `path` and opens its folder, for changes deep in a tree.
pub(crate) fn open_parent<'a>(root: &Dir, path: &'a [u8]) -> Result<(Dir, &'a [u8])> {
    let (folder, name) = relpath::split(path);
    Ok((root.open_dir(folder)?, name))
}

/// Returns whether something is mounted on a directory.
pub(crate) fn is_mounted_on(parent: &Dir, name: &[u8]) -> Result<bool> {
    Ok(parent.staying()?.open_dir(name).is_err_and(|e| is_mount(&e)))
}

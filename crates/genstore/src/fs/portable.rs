//! The functions of `linux.rs` for systems that lack its calls: every caller takes its fallback.
//!
//! Only their types are checked so far (`scripts/check-mac`): no test runs them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::time::ClockId;

use crate::error::Result;

/// The clock that stamps files.
pub(in crate::fs) const CLOCK: ClockId = ClockId::Realtime;

/// Opens a directory only as a place. An unreadable one cannot be opened.
pub(in crate::fs) const PLACE: OFlags = OFlags::RDONLY;

/// Returns ENOSYS.
pub(in crate::fs) fn open_below(
    _: BorrowedFd<'_>,
    _: &[u8],
    _: OFlags,
    _: Mode,
    _: bool,
) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Calls `each` for every name in a directory.
pub(in crate::fs) fn each_name(
    dir: BorrowedFd<'_>,
    mut each: impl FnMut(&[u8], FileType) -> Result<()>,
) -> Result<Result<()>, Errno> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        if let Err(error) = each(entry.file_name().to_bytes(), entry.file_type()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Returns nothing: mounts of one filesystem look alike.
pub(in crate::fs) fn mount_number(_: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// Returns nothing: a file cannot be opened without reading or writing it.
pub(in crate::fs) fn open_place(_: &Path) -> Result<Option<OwnedFd>, Errno> {
    Ok(None)
}

/// Returns false: the filesystem is unknown.
pub(in crate::fs) fn is_local(_: BorrowedFd<'_>) -> bool {
    false
}

/// Returns false: the filesystem is unknown.
pub(in crate::fs) fn has_lasting_id(_: BorrowedFd<'_>) -> bool {
    false
}

/// Flushes everything below a directory, on its filesystem: no other call waits for more than one file. The last
/// flush also empties the cache of the disk, which holds all files before it (fsync(2) and `F_FULLFSYNC` in fcntl(2)
/// of a Mac; `File::sync_all` asks for the latter).
pub(in crate::fs) fn sync_filesystem(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |dir: BorrowedFd<'_>, name: &[u8]| match rustix::fs::openat(dir, name, flags, Mode::empty())
    {
        // It is gone, a symlink, or a socket: the folder has all there is of it.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::OPNOTSUPP) => Ok(None),
        opened => opened.map(Some),
    };
    let device = rustix::fs::fstat(top)?.st_dev;
    let mut todo: Vec<OwnedFd> = open(top, b".")?.into_iter().collect();
    while let Some(dir) = todo.pop() {
        let mut names = vec![];
        for entry in rustix::fs::Dir::read_from(&dir)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        for name in names {
            let Some(entry) = open(dir.as_fd(), &name)? else { continue };
            let stat = rustix::fs::fstat(&entry)?;
            match FileType::from_raw_mode(stat.st_mode) {
                _ if stat.st_dev != device => {}
                FileType::Directory => todo.push(entry),
                FileType::RegularFile => rustix::fs::fsync(&entry)?,
                _ => {}
            }
        }
        rustix::fs::fsync(&dir)?;
    }
    let last = File::from(rustix::fs::openat(top, ".", flags, Mode::empty())?);
    last.sync_all().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Returns ENOSYS.
pub(in crate::fs) fn reflink(_: &File, _: &File) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Returns ENOSYS.
pub(in crate::fs) fn copy_range(_: &File, _: &File, _: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

/// Returns EOPNOTSUPP.
pub(in crate::fs) fn create_nameless(_: BorrowedFd<'_>, _: Mode) -> Result<File, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Sets the mode of an open directory.
pub(in crate::fs) fn chmod_place(place: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
    rustix::fs::fchmod(place, mode)
}

/// Changes the owner of an entry, if `accepts` accepts its values. Another process could replace the
/// entry in between; a symlink is never followed.
pub(in crate::fs) fn chown_if(
    (dir, name): (BorrowedFd<'_>, &[u8]),
    (uid, gid): (Option<Uid>, Option<Gid>),
    accepts: impl FnOnce(Stat) -> bool,
) -> Result<(), Errno> {
    if !accepts(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?) {
        return Ok(());
    }
    rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

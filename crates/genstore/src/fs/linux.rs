//! The system calls that only Linux has.
//!
//! `portable.rs` has the same functions for other systems.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, StatxFlags, Uid, statx,
};
use rustix::io::Errno;
use rustix::time::ClockId;

use crate::error::Result;

/// The clock that stamps files.
pub(in crate::fs) const CLOCK: ClockId = ClockId::RealtimeCoarse;

/// Opens a directory only as a place. It may be unreadable.
pub(in crate::fs) const PLACE: OFlags = OFlags::PATH;

/// Room for some hundred names.
const LIST_BUFFER: usize = 32 * 1024;

/// Magic numbers of statfs(2): ext2 to ext4, xfs, btrfs, tmpfs, overlayfs, f2fs, bcachefs, zfs.
const LOCAL: [u64; 8] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1];

/// Magic numbers of statfs(2): tmpfs, ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Opens what is below a directory, without following symlinks. If it `stays`, crossing a mount point is
/// EXDEV.
///
/// # Errors
/// ENOSYS before Linux 5.6. ENOSYS or EPERM if a sandbox refuses the call.
pub(in crate::fs) fn open_below(
    at: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    stays: bool,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let resolve = if stays { resolve | ResolveFlags::NO_XDEV } else { resolve };
    rustix::fs::openat2(at, path, flags, mode, resolve)
}

/// Calls `each` for every name in a directory that was just opened.
pub(in crate::fs) fn each_name(
    dir: BorrowedFd<'_>,
    mut each: impl FnMut(&[u8], FileType) -> Result<()>,
) -> Result<Result<()>, Errno> {
    let mut buffer = Vec::with_capacity(LIST_BUFFER);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Err(error) = each(entry.file_name().to_bytes(), entry.file_type()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Returns the kernel's number of the mount through which an open file or directory was reached.
pub(in crate::fs) fn mount_number(fd: BorrowedFd<'_>) -> Option<u64> {
    // Linux 5.8. A sandbox may refuse the call.
    if let Ok(stat) = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        && stat.stx_mask & StatxFlags::MNT_ID.bits() != 0
    {
        return Some(stat.stx_mnt_id);
    }
    // Linux 3.15.
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// Opens what is at a path only as a place, whatever it is.
pub(in crate::fs) fn open_place(path: &Path) -> Result<Option<OwnedFd>, Errno> {
    rustix::fs::open(path, PLACE | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(Some)
}

/// Returns whether a directory's filesystem is known to be local.
pub(in crate::fs) fn is_local(dir: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(dir).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64)))
}

/// Returns whether a directory's filesystem has an id that stays from one mount to the next.
pub(in crate::fs) fn has_lasting_id(dir: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(dir).is_ok_and(|found| !IN_MEMORY.contains(&(found.f_type as u64)))
}

/// Makes a whole filesystem durable. Linux reports writeback errors here since 5.8.
pub(in crate::fs) fn sync_filesystem(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::syncfs(dir)
}

/// Shares all blocks of a file with an empty one.
pub(in crate::fs) fn reflink(from: &File, to: &File) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Copies bytes between two files in the kernel. Returns their number.
pub(in crate::fs) fn copy_range(from: &File, to: &File, most: usize) -> Result<usize, Errno> {
    rustix::fs::copy_file_range(from, None, to, None, most)
}

/// Creates a file without a name in a directory.
pub(in crate::fs) fn create_nameless(dir: BorrowedFd<'_>, mode: Mode) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::openat(dir, ".", flags, mode).map(File::from)
}

/// Sets the mode of a directory that cannot be read, never of a symlink's target. The handle is
/// one of [`PLACE`].
pub(in crate::fs) fn chmod_place(place: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", place.as_raw_fd()), mode)
}

/// Changes the owner of an entry, if `accepts` accepts its values. Nobody can replace it in between.
pub(in crate::fs) fn chown_if(
    (dir, name): (BorrowedFd<'_>, &[u8]),
    (uid, gid): (Option<Uid>, Option<Gid>),
    accepts: impl FnOnce(Stat) -> bool,
) -> Result<(), Errno> {
    let flags = PLACE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    if !accepts(rustix::fs::fstat(&fd)?) {
        return Ok(());
    }
    rustix::fs::chownat(fd.as_fd(), "", uid, gid, AtFlags::EMPTY_PATH)
}

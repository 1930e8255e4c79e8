//! Mounts: another filesystem, or a part of the same one, that is mounted inside a directory.
//!
//! Mounts are distinguished by the kernel's mount number, not by the device: a bind mount of the same
//! filesystem has the same device.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::system;
use crate::error::{Error, Result};

/// The operation that an error names if opening a directory would cross a mount point.
pub(crate) const CROSS: &str = "cross the mount point";

/// Returns whether an operation failed because of a mount: EXDEV at a mount point that must not be
/// crossed, EBUSY for one that was to be removed or renamed.
pub(crate) fn is_mount(error: &Error) -> bool {
    match error {
        Error::Io { op, source, .. } => match Errno::from_io_error(source) {
            Some(Errno::XDEV) => *op == CROSS,
            Some(Errno::BUSY) => true,
            _ => false,
        },
        _ => false,
    }
}

/// The identity of a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MountId {
    Number(u64),
    /// The device, if the kernel does not report the number. Mounts of the same filesystem look alike
    /// then.
    Device(u64),
}

impl MountId {
    #[allow(clippy::unnecessary_cast, reason = "the width differs between systems")]
    fn device_of(stat: rustix::fs::Stat) -> MountId {
        MountId::Device(stat.st_dev as u64)
    }
}

/// Returns the mount through which an open file or directory was reached.
pub(crate) fn mount_of(fd: BorrowedFd<'_>) -> Result<MountId, Errno> {
    match system::mount_number(fd) {
        Some(number) => Ok(MountId::Number(number)),
        None => rustix::fs::fstat(fd).map(MountId::device_of),
    }
}

/// Returns the directory on which the mount of a real path is mounted.
pub(crate) fn mount_point_of(real: &Path) -> Result<PathBuf, Errno> {
    let id = mount_at(real)?;
    let mut point = real;
    while let Some(above) = point.parent() {
        if mount_at(above)? != id {
            break;
        }
        point = above;
    }
    Ok(point.to_owned())
}

/// Returns whether something is mounted on a directory.
pub(crate) fn is_mount_point(real: &Path) -> Result<bool, Errno> {
    match real.parent() {
        Some(above) => Ok(mount_at(real)? != mount_at(above)?),
        None => Ok(true),
    }
}

fn mount_at(path: &Path) -> Result<MountId, Errno> {
    match system::open_place(path)? {
        Some(place) => mount_of(place.as_fd()),
        None => rustix::fs::lstat(path).map(MountId::device_of),
    }
}

/// Lists the mount points below a real path, deepest last. A mount on the path itself is not included.
/// Files can be mount points, too. Empty if the system does not report mounts.
pub(crate) fn mounts_below(real: &Path) -> Vec<PathBuf> {
    let Ok(table) = std::fs::read("/proc/self/mountinfo") else { return vec![] };
    let mut found = mount_points(&table);
    found.retain(|point| point != real && point.starts_with(real));
    found.sort();
    found.dedup();
    found
}

/// Parses the mount points of a mountinfo table: the fifth field of each line (proc(5)).
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|&b| b == b'\n');
    let fields = lines.filter_map(|line| line.split(|&b| b == b' ').nth(4));
    fields.map(|field| PathBuf::from(std::ffi::OsString::from_vec(unescape(field)))).collect()
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| first == b'\\');
        let value = digits.and_then(|three| u8::from_str_radix(std::str::from_utf8(three).ok()?, 8).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &after[3..] } else { after };
    }
    bytes
}

/// Returns the part of a mount point's path below `real`.
pub(crate) fn below(real: &Path, point: &Path) -> Vec<u8> {
    point.strip_prefix(real).map(|below| below.as_os_str().as_bytes().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Dir;
    use crate::fs::dir::open_by_name;

    #[test]
    fn reads_a_mount_table() {
        let table = b"24 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            25 24 0:5 / /a\\040b\\134c rw shared:2 - tmpfs none rw\n\nshort line\n";
        assert_eq!(mount_points(table), [PathBuf::from("/"), PathBuf::from("/a b\\c")]);
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\999"), b"\\999");
        assert_eq!(below(Path::new("/a"), Path::new("/a/b/c")), b"b/c");
    }

    /// `/proc` is a mount of its own wherever it exists.
    #[test]
    fn a_directory_that_stays_on_its_mount_opens_none_behind_another() {
        let Ok(root) = Dir::open(Path::new("/")) else { return };
        assert!(root.open_dir(b"proc/sys").is_ok(), "an ordinary handle crosses it");
        let root = root.staying().unwrap();
        for path in ["proc", "proc/sys"] {
            let error = root.open_dir(path.as_bytes()).unwrap_err();
            assert!(is_mount(&error), "{error}");
            assert_eq!(error.to_string(), "cannot cross the mount point /proc");
        }
        assert!(is_mount(&root.open_file(b"proc/version").unwrap_err()));
        assert!(root.open_dir(b"").is_ok());
        // The case that openat2 is refused.
        let by_name = |path: &[u8], stays| open_by_name(root.as_fd(), path, stays).map(drop);
        assert_eq!(by_name(b"proc", true), Err(Errno::XDEV));
        assert_eq!(by_name(b"proc/sys", true), Err(Errno::XDEV));
        assert_eq!(by_name(b"proc", false), Ok(()));
        let mut points = mounts_below(Path::new("/"));
        points.retain(|point| point == Path::new("/proc"));
        assert_eq!(points, [Path::new("/proc")]);
    }

    #[test]
    fn mounts_have_numbers_of_their_own() {
        let (Ok(root), Ok(proc)) = (Dir::open(Path::new("/")), Dir::open(Path::new("/proc"))) else {
            return;
        };
        let id = |dir: &Dir| mount_of(dir.as_fd()).unwrap();
        assert_ne!(id(&root), id(&proc));
        assert_eq!(id(&root), id(&root.open_dir(b"").unwrap()));
        assert_eq!(mount_point_of(Path::new("/proc/sys/kernel")), Ok(PathBuf::from("/proc")));
        assert_eq!(is_mount_point(Path::new("/proc")), Ok(true));
        assert_eq!(is_mount_point(Path::new("/etc/..")), Ok(false));
        assert_eq!(is_mount_point(Path::new("/proc/none")), Err(Errno::NOENT));
    }
}

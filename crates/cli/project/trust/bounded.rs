//! Reads files that other users may have created. Folders are opened one inside the other and checked on
//! the way.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::owners::{Concern, Owners};
use super::regular::{check_regular, read_all};
use crate::system;

/// The bytes of a file, and the first reason not to trust it as the caller's own.
#[derive(Debug)]
pub(crate) struct Bounded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) concern: Option<Concern>,
}

/// Reads a file. If it is a symlink, both the link and its target must be the caller's own.
///
/// # Errors
/// Also if it is no regular file, or longer than [`super::regular::MOST_BYTES`].
pub(crate) fn read(path: &Path, owners: &Owners) -> io::Result<Bounded> {
    let (folder, mut concern) = walk(parent(path), owners)?;
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let mut place = (folder, path.to_owned());
    let mut stat = statat(&place.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        concern = concern.or_else(|| owners.concern(path, &stat));
        // A loop of symlinks ends here, with an error.
        let real = fs::canonicalize(path)?;
        let (folder, more) = walk(parent(&real), owners)?;
        concern = concern.or(more);
        stat = statat(&folder, real.file_name().ok_or(Errno::ISDIR)?, AtFlags::SYMLINK_NOFOLLOW)?;
        place = (folder, real);
    }
    // The check comes before the open, which may block, or have an effect on a device.
    check_regular(&stat)?;
    let name = place.1.file_name().ok_or(Errno::ISDIR)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(&place.0, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    check_regular(&stat)?;
    let concern = concern.or_else(|| owners.concern(&place.1, &stat));
    Ok(Bounded { bytes: read_all(File::from(file))?, concern })
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a folder, and checks it and each folder above it. Each is checked before the next is opened in it,
/// so users whom it keeps out cannot change the path.
pub(crate) fn walk(folder: &Path, owners: &Owners) -> io::Result<(OwnedFd, Option<Concern>)> {
    let real = fs::canonicalize(folder)?;
    let flags = system::PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut way = PathBuf::from("/");
    let mut open = openat(CWD, &way, flags, Mode::empty())?;
    let mut concern = owners.concern(&way, &fstat(&open)?);
    for part in real.components() {
        let Component::Normal(name) = part else { continue };
        way.push(name);
        open = openat(&open, name, flags, Mode::empty())?;
        if concern.is_none() {
            concern = owners.concern(&way, &fstat(&open)?);
        }
    }
    Ok((open, concern))
}

#[cfg(test)]
mod tests {
    use super::super::regular::MOST_BYTES;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn owners() -> Owners {
        Owners::new(rustix::process::geteuid().as_raw(), None, None)
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests make files")]
    fn reads_regular_files_of_some_size() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let error = |name: &str| read(&at(name), &owners()).unwrap_err();
        fs::write(at("full"), vec![b'x'; MOST_BYTES as usize]).unwrap();
        assert_eq!(read(&at("full"), &owners()).unwrap().bytes.len() as u64, MOST_BYTES);
        fs::write(at("long"), vec![b'x'; MOST_BYTES as usize + 1]).unwrap();
        assert_eq!(error("long").to_string(), "it is longer than 1 MiB");
        assert_eq!(error("none").kind(), io::ErrorKind::NotFound);
        assert_eq!(error("").raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
        symlink("full", at("link")).unwrap();
        assert_eq!(read(&at("link"), &owners()).unwrap().bytes.len() as u64, MOST_BYTES);
        symlink("loop", at("loop")).unwrap();
        assert_eq!(error("loop").raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        symlink("/dev/zero", at("zero")).unwrap();
        assert_eq!(error("zero").to_string(), "it is not a regular file");
        let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(made.success());
        assert_eq!(error("fifo").to_string(), "it is not a regular file");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests make files")]
    fn a_file_is_as_safe_as_the_folders_above_it() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, file) = (temp.path().join("a"), temp.path().join("a/b/file"));
        fs::create_dir_all(folder.join("b")).unwrap();
        fs::write(&file, "x").unwrap();
        let check = |path: &Path, mode: u32, expected: Option<super::super::owners::ConcernKind>| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let found = read(&file, &owners()).unwrap().concern;
            assert_eq!(found.as_ref().map(|concern| concern.kind), expected, "{path:?} {mode:o} {found:?}");
            if let Some(found) = found {
                assert_eq!(found.path, fs::canonicalize(path).unwrap());
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        use super::super::owners::ConcernKind::Everybody;
        check(&file, 0o644, None);
        check(&file, 0o646, Some(Everybody));
        check(&folder, 0o777, Some(Everybody));
        check(&folder, 0o1777, None);
        check(&folder.join("b"), 0o757, Some(Everybody));
        check(&folder.join("b"), 0o1757, None);
    }
}

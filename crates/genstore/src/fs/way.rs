//! Opens a folder outside the store, folder by folder from the system's root.
//!
//! Views are outside the store, below folders that other users may write to. One of them could replace
//! a folder by a symlink, and redirect our writes to a place where only we may write. So a symlink on
//! the way is followed only if no other user can have put it there. Either its folder belongs to one of
//! the accepted owners, and others may not write to it. Or the link belongs to one of them, and others
//! cannot rename it (everybody may write to `/tmp`, but it has the sticky bit). A real folder of
//! another user is no danger: its contents are theirs.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

use super::{Dir, system};
use crate::error::{Error, RefusedKind, Result, show_path};

/// The number of links that the kernel follows.
const MOST_LINKS: usize = 40;

/// Flags for folders on the way, which may be unreadable.
const WAY_FLAGS: OFlags =
    system::PLACE.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the folder at an absolute path. The path of the result is free of symlinks.
///
/// # Errors
/// `Refused` with the code `view-way`, if another user may have put a symlink on the way.
pub(crate) fn open_way(path: &Path, owners: &[u32]) -> Result<Dir> {
    let fail = |way: &Path, e: Errno| Error::io("open", way, e);
    let root = || open("/", WAY_FLAGS, Mode::empty()).map_err(|e| fail(Path::new("/"), e));
    let (mut fd, mut way) = (root()?, PathBuf::from("/"));
    let mut rest = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            fd = openat(&fd, "..", WAY_FLAGS, Mode::empty()).map_err(|e| fail(&way, e))?;
            way.pop();
            continue;
        }
        let next = way.join(&name);
        let error = match openat(&fd, &name, WAY_FLAGS, Mode::empty()) {
            Ok(folder) => {
                (fd, way) = (folder, next);
                continue;
            }
            // A symlink causes these errors, too.
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) => error,
            Err(error) => return Err(fail(&next, error)),
        };
        let link = statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| fail(&next, e))?;
        if FileType::from_raw_mode(link.st_mode) != FileType::Symlink {
            return Err(fail(&next, error));
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(fail(&next, Errno::LOOP));
        }
        check_link(&fd, &link, &next, owners)?;
        let target = readlinkat(&fd, &name, Vec::new()).map_err(|e| fail(&next, e))?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            (fd, way) = (root()?, PathBuf::from("/"));
        }
        rest.extend(names(target));
    }
    Dir::reopened(&fd, &way)
}

/// Returns the names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().rev().filter_map(named).collect()
}

fn check_link(folder: &OwnedFd, link: &Stat, path: &Path, owners: &[u32]) -> Result<()> {
    let above = fstat(folder).map_err(|e| Error::io("stat", path, e))?;
    let (is_closed, is_open) = (above.st_mode & 0o022 == 0, above.st_mode & 0o1002 == 0o002);
    let is_ours = is_closed || owners.contains(&link.st_uid) && !is_open;
    match owners.contains(&above.st_uid) && is_ours {
        true => Ok(()),
        false => {
            let why = "is a symlink that another user may have put there, which is not followed";
            Err(Error::refused(RefusedKind::ViewWay, format!("{} {why}", show_path(path))))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests make files")]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_way_leads_where_the_system_would_go() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(top.join("open")).unwrap();
        symlink("a/b", top.join("relative")).unwrap();
        symlink(top.join("relative/c/.."), top.join("absolute")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        symlink("../a", top.join("open/a")).unwrap();
        fs::write(top.join("file"), "").unwrap();
        let us = [rustix::process::geteuid().as_raw(), 0];
        let check = |path: &str, real: &str| {
            let dir = open_way(&top.join(path), &us).unwrap();
            assert_eq!(
                (dir.path(), fs::canonicalize(top.join(path)).unwrap()),
                (&*top.join(real), top.join(real))
            );
            let found = fs::metadata(top.join(real)).unwrap();
            assert_eq!(dir.stat_self().unwrap().ino, std::os::unix::fs::MetadataExt::ino(&found));
        };
        check("a/b/c", "a/b/c");
        check("a/b/../b", "a/b");
        check("relative/c", "a/b/c");
        check("relative/..", "a");
        check("absolute", "a/b");
        check("open/a", "a");
        let fails = |path: &str, owners: &[u32]| match open_way(&top.join(path), owners) {
            Err(Error::Io { source, .. }) => source.raw_os_error().unwrap(),
            Err(Error::Refused { kind, .. }) => kind.code().len() as i32 * 1000,
            other => panic!("{:?}", other.map(|dir| dir.path().to_owned())),
        };
        let refused = "view-way".len() as i32 * 1000;
        assert_eq!(fails("none/x", &us), Errno::NOENT.raw_os_error());
        assert_eq!(fails("file/x", &us), Errno::NOTDIR.raw_os_error());
        assert_eq!(fails("loop", &us), Errno::LOOP.raw_os_error());
        assert_eq!(fails("relative/c", &[4_000_000]), refused);
        for (mode, is_refused) in [(0o777, true), (0o1777, false), (0o775, false)] {
            fs::set_permissions(top.join("open"), fs::Permissions::from_mode(mode)).unwrap();
            match is_refused {
                true => assert_eq!(fails("open/a", &us), refused),
                false => check("open/a", "a"),
            }
        }
    }
}

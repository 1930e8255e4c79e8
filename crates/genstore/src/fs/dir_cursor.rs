//! Opens folders one after the other, in the order of a tree. Each is opened from one near it, so the
//! kernel resolves one name instead of the whole path.

use super::Dir;
use crate::error::Result;
use crate::model::relpath;

/// The number of nested folders that are held open. Deeper ones are opened from the last of these.
const MAX_OPEN: usize = 16;

/// A folder below a root, with the open folders on the way to it.
pub(crate) struct DirCursor<'d> {
    root: &'d Dir,
    /// Each with its path from the root, and each inside the one before.
    open: Vec<(Vec<u8>, Dir)>,
}

impl<'d> DirCursor<'d> {
    /// Starts at a root.
    pub(crate) fn new(root: &'d Dir) -> DirCursor<'d> {
        DirCursor { root, open: vec![] }
    }

    /// Opens a folder below the root, never through a symlink. The empty path is the root.
    pub(crate) fn dir(&mut self, path: &[u8]) -> Result<&Dir> {
        while self.open.last().is_some_and(|(held, _)| !relpath::is_within(path, held)) {
            self.open.pop();
        }
        loop {
            let (led, from) = self.open.last().map_or((0, self.root), |(held, dir)| (held.len(), dir));
            if led == path.len() {
                break;
            }
            let rest = relpath::after(path, led);
            let is_full = self.open.len() == MAX_OPEN;
            let name = rest.iter().position(|byte| *byte == b'/').filter(|_| !is_full);
            let step = &rest[..name.unwrap_or(rest.len())];
            let dir = from.open_dir(step)?;
            if is_full {
                self.open.pop();
            }
            self.open.push((path[..path.len() - rest.len() + step.len()].to_vec(), dir));
        }
        Ok(self.open.last().map_or(self.root, |(_, dir)| dir))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes folders for itself")]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn opens_what_stands_at_each_path_however_it_came_there() {
        let temp = tempfile::tempdir().unwrap();
        let deep = vec!["d"; 3 * MAX_OPEN].join("/");
        let paths =
            ["", "a", "a/b", "a/b/c", "a/b-c", "ab", "ab/b", &deep, &format!("{deep}/e"), "d/d", "z"];
        let root = Dir::open(temp.path()).unwrap();
        for path in paths {
            std::fs::create_dir_all(temp.path().join(path)).unwrap();
        }
        let mut trail = DirCursor::new(&root);
        for path in paths.iter().chain(paths.iter().rev()) {
            let found = trail.dir(path.as_bytes()).unwrap();
            let expected = std::fs::metadata(temp.path().join(path)).unwrap().ino();
            assert_eq!(found.stat_self().unwrap().ino, expected, "{path}");
            assert_eq!(found.path(), temp.path().join(path), "{path}");
            assert!(trail.open.len() <= MAX_OPEN);
        }
    }

    #[test]
    fn follows_no_symlink_and_goes_on_after_what_is_not_there() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        symlink("a", temp.path().join("link")).unwrap();
        let root = Dir::open(temp.path()).unwrap();
        let mut trail = DirCursor::new(&root);
        for path in ["link", "link/b", "a/none", "a/b/none", "none/b"] {
            assert!(trail.dir(path.as_bytes()).is_err(), "{path}");
            assert!(trail.dir(b"a/b").is_ok(), "after {path}");
        }
    }
}

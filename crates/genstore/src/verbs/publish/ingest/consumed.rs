//! Consumed sources: removed once they are committed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::{Dir, Fs};
use crate::model::relpath;

/// A source that the caller gave away, and that is removed once it is committed.
pub(crate) struct Consumed {
    /// The scanned directory that contains it, if any.
    pub(crate) root: Option<Arc<Dir>>,
    /// Its path below that directory, or its full path.
    pub(crate) path: Vec<u8>,
    pub(crate) inode: (u64, u64),
}

impl Consumed {
    /// Removes it, unless another file has its name by now. No symlink and no mount point below the
    /// scanned directory is followed.
    pub(crate) fn remove(&self, fs: &Fs) -> Result<()> {
        let (dir, name) = match &self.root {
            Some(root) => open_parent(&root.staying()?, &self.path)?,
            None => {
                let (folder, name) = relpath::split(&self.path);
                let folder = if folder.is_empty() { b"/" } else { folder };
                (Dir::open(Path::new(OsStr::from_bytes(folder)))?, name)
            }
        };
        match dir.stat(name)? {
            Some(stat) if (stat.dev, stat.ino) == self.inode => fs.unlink(&dir, name).map(drop),
            _ => Ok(()),
        }
    }
}

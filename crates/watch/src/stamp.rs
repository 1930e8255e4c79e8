//! The result of stat on a file: shows that the file changed, or that there is none.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// The fields that show a change of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    size: u64,
    mtime: (i64, i64),
    inode: u64,
    mode: u32,
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            inode: meta.ino(),
            mode: meta.mode(),
        }
    }
}

/// Returns whether nothing is at a path, or a part of the path is no directory.
pub(crate) fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

//! Folder stamps: the stat values of a generation's folders when the generation was completed, and
//! their comparison with the present ones. Owns `generations/<id>/sealed`.
//!
//! Adding, removing or replacing a name in a folder changes its mtime and its ctime, and no program can
//! set the ctime back. Both have the granularity of the kernel's tick. A folder that was changed in the
//! last moments before its stamp was taken is recorded as unknown.

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::dir_cursor::DirCursor;
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::folder_stamps::FolderStamps;
use crate::model::index::SourceStat;
use crate::parts::generations::Generation;
use crate::parts::layout::{SEALED, StoreDir};
use crate::threads::prelude::*;

/// The comparison of a folder with its stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// It has the same names and inodes.
    Same,
    /// It was changed just before the stamp was taken, so it has no stamp.
    Unknown,
    /// It was changed since.
    Differs,
}

impl Generation {
    /// Reads its folder stamps. They are a cache: damaged ones, and ones of another manifest, count as
    /// missing.
    pub(crate) fn folder_stamps(&self, body: Digest) -> Result<Option<FolderStamps>> {
        let stamps = self.read_cache(SEALED)?.and_then(|bytes| FolderStamps::decode(&bytes).ok());
        Ok(stamps.filter(|stamps| stamps.body == body))
    }
}

/// Takes the stamps of folders. Stamps that are still right are reused.
pub(crate) fn take(
    store: &StoreDir,
    tree: &Dir,
    paths: &[&[u8]],
    reused: Vec<SourceStat>,
) -> Result<Vec<SourceStat>> {
    let start = store.fs.file_clock();
    paths
        .par_iter()
        .zip(reused)
        .map_init(
            || DirCursor::new(tree),
            |cursor, (path, reused)| {
                if reused.ino != 0 {
                    return Ok(reused);
                }
                let stat = note(&cursor.dir(path)?.stat_self()?);
                Ok(if stat.is_settled(start) { stat } else { SourceStat::default() })
            },
        )
        .collect()
}

/// Compares folders with their stamps. Returns `None` if a folder is missing, has another mode, or
/// belongs to another user: the tree cannot be reused then.
pub(crate) fn compare(
    store: &StoreDir,
    tree: &Dir,
    paths: &[&[u8]],
    noted: &[SourceStat],
) -> Result<Option<Vec<Seen>>> {
    paths
        .par_iter()
        .zip(noted)
        .map(|(path, noted)| {
            // The folders above it are checked, too. If one of them is a symlink by now, its own check
            // fails.
            let stat = match tree.stat_below(path) {
                Ok(Some(stat)) => stat,
                Ok(None) => return Ok(None),
                Err(e) if is_other(&e) => return Ok(None),
                Err(e) => return Err(e),
            };
            if stat.kind != Kind::Dir || !store.fs.is_dir_mode(&stat) || !store.fs.is_ours(&stat) {
                return Ok(None);
            }
            // A mount on a folder hides its contents. A symlink above it may lead to the same folder.
            let opens = || match tree.open_dir(path) {
                Err(e) if is_mount(&e) || is_other(&e) => Ok(false),
                opened => opened.map(|_| true),
            };
            if note(&stat) != *noted && !opens()? {
                return Ok(None);
            }
            Ok(Some(match noted.ino {
                0 => Seen::Unknown,
                _ if note(&stat) == *noted => Seen::Same,
                _ => Seen::Differs,
            }))
        })
        .collect()
}

fn note(stat: &Stat) -> SourceStat {
    SourceStat::new(stat.ino, stat.mtime, stat.ctime)
}

/// There is no folder at the path, or its owner may not read it.
fn is_other(error: &crate::error::Error) -> bool {
    let other = [Errno::NOTDIR, Errno::LOOP, Errno::ACCESS];
    error.is_not_found() || other.into_iter().any(|errno| is_errno(error, errno))
}

//! What the folders of a generation's tree looked like when it was sealed, and look like now.
//! Owns `generations/<id>/sealed`.
//!
//! Whoever adds, removes or replaces a name in a folder moves its mtime and its ctime, and no
//! program can set the ctime back. The two have the grain of the kernel's tick: a folder that was
//! changed in the last moments before the look is noted as unknown.

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::index::SourceStat;
use crate::model::sealed::Sealed;
use crate::parts::generations::Generation;
use crate::parts::layout::{SEALED, StoreDir};
use crate::threads::prelude::*;

/// A folder beside what was noted of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// It holds the names and inodes that it held.
    Same,
    /// It had changed just before the note was taken: so nothing was noted.
    Unknown,
    /// Somebody was there since.
    Differs,
}

impl Generation {
    /// Reads what is known of its folders. It is a cache: what is damaged, or of another manifest,
    /// is not there.
    pub(crate) fn sealed(&self, body: Digest) -> Result<Option<Sealed>> {
        let sealed = self.read_cache(SEALED)?.and_then(|bytes| Sealed::decode(&bytes).ok());
        Ok(sealed.filter(|sealed| sealed.body == body))
    }
}

/// Looks at folders; those that are known already stay as they are.
pub(crate) fn take(
    store: &StoreDir,
    tree: &Dir,
    paths: &[&[u8]],
    known: Vec<SourceStat>,
) -> Result<Vec<SourceStat>> {
    let start = store.fs.file_clock();
    paths
        .par_iter()
        .zip(known)
        .map(|(path, known)| {
            if known.ino != 0 {
                return Ok(known);
            }
            let stat = note(&tree.open_dir(path)?.stat_self()?);
            Ok(if stat.is_settled(start) { stat } else { SourceStat::default() })
        })
        .collect()
}

/// Compares folders with what was noted of them; `None` where one is gone, has another mode, or is
/// another user's, so that the tree is none to go on with.
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
            // The folders above it are looked at, too: should one be a symlink by now, that tells.
            let stat = match tree.stat_below(path) {
                Ok(Some(stat)) => stat,
                Ok(None) => return Ok(None),
                Err(e) if is_other(&e) => return Ok(None),
                Err(e) => return Err(e),
            };
            if stat.kind != Kind::Dir || !store.fs.is_dir_mode(&stat) || !store.fs.is_ours(&stat) {
                return Ok(None);
            }
            // What is mounted on a folder hides it.
            let opens = || match tree.open_dir(path) {
                Err(e) if is_mount(&e) => Ok(false),
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

/// Nothing is there, or no folder, or one that its owner locked up.
fn is_other(error: &crate::error::Error) -> bool {
    let other = [Errno::NOTDIR, Errno::LOOP, Errno::ACCESS];
    error.is_not_found() || other.into_iter().any(|errno| is_errno(error, errno))
}

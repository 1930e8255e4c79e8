//! The index: the inode, mtime and ctime of each source file of a tree. The next publish need not read
//! a file whose values are the same.
//!
//! It is a cache. An entry is used only if a change could not have gone unnoticed: inode, size, mtime
//! and ctime must be unchanged, and the last change must be older than the clock's grain when the file
//! was read (git calls other entries "racily clean"). A program can set an mtime back, but not a ctime.

use super::tree::{Mtime, TreeId};

/// File times have the granularity of the kernel's tick, 1 to 10 ms.
const GRAIN_NANOS: i128 = 20_000_000;
/// Some filesystems keep whole seconds, or even seconds only.
const COARSE_GRAIN_NANOS: i128 = 2_000_000_000;

/// The stat values of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SourceStat {
    /// 0 if nothing is known.
    pub(crate) ino: u64,
    /// Of mtime and ctime. Seconds and nanoseconds are stored apart, which takes less room.
    secs: [i64; 2],
    nanos: [u32; 2],
}

/// The stat values of all sources of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SourceIndex {
    pub(crate) tree: TreeId,
    /// The filesystem of all sources.
    pub(crate) dev: u64,
    /// One per file of the tree, in its order.
    pub(crate) files: Vec<SourceStat>,
}

impl SourceStat {
    pub(crate) fn new(ino: u64, mtime: Mtime, ctime: Mtime) -> SourceStat {
        SourceStat { ino, secs: [mtime.secs, ctime.secs], nanos: [mtime.nanos, ctime.nanos] }
    }

    /// Returns mtime and ctime.
    pub(crate) fn times(&self) -> [Mtime; 2] {
        [0, 1].map(|at| Mtime { secs: self.secs[at], nanos: self.nanos[at] })
    }

    /// Returns whether a later change would change these values, for a file that was read at `read` or
    /// later.
    pub(crate) fn is_settled(&self, read: Mtime) -> bool {
        let nanos = |time: Mtime| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
        let [mtime, ctime] = self.times();
        let last = nanos(mtime).max(nanos(ctime));
        let coarse = self.nanos == [0, 0];
        last + if coarse { COARSE_GRAIN_NANOS } else { GRAIN_NANOS } < nanos(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_just_now_may_change_unseen() {
        let at = |secs, millis: u32| Mtime { secs, nanos: millis * 1_000_000 };
        let check = |mtime, ctime, read, settled| {
            assert_eq!(SourceStat::new(1, mtime, ctime).is_settled(read), settled);
        };
        check(at(5, 1), at(5, 1), at(5, 22), true);
        check(at(5, 1), at(5, 1), at(5, 21), false);
        // An mtime that was set back does not hide the change.
        check(at(1, 0), at(5, 1), at(5, 2), false);
        // An mtime that was set ahead does not hide it either.
        check(at(9, 0), at(5, 1), at(6, 0), false);
        check(at(5, 0), at(5, 0), at(6, 999), false);
        check(at(5, 0), at(5, 0), at(7, 1), true);
    }
}

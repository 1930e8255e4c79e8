//! Runs of entries that two trees share, found by comparing slices of their columns. Most of two
//! generations is the same, and comparing memory takes a hundredth of the time of comparing entries.

use std::ops::Range;

use super::{KIND_EMPTY_DIR, KIND_SYMLINK, Tree};

/// Number of entries that are compared together: some kilobytes of paths and digests.
pub(crate) const RUN: usize = 64;

impl Tree {
    /// Returns whether [`RUN`] entries from `at` on are the same as those of `other` from `there` on,
    /// mtimes included. `false` if one of the two has fewer entries.
    pub(crate) fn same_run(&self, at: usize, other: &Tree, there: usize) -> bool {
        if at + RUN > self.len() || there + RUN > other.len() {
            return false;
        }
        let (a, b) = (&self.columns, &other.columns);
        let kinds = &a.kinds[at..at + RUN];
        if kinds != &b.kinds[there..there + RUN]
            || self.paths_of(at..at + RUN) != other.paths_of(there..there + RUN)
        {
            return false;
        }
        // As the kinds are the same, both have their files and links at the same positions of the run.
        let is_file = |kind: &u8| !matches!(*kind, KIND_SYMLINK | KIND_EMPTY_DIR);
        let files = self.ranks_of(at, is_file).zip(other.ranks_of(there, is_file));
        let same_files = files.is_none_or(|(a_files, b_files)| {
            let same = |a: &[u8], b: &[u8], width: usize| {
                a[a_files.start * width..a_files.end * width]
                    == b[b_files.start * width..b_files.end * width]
            };
            same(&a.digests, &b.digests, 32) && same(&a.mtimes, &b.mtimes, 12)
        });
        let is_link = |kind: &u8| *kind == KIND_SYMLINK;
        let links = self.ranks_of(at, is_link).zip(other.ranks_of(there, is_link));
        same_files
            && links.is_none_or(|(a_links, b_links)| {
                a.targets[self.target_bytes(a_links)] == b.targets[other.target_bytes(b_links)]
            })
    }

    /// Returns the paths of some entries, with a NUL between two.
    pub(crate) fn paths_of(&self, entries: Range<usize>) -> &[u8] {
        let start = if entries.start == 0 { 0 } else { self.ends[entries.start - 1] as usize + 1 };
        &self.columns.paths[start..self.ends[entries.end - 1] as usize]
    }

    /// Returns the range of indexes that a run's entries of some kind have among all entries of that
    /// kind. `None` if there are none.
    fn ranks_of(&self, at: usize, wanted: impl Fn(&u8) -> bool) -> Option<Range<usize>> {
        let kinds = &self.columns.kinds[at..at + RUN];
        let (first, last) = (kinds.iter().position(&wanted)?, kinds.iter().rposition(&wanted)?);
        Some(self.ranks[at + first] as usize..self.ranks[at + last] as usize + 1)
    }

    fn target_bytes(&self, links: Range<usize>) -> Range<usize> {
        let start = if links.start == 0 { 0 } else { self.target_ends[links.start - 1] as usize + 1 };
        start..self.target_ends[links.end - 1] as usize
    }
}

//! The origin of each line of a text, found by comparing version after version with the one before.

use similar::DiffTag;

use crate::render::patch::{compare, split};

/// The lines of the newest version, as far as their origin is known.
pub(super) struct Lines {
    /// The number of a version for each line.
    owners: Vec<Option<usize>>,
    /// For each line of the version that was reached, the line of the newest version that it is; `None` if that
    /// one lacks it.
    at: Vec<Option<usize>>,
}

impl Lines {
    /// Begins with the newest version.
    pub(super) fn new(text: &[u8]) -> Lines {
        let count = split(text).len();
        Lines { owners: vec![None; count], at: (0..count).map(Some).collect() }
    }

    /// Goes from a version to the one before it. The lines that only the newer one has are its own.
    pub(super) fn step(&mut self, old: &[u8], new: &[u8], version: usize) {
        let (old, new) = (split(old), split(new));
        let mut at = vec![None; old.len()];
        for op in compare(&old, &new).ops() {
            let (tag, before, after) = op.as_tag_tuple();
            match tag {
                DiffTag::Equal => {
                    for (before, after) in before.zip(after) {
                        at[before] = self.at[after];
                    }
                }
                DiffTag::Insert | DiffTag::Replace => {
                    for line in after.filter_map(|line| self.at[line]) {
                        self.owners[line] = Some(version);
                    }
                }
                DiffTag::Delete => {}
            }
        }
        self.at = at;
    }

    /// Returns whether the origin of every line is known.
    pub(super) fn is_done(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }

    /// Returns the version of each line. The rest is of this version.
    pub(super) fn finish(self, version: usize) -> Vec<usize> {
        self.owners.into_iter().map(|owner| owner.unwrap_or(version)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the origin of each line of the last version, counted from the newest one.
    fn owners(versions: &[&str]) -> Vec<usize> {
        let newest_first: Vec<&[u8]> = versions.iter().rev().map(|text| text.as_bytes()).collect();
        let mut lines = Lines::new(newest_first[0]);
        for (nth, pair) in newest_first.windows(2).enumerate() {
            lines.step(pair[1], pair[0], nth);
        }
        lines.finish(versions.len() - 1)
    }

    #[test]
    fn a_line_belongs_to_the_version_that_brought_it() {
        assert_eq!(owners(&["a\nb\n"]), [0, 0]);
        assert_eq!(owners(&["a\nb\n", "a\nB\nb\n", "x\na\nB\nb\n"]), [0, 2, 1, 2]);
        // It was gone in between.
        assert_eq!(owners(&["a\nb\n", "b\n", "a\nb\n"]), [0, 2]);
        // The end of the last line is a part of it.
        assert_eq!(owners(&["a", "a\nb"]), [0, 0]);
        assert_eq!(owners(&["", "a\n", "a\n"]), [1]);
        assert_eq!(owners(&["a\n", ""]), [] as [usize; 0]);
    }

    proptest! {
        #[test]
        fn each_line_is_in_all_versions_from_its_origin_on(
            versions in prop::collection::vec("([abc]\n){0,8}", 1..6),
        ) {
            let texts: Vec<&str> = versions.iter().map(String::as_str).collect();
            let owners = owners(&texts);
            for (line, owner) in texts[texts.len() - 1].lines().zip(owners) {
                for text in texts.iter().rev().take(owner + 1) {
                    prop_assert!(text.lines().any(|other| other == line));
                }
            }
        }
    }
}

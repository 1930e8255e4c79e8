//! Sources that change while a build runs. If a person changed them, another build must follow; if the
//! build itself did, no build may follow.
//!
//! A file that each build rewrites with the same bytes is recognised by its digest: it was hashed when it
//! changed during one build, and an equal digest during the next build is no change. A file that each build
//! writes differently would cause builds without end. After some builds there is a pause before each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use genstore::tree::Digest;

/// The number of builds that may follow each other at once.
const IN_A_ROW: u32 = 5;
/// The longest pause between builds that cause each other.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Inputs {
    /// The content of files after they changed during a build; `None` if there was no file.
    known: BTreeMap<PathBuf, Option<Digest>>,
    in_a_row: u32,
    last: Vec<PathBuf>,
    /// The changes during the current or last build, and during the one before it.
    during: [BTreeSet<PathBuf>; 2],
    /// The number of earlier builds in a row with the same changes.
    alike: u32,
}

impl Inputs {
    /// Returns the changed files whose bytes differ from those at their last change during a build.
    pub(crate) fn really_changed(&mut self, changed: &[PathBuf]) -> Vec<PathBuf> {
        let mut really = Vec::new();
        for path in changed {
            let digest = digest(path);
            if self.known.insert(path.clone(), digest) != Some(digest) {
                really.push(path.clone());
            }
        }
        if !really.is_empty() {
            self.last.clone_from(&really);
            self.during[0].extend(really.iter().cloned());
        }
        really
    }

    /// Starts to collect the changes during a build.
    pub(crate) fn begin_build(&mut self) {
        self.alike = if self.is_like_the_one_before() { self.alike + 1 } else { 0 };
        self.during.swap(0, 1);
        self.during[0].clear();
    }

    /// Returns whether the build itself makes the changes: the same files changed during each of three
    /// builds in a row.
    pub(crate) fn are_the_builds_own(&self) -> bool {
        self.alike > 0 && self.is_like_the_one_before()
    }

    fn is_like_the_one_before(&self) -> bool {
        let [this, before] = &self.during;
        !this.is_empty() && this == before
    }

    /// Records a change that no build can have made.
    pub(crate) fn changed_between_builds(&mut self) {
        self.in_a_row = 0;
    }

    /// Counts a build that follows another one. Returns the pause before it, and whether it is the first
    /// pause. A person may have made the change after all, so the build is only delayed, longer each time.
    pub(crate) fn pause_before_next(&mut self) -> (Duration, bool) {
        self.in_a_row += 1;
        let beyond = self.in_a_row.checked_sub(IN_A_ROW);
        let pause = beyond.map(|n| Duration::from_secs(1).saturating_mul(2u32.saturating_pow(n)));
        (pause.unwrap_or_default().min(LONGEST_PAUSE), beyond == Some(0))
    }

    /// Returns the last changes.
    pub(crate) fn last(&self) -> &[PathBuf] {
        &self.last
    }
}

/// A file that cannot be read counts as absent: the build cannot read it either.
fn digest(path: &Path) -> Option<Digest> {
    std::fs::read(path).ok().map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests write files")]

    use super::*;

    #[test]
    fn what_a_build_writes_anew_with_the_same_bytes_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("generated.ts");
        let mut inputs = Inputs::default();
        let mut write = |text: &str| {
            std::fs::write(&path, text).unwrap();
            inputs.really_changed(std::slice::from_ref(&path)).len()
        };
        assert_eq!(write("one"), 1, "it may have been read before");
        assert_eq!(write("one"), 0, "the next build wrote the same");
        assert_eq!(write("two"), 1);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(inputs.really_changed(std::slice::from_ref(&path)).len(), 1);
        assert_eq!(inputs.last(), [path]);
    }

    #[test]
    fn what_changes_during_three_builds_in_a_row_is_the_builds_own_work() {
        let dir = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::default();
        let mut build = |names: &[&str]| {
            inputs.begin_build();
            for name in names {
                let path = dir.path().join(name);
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                std::fs::write(&path, text + "x").unwrap();
                inputs.really_changed(&[path]);
            }
            inputs.are_the_builds_own()
        };
        let own =
            [["a", "b"], ["b", "a"], ["a", "b"], ["a", "b"], ["a", "c"], ["a", "c"]].map(|n| build(&n));
        assert_eq!(own, [false, false, true, true, false, false]);
        assert_eq!([build(&[]), build(&[]), build(&[])], [false; 3]);
    }

    #[test]
    fn builds_that_bring_about_each_other_pause() {
        let mut inputs = Inputs::default();
        let pauses: Vec<_> = (0..12).map(|_| inputs.pause_before_next()).collect();
        let secs: Vec<u64> = pauses.iter().map(|(pause, _)| pause.as_secs()).collect();
        assert_eq!(secs, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.iter().position(|(_, is_first)| *is_first), Some(4));
        inputs.changed_between_builds();
        assert_eq!(inputs.pause_before_next(), (Duration::ZERO, false));
    }
}

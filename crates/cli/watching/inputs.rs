//! Sources that change while a build runs. If a person changed them, another build must follow; if the
//! build itself did, no build may follow.
//!
//! A file that each build rewrites with the same bytes is recognised by its digest: it was hashed when it
//! changed during one build, and an equal digest during the next build is no change. A file that each build
//! writes differently would cause builds without end. After some builds there is a pause before each.
//!
//! A person who keeps saving the same files during long builds looks like such a build. So the same changes
//! prove nothing until one of the builds began after a quiet time, as long as a build, in which a person would
//! have saved as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use genstore::tree::Digest;

/// The number of builds that may follow each other at once.
const IN_A_ROW: u32 = 5;
/// The shortest quiet time that proves something.
const QUIET: Duration = Duration::from_secs(2);
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
    /// Files that builds were proven to change.
    own: BTreeSet<PathBuf>,
    /// Whether the next build, and the current or last one, began after a quiet time.
    quiet: [bool; 2],
    /// Files that one build changed, and the next one wrote again with the same bytes; and whether that was
    /// reported.
    generated: BTreeMap<PathBuf, bool>,
}

impl Inputs {
    /// Returns the changed files whose bytes differ from those at their last change during a build.
    pub(crate) fn really_changed(&mut self, changed: &[PathBuf]) -> Vec<PathBuf> {
        let mut really = Vec::new();
        for path in changed {
            let digest = digest(path);
            if self.known.insert(path.clone(), digest) != Some(digest) {
                really.push(path.clone());
            } else if self.during[1].contains(path) {
                self.generated.entry(path.clone()).or_insert(false);
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
        self.quiet = [false, self.quiet[0]];
        self.during.swap(0, 1);
        self.during[0].clear();
    }

    /// Returns whether the build itself makes the changes: the same files changed during two builds in a row, of
    /// which the second one began after a quiet time. A proof holds for as long as the watch runs.
    pub(crate) fn are_the_builds_own(&mut self) -> bool {
        if self.quiet[1] && self.is_like_the_one_before() {
            self.own.extend(self.during[0].iter().cloned());
        }
        !self.during[0].is_empty() && self.during[0].is_subset(&self.own)
    }

    fn is_like_the_one_before(&self) -> bool {
        let [this, before] = &self.during;
        !this.is_empty() && this == before
    }

    /// Returns the files that builds generate, each once.
    pub(crate) fn newly_generated(&mut self) -> Vec<PathBuf> {
        let new = self.generated.iter_mut().filter(|(_, is_reported)| !**is_reported);
        new.map(|(path, is_reported)| {
            *is_reported = true;
            path.clone()
        })
        .collect()
    }

    /// Records a change that no build can have made.
    pub(crate) fn changed_between_builds(&mut self) {
        (self.in_a_row, self.quiet[0]) = (0, false);
        self.during = Default::default();
    }

    /// Counts a build that follows another one. Returns the pause before it, and whether it is the first
    /// pause because of their number. A person may have made the change after all, so the build is only delayed,
    /// longer each time. `took` is the time of the last build.
    pub(crate) fn pause_before_next(&mut self, took: Duration) -> (Duration, bool) {
        self.in_a_row += 1;
        let beyond = self.in_a_row.checked_sub(IN_A_ROW);
        let pause = beyond.map(|n| Duration::from_secs(1).saturating_mul(2u32.saturating_pow(n)));
        let mut pause = pause.unwrap_or_default();
        if self.is_like_the_one_before() && !self.during[0].is_subset(&self.own) {
            self.quiet[0] = true;
            pause = pause.max(took).max(QUIET);
        }
        (pause.min(LONGEST_PAUSE), beyond == Some(0))
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

    /// Names that change during a build, and whether a person changes something after the pause.
    type Step<'a> = (&'a [&'a str], bool);

    #[test]
    fn what_changes_during_builds_again_after_a_quiet_time_is_the_builds_own_work() {
        let dir = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::default();
        let mut build = |(names, is_edited): Step<'_>| {
            inputs.begin_build();
            for name in names {
                let path = dir.path().join(name);
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                std::fs::write(&path, text + "x").unwrap();
                inputs.really_changed(&[path]);
            }
            let own = inputs.are_the_builds_own();
            let (pause, _) = inputs.pause_before_next(Duration::from_secs(7));
            if is_edited {
                inputs.changed_between_builds();
            }
            (own, pause.as_secs())
        };
        // Saved again in each quiet time: a person.
        for _ in 0..3 {
            assert_eq!([build((&["a"], false)), build((&["a"], true))], [(false, 0), (false, 7)]);
        }
        let own = [["a", "b"], ["b", "a"], ["a", "b"], ["a", "c"]].map(|names| build((&names, false)));
        assert_eq!(own, [(false, 0), (false, 7), (true, 0), (false, 0)]);
        // It is known from then on.
        build((&[], true));
        assert_eq!(build((&["b"], false)), (true, 0));
        assert!(!build((&["b", "d"], false)).0);
        assert_eq!([build((&[], false)).0, build((&[], false)).0], [false; 2]);
    }

    #[test]
    fn a_file_that_the_next_build_writes_again_is_generated() {
        let dir = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::default();
        let mut build = |name: &str, text: &str| {
            inputs.begin_build();
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            (inputs.really_changed(&[path]).len(), inputs.newly_generated().len())
        };
        assert_eq!(build("gen.go", "one"), (1, 0));
        assert_eq!(build("gen.go", "one"), (0, 1));
        assert_eq!(build("gen.go", "two"), (1, 0), "it was reported");
        assert_eq!(build("gen.go", "two"), (0, 0));
        assert_eq!(build("edited.go", "one"), (1, 0));
        assert_eq!(build("gen.go", "two"), (0, 0));
        assert_eq!(build("edited.go", "one"), (0, 0), "another build ran in between");
    }

    #[test]
    fn builds_that_bring_about_each_other_pause() {
        let mut inputs = Inputs::default();
        let pauses: Vec<_> = (0..12).map(|_| inputs.pause_before_next(Duration::ZERO)).collect();
        let secs: Vec<u64> = pauses.iter().map(|(pause, _)| pause.as_secs()).collect();
        assert_eq!(secs, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.iter().position(|(_, is_first)| *is_first), Some(4));
        inputs.changed_between_builds();
        assert_eq!(inputs.pause_before_next(Duration::ZERO), (Duration::ZERO, false));
    }
}

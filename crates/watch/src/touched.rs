//! The folders in which something may have changed, from the events since the last scan.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// More paths than this mean everything.
const MOST_PATHS: usize = 10_000;

/// Names of files that define the rules for other paths.
const RULES: [&str; 2] = [".gitignore", ".git"];

/// The folders that must be scanned again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    everything: bool,
    /// Whether events were lost: then watches may be gone, too.
    lost: bool,
    /// Folders in which something changed.
    inside: BTreeSet<OsString>,
    /// Paths at which another folder may be now, or none.
    replaced: BTreeSet<OsString>,
}

impl Touched {
    /// Returns a value that means everything.
    pub fn everything() -> Touched {
        Touched { everything: true, ..Touched::default() }
    }

    /// Marks everything, and keeps the known replaced folders.
    pub(crate) fn or_everything(self) -> Touched {
        Touched { everything: true, ..self }
    }

    /// Returns a value that means lost events.
    pub(crate) fn lost() -> Touched {
        Touched { lost: true, ..Touched::everything() }
    }

    /// Records an event at `path`. `is_file` means that it is certainly no folder.
    pub fn note(&mut self, path: &Path, is_file: bool) {
        if self.lost {
            return;
        }
        self.everything |= tells_rules(path);
        let parent = path.parent().unwrap_or(path).as_os_str();
        if !self.inside.contains(parent) {
            self.inside.insert(parent.to_owned());
        }
        if !is_file && !self.replaced.contains(path.as_os_str()) {
            self.replaced.insert(path.as_os_str().to_owned());
        }
        if self.inside.len() + self.replaced.len() > MOST_PATHS {
            *self = Touched::lost();
        }
    }

    /// Returns whether nothing must be scanned again.
    pub fn is_empty(&self) -> bool {
        *self == Touched::default()
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Returns the folders in which something changed.
    pub(crate) fn inside(&self) -> &BTreeSet<OsString> {
        &self.inside
    }

    /// Returns the paths at which another folder may be.
    pub(crate) fn replaced(&self) -> &BTreeSet<OsString> {
        &self.replaced
    }
}

impl FromIterator<OsString> for Touched {
    /// Creates it from folders in which something changed.
    fn from_iter<I: IntoIterator<Item = OsString>>(folders: I) -> Touched {
        Touched { inside: folders.into_iter().collect(), ..Touched::default() }
    }
}

/// Returns whether the file at this path defines rules for other paths.
pub(crate) fn tells_rules(path: &Path) -> bool {
    path.file_name().is_some_and(|name| RULES.iter().any(|rules| name == OsStr::new(rules)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_their_folders_and_folders_themselves_too() {
        let mut touched = Touched::default();
        assert!(touched.is_empty());
        touched.note(Path::new("/p/src/a.ts"), true);
        touched.note(Path::new("/p/src/b.ts"), true);
        touched.note(Path::new("/p/lib"), false);
        assert!(!touched.is_everything());
        assert_eq!(touched.inside, ["/p", "/p/src"].map(OsString::from).into());
        assert_eq!(touched.replaced, ["/p/lib"].map(OsString::from).into());
    }

    #[test]
    fn rules_and_too_much_mean_everything() {
        for name in [".gitignore", ".git"] {
            let mut touched = Touched::default();
            touched.note(&Path::new("/p").join(name), true);
            assert!(touched.is_everything() && !touched.is_lost(), "{name}");
        }
        let mut touched = Touched::default();
        (0..=MOST_PATHS).for_each(|n| touched.note(Path::new(&format!("/{n}/file")), true));
        assert!(touched.is_lost(), "of what was too much nothing is kept");
    }
}

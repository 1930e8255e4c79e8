//! Where something may have changed: what events named since the last look.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Who names more paths than this means everything.
const MOST_PATHS: usize = 10_000;

/// Names of what the rules for all that lies beside and below are read from.
const RULES: [&str; 2] = [".gitignore", ".git"];

/// The folders that must be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    everything: bool,
    /// What happened is not known, so it may be that watches are gone, too.
    lost: bool,
    /// Something in them changed.
    inside: BTreeSet<OsString>,
    /// What is at these paths may be another folder than before, or none.
    replaced: BTreeSet<OsString>,
}

impl Touched {
    /// Says that everything must be looked at.
    pub fn everything() -> Touched {
        Touched { everything: true, ..Touched::default() }
    }

    /// Says that everything must be looked at, and keeps what is known of folders that were replaced.
    pub(crate) fn or_everything(self) -> Touched {
        Touched { everything: true, ..self }
    }

    /// Says that events were lost.
    pub(crate) fn lost() -> Touched {
        Touched { lost: true, ..Touched::everything() }
    }

    /// Takes in that something happened to what is at `path`, or was, or has come there; `is_file` if
    /// that is no folder for sure.
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

    /// Returns whether there is nothing to look at again.
    pub fn is_empty(&self) -> bool {
        *self == Touched::default()
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Gives the folders in which something changed.
    pub(crate) fn inside(&self) -> &BTreeSet<OsString> {
        &self.inside
    }

    /// Gives the paths at which there may be another folder than before.
    pub(crate) fn replaced(&self) -> &BTreeSet<OsString> {
        &self.replaced
    }
}

impl FromIterator<OsString> for Touched {
    /// Says that something changed in these folders.
    fn from_iter<I: IntoIterator<Item = OsString>>(folders: I) -> Touched {
        Touched { inside: folders.into_iter().collect(), ..Touched::default() }
    }
}

/// Returns whether what counts elsewhere depends on what is at this path.
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

//! The user's own configuration: `$XDG_CONFIG_HOME/genstore/config.toml`. No project can change it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::project::config::RemoteSection;

/// The keys of the file. Other keys are errors.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserConfig {
    /// Folders in which, and below which, project files and stores are trusted, regardless of their owner.
    trusted: Vec<PathBuf>,
    /// Whether commands of a project run only after `genstore trust` has allowed them.
    pub(crate) require_trust: bool,
    /// Folders in which projects may declare views, besides their own.
    views: Vec<PathBuf>,
    /// The user's remotes.
    pub(crate) remote: BTreeMap<String, RemoteSection>,
}

impl UserConfig {
    /// Returns whether a folder is trusted.
    pub(crate) fn trusts(&self, folder: &Path) -> bool {
        is_below_one(folder, &self.trusted)
    }

    /// Returns whether projects may declare views in a folder.
    pub(crate) fn allows_views_in(&self, folder: &Path) -> bool {
        is_below_one(folder, &self.views)
    }

    /// Returns an entry that is not an absolute path, and so has no effect.
    pub(super) fn relative_entry(&self) -> Option<&Path> {
        self.trusted.iter().chain(&self.views).map(PathBuf::as_path).find(|path| !path.is_absolute())
    }
}

/// Returns whether `folder`, which has no symlinks in it, is in or below one of the entries. A missing
/// entry has no effect.
fn is_below_one(folder: &Path, entries: &[PathBuf]) -> bool {
    entries.iter().filter_map(|entry| entry.canonicalize().ok()).any(|entry| folder.starts_with(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_with_all_below_it() {
        let config: UserConfig =
            toml::from_str("trusted = ['/usr', '/none']\nviews = ['/usr/lib']").unwrap();
        let check = |path: &str, trusted: bool, views: bool| {
            let path = Path::new(path);
            assert_eq!((config.trusts(path), config.allows_views_in(path)), (trusted, views), "{path:?}");
        };
        check("/usr", true, false);
        check("/usr/lib/x", true, true);
        check("/usr-local", false, false);
        check("/none", false, false);
        assert!(!config.require_trust);
        assert_eq!(config.relative_entry(), None);
        let config: UserConfig = toml::from_str("views = ['x']").unwrap();
        assert_eq!(config.relative_entry(), Some(Path::new("x")));
        assert!(toml::from_str::<UserConfig>("trust = true").is_err());
    }
}

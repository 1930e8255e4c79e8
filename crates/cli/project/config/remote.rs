//! `[remote.NAME]`: the remotes of a project, and of a user. Credentials are never in these files.

use serde::Deserialize;

/// A remote.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteSection {
    /// The place: `file:///srv/remote`.
    pub(crate) url: String,
    /// The channel that is pushed and pulled if none is given.
    #[serde(default = "main")]
    pub(crate) channel: String,
    /// Only this machine writes to it, so its server need not keep conditions.
    #[serde(default)]
    pub(crate) single_writer: bool,
}

fn main() -> String {
    "main".to_owned()
}

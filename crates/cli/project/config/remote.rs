//! `[remote.NAME]`: the remotes of a project, and of a user. Credentials are never in these files.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values::duration;

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
    /// The key of ssh that signs records.
    #[serde(default)]
    pub(crate) sign: Option<PathBuf>,
    /// The file of signers that are trusted.
    #[serde(default)]
    pub(crate) trust: Option<PathBuf>,
    /// The time after which readers refuse the newest record.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) best_before: Option<Duration>,
    /// The number of generations of each channel that gc keeps.
    #[serde(default)]
    pub(crate) retain: Option<usize>,
}

impl RemoteSection {
    /// Creates the section of an address.
    pub(crate) fn of(url: &str, channel: &str) -> RemoteSection {
        RemoteSection {
            url: url.to_owned(),
            channel: channel.to_owned(),
            single_writer: false,
            sign: None,
            trust: None,
            best_before: None,
            retain: None,
        }
    }
}

fn main() -> String {
    "main".to_owned()
}

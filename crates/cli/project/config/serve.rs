//! `[serve]`: the settings of the web server.

use std::time::Duration;

use genstore::audit::Patterns;
use serde::Deserialize;

use super::values::{duration, globs};

/// The settings of `genstore serve`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server reads them"))]
pub(crate) struct ServeSection {
    /// The address, or a port of this machine.
    pub(crate) addr: Option<String>,
    /// The folder of the generation that is the site's root.
    pub(crate) root: Option<String>,
    /// Whether pages that do not exist are answered by `index.html`.
    pub(crate) spa: bool,
    /// Host names besides `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Origins whose pages may read responses.
    pub(crate) cors: Vec<String>,
    /// The time for which files of earlier generations are still answered.
    #[serde(deserialize_with = "duration")]
    pub(crate) skew: Option<Duration>,
    /// Paths that never change, and may be cached for ever.
    #[serde(deserialize_with = "globs")]
    pub(crate) immutable: Option<Patterns>,
    /// Paths that are checked again at each use, whatever their names look like.
    #[serde(deserialize_with = "globs")]
    pub(crate) revalidate: Option<Patterns>,
}

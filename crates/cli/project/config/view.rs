//! `[[view]]`: the views that a project declares.

use std::path::PathBuf;
use std::time::Duration;

use genstore::tree::RelPath;
use genstore::view::ViewKind;
use serde::{Deserialize, Deserializer};

use super::values::{duration, not_one_of};

/// A view that publishing creates if it is missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewSection {
    /// The path of the view, relative to the file.
    pub(crate) path: PathBuf,
    #[serde(rename = "as", default, deserialize_with = "kind")]
    pub(crate) kind: ViewKind,
    #[serde(default, deserialize_with = "from")]
    pub(crate) from: Option<RelPath>,
    /// Whether a mirror has private copies.
    #[serde(default)]
    pub(crate) copy: bool,
    /// The time for which a mirror still shows removed files.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) keep_removed: Option<Duration>,
}

fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<ViewKind, D::Error> {
    match String::deserialize(from)?.as_str() {
        "link" => Ok(ViewKind::Link),
        "mirror" => Ok(ViewKind::Mirror),
        other => Err(serde::de::Error::custom(not_one_of(other, "link", "mirror"))),
    }
}

fn from<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RelPath>, D::Error> {
    let text = String::deserialize(from)?;
    let bad = |why| {
        let shown = genstore::tree::show_path(text.as_bytes());
        serde::de::Error::custom(format!("not a path in a generation: {shown}: {why}"))
    };
    RelPath::new(text.as_bytes()).map(Some).map_err(bad)
}

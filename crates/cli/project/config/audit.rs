//! `[audit]`: rules for the published tree.

use std::time::Duration;

use genstore::audit::{AuditRules, Growth, KeepFailed, Pattern};
use serde::{Deserialize, Deserializer};

use super::build::CommandLine;
use super::values::{NumberOrText, bytes, duration};
use crate::text::size;

/// The rules for the published tree.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditSection {
    #[serde(deserialize_with = "bytes")]
    max_file: Option<u64>,
    #[serde(deserialize_with = "bytes")]
    pub(crate) max_total: Option<u64>,
    #[serde(deserialize_with = "growth")]
    max_growth: Option<Growth>,
    #[serde(deserialize_with = "ratio")]
    min_files_ratio: Option<f64>,
    #[serde(deserialize_with = "patterns")]
    require: Vec<Pattern>,
    #[serde(deserialize_with = "patterns")]
    forbid: Vec<Pattern>,
    links: Option<Links>,
    /// Commands that check the staged tree.
    pub(crate) run: Vec<CommandLine>,
    /// The time limit of each of them.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Option<Duration>,
    keep_failed: Option<usize>,
    #[serde(deserialize_with = "bytes")]
    keep_failed_bytes: Option<u64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Links {
    /// Each must lead to an entry of the tree.
    Closed,
    /// They may dangle.
    Any,
}

impl AuditSection {
    /// Returns the rules. If the file has an `[audit]` section, symlinks must lead to an entry unless it
    /// says otherwise.
    pub(crate) fn rules(&self) -> AuditRules {
        let mut rules = AuditRules::default().require(self.require.clone()).forbid(self.forbid.clone());
        (rules.max_file, rules.max_total) = (self.max_file, self.max_total);
        (rules.max_growth, rules.min_files_ratio) = (self.max_growth, self.min_files_ratio);
        let any = !rules.is_empty() || !self.run.is_empty();
        rules.closed_links = self.links.map_or(any, |links| links == Links::Closed);
        rules
    }

    /// Returns the limits for keeping refused trees.
    pub(crate) fn keep_failed(&self) -> KeepFailed {
        let default = KeepFailed::default();
        KeepFailed::default()
            .count(self.keep_failed.unwrap_or(default.count))
            .bytes(self.keep_failed_bytes.unwrap_or(default.bytes))
    }
}

fn growth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Growth>, D::Error> {
    let text = match NumberOrText::deserialize(from)? {
        NumberOrText::Number(bytes) => return Ok(Some(Growth::Bytes(bytes))),
        NumberOrText::Text(text) => text,
    };
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent.trim().parse().map_err(|_| serde::de::Error::custom("not a percentage"))?;
        return Ok(Some(Growth::Percent(percent)));
    }
    size::parse(&text).map(|bytes| Some(Growth::Bytes(bytes))).map_err(serde::de::Error::custom)
}

fn ratio<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let ratio = f64::deserialize(from)?;
    match (0.0..=1.0).contains(&ratio) {
        true => Ok(Some(ratio)),
        false => Err(serde::de::Error::custom(format!("{ratio} is not between 0 and 1"))),
    }
}

fn patterns<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Pattern>, D::Error> {
    let read = |text: String| Pattern::new(&text).map_err(serde::de::Error::custom);
    Vec::<String>::deserialize(from)?.into_iter().map(read).collect()
}

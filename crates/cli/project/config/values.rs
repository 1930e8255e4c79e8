//! The enumerated values in a project's file.

use std::time::Duration;

use genstore::Durability;
use genstore::audit::Patterns;
use genstore::plan::Symlinks;
use genstore::publish::Lossy;
use serde::{Deserialize, Deserializer};

use crate::text::{size, time};

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    time::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

/// A number of bytes, or text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NumberOrText {
    Number(u64),
    Text(String),
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match NumberOrText::deserialize(from)? {
        NumberOrText::Number(bytes) => Ok(Some(bytes)),
        NumberOrText::Text(text) => size::parse(&text).map(Some).map_err(serde::de::Error::custom),
    }
}

pub(super) fn durability<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Durability>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "full" => Ok(Some(Durability::Full)),
        "none" => Ok(Some(Durability::None)),
        other => Err(serde::de::Error::custom(not_one_of(other, "full", "none"))),
    }
}

pub(super) fn symlinks<'de, D: Deserializer<'de>>(from: D) -> Result<Symlinks, D::Error> {
    match String::deserialize(from)?.as_str() {
        "inside" => Ok(Symlinks::Inside),
        "any" => Ok(Symlinks::Any),
        other => Err(serde::de::Error::custom(not_one_of(other, "inside", "any"))),
    }
}

pub(super) fn lossy<'de, D: Deserializer<'de>>(from: D) -> Result<Lossy, D::Error> {
    match String::deserialize(from)?.as_str() {
        "warn" => Ok(Lossy::Warn),
        "refuse" => Ok(Lossy::Refuse),
        "allow" => Ok(Lossy::Allow),
        other => {
            let shown = genstore::tree::show_path(other.as_bytes());
            Err(serde::de::Error::custom(format!("\"{shown}\" is not \"warn\", \"refuse\" or \"allow\"")))
        }
    }
}

pub(super) fn not_one_of(found: &str, a: &str, b: &str) -> String {
    format!("\"{}\" is neither \"{a}\" nor \"{b}\"", genstore::tree::show_path(found.as_bytes()))
}

/// Parses patterns as in a `.gitignore` file, for paths below the published directory.
pub(super) fn globs<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Patterns>, D::Error> {
    Patterns::new(Vec::<String>::deserialize(from)?).map(Some).map_err(serde::de::Error::custom)
}

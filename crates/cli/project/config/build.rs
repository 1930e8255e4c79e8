//! `[build]`: the build of a project; and the type of commands, which all sections share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values::duration;

/// The settings of `build`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BuildSection {
    pub(crate) command: Option<CommandLine>,
    /// The directory of the command, relative to the file.
    pub(crate) cwd: Option<PathBuf>,
    /// The folder that the command writes to and keeps, relative to the file.
    pub(crate) output: Option<PathBuf>,
    /// The folder at which only the command sees its stage, relative to the file.
    pub(crate) at: Option<PathBuf>,
    /// Remove files of `output` that a full run did not write; `false` also keeps them from being named.
    pub(crate) prune: Option<bool>,
    pub(crate) env: BTreeMap<String, String>,
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Option<Duration>,
    /// The time from the stop signal to the kill.
    #[serde(deserialize_with = "duration")]
    pub(crate) stop_timeout: Option<Duration>,
}

/// A command: a list of words, or one text for the shell.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
pub(crate) enum CommandLine {
    Words(Vec<String>),
    Shell(String),
}

impl CommandLine {
    /// Returns the words of the command, or none if it is empty.
    pub(crate) fn words(&self) -> Vec<OsString> {
        match self {
            CommandLine::Words(words) => words.iter().map(OsString::from).collect(),
            CommandLine::Shell(text) if text.trim().is_empty() => vec![],
            CommandLine::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text.into()],
        }
    }

    /// Returns the command as it was written.
    pub(crate) fn text(&self) -> String {
        match self {
            CommandLine::Words(words) => words.join(" "),
            CommandLine::Shell(text) => text.clone(),
        }
    }
}

//! `[watch]`: what wakes a build, and what runs on its result; and `[hooks]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Signal;
use serde::{Deserialize, Deserializer};

use super::build::CommandLine;
use super::values::duration;

/// What tells a program to stop, unless the project says otherwise.
pub(crate) const SIGTERM: i32 = Signal::TERM.as_raw();

/// How `watch` watches.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WatchSection {
    /// Relative to the file.
    pub(crate) paths: Vec<PathBuf>,
    /// Without the dot, or with it.
    pub(crate) extensions: Vec<String>,
    /// Patterns of gitignore, from the project's root.
    pub(crate) ignore: Vec<String>,
    #[serde(deserialize_with = "duration")]
    pub(crate) debounce: Option<Duration>,
    pub(crate) on_busy: Option<OnBusy>,
    pub(crate) run: Runs,
    pub(crate) run_in: Option<RunIn>,
    #[serde(deserialize_with = "signal")]
    pub(crate) stop_signal: Option<i32>,
    #[serde(deserialize_with = "duration")]
    pub(crate) stop_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) poll: Option<Duration>,
}

/// What a change does to the build that runs.
#[derive(Deserialize, ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnBusy {
    /// Nothing; another build comes after it.
    #[default]
    Queue,
    /// It is stopped, and begun anew.
    Restart,
}

/// Where children run.
#[derive(Deserialize, ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunIn {
    /// In the project's root, or where `watch` was started.
    #[default]
    Project,
    /// In the directory of the generation.
    Generation,
}

/// The children: texts as of a Procfile, or a table of names.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
pub(crate) enum Runs {
    List(Vec<String>),
    Table(BTreeMap<String, CommandLine>),
}

impl Default for Runs {
    fn default() -> Runs {
        Runs::List(vec![])
    }
}

/// What is run after each commit.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HooksSection {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) post_commit: Vec<CommandLine>,
    /// How long each of them may take.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Option<Duration>,
}

/// One text is one command; a list is a list of commands.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<CommandLine>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<CommandLine>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![CommandLine::Shell(text)],
        OneOrMany::Many(commands) => commands,
    })
}

fn signal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    parse_signal(&String::deserialize(from)?).map(Some).map_err(serde::de::Error::custom)
}

/// Reads a signal's name, with or without `SIG`.
pub(crate) fn parse_signal(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" => Ok(Signal::HUP.as_raw()),
        "INT" => Ok(Signal::INT.as_raw()),
        "QUIT" => Ok(Signal::QUIT.as_raw()),
        "KILL" => Ok(Signal::KILL.as_raw()),
        "TERM" => Ok(SIGTERM),
        _ => Err(format!(
            "\"{}\" is none of SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL",
            genstore::show_path(text.as_bytes())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::config::Config;

    #[test]
    fn reads_every_key() {
        let config: Config = toml::from_str(
            "[watch]\npaths = ['src']\nextensions = ['ts']\nignore = ['*.log']\ndebounce = '100ms'\n\
             on_busy = 'restart'\nrun_in = 'generation'\nstop_signal = 'SIGINT'\nstop_timeout = '3s'\n\
             poll = '2s'\n[watch.run]\napi = 'node a.js'\nweb = ['next', 'dev']\n\
             [hooks]\npost_commit = 'echo done'\ntimeout = '5s'\n",
        )
        .unwrap();
        let watch = config.watch;
        assert_eq!((watch.paths, watch.extensions), (vec!["src".into()], vec!["ts".to_owned()]));
        assert_eq!(
            (watch.ignore, watch.debounce),
            (vec!["*.log".to_owned()], Some(Duration::from_millis(100)))
        );
        assert_eq!((watch.on_busy, watch.run_in), (Some(OnBusy::Restart), Some(RunIn::Generation)));
        assert_eq!((watch.stop_signal, watch.stop_timeout), (Some(2), Some(Duration::from_secs(3))));
        assert_eq!(watch.poll, Some(Duration::from_secs(2)));
        let Runs::Table(table) = watch.run else { panic!("{:?}", watch.run) };
        assert_eq!(table.keys().collect::<Vec<_>>(), ["api", "web"]);
        assert_eq!(config.hooks.post_commit, [CommandLine::Shell("echo done".to_owned())]);
        assert_eq!(config.hooks.timeout, Some(Duration::from_secs(5)));
        let config: Config =
            toml::from_str("[watch]\nrun = ['a: b']\n[hooks]\npost_commit = [['a', 'b'], 'c']").unwrap();
        assert_eq!(config.watch.run, Runs::List(vec!["a: b".to_owned()]));
        assert_eq!(config.hooks.post_commit.len(), 2);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(parse_signal("sigterm"), Ok(15));
        assert_eq!(parse_signal("INT"), Ok(2));
        assert!(parse_signal("SIGWINCH").is_err());
    }
}

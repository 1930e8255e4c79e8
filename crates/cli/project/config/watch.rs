//! `[watch]`: the events that start a build, and the programs that run on its result; and `[hooks]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use genstore_watch::{HttpUrl, Restart};
use rustix::process::Signal;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::build::CommandLine;
use super::values::duration;

/// The default signal that stops a program.
pub(crate) const SIGTERM: i32 = Signal::TERM.as_raw();

/// The settings of `watch`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WatchSection {
    /// The paths to watch, relative to the file.
    pub(crate) paths: Vec<PathBuf>,
    /// The extensions, with or without the dot.
    pub(crate) extensions: Vec<String>,
    /// Patterns of gitignore, relative to the project's root.
    pub(crate) ignore: Vec<String>,
    #[serde(deserialize_with = "duration")]
    pub(crate) debounce: Option<Duration>,
    pub(crate) on_busy: Option<OnBusy>,
    pub(crate) show_changed: Option<bool>,
    pub(crate) run: Runs,
    pub(crate) run_in: Option<RunIn>,
    #[serde(deserialize_with = "signal")]
    pub(crate) stop_signal: Option<i32>,
    #[serde(deserialize_with = "duration")]
    pub(crate) stop_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) poll: Option<Duration>,
}

/// The effect of a change on a running build.
#[derive(Deserialize, ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnBusy {
    /// The build continues; another one follows it.
    #[default]
    Queue,
    /// The build is stopped and restarted.
    Restart,
}

/// The directory in which programs run.
#[derive(Deserialize, ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunIn {
    /// The project's root, or the directory in which `watch` was started.
    #[default]
    Project,
    /// The directory of the generation.
    Generation,
}

/// The programs: a list of Procfile lines, or a table by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Runs {
    List(Vec<String>),
    Table(BTreeMap<String, ProgramSection>),
}

impl<'de> Deserialize<'de> for Runs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Runs, D::Error> {
        struct ListOrTable;
        impl<'de> Visitor<'de> for ListOrTable {
            type Value = Runs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands or a table of names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<Runs, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(from)).map(Runs::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<Runs, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(from)).map(Runs::Table)
            }
        }
        from.deserialize_any(ListOrTable)
    }
}

/// A program of `[watch.run]`: a command, or a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProgramSection {
    pub(crate) command: CommandLine,
    /// The sources that only the program reads; `None` if the file does not list them.
    pub(crate) paths: Option<Vec<PathBuf>>,
    /// A file of variables, relative to the file.
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) restart: Option<Restart>,
    pub(crate) stop_signal: Option<i32>,
    pub(crate) stop_timeout: Option<Duration>,
    pub(crate) ready: Option<ReadySection>,
    pub(crate) ready_timeout: Option<Duration>,
    /// The address of a socket that the watch holds for it.
    pub(crate) listen: Option<String>,
    pub(crate) handover: bool,
    /// Whether its stdin is the terminal.
    pub(crate) terminal: bool,
}

impl From<CommandLine> for ProgramSection {
    fn from(command: CommandLine) -> ProgramSection {
        ProgramSection {
            command,
            paths: None,
            env_file: None,
            restart: None,
            stop_signal: None,
            stop_timeout: None,
            ready: None,
            ready_timeout: None,
            listen: None,
            handover: false,
            terminal: false,
        }
    }
}

/// The sign that a program of `[watch.run]` is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadySection {
    Port(u16),
    Url(HttpUrl),
    /// A pattern that a line of its output matches.
    Pattern(Pattern),
}

/// A regular expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(crate) regex_lite::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl<'de> Deserialize<'de> for ReadySection {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ReadySection, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum PortOrText {
            Port(u16),
            Text(String),
        }
        let bad = serde::de::Error::custom::<String>;
        match PortOrText::deserialize(from) {
            Ok(PortOrText::Port(port)) => Ok(ReadySection::Port(port)),
            Ok(PortOrText::Text(text)) if text.starts_with("http://") || text.starts_with("https://") => {
                HttpUrl::parse(&text).map(ReadySection::Url).map_err(|why| bad(format!("`ready`: {why}")))
            }
            Ok(PortOrText::Text(text)) => match regex_lite::Regex::new(&text) {
                Ok(pattern) => Ok(ReadySection::Pattern(Pattern(pattern))),
                Err(_) => Err(bad(format!("`ready`: {text:?} is no regular expression"))),
            },
            Err(_) => Err(bad("`ready`: it is no port, no URL and no regular expression".to_owned())),
        }
    }
}

fn restart<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Restart>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "commit" => Ok(Some(Restart::Commit)),
        "change" => Ok(Some(Restart::Change)),
        "never" => Ok(Some(Restart::Never)),
        other => Err(serde::de::Error::custom(format!(
            "\"{}\" is not commit, change or never",
            genstore::tree::show_path(other.as_bytes())
        ))),
    }
}

impl<'de> Deserialize<'de> for ProgramSection {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ProgramSection, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            command: CommandLine,
            #[serde(default)]
            paths: Option<Vec<PathBuf>>,
            #[serde(default)]
            env_file: Option<PathBuf>,
            #[serde(default, deserialize_with = "restart")]
            restart: Option<Restart>,
            #[serde(default, deserialize_with = "signal")]
            stop_signal: Option<i32>,
            #[serde(default, deserialize_with = "duration")]
            stop_timeout: Option<Duration>,
            #[serde(default)]
            ready: Option<ReadySection>,
            #[serde(default, deserialize_with = "duration")]
            ready_timeout: Option<Duration>,
            #[serde(default)]
            listen: Option<String>,
            #[serde(default)]
            handover: bool,
            #[serde(default)]
            terminal: bool,
        }
        struct CommandOrTable;
        impl<'de> Visitor<'de> for CommandOrTable {
            type Value = ProgramSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command or a table")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ProgramSection, E> {
                Ok(CommandLine::Shell(text.to_owned()).into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<ProgramSection, A::Error> {
                let words = Vec::deserialize(SeqAccessDeserializer::new(from))?;
                Ok(CommandLine::Words(words).into())
            }

            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<ProgramSection, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(from))?;
                Ok(ProgramSection {
                    command: table.command,
                    paths: table.paths,
                    env_file: table.env_file,
                    restart: table.restart,
                    stop_signal: table.stop_signal,
                    stop_timeout: table.stop_timeout,
                    ready: table.ready,
                    ready_timeout: table.ready_timeout,
                    listen: table.listen,
                    handover: table.handover,
                    terminal: table.terminal,
                })
            }
        }
        from.deserialize_any(CommandOrTable)
    }
}

impl Default for Runs {
    fn default() -> Runs {
        Runs::List(vec![])
    }
}

/// The commands that run after each commit.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HooksSection {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) post_commit: Vec<CommandLine>,
    /// The time limit of each of them.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Option<Duration>,
}

/// Parses one command (a text) or several (a list).
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

/// Parses a signal's name, with or without `SIG`.
pub(crate) fn parse_signal(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" => Ok(Signal::HUP.as_raw()),
        "INT" => Ok(Signal::INT.as_raw()),
        "QUIT" => Ok(Signal::QUIT.as_raw()),
        "KILL" => Ok(Signal::KILL.as_raw()),
        "TERM" => Ok(SIGTERM),
        _ => Err(format!(
            "\"{}\" is not SIGTERM, SIGINT, SIGHUP, SIGQUIT or SIGKILL",
            genstore::tree::show_path(text.as_bytes())
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
             on_busy = 'restart'\nshow_changed = true\nrun_in = 'generation'\nstop_signal = 'SIGINT'\nstop_timeout = '3s'\n\
             poll = '2s'\n[watch.run]\napi = 'node a.js'\nweb = ['next', 'dev']\n\
             [watch.run.worker]\ncommand = ['node', 'w.js']\npaths = ['apps/worker']\nenv_file = '.env'\n\
             restart = 'change'\nstop_signal = 'INT'\nstop_timeout = '30s'\nready = 'up on \\d+'\n\
             ready_timeout = '5s'\nlisten = '127.0.0.1:3000'\nhandover = true\nterminal = true\n\
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
        assert_eq!((watch.poll, watch.show_changed), (Some(Duration::from_secs(2)), Some(true)));
        let Runs::Table(table) = watch.run else { panic!("{:?}", watch.run) };
        assert_eq!(table.keys().collect::<Vec<_>>(), ["api", "web", "worker"]);
        let worker = &table["worker"];
        assert_eq!(worker.command, CommandLine::Words(vec!["node".to_owned(), "w.js".to_owned()]));
        assert_eq!(worker.paths, Some(vec![PathBuf::from("apps/worker")]));
        assert_eq!((worker.env_file.clone(), worker.restart), (Some(".env".into()), Some(Restart::Change)));
        assert_eq!((worker.stop_signal, worker.stop_timeout), (Some(2), Some(Duration::from_secs(30))));
        let pattern = Pattern(regex_lite::Regex::new("up on \\d+").unwrap());
        assert_eq!(worker.ready, Some(ReadySection::Pattern(pattern)));
        assert_eq!(
            (worker.ready_timeout, worker.handover, worker.terminal),
            (Some(Duration::from_secs(5)), true, true)
        );
        assert_eq!(worker.listen.as_deref(), Some("127.0.0.1:3000"));
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

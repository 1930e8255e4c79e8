//! `genstore.toml`: the settings of a project. Flags and the environment take precedence.

mod audit;
mod build;
mod remote;
mod serve;
mod shared;
mod values;
mod view;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use genstore::audit::Patterns;
use genstore::plan::Symlinks;
use genstore::publish::Lossy;
use genstore::{Durability, Retention};
use serde::Deserialize;

use crate::errors::Fail;
use crate::text::escape::show;
use crate::text::nearest::nearest;
use crate::text::plain::plain;
pub(crate) use audit::AuditSection;
pub(crate) use build::{BuildSection, CommandLine};
pub(crate) use remote::RemoteSection;
pub(crate) use serve::ServeSection;
pub(crate) use shared::SharedSection;
use values::{bytes, durability, duration, globs, lossy, symlinks};
pub(crate) use view::ViewSection;
pub(crate) use watch::{
    HooksSection, OnBusy, Pattern, ProgramSection, ReadySection, RunIn, Runs, SIGTERM, WatchSection,
    parse_signal,
};

/// The project's file, as read.
pub(crate) struct Project {
    /// The path of the file.
    pub(crate) file: PathBuf,
    /// The parsed content.
    pub(crate) bytes: Vec<u8>,
    pub(crate) config: Config,
}

impl Project {
    /// Returns the directory of the file: the project's root.
    pub(crate) fn root(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }
}

/// Parses a configuration.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(file: &Path, bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|_| genstore::Error::Io {
        op: "read",
        path: file.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"),
    })?;
    Ok(toml::from_str(text).map_err(|error| explain(file, text, &error))?)
}

/// The sections of the file. Unknown sections are errors.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) store: StoreSection,
    pub(crate) publish: PublishSection,
    pub(crate) shared: SharedSection,
    pub(crate) retain: RetainSection,
    pub(crate) build: BuildSection,
    pub(crate) audit: AuditSection,
    pub(crate) watch: WatchSection,
    pub(crate) hooks: HooksSection,
    pub(crate) view: Vec<ViewSection>,
    pub(crate) remote: BTreeMap<String, RemoteSection>,
    pub(crate) serve: ServeSection,
}

impl Config {
    /// Lists the commands in the file, and the variables that it sets for them.
    pub(crate) fn commands(&self) -> Vec<String> {
        let text =
            |section: &'static str| move |command: &CommandLine| format!("[{section}] {}", command.text());
        let mut commands: Vec<String> = self.build.command.iter().map(text("build")).collect();
        commands.extend(self.build.env.iter().map(|(name, value)| format!("[build] {name}={value}")));
        commands.extend(self.audit.run.iter().map(text("audit")));
        match &self.watch.run {
            Runs::List(texts) => commands.extend(texts.iter().map(|text| format!("[watch] {text}"))),
            Runs::Table(table) => {
                commands.extend(table.values().map(|program| &program.command).map(text("watch")));
                let files = table.values().filter_map(|program| program.env_file.as_ref());
                commands.extend(files.map(|file| format!("[watch] env_file {}", show(file))));
            }
        }
        commands.extend(self.hooks.post_commit.iter().map(text("hooks")));
        commands
    }

    /// Names the sections that apply to the store and not to the published tree.
    pub(crate) fn store_sections(&self) -> Vec<&'static str> {
        let RetainSection { keep_last, keep_within, grace, keep_daily, keep_weekly, keep_monthly, auto } =
            &self.retain;
        let counts = [keep_last, keep_daily, keep_weekly, keep_monthly];
        let retains = counts.into_iter().any(Option::is_some)
            || keep_within.is_some()
            || grace.is_some()
            || auto.is_some();
        [
            (self.store.durability.is_some(), "durability"),
            (self.store.min_free.is_some(), "min_free"),
            (retains, "[retain]"),
            (!self.hooks.post_commit.is_empty(), "[hooks]"),
            (!self.view.is_empty(), "[[view]]"),
        ]
        .into_iter()
        .filter_map(|(is_there, name)| is_there.then_some(name))
        .collect()
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreSection {
    /// The path of the store, relative to the file.
    pub(crate) path: Option<PathBuf>,
    #[serde(deserialize_with = "durability")]
    pub(crate) durability: Option<Durability>,
    /// The space that publishing leaves free.
    #[serde(deserialize_with = "bytes")]
    pub(crate) min_free: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PublishSection {
    #[serde(deserialize_with = "globs")]
    pub(crate) include: Option<Patterns>,
    #[serde(deserialize_with = "globs")]
    pub(crate) exclude: Option<Patterns>,
    #[serde(deserialize_with = "symlinks")]
    pub(crate) symlinks: Symlinks,
    /// Allows an empty tree to replace one that is not empty.
    pub(crate) allow_empty: bool,
    /// The handling of files with attributes that a generation does not keep.
    #[serde(deserialize_with = "lossy")]
    pub(crate) lossy: Lossy,
    /// The handling of files that are hardly meant for readers, such as private keys.
    pub(crate) secrets: Secrets,
}

/// The handling of files that are hardly meant for readers.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Secrets {
    #[default]
    Warn,
    Refuse,
    Allow,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetainSection {
    pub(crate) keep_last: Option<usize>,
    #[serde(deserialize_with = "duration")]
    pub(crate) keep_within: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) grace: Option<Duration>,
    pub(crate) keep_daily: Option<usize>,
    pub(crate) keep_weekly: Option<usize>,
    pub(crate) keep_monthly: Option<usize>,
    /// Whether publishing recycles the tree of a generation that this rule gives up.
    pub(crate) auto: Option<bool>,
}

impl RetainSection {
    /// Fills in the defaults.
    pub(crate) fn retention(&self) -> Retention {
        let mut rule = Retention::default();
        rule.keep_last = self.keep_last.unwrap_or(rule.keep_last);
        rule.keep_within = self.keep_within.or(rule.keep_within);
        rule.grace = self.grace.unwrap_or(rule.grace);
        let periods = [self.keep_daily, self.keep_weekly, self.keep_monthly].map(Option::unwrap_or_default);
        rule.keep_periods(periods[0], periods[1], periods[2])
    }
}

/// Converts the parser's error to one line with file and line number, and a suggestion.
fn explain(file: &Path, text: &str, error: &toml::de::Error) -> Fail {
    let line = error.span().map_or(1, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        before.matches('\n').count() + 1
    });
    let place = format!("{}:{line}", show(file));
    // The parser quotes names: unknown field `x`, expected one of `a`, `b`.
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    let mut fail = Fail::usage("bad-configuration", String::new());
    if error.message().starts_with("unknown field")
        && let Some(unknown) = quoted.next()
    {
        let known: Vec<&str> = quoted.collect();
        fail.message = format!("{place}: unknown key `{}`", genstore::tree::show_path(unknown.as_bytes()));
        fail.hint = match nearest(unknown, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
    } else {
        let message = error.message().lines().next().unwrap_or("it cannot be read");
        // The message names the key of the value, if the line has one.
        let key =
            text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
        let plain = plain(message);
        fail.message = match key.filter(|_| plain != message) {
            Some(key) => format!("{place}: `{}`: {plain}", genstore::tree::show_path(key.as_bytes())),
            None => format!("{place}: {plain}"),
        };
        fail.hint = "correct the file".to_owned();
    }
    fail
}

#[cfg(test)]
mod tests {
    use genstore::view::ViewKind;

    use super::*;

    fn failure(text: &str) -> (String, String) {
        let error = toml::from_str::<Config>(text).err().expect("an error");
        let fail = explain(Path::new("/p/genstore.toml"), text, &error);
        (fail.message, fail.hint)
    }

    #[test]
    fn reads_every_key() {
        let config: Config = toml::from_str(
            "[store]\npath = 'x'\ndurability = 'none'\nmin_free = '2GiB'\n\
             [publish]\ninclude = ['**/*.js']\nexclude = ['*.map']\nsymlinks = 'any'\nlossy = 'refuse'\n\
             [retain]\nkeep_last = 3\nkeep_within = '2h'\ngrace = '0'\nauto = true\n\
             [[view]]\npath = 'w'\n[[view]]\npath = 'm'\nas = 'mirror'\nfrom = 'a/b'\ncopy = true\n",
        )
        .unwrap();
        assert_eq!(config.store.path, Some("x".into()));
        assert_eq!(config.store.durability, Some(Durability::None));
        assert_eq!(config.store.min_free, Some(2 << 30));
        assert_eq!(config.publish.symlinks, Symlinks::Any);
        assert_eq!(config.publish.lossy, Lossy::Refuse);
        let views: Vec<_> =
            config.view.iter().map(|v| (&*v.path, v.kind, v.from.clone(), v.copy)).collect();
        let from = genstore::tree::RelPath::new("a/b").unwrap();
        let mirror = (Path::new("m"), ViewKind::Mirror, Some(from), true);
        assert_eq!(views, [(Path::new("w"), ViewKind::Link, None, false), mirror]);
        assert!(config.publish.include.unwrap().matches(b"a/b.js", false));
        let exclude = config.publish.exclude.unwrap();
        assert!(exclude.matches(b"a.map", false) && exclude.matches(b"a/b.map", false));
        assert_eq!(config.retain.auto, Some(true));
        let retention = config.retain.retention();
        assert_eq!(retention, Retention::only_last(3).keep_within(Duration::from_secs(7200)));
    }

    #[test]
    fn suggests_the_key_that_was_meant() {
        let check = |text: &str, message: &str, hint: &str| {
            assert_eq!(failure(text), (format!("/p/genstore.toml:{message}"), hint.to_owned()));
        };
        check("[retain]\nkep_last = 1", "2: unknown key `kep_last`", "did you mean `keep_last`?");
        check("[retian]", "1: unknown key `retian`", "did you mean `retain`?");
        check(
            "x = 1",
            "1: unknown key `x`",
            "known here: store, publish, shared, retain, build, audit, watch, hooks, view, remote, serve",
        );
        check("[[view]]\npath = 'x'\nform = 'a'", "3: unknown key `form`", "did you mean `from`?");
        let (message, _) = failure("[[view]]\npath = 'x'\nas = 'links'");
        assert_eq!(message, "/p/genstore.toml:3: \"links\" is neither \"link\" nor \"mirror\"");
        assert_eq!(failure("[store]\npath = 1").0.split(':').nth(1), Some("2"));
        let (message, _) = failure("[retain]\nkeep_last = 'five'");
        let wrong = "`keep_last`: it is the text \"five\", and must be a whole number from 0";
        assert_eq!(message, format!("/p/genstore.toml:2: {wrong}"));
        let (message, _) = failure("[build]\ncommand = 5");
        let wrong = "`command`: it is neither text nor a list or table of text";
        assert_eq!(message, format!("/p/genstore.toml:2: {wrong}"));
        let (message, _) = failure("[retain]\n\ngrace = '5'");
        assert_eq!(message, "/p/genstore.toml:3: not a duration: 5 (write it like 30s, 10m, 2h or 7d)");
    }
}

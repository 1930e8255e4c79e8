//! `watch`: builds when sources change, publishes what was built, and runs programs on it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use genstore::{Durability, Retention, StageOptions};
use genstore_watch::{BadSources, Child, SourceRules, Sources};

use crate::command::before::check_publish;
use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::{publishing, running};
use crate::errors::Fail;
use crate::globals;
use crate::project::config::{CommandLine, OnBusy, RunIn, Runs, SIGTERM, WatchSection, parse_signal};
use crate::text::time;
use crate::watching::{self, Settings};

const DEBOUNCE: Duration = Duration::from_millis(500);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// What was current stays for so long, unless the project says otherwise: in a loop there are many.
const GRACE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Watch {
    /// Run this after each commit, on what is current then; may stand several times
    #[arg(long, value_name = "[NAME: ]CMD")]
    run: Vec<String>,
    /// Where they run: `project`, or `generation` (its directory)
    #[arg(long, value_name = "WHERE", hide_possible_values = true)]
    run_in: Option<RunIn>,
    /// Watch this file or directory; instead of those of the project's file
    #[arg(long = "path", value_name = "PATH", value_parser = globals::filled_path())]
    paths: Vec<PathBuf>,
    /// Only files with this extension count; may stand several times
    #[arg(long = "ext", value_name = "EXT")]
    extensions: Vec<String>,
    /// What does not count, as in a .gitignore file; may stand several times
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    ignore: Vec<String>,
    /// How long it must have been quiet before a build
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    debounce: Option<Duration>,
    /// What a change does to the build that runs: `queue` (another comes after it) or `restart`
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    on_busy: Option<OnBusy>,
    /// What tells a running program to stop
    #[arg(long, value_name = "SIGNAL", value_parser = parse_signal)]
    stop_signal: Option<i32>,
    /// How long it may take to stop before it is killed
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    stop_timeout: Option<Duration>,
    /// Look at the sources so often, instead of waiting for events
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    poll: Option<Duration>,
    /// Publish this folder, which the build writes to and keeps; instead of GENSTORE_OUT
    #[arg(long, value_name = "DIR", value_parser = globals::filled_path())]
    output: Option<PathBuf>,
    /// Publish also what is empty, in the place of what is not
    #[arg(long)]
    allow_empty: bool,
    /// Stop a build after so long
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
    /// The command that builds, and its arguments; without one, that of the project's file
    #[arg(value_name = "BUILD", last = true)]
    command: Vec<OsString>,
}

impl Watch {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let project = context.project()?;
        let nothing = WatchSection::default();
        let section = project.map_or(&nothing, |project| &project.config.watch);
        let root = project.map_or_else(|| context.absolute(".".as_ref()), |p| p.root().to_owned());
        let builder = Builder::new(context, &self.command, self.output.as_deref(), self.timeout)?;
        let sources = self.sources(context, section, root.clone())?;
        let children = self.children(section, &root)?;
        if self.run.is_empty() && !children.is_empty() {
            context.check_commands()?;
        }
        check_publish(context)?;
        let own = context.own_project()?;
        // What a power loss may undo is built again.
        let durability = own.and_then(|project| project.config.store.durability);
        let (store, _) = context.open_or_create(Some(durability.unwrap_or(Durability::None)))?;
        let retain = own.map(|project| &project.config.retain);
        let auto = retain.and_then(|retain| retain.auto).unwrap_or(true);
        let grace = retain.and_then(|retain| retain.grace).unwrap_or(GRACE);
        let recycle = if auto { Some(Retention { grace, ..context.retention()? }) } else { None };
        let settings = Settings {
            builder,
            sources: Arc::new(sources),
            root,
            debounce: self.debounce.or(section.debounce).unwrap_or(DEBOUNCE),
            poll: self.poll.or(section.poll),
            on_busy: self.on_busy.or(section.on_busy).unwrap_or_default(),
            children,
            run_in: self.run_in.or(section.run_in).unwrap_or_default(),
            stop_signal: self.stop_signal.or(section.stop_signal).unwrap_or(SIGTERM),
            stop_timeout: self.stop_timeout.or(section.stop_timeout).unwrap_or(STOP_TIMEOUT),
            emptying: publishing::emptying(context, self.allow_empty)?,
            stage: StageOptions { recycle, lossy: publishing::lossy(context)?, ..StageOptions::default() },
        };
        context.progress.finish();
        watching::run(context, &store, settings)
    }

    fn sources(&self, context: &Context<'_>, section: &WatchSection, root: PathBuf) -> Result<Sources> {
        let paths: Vec<PathBuf> = match self.paths.is_empty() {
            true => section.paths.iter().map(|path| root.join(path)).collect(),
            false => self.paths.iter().map(|path| context.absolute(path)).collect(),
        };
        if paths.is_empty() {
            let fail = Fail::usage("no-watch-paths", "there is nothing to watch");
            let hint = "name the sources with --path, or as `paths` under [watch] in genstore.toml";
            return Err(Fail { hint: hint.to_owned(), ..fail }.into());
        }
        let extensions = if self.extensions.is_empty() { &section.extensions } else { &self.extensions };
        let bare = |ext: &String| ext.strip_prefix('.').unwrap_or(ext).to_owned();
        let rules = SourceRules {
            root,
            paths,
            extensions: extensions.iter().map(bare).collect(),
            ignore: section.ignore.iter().chain(&self.ignore).cloned().collect(),
            never: vec![],
        };
        Sources::new(rules).map_err(|BadSources(problems)| {
            let fail = Fail::usage("bad-watch", format!("cannot watch {}", problems.join("; ")));
            let hint = "correct `paths` and `ignore` under [watch], or --path and --ignore";
            Fail { hint: hint.to_owned(), ..fail }.into()
        })
    }

    /// Those of the arguments, run where the program was started; else those of the project's file.
    fn children(&self, section: &WatchSection, root: &std::path::Path) -> Result<Vec<Child>> {
        let mut named: Vec<(Option<String>, CommandLine)> = match &section.run {
            _ if !self.run.is_empty() => self.run.iter().map(|text| procfile(text)).collect(),
            Runs::List(texts) => texts.iter().map(|text| procfile(text)).collect(),
            Runs::Table(table) => {
                table.iter().map(|(name, command)| (Some(name.clone()), command.clone())).collect()
            }
        };
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut children = Vec::new();
        // Names that were given go first: those that are made up give way.
        named.sort_by_key(|(name, _)| name.is_none());
        for (name, command) in named {
            let words = command.words();
            let mut job =
                running::job(&words).ok_or_else(|| running::no_command("[watch] run, or of --run,"))?;
            job.cwd = self.run.is_empty().then(|| root.to_owned());
            let name = match name {
                Some(name) if !taken.insert(name.clone()) => {
                    let fail = Fail::usage("bad-run", format!("two programs are called {name}"));
                    let hint = "give each a name of its own, as in `api: node server.js`";
                    return Err(Fail { hint: hint.to_owned(), ..fail }.into());
                }
                Some(name) => name,
                None => free_name(&command.text(), &mut taken),
            };
            children.push(Child { name, job });
        }
        Ok(children)
    }
}

/// Reads a line of a Procfile: `NAME: CMD`, or a command alone.
fn procfile(text: &str) -> (Option<String>, CommandLine) {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    match text.split_once(':') {
        Some((name, command)) if is_name(name) && command.starts_with([' ', '\t']) => {
            (Some(name.to_owned()), CommandLine::Shell(command.trim().to_owned()))
        }
        _ => (None, CommandLine::Shell(text.trim().to_owned())),
    }
}

/// Makes up a name: that of the program, with a number where it is taken.
fn free_name(command: &str, taken: &mut BTreeSet<String>) -> String {
    let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or("run");
    let base = genstore::show_path(program.rsplit('/').next().unwrap_or(program).as_bytes());
    let mut names = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
    let name = names.find(|name| !taken.contains(name)).unwrap_or(base);
    taken.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_a_colon_and_a_space() {
        let check = |text: &str, name: Option<&str>, command: &str| {
            let expected = (name.map(str::to_owned), CommandLine::Shell(command.to_owned()));
            assert_eq!(procfile(text), expected, "{text}");
        };
        check("api: node server.js", Some("api"), "node server.js");
        check("node server.js", None, "node server.js");
        check("PORT=1 node a.js --url http://x", None, "PORT=1 node a.js --url http://x");
        check("curl localhost:3000", None, "curl localhost:3000");
        check("my web: x", None, "my web: x");
    }

    #[test]
    fn programs_without_a_name_get_one() {
        let mut taken = BTreeSet::from(["node".to_owned()]);
        assert_eq!(free_name("PORT=3 /usr/bin/node a.js", &mut taken), "node-2");
        assert_eq!(free_name("node b.js", &mut taken), "node-3");
        assert_eq!(free_name("next dev", &mut taken), "next");
    }
}

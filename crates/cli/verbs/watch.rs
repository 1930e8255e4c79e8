//! `watch`: builds and publishes when sources change, and runs programs on the result.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use genstore::{Durability, StageOptions};
use genstore_run::Stdin;
use genstore_watch::{BadSources, Child, Restart, SourceRules, Sources, Variables};

use crate::command::advice;
use crate::command::before::check_publish;
use crate::command::building::Builder;
use crate::command::context::Context;
use crate::command::{publishing, running};
use crate::errors::Fail;
use crate::globals;
use crate::project::config::{
    CommandLine, OnBusy, ProgramSection, ReadySection, RunIn, Runs, SIGTERM, WatchSection, parse_signal,
};
use crate::text::time;
use crate::watching::{self, Program, Settings, last_change};

#[cfg(feature = "serve")]
use super::serve::http::Beside;

/// A program without a web server has none beside the watch.
#[cfg(not(feature = "serve"))]
enum Beside {}

#[cfg(not(feature = "serve"))]
impl Beside {
    fn url(&self) -> String {
        match *self {}
    }

    fn pages(&self) -> watching::Pages {
        match *self {}
    }
}

const DEBOUNCE: Duration = Duration::from_millis(500);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which a program that is not ready is reported.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The grace time of former current generations, unless the project says otherwise. It is short because a
/// loop makes many.
const GRACE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Watch {
    /// Run this command on the current generation after each commit; may be repeated
    #[arg(long, value_name = "[NAME: ]CMD")]
    run: Vec<String>,
    /// Where the commands run: `project`, or `generation` (its directory)
    #[arg(long, value_name = "WHERE", hide_possible_values = true)]
    run_in: Option<RunIn>,
    /// Watch this file or directory, instead of those in the project's file
    #[arg(long = "path", value_name = "PATH", value_parser = globals::filled_path())]
    paths: Vec<PathBuf>,
    /// Watch only files with this extension; may be repeated
    #[arg(long = "ext", value_name = "EXT")]
    extensions: Vec<String>,
    /// Ignore files that match this pattern, as in a .gitignore file; may be repeated
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    ignore: Vec<String>,
    /// The time without changes before a build
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    debounce: Option<Duration>,
    /// The action when a source changes during a build: `queue` (build again after it) or `restart`
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    on_busy: Option<OnBusy>,
    /// The signal that stops a running program
    #[arg(long, value_name = "SIGNAL", value_parser = parse_signal)]
    stop_signal: Option<i32>,
    /// The time for a program to stop before it is killed
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    stop_timeout: Option<Duration>,
    /// Check the sources at this interval, instead of waiting for events
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    poll: Option<Duration>,
    /// Also activate builds whose sources changed while they ran; by default they are only kept
    #[arg(long)]
    show_changed: bool,
    /// Publish this folder, which the build writes to and keeps, instead of GENSTORE_OUT
    #[arg(long, value_name = "DIR", value_parser = globals::filled_path())]
    output: Option<PathBuf>,
    /// Also serve the result by HTTP; open pages follow it [default address: that of `serve`]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true)]
    serve: Option<Option<String>>,
    /// Publish an empty output even if it replaces one that is not empty
    #[arg(long)]
    allow_empty: bool,
    /// Stop a build after this time
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
    /// The build command and its arguments [default: the command of the project's file]
    #[arg(value_name = "BUILD", last = true)]
    command: Vec<OsString>,
}

impl Watch {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let mut server = None;
        loop {
            if let Some(status) = self.watch(context, &mut server)? {
                return Ok(status);
            }
            context.check_interrupted()?;
        }
    }

    /// Watches; returns the exit status, or `None` if the store was removed meanwhile.
    fn watch(&self, context: &Context<'_>, server: &mut Option<Beside>) -> Result<Option<u8>> {
        let project = context.project()?;
        let nothing = WatchSection::default();
        let section = project.map_or(&nothing, |project| &project.config.watch);
        let root = project.map_or_else(|| context.absolute(".".as_ref()), |p| p.root().to_owned());
        let builder = Builder::new(context, &self.command, self.output.as_deref(), self.timeout)?;
        let sources = self.sources(context, section, root.clone())?;
        let programs = self.programs(context, section, &root)?;
        if self.run.is_empty() && !programs.is_empty() {
            context.check_commands()?;
        }
        check_publish(context)?;
        let own = context.own_project()?;
        // A publication that a power loss undoes is built again.
        let durability = own.and_then(|project| project.config.store.durability);
        let (store, created) = context.open_or_create(Some(durability.unwrap_or(Durability::None)))?;
        if created {
            advice::hint_of_new(context, store.path())?;
        }
        let retain = own.map(|project| &project.config.retain);
        let auto = retain.and_then(|retain| retain.auto).unwrap_or(true);
        let grace = retain.and_then(|retain| retain.grace).unwrap_or(GRACE);
        let mut stage = StageOptions::default().lossy(publishing::lossy(context)?);
        stage.recycle = if auto { Some(context.retention()?.grace(grace)) } else { None };
        if server.is_none() {
            *server = self.serve(context)?;
        }
        let settings = Settings {
            pages: server.as_ref().map(Beside::pages),
            url: server.as_ref().map(Beside::url),
            builder,
            sources: Arc::new(sources),
            root,
            config: project.map(|project| (project.file.clone(), last_change(&project.file))),
            debounce: self.debounce.or(section.debounce).unwrap_or(DEBOUNCE),
            poll: self.poll.or(section.poll),
            on_busy: self.on_busy.or(section.on_busy).unwrap_or_default(),
            show_changed: self.show_changed || section.show_changed.unwrap_or(false),
            programs,
            run_in: self.run_in.or(section.run_in).unwrap_or_default(),
            emptying: publishing::emptying(context, self.allow_empty)?,
            stage,
        };
        context.progress.finish();
        watching::run(context, &store, settings)
    }

    /// Starts the server of --serve.
    #[cfg(feature = "serve")]
    fn serve(&self, context: &Context<'_>) -> Result<Option<Beside>> {
        let Some(address) = &self.serve else { return Ok(None) };
        let parsed = address.as_deref().map(super::serve::address).transpose();
        let bad =
            |why| Fail { hint: why, ..Fail::usage("bad-listen", "the value of --serve is no address") };
        Beside::start(context, parsed.map_err(bad)?).map(Some)
    }

    #[cfg(not(feature = "serve"))]
    fn serve(&self, _: &Context<'_>) -> Result<Option<Beside>> {
        match self.serve {
            None => Ok(None),
            Some(_) => Err(super::serve::not_built_in().into()),
        }
    }

    fn sources(&self, context: &Context<'_>, section: &WatchSection, root: PathBuf) -> Result<Sources> {
        // A project's sources are all that git does not ignore.
        let whole = [PathBuf::from(".")];
        let entries = match (self.paths.is_empty(), section.paths.is_empty()) {
            (false, _) => self.paths.as_slice(),
            (true, true) if context.project()?.is_some() => &whole,
            _ => section.paths.as_slice(),
        };
        let mut rules = sort_entries(entries, |path| match self.paths.is_empty() {
            true => root.join(path),
            false => context.absolute(path),
        });
        if rules.paths.is_empty() && rules.optional.is_empty() {
            let fail = Fail::usage("no-watch-paths", "there is nothing to watch");
            let hint = "name the sources with --path, or write a genstore.toml: `genstore init`";
            return Err(Fail { hint: hint.to_owned(), ..fail }.into());
        }
        let extensions = if self.extensions.is_empty() { &section.extensions } else { &self.extensions };
        let bare = |ext: &String| ext.strip_prefix('.').unwrap_or(ext).to_owned();
        rules.extensions = extensions.iter().map(bare).collect();
        rules.ignore.extend(section.ignore.iter().chain(&self.ignore).cloned());
        rules.user_ignore.clone_from(&context.user_ignore);
        rules.root = root;
        checked(rules, "`paths` and `ignore` under [watch], or --path and --ignore")
    }

    /// Collects the programs of the arguments, which run in the current directory; if there are none, those
    /// of the project's file.
    fn programs(&self, context: &Context<'_>, section: &WatchSection, root: &Path) -> Result<Vec<Program>> {
        let from_text = |text: &String| {
            let (name, command) = procfile(text);
            (name, ProgramSection::from(command))
        };
        let mut named: Vec<(Option<String>, ProgramSection)> = match &section.run {
            _ if !self.run.is_empty() => self.run.iter().map(from_text).collect(),
            Runs::List(texts) => texts.iter().map(from_text).collect(),
            Runs::Table(table) => {
                table.iter().map(|(name, program)| (Some(name.clone()), program.clone())).collect()
            }
        };
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut programs = Vec::new();
        let mut terminal = None;
        // Given names come first, so that generated names avoid them.
        named.sort_by_key(|(name, _)| name.is_none());
        for (name, program) in named {
            let words = program.command.words();
            let mut job =
                running::job(&words).ok_or_else(|| running::no_command("[watch] run, or of --run,"))?;
            job.cwd = self.run.is_empty().then(|| root.to_owned());
            job.env = context.out.colors_of_commands();
            let name = match name {
                Some(name) if !taken.insert(name.clone()) => {
                    let fail = Fail::usage("bad-run", format!("two programs are called {name}"));
                    let hint = "give each a name of its own, as in `api: node server.js`";
                    return Err(Fail { hint: hint.to_owned(), ..fail }.into());
                }
                Some(name) => name,
                None => free_name(&program.command.text(), &mut taken),
            };
            job.stdin = stdin_of(&name, &program, &mut terminal)?;
            let socket = match &program.listen {
                Some(address) => Some(watching::listen(&name, address)?),
                None => None,
            };
            let ready = watching::readiness(&name, &program, socket.as_deref())?;
            let pattern = match &program.ready {
                Some(ReadySection::Pattern(pattern)) => Some(pattern.clone()),
                _ => None,
            };
            let own = self.own_sources(context, &program, root, &name)?;
            let stop_signal = self.stop_signal.or(program.stop_signal).or(section.stop_signal);
            let stop_timeout = self.stop_timeout.or(program.stop_timeout).or(section.stop_timeout);
            let child = Child {
                name,
                job,
                restart: program.restart.unwrap_or_default(),
                stop_signal: stop_signal.unwrap_or(SIGTERM),
                stop_timeout: stop_timeout.unwrap_or(STOP_TIMEOUT),
                variables: program.env_file.map(|file| {
                    let file = root.join(file);
                    Variables::read_by(move || watching::variables(&file))
                }),
                ready,
                ready_timeout: program.ready_timeout.unwrap_or(READY_TIMEOUT),
                handover: program.handover,
                socket,
            };
            programs.push(Program { child, own, pattern });
        }
        Ok(programs)
    }

    /// Returns the sources that only this program reads, or `None` if the project does not list them.
    fn own_sources(
        &self,
        context: &Context<'_>,
        program: &ProgramSection,
        root: &Path,
        name: &str,
    ) -> Result<Option<Arc<Sources>>> {
        if program.paths.is_none() && program.env_file.is_none() {
            return Ok(None);
        }
        if program.restart == Some(Restart::Never) && program.paths.is_none() {
            return Ok(None);
        }
        if program.restart == Some(Restart::Never) {
            let fail = Fail::usage("bad-run", format!("{name} has paths but never restarts"));
            let hint = "omit `paths`, or set `restart = \"change\"`";
            return Err(Fail { hint: hint.to_owned(), ..fail }.into());
        }
        let entries = sort_entries(program.paths.iter().flatten(), |path| root.join(path));
        let mut rules = SourceRules { root: root.to_owned(), ..entries };
        rules.optional.extend(program.env_file.as_ref().map(|file| root.join(file)));
        rules.user_ignore.clone_from(&context.user_ignore);
        Ok(Some(Arc::new(checked(rules, &format!("`paths` under [watch.run.{name}]"))?)))
    }
}

/// Returns the stdin of a program. `terminal` is the name of the program that has the terminal.
fn stdin_of(name: &str, program: &ProgramSection, terminal: &mut Option<String>) -> Result<Stdin> {
    if !program.terminal {
        return Ok(Stdin::Open);
    }
    let fail = |message: String, hint: &str| {
        Err(Fail { hint: hint.to_owned(), ..Fail::usage("bad-run", message) }.into())
    };
    if let Some(other) = terminal.replace(name.to_owned()) {
        let message = format!("both {other} and {name} want the terminal");
        return fail(message, "leave `terminal = true` in one of them");
    }
    if program.listen.is_some() || program.handover {
        let message = format!("{name} has the terminal, and cannot have `listen` or `handover`");
        return fail(message, "leave one of them out");
    }
    Ok(if std::io::stdin().is_terminal() { Stdin::Passed } else { Stdin::Open })
}

fn checked(rules: SourceRules, place: &str) -> Result<Sources> {
    Sources::new(rules).map_err(|BadSources(problems)| {
        let fail = Fail::usage("bad-watch", format!("cannot watch {}", problems.join("; ")));
        Fail { hint: format!("correct {place}"), ..fail }.into()
    })
}

/// Sorts the entries of a `paths` list: `PATH?` may be missing, and `!PATTERN` is ignored.
fn sort_entries<'a>(
    entries: impl IntoIterator<Item = &'a PathBuf>,
    from: impl Fn(&Path) -> PathBuf,
) -> SourceRules {
    let mut rules = SourceRules::default();
    for entry in entries {
        let bytes = entry.as_os_str().as_bytes();
        match (bytes.strip_prefix(b"!"), bytes.strip_suffix(b"?")) {
            (Some(pattern), _) => rules.ignore.push(String::from_utf8_lossy(pattern).into_owned()),
            (None, Some(path)) => rules.optional.push(from(OsStr::from_bytes(path).as_ref())),
            (None, None) => rules.paths.push(from(entry)),
        }
    }
    rules
}

/// Parses a line of a Procfile: `NAME: CMD`, or a command alone.
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

/// Generates a name: that of the program, with a number if it is taken.
fn free_name(command: &str, taken: &mut BTreeSet<String>) -> String {
    let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or("run");
    let base = genstore::tree::show_path(program.rsplit('/').next().unwrap_or(program).as_bytes());
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
    fn paths_may_be_optional_or_patterns() {
        let entries = ["src", "conf/.env?", "!**/*.test.ts"].map(PathBuf::from);
        let rules = sort_entries(&entries, |path| Path::new("/p").join(path));
        assert_eq!(rules.paths, [PathBuf::from("/p/src")]);
        assert_eq!(rules.optional, [PathBuf::from("/p/conf/.env")]);
        assert_eq!(rules.ignore, ["**/*.test.ts"]);
    }

    #[test]
    fn programs_without_a_name_get_one() {
        let mut taken = BTreeSet::from(["node".to_owned()]);
        assert_eq!(free_name("PORT=3 /usr/bin/node a.js", &mut taken), "node-2");
        assert_eq!(free_name("node b.js", &mut taken), "node-3");
        assert_eq!(free_name("next dev", &mut taken), "next");
    }
}

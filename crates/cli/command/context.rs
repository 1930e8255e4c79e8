//! The context of a verb: the outputs, the clock, the store that was found, the project's settings.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use genstore::plan::ScanRules;
use genstore::{Clock, Durability, Error, Options, Retention, Store, Warning};

use genstore_remote::Access;
use genstore_run::Interrupts;
use genstore_torture::Seams;
use genstore_torture::faults::Injection;

use crate::command::choice::Choice;
use crate::environment::Environment;
use crate::errors::{Fail, interrupted};
use crate::globals::{Globals, actor};
use crate::project::config::Project;
use crate::project::find::{self, Around, Found, Origin};
use crate::project::trust::Trust;
use crate::render::output::Out;
use crate::render::progress::Bar;
use crate::text::escape::show;
use crate::{environment, exit};

const FIRST_PUBLISH: &str =
    "`genstore publish DIR` creates one and publishes DIR; or name one with --store";

/// The input of a run, from `main`.
pub(crate) struct Started<'a> {
    pub(crate) environment: Environment,
    pub(crate) seams: &'a Seams,
    /// Returns the command line's definition, for completions.
    pub(crate) command_line: fn() -> clap::Command,
}

/// One run of the program.
pub(crate) struct Context<'a> {
    pub(crate) out: &'a Out,
    pub(crate) progress: Bar,
    pub(crate) faults: Injection,
    clock: Clock,
    verb: String,
    actor: String,
    lock_timeout: Duration,
    flag: Option<PathBuf>,
    environment: Option<PathBuf>,
    /// The ignore file that git reads if its configuration names none.
    pub(crate) user_ignore: Option<PathBuf>,
    /// The directory in which the program was started; `None` if it was removed since.
    dir: Option<PathBuf>,
    command_line: fn() -> clap::Command,
    pub(crate) trust: Trust,
    home: Option<PathBuf>,
    /// The access to servers of remotes.
    pub(crate) access: Access,
    /// The user's folder of what can be made again.
    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server reads it"))]
    pub(crate) cache_home: Option<PathBuf>,
    no_project: bool,
    around: OnceCell<Around>,
    found: OnceCell<Found>,
    project: OnceCell<Option<Project>>,
    interrupts: OnceCell<Interrupts>,
    /// The part of a directory that the command line chooses.
    choice: OnceCell<Choice>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        out: &'a Out,
        globals: &Globals,
        verb: &str,
        started: Started<'_>,
    ) -> Result<Context<'a>> {
        let Started { environment, seams, command_line } = started;
        if let Some(dir) = &globals.chdir {
            std::env::set_current_dir(dir).map_err(|source| Error::Io {
                op: "go to",
                path: dir.clone(),
                source,
            })?;
        }
        let dir = match std::env::current_dir() {
            Ok(dir) => Some(dir),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(Error::Io { op: "find", path: ".".into(), source }.into()),
        };
        let bad = |message: String, like: &str| Fail {
            hint: format!("write it like {like}, or omit it"),
            ..Fail::usage("bad-seam", message)
        };
        let trust = Trust::new(&environment, globals.trust, seams.ground.as_deref());
        let user = genstore::tree::show_path(environment.user.as_bytes());
        let named = environment.actor.as_deref().filter(|_| globals.actor.is_none()).map(actor).transpose();
        let named = named.map_err(|why| Fail {
            hint: "name a person or a service, like `deploy bot`, or unset it".to_owned(),
            ..Fail::usage("bad-actor", format!("GENSTORE_ACTOR is no name: {why}"))
        })?;
        let unnamed = || format!("{user}, process {}, genstore {verb}", std::process::id());
        Ok(Context {
            out,
            progress: Bar::new(globals),
            faults: Injection::new(seams).map_err(|m| bad(m, "7:eio"))?,
            clock: environment::clock(seams.now.as_deref()).map_err(|m| bad(m, "2031-05-01T12:00:00Z"))?,
            verb: verb.to_owned(),
            actor: globals.actor.clone().or(named).unwrap_or_else(unnamed),
            lock_timeout: globals.lock_timeout,
            flag: globals.store.clone(),
            user_ignore: environment.config_home.as_ref().map(|home| home.join("git/ignore")),
            environment: environment.store,
            dir,
            command_line,
            trust,
            home: environment.home,
            access: environment.access,
            cache_home: environment.cache_home,
            no_project: globals.no_project,
            around: OnceCell::new(),
            found: OnceCell::new(),
            project: OnceCell::new(),
            interrupts: OnceCell::new(),
            choice: OnceCell::new(),
        })
    }

    /// Catches signals from now on, so that commands are ended before the program is.
    pub(crate) fn interrupts(&self) -> Result<&Interrupts> {
        self.progress.leave_signals();
        if self.interrupts.get().is_none() {
            let installed = Self::catch_signals()?;
            // The cell was empty until now.
            let _: Result<(), _> = self.interrupts.set(installed);
        }
        Ok(self.interrupts.get().expect("it was set above"))
    }

    /// Catches signals for a wait of its own, which ignores signals that were caught before.
    pub(crate) fn catch_signals() -> Result<Interrupts> {
        let install = |source| Error::Io { op: "catch signals with", path: "/proc".into(), source };
        Ok(Interrupts::install().map_err(install)?)
    }

    /// Stops before a commit if a signal was caught.
    pub(crate) fn check_interrupted(&self) -> Result<()> {
        match self.interrupts.get().and_then(|interrupts| interrupts.signal()) {
            Some(signal) => Err(interrupted(signal).into()),
            None => Ok(()),
        }
    }

    /// Returns the definition of the command line: every verb with its arguments.
    pub(crate) fn command_line(&self) -> clap::Command {
        (self.command_line)()
    }

    /// Returns the name of the verb.
    pub(crate) fn verb(&self) -> &str {
        &self.verb
    }

    /// Returns the clock.
    pub(crate) fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Returns the path as an absolute one, relative to the directory in which the program was started. If
    /// that directory is gone the path stays relative, and nothing can be found or created there.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.dir.as_ref().map_or(path.to_owned(), |dir| dir.join(path))
    }

    /// Returns a path of a configuration in this folder. One that begins with `~/` lies in the home directory.
    pub(crate) fn below(&self, folder: Option<&Path>, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => folder.map_or(path.to_owned(), |folder| folder.join(path)),
        }
    }

    /// Returns the directory that the program was started in.
    fn dir(&self) -> Result<&Path> {
        self.dir.as_deref().ok_or_else(|| {
            let hint = "change to another directory, or name one with -C, or name the store with --store";
            let message = "the current directory was removed";
            Fail::new("no-directory", message, hint).into()
        })
    }

    /// Searches the folders up to the project's root, once.
    fn around(&self) -> Result<&Around> {
        if self.around.get().is_none() {
            // The cell was empty until now.
            let around = |dir: &PathBuf| find::around(dir, self.trust.ground.as_deref());
            // A directory that is gone is in no project.
            let found = self.dir.as_ref().map(around).transpose()?.unwrap_or_default();
            let _: Result<(), _> = self.around.set(found);
        }
        Ok(self.around.get().expect("it was set above"))
    }

    /// Returns the project's file, if there is one here or above.
    ///
    /// # Errors
    /// Also if the file is not trusted: see [`crate::project::trust`].
    pub(crate) fn project(&self) -> Result<Option<&Project>> {
        if self.project.get().is_none() {
            let file = if self.no_project { None } else { self.around()?.project.clone() };
            let found = file.map(|file| self.trust.read_project(file)).transpose()?;
            if let Some(project) = &found {
                self.out.detail(&format!("project file {}", show(&project.file)));
            }
            // The cell was empty until now.
            let _: Result<(), _> = self.project.set(found);
        }
        Ok(self.project.get().and_then(Option::as_ref))
    }

    /// Returns whether the project's file is ignored, by `--no-project`.
    pub(crate) fn ignores_project(&self) -> bool {
        self.no_project
    }

    /// Returns the project's file if it applies to the store in use: the store that it names, or the one
    /// that a first publish creates in its folder. Its settings for a store, such as retention, do not
    /// apply to other stores.
    pub(crate) fn own_project(&self) -> Result<Option<&Project>> {
        let found = self.find_store()?;
        let named = matches!(found.origin, Origin::Flag | Origin::Environment);
        let project = match self.project() {
            // The file does not apply to this store, so its owner does not matter.
            Err(error) if named && is_untrusted(&error) => None,
            project => project?,
        };
        Ok(project.filter(|project| is_same_place(&self.absolute(&found.path), &own_store(project))))
    }

    /// Checks that the project's commands may run, and prints new ones.
    ///
    /// # Errors
    /// If the user must allow them first.
    pub(crate) fn check_commands(&self) -> Result<()> {
        match self.project()? {
            Some(project) => self.trust.check_commands(project, self.out),
            None => Ok(()),
        }
    }

    /// Checks the commands that run after an activation in the same way.
    pub(crate) fn check_hooks(&self) -> Result<()> {
        match self.own_project()? {
            Some(project) if !project.config.hooks.post_commit.is_empty() => {
                self.trust.check_commands(project, self.out)
            }
            _ => Ok(()),
        }
    }

    /// Returns the store above the project's root, which belongs to another project.
    pub(crate) fn store_beyond(&self) -> Result<Option<&Path>> {
        Ok(self.around()?.beyond.as_deref())
    }

    /// Returns whether a path lies directly in the directory in which the program was started.
    pub(crate) fn is_here(&self, path: &Path) -> bool {
        self.absolute(path).parent() == self.dir.as_deref()
    }

    /// Returns the store that the user named.
    fn named(&self) -> Option<Found> {
        let found = |path: &PathBuf, origin| Found { path: path.clone(), origin };
        let flag = self.flag.as_ref().map(|path| found(path, Origin::Flag));
        flag.or_else(|| self.environment.as_ref().map(|path| found(path, Origin::Environment)))
    }

    /// Returns the store that the project's file names.
    fn project_store(&self) -> Result<Option<Found>> {
        let Some(project) = self.project()? else { return Ok(None) };
        let origin = Origin::Project(project.file.clone());
        let path = project.config.store.path.as_ref();
        Ok(path.map(|path| Found { path: project.root().join(path), origin }))
    }

    /// Finds the existing store, or the place where a first publish creates it. Later calls return the
    /// same.
    pub(crate) fn find_store(&self) -> Result<Found> {
        if self.found.get().is_none() {
            // The cell was empty until now.
            let _: Result<(), _> = self.found.set(self.look_for_store()?);
        }
        Ok(self.found.get().expect("it was set above").clone())
    }

    fn look_for_store(&self) -> Result<Found> {
        if let Some(named) = self.named() {
            return Ok(named);
        }
        let around = self.around()?;
        let folder = |store: &PathBuf| -> Result<Found> {
            self.trust.check_store(store, self.dir()?)?;
            Ok(Found { path: store.clone(), origin: Origin::Folder })
        };
        let is_nearer = |store: &PathBuf| {
            let root = around.project.as_ref().and_then(|file| file.parent());
            store.parent() != root
        };
        if let Some(store) = around.store.as_ref().filter(|store| is_nearer(store)) {
            return folder(store);
        }
        match (self.project_store()?, &around.store) {
            (Some(found), _) => Ok(found),
            (None, Some(store)) => folder(store),
            (None, None) => self.new_store(),
        }
    }

    /// Returns the place of a new store: the named one, or `genstore` in the project's root.
    pub(crate) fn new_store(&self) -> Result<Found> {
        if let Some(named) = self.named().map_or_else(|| self.project_store(), |named| Ok(Some(named)))? {
            return Ok(named);
        }
        let root = match self.project()? {
            Some(project) => project.root(),
            None => self.dir()?,
        };
        Ok(Found { path: root.join(find::STORE_FOLDER), origin: Origin::Default })
    }

    /// Opens the store, which must exist.
    pub(crate) fn open(&self) -> Result<Store> {
        self.open_with(None)
    }

    /// Opens the store, which must exist, with this durability.
    pub(crate) fn open_with(&self, durability: Option<Durability>) -> Result<Store> {
        let found = self.find_store()?;
        if found.origin == Origin::Default {
            let (dir, mut hint) = (show(self.dir()?), FIRST_PUBLISH.to_owned());
            let message = match self.around()?.beyond.as_deref().map(show) {
                Some(beyond) => {
                    hint = format!("to use that one: --store {beyond}; {FIRST_PUBLISH}");
                    format!(
                        "there is no store in the project of {dir}; {beyond} belongs to another project"
                    )
                }
                None => format!("there is no store in {dir} or above it"),
            };
            return Err(Fail::new("not-a-store", message, hint).with_exit(exit::NOT_A_STORE).into());
        }
        self.open_found(&found, durability)
    }

    /// Opens the store, or creates it with a note. The `bool` is whether it is new.
    pub(crate) fn open_or_create(&self, durability: Option<Durability>) -> Result<(Store, bool)> {
        let found = self.find_store()?;
        match self.open_found(&found, durability) {
            Ok(store) => return Ok((store, false)),
            Err(error) if matches!(error.downcast_ref(), Some(Error::NotAStore { .. })) => {}
            Err(error) => return Err(error),
        }
        let made = Store::init(&found.path, self.options(durability)?)?;
        if made.is_new {
            self.out.note(&format!("   Created the store {}", show(made.store.path())));
        }
        Ok((made.store, made.is_new))
    }

    pub(crate) fn open_found(&self, found: &Found, durability: Option<Durability>) -> Result<Store> {
        self.out.detail(&format!("store {}, found {}", show(&found.path), found.origin.text()));
        self.progress.watch_current(&found.path);
        Ok(Store::open(&found.path, self.options(durability)?)?)
    }

    /// Returns the options for a store. The durability is the given one, or the project's, or full.
    pub(crate) fn options(&self, durability: Option<Durability>) -> Result<Options> {
        let mut options = Options::new(Arc::clone(&self.clock));
        options.actor.clone_from(&self.actor);
        options.lock_timeout = self.lock_timeout;
        options.progress = self.progress.listener();
        options.faults = self.faults.faults.clone();
        let section = self.own_project()?.map(|project| &project.config.store);
        options.min_free_bytes = section.and_then(|section| section.min_free).unwrap_or(0);
        options.durability =
            durability.or(section.and_then(|section| section.durability)).unwrap_or_default();
        Ok(options)
    }

    /// Returns the retention of the project, or the default.
    pub(crate) fn retention(&self) -> Result<Retention> {
        Ok(self.own_project()?.map_or_else(Retention::default, |p| p.config.retain.retention()))
    }

    /// Returns the scan rules for this store.
    pub(crate) fn scan_rules(&self, store: Option<&Store>) -> Result<ScanRules> {
        let mut rules = ScanRules::default();
        rules.store = store.map(Store::identity).transpose()?;
        if let Some(project) = self.project()? {
            let wanted = &project.config.publish;
            rules.symlinks = wanted.symlinks;
            rules.include.clone_from(&wanted.include);
            rules.exclude.clone_from(&wanted.exclude);
            rules.shared = project.config.shared.paths(project.root());
        }
        if let Some(choice) = self.choice.get() {
            choice.add_to(&mut rules)?;
        }
        Ok(rules)
    }

    /// Sets the part of a directory that the command line chooses, for all scans of this run.
    pub(crate) fn choose(&self, choice: &Choice) {
        // The cell was empty until now.
        let _: Result<(), _> = self.choice.set(choice.clone());
    }

    /// Prints the warnings of a commit, and returns the exit status that they cause.
    pub(crate) fn warn_of(&self, warnings: &[Warning]) -> u8 {
        for warning in warnings {
            self.out.warn(&warning.message);
        }
        if !warnings.iter().any(|warning| warning.not_durable) {
            return exit::DONE;
        }
        self.out.hint(
            "the change is done, and the next command that changes the store makes it durable: see the \
             system's log, then run `genstore verify`",
        );
        exit::PARTLY
    }
}

/// Returns the place of the store that a project's file applies to.
pub(crate) fn own_store(project: &Project) -> PathBuf {
    let path = project.config.store.path.as_deref().unwrap_or(find::STORE_FOLDER.as_ref());
    project.root().join(path)
}

/// Compares two places. Their last name may not exist yet.
fn is_same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let name = path.file_name()?;
            Some(path.parent()?.canonicalize().ok()?.join(name))
        })
    };
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

fn is_untrusted(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Fail>().is_some_and(|fail| fail.code == "untrusted")
}

//! What a verb works with: the outputs, the clock, the store that was found, the project's wishes.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use genstore::{Clock, Durability, Error, Options, Retention, ScanRules, Store, Warning};

use genstore_run::Interrupts;

use crate::args::Globals;
use crate::config::Project;
use crate::environment::Environment;
use crate::errors::{Fail, exit};
use crate::faults::Injection;
use crate::find::{self, Found, Origin};
use crate::output::{Out, show};
use crate::progress::Bar;
use crate::seams::Seams;
use crate::{running, time};

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
    /// Where the program was started; `None` where that directory was removed since.
    dir: Option<PathBuf>,
    project: OnceCell<Option<Project>>,
    interrupts: OnceCell<Interrupts>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        out: &'a Out,
        globals: &Globals,
        verb: &str,
        environment: Environment,
        seams: &Seams,
    ) -> Result<Context<'a>> {
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
            hint: format!("write it like {like}, or leave it out"),
            ..Fail::usage("bad-seam", message)
        };
        let user = genstore::show_path(environment.user.as_bytes());
        Ok(Context {
            out,
            progress: Bar::new(globals),
            faults: Injection::new(seams).map_err(|m| bad(m, "7:eio"))?,
            clock: time::clock(seams.now.as_deref()).map_err(|m| bad(m, "2031-05-01T12:00:00Z"))?,
            verb: verb.to_owned(),
            actor: format!("{user}, process {}, genstore {verb}", std::process::id()),
            lock_timeout: globals.lock_timeout,
            flag: globals.store.clone(),
            environment: environment.store,
            dir,
            project: OnceCell::new(),
            interrupts: OnceCell::new(),
        })
    }

    /// Catches signals from now on, for commands of others to be ended first.
    pub(crate) fn interrupts(&self) -> Result<&Interrupts> {
        if self.interrupts.get().is_none() {
            let installed = Self::catch_signals()?;
            // Empty until now.
            let _: Result<(), _> = self.interrupts.set(installed);
        }
        Ok(self.interrupts.get().expect("it was set above"))
    }

    /// Catches signals for one who waits for them: what others have seen of them does not count.
    pub(crate) fn catch_signals() -> Result<Interrupts> {
        let install = |source| Error::Io { op: "catch signals with", path: "/proc".into(), source };
        Ok(Interrupts::install().map_err(install)?)
    }

    /// Stops before a commit that a caught signal says should not happen.
    pub(crate) fn check_interrupted(&self) -> Result<()> {
        match self.interrupts.get().and_then(|interrupts| interrupts.signal()) {
            Some(signal) => Err(running::interrupted(signal).into()),
            None => Ok(()),
        }
    }

    /// Names the verb that runs.
    pub(crate) fn verb(&self) -> &str {
        &self.verb
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Returns the path from the root, as it is meant from where the program was started. Where that
    /// is gone it stays relative, and nothing can be found or made there.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.dir.as_ref().map_or(path.to_owned(), |dir| dir.join(path))
    }

    /// Returns the directory that the program was started in.
    fn dir(&self) -> Result<&Path> {
        self.dir.as_deref().ok_or_else(|| {
            let hint = "go to a directory that is there, or name one with -C, or the store with --store";
            let message = "the directory that this was started in was removed";
            Fail::new("no-directory", message, hint).into()
        })
    }

    /// Gives the project's file, if there is one here or above.
    pub(crate) fn project(&self) -> Result<Option<&Project>> {
        if self.project.get().is_none() {
            // A directory that is gone is in no project.
            let found = self.dir.as_deref().map(Project::find).transpose()?.flatten();
            if let Some(project) = &found {
                self.out.detail(&format!("project file {}", show(&project.file)));
            }
            // Empty until now.
            let _: Result<(), _> = self.project.set(found);
        }
        Ok(self.project.get().and_then(Option::as_ref))
    }

    /// Gives the store that someone named.
    fn named(&self) -> Result<Option<Found>> {
        let found = |path: &Path, origin| Ok(Some(Found { path: path.to_owned(), origin }));
        if let Some(path) = &self.flag {
            return found(path, Origin::Flag);
        }
        if let Some(path) = &self.environment {
            return found(path, Origin::Environment);
        }
        match self.project()? {
            Some(project) => match &project.config.store.path {
                Some(path) => found(&project.root().join(path), Origin::Project(project.file.clone())),
                None => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Finds the store that there is, or the place where a first publish makes one.
    pub(crate) fn find_store(&self) -> Result<Found> {
        if let Some(named) = self.named()? {
            return Ok(named);
        }
        match find::folder(self.dir()?)? {
            Some(path) => Ok(Found { path, origin: Origin::Folder }),
            None => self.new_store(),
        }
    }

    /// Finds the place of a new store: the one that was named, or `genstore` in the project's root.
    pub(crate) fn new_store(&self) -> Result<Found> {
        if let Some(named) = self.named()? {
            return Ok(named);
        }
        let root = match self.project()? {
            Some(project) => project.root(),
            None => self.dir()?,
        };
        Ok(Found { path: root.join(find::STORE_FOLDER), origin: Origin::Default })
    }

    /// Opens the store, which must be there.
    pub(crate) fn open(&self) -> Result<Store> {
        self.open_with(None)
    }

    /// Opens the store, which must be there, with a durability of its own.
    pub(crate) fn open_with(&self, durability: Option<Durability>) -> Result<Store> {
        let found = self.find_store()?;
        if found.origin == Origin::Default {
            let message = format!("there is no store in {} or above it", show(self.dir()?));
            let hint = "`genstore publish DIR` makes one and publishes DIR; or name one with --store";
            return Err(Fail::new("not-a-store", message, hint).with_exit(exit::NOT_A_STORE).into());
        }
        self.open_found(&found, durability)
    }

    /// Opens the store, or makes it and says so; tells whether it is a new one.
    pub(crate) fn open_or_create(&self, durability: Option<Durability>) -> Result<(Store, bool)> {
        let found = self.find_store()?;
        let (store, created) = match self.open_found(&found, durability) {
            Ok(store) => (store, false),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::NotAStore { .. }) => Store::init(&found.path, self.options(durability)?)?,
                _ => return Err(error),
            },
        };
        if created {
            self.out.note(&format!("   Created the store {}", show(store.path())));
        }
        Ok((store, created))
    }

    pub(crate) fn open_found(&self, found: &Found, durability: Option<Durability>) -> Result<Store> {
        self.out.detail(&format!("store {}, found {}", show(&found.path), found.origin.text()));
        Ok(Store::open(&found.path, self.options(durability)?)?)
    }

    /// Gives the options for a store. The durability is the one given, or the project's, or full.
    pub(crate) fn options(&self, durability: Option<Durability>) -> Result<Options> {
        let mut options = Options::new(Arc::clone(&self.clock));
        options.actor.clone_from(&self.actor);
        options.lock_timeout = self.lock_timeout;
        options.progress = self.progress.listener();
        options.faults = self.faults.faults.clone();
        options.durability = match durability {
            Some(durability) => durability,
            None => self.project()?.and_then(|p| p.config.store.durability).unwrap_or_default(),
        };
        Ok(options)
    }

    /// Gives the rule of retention, as far as the project has one.
    pub(crate) fn retention(&self) -> Result<Retention> {
        Ok(self.project()?.map_or_else(Retention::default, |p| p.config.retain.retention()))
    }

    /// Gives the rules of a scan for this store.
    pub(crate) fn scan_rules(&self, store: Option<&Store>) -> Result<ScanRules> {
        let mut rules =
            ScanRules { store: store.map(Store::identity).transpose()?, ..ScanRules::default() };
        if let Some(project) = self.project()? {
            let wanted = &project.config.publish;
            rules.symlinks = wanted.symlinks;
            rules.include.clone_from(&wanted.include);
            rules.exclude.clone_from(&wanted.exclude);
        }
        Ok(rules)
    }

    /// Tells of what went wrong after a commit, and gives the exit status that this makes.
    pub(crate) fn warn_of(&self, warnings: &[Warning]) -> u8 {
        for warning in warnings {
            self.out.warn(&warning.message);
        }
        if !warnings.iter().any(|warning| warning.not_durable) {
            return exit::DONE;
        }
        self.out.hint(
            "it is current, but a power loss may undo it: see the system's log, then `genstore verify`",
        );
        exit::PARTLY
    }
}

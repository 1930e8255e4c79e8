//! Decides whose configuration and stores are trusted.
//!
//! A project's file and a store that a search found are trusted if they are the caller's own: see `owners`.
//! Otherwise they are refused, and the message lists the remedies: `--trust`, the list `trusted` in the
//! user's configuration, and `genstore trust`, which remembers the file in its present form. A store that
//! the user named explicitly is not checked.
//!
//! The commands of a trusted file run like those of a makefile. They are shown on one line, the first time
//! and after each change. With `require_trust` they wait for `genstore trust`.

mod bounded;
mod memory;
mod owners;
pub(super) mod regular;
mod user;

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use genstore::Error;
use genstore::tree::Digest;

use crate::environment::Environment;
use crate::errors::Fail;
use crate::project::config::{self, Project};
use crate::render::output::Out;
use crate::text::escape::show;
use crate::text::human;
use memory::{Kind, Memory};
use owners::{Concern, Owners};
pub(crate) use user::UserConfig;

/// The decisions of one run.
pub(crate) struct Trust {
    owners: Owners,
    sudo_uid: Option<u32>,
    pub(crate) ground: Option<PathBuf>,
    /// `--trust`: everything is trusted.
    all: bool,
    config_file: Option<PathBuf>,
    user: OnceCell<UserConfig>,
    memory: Memory,
    /// The folder of what is remembered of remotes.
    remotes: Option<PathBuf>,
    /// Whether the project's commands were shown, or need not be.
    told: Cell<bool>,
}

impl Trust {
    pub(crate) fn new(environment: &Environment, all: bool, ground: Option<&Path>) -> Trust {
        let sudo_uid = environment.sudo_uid;
        Trust {
            owners: Owners::new(rustix::process::geteuid().as_raw(), sudo_uid, ground),
            sudo_uid,
            ground: ground.map(Path::to_owned),
            all,
            config_file: environment.config_home.as_ref().map(|home| home.join("genstore/config.toml")),
            user: OnceCell::new(),
            memory: Memory::new(environment.state_home.as_ref().map(|home| home.join("genstore"))),
            remotes: environment.state_home.as_ref().map(|home| home.join("genstore/remotes")),
            told: Cell::new(false),
        }
    }

    /// Returns whether everything is trusted, by `--trust`.
    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server passes it on"))]
    pub(crate) fn is_blind(&self) -> bool {
        self.all
    }

    /// Returns the user's configuration.
    ///
    /// # Errors
    /// If it cannot be read, or others may have written it: it decides what is trusted.
    pub(crate) fn user(&self) -> Result<&UserConfig> {
        if self.user.get().is_none() {
            // The cell was empty until now.
            let _: Result<(), _> = self.user.set(self.read_user()?);
        }
        Ok(self.user.get().expect("it was set above"))
    }

    fn read_user(&self) -> Result<UserConfig> {
        let Some(file) = &self.config_file else { return Ok(UserConfig::default()) };
        let read = match bounded::read(file, &self.owners) {
            Err(error) if crate::errors::is_absence(&error) => return Ok(UserConfig::default()),
            read => read.map_err(|source| Error::Io { op: "read", path: file.clone(), source })?,
        };
        if let Some(concern) = read.concern {
            let message = format!("your configuration {} is not trusted: {}", show(file), concern.text());
            let hint = "make sure that nobody else owns it, or may write to it or to a folder above it";
            return Err(Fail::new("untrusted", message, hint).into());
        }
        let config: UserConfig = config::parse(file, &read.bytes)?;
        if let Some(entry) = config.relative_entry() {
            let message = format!("{}: {} is not an absolute path", show(file), show(entry));
            return Err(Fail::usage("bad-configuration", message).into());
        }
        Ok(config)
    }

    /// Returns the folder of what is remembered of remotes.
    pub(crate) fn remotes(&self) -> Option<&Path> {
        self.remotes.as_deref()
    }

    /// Returns the file of the user's configuration.
    pub(crate) fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }

    fn trusts_folder(&self, folder: &Path) -> Result<bool> {
        let Ok(real) = folder.canonicalize() else { return Ok(false) };
        Ok(self.all || self.user()?.trusts(&real))
    }

    /// Reads a `genstore.toml`, and refuses it if it is not trusted.
    pub(crate) fn read_project(&self, file: PathBuf) -> Result<Project> {
        let bytes = self.read_own(&file)?;
        let config = config::parse(&file, &bytes)?;
        Ok(Project { file, bytes, config })
    }

    fn read_own(&self, file: &Path) -> Result<Vec<u8>> {
        let read = bounded::read(file, &self.owners).map_err(|source| Error::Io {
            op: "read",
            path: file.to_owned(),
            source,
        })?;
        let Some(concern) = read.concern else { return Ok(read.bytes) };
        let allowed = self.is_allowed(file, &read.bytes);
        if allowed || self.trusts_folder(file.parent().unwrap_or(file))? {
            return Ok(read.bytes);
        }
        let message = format!("{} is not trusted: {}", show(file), concern.text());
        let hint = format!(
            "review it first; trust it in its present form with `genstore trust`, once with --trust, or always \
             with `trusted` in {}; --no-project ignores it",
            self.config_name()
        );
        Err(Fail::new("untrusted", message, hint).into())
    }

    /// Returns the name of the user's configuration, for a hint.
    fn config_name(&self) -> String {
        self.config_file.as_ref().map_or("the user's configuration".to_owned(), |file| show(file))
    }

    /// Refuses a store that was found by searching upwards from `start`, if it is not trusted.
    ///
    /// A store runs no commands, so root acts for the owner of the folder that contains it, as with `make
    /// install`. Members of the group of a shared store are treated like its owner.
    pub(crate) fn check_store(&self, store: &Path, start: &Path) -> Result<()> {
        let io = |source| Error::Io { op: "read the metadata of", path: store.to_owned(), source };
        let Some(concern) = self.store_concern(store, start).map_err(io)? else { return Ok(()) };
        if self.trusts_folder(store)? {
            return Ok(());
        }
        let message = format!("the store {} is not trusted: {}", show(store), concern.text());
        let hint = format!(
            "name it with --store to use it anyway, or add its folder to `trusted` in {}",
            self.config_name()
        );
        Err(Fail::new("untrusted", message, hint).into())
    }

    fn store_concern(&self, store: &Path, start: &Path) -> io::Result<Option<Concern>> {
        let euid = rustix::process::geteuid().as_raw();
        let groups: Vec<u32> = rustix::process::getgroups()?
            .into_iter()
            .chain([rustix::process::getegid()])
            .map(rustix::process::Gid::as_raw)
            .collect();
        let mut owners = Owners::new(euid, self.sudo_uid, self.ground.as_deref());
        if euid == 0 {
            owners = owners.and_user(std::fs::metadata(start)?.uid());
        }
        let (meta, above) = (std::fs::metadata(store)?, std::fs::metadata(store.join(".."))?);
        let is_shared = meta.mode() & 0o020 != 0 && groups.contains(&meta.gid());
        // If everybody may create a folder above, anybody may have created this one for the group.
        let above_is_theirs = owners.accepts(above.uid()) || above.gid() == meta.gid();
        if is_shared && above.mode() & 0o002 == 0 && above_is_theirs {
            owners = owners.and_user(meta.uid()).and_user(above.uid());
        }
        Ok(bounded::walk(store, &owners.and_groups(groups))?.1)
    }

    /// Checks that the project's commands may run, and shows new ones.
    pub(crate) fn check_commands(&self, project: &Project, out: &Out) -> Result<()> {
        let commands = project.config.commands();
        if self.told.get() || commands.is_empty() {
            return Ok(());
        }
        let file = &project.file;
        let is_allowed = || self.is_allowed(file, &project.bytes);
        if !self.all && self.user()?.require_trust && !is_allowed() {
            let message = format!("the commands of {} are not allowed yet", show(file));
            let hint =
                format!("review them: {}; then allow them with `genstore trust`", command_list(&commands));
            return Err(Fail::new("not-allowed", message, hint).into());
        }
        // Without a memory they would be shown each time. If notes are off, the next run shows them.
        if self.memory.is_there() && out.notes() {
            let digest = Digest::of(commands.join("\0").as_bytes()).to_string();
            if !self.memory.knows(Kind::Said, file, &digest, &self.owners) {
                out.note(&format!("{} runs {}", show(file), command_list(&commands)));
                // If this fails, they are shown once more.
                self.memory.remember(Kind::Said, file, &digest, &self.owners).unwrap_or_default();
            }
        }
        self.told.set(true);
        Ok(())
    }

    fn is_allowed(&self, file: &Path, bytes: &[u8]) -> bool {
        self.memory.knows(Kind::Allowed, file, &Digest::of(bytes).to_string(), &self.owners)
    }

    /// Remembers a project's file in its present form: it is trusted until it changes. Returns its bytes.
    pub(crate) fn allow(&self, file: &Path) -> Result<Vec<u8>> {
        let io = |op, source| Error::Io { op, path: file.to_owned(), source };
        let read = bounded::read(file, &self.owners).map_err(|source| io("read", source))?;
        let digest = Digest::of(&read.bytes).to_string();
        self.memory
            .remember(Kind::Allowed, file, &digest, &self.owners)
            .map_err(|source| io("remember that you trust", source))?;
        Ok(read.bytes)
    }

    /// Revokes that. Returns whether the file was trusted.
    pub(crate) fn revoke(&self, file: &Path) -> Result<bool> {
        let io = |source| Error::Io { op: "forget", path: file.to_owned(), source };
        Ok(self.memory.forget(Kind::Allowed, file).map_err(io)?)
    }

    /// Returns whether a project may declare a view in this folder, which lies outside it.
    pub(crate) fn allows_view_in(&self, folder: &Path) -> Result<bool> {
        Ok(self.all || self.user()?.allows_views_in(folder))
    }
}

/// Lists commands on one line.
pub(crate) fn command_list(commands: &[String]) -> String {
    let each: Vec<String> = commands.iter().map(|command| human::line(command, 80)).collect();
    each.join("; ")
}

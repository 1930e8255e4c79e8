//! Whose configuration and stores are obeyed.
//!
//! A project's file and a store that a lookup found are obeyed where they are the caller's own: see
//! `owners`. Otherwise they are refused, and the message names the ways out: `--trust`, the list
//! `trusted` in the user's configuration, `genstore trust`, which remembers the file as it is. A store
//! that was named needs no owner: whoever names it means it.
//!
//! Commands of a file that is obeyed run as those of a makefile do. They are told of on one line, the
//! first time and whenever they changed; with `require_trust` they wait for `genstore trust`.

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
use user::UserConfig;

/// One run's decisions.
pub(crate) struct Trust {
    owners: Owners,
    sudo_uid: Option<u32>,
    pub(crate) ground: Option<PathBuf>,
    /// `--trust`: everything is obeyed.
    all: bool,
    config_file: Option<PathBuf>,
    user: OnceCell<UserConfig>,
    memory: Memory,
    /// The commands of the project were told of, or need not be.
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
            told: Cell::new(false),
        }
    }

    /// Returns the user's configuration.
    ///
    /// # Errors
    /// Where it cannot be read, or others may have written it: it decides what is obeyed.
    pub(crate) fn user(&self) -> Result<&UserConfig> {
        if self.user.get().is_none() {
            // Empty until now.
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
            let message = format!("your configuration {} is not obeyed: {}", show(file), concern.text());
            let hint = "let nobody else own it, or write to it or to a folder above it";
            return Err(Fail::new("untrusted", message, hint).into());
        }
        let config: UserConfig = config::parse(file, &read.bytes)?;
        if let Some(entry) = config.relative_entry() {
            let message = format!("{}: {} is no absolute path", show(file), show(entry));
            return Err(Fail::usage("bad-configuration", message).into());
        }
        Ok(config)
    }

    fn trusts_folder(&self, folder: &Path) -> Result<bool> {
        let Ok(real) = folder.canonicalize() else { return Ok(false) };
        Ok(self.all || self.user()?.trusts(&real))
    }

    /// Reads a `genstore.toml`, and refuses it where it is not to be obeyed.
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
        let message = format!("{} is not obeyed: {}", show(file), concern.text());
        let hint = format!(
            "look at it first; then `genstore trust` obeys it as it is, --trust once, `trusted` in {} always, \
             and --no-project leaves it out",
            self.config_name()
        );
        Err(Fail::new("untrusted", message, hint).into())
    }

    /// Names the user's configuration, for a hint.
    fn config_name(&self) -> String {
        self.config_file.as_ref().map_or("the user's configuration".to_owned(), |file| show(file))
    }

    /// Refuses a store that was found by looking upwards from `start`, where it is not to be used.
    ///
    /// Root acts for the owner of the folder that it stands in, as with `make install`: a store runs no
    /// commands. Whoever is in the group of a shared store uses it as its owner does.
    pub(crate) fn check_store(&self, store: &Path, start: &Path) -> Result<()> {
        let io = |source| Error::Io { op: "look at", path: store.to_owned(), source };
        let Some(concern) = self.store_concern(store, start).map_err(io)? else { return Ok(()) };
        if self.trusts_folder(store)? {
            return Ok(());
        }
        let message = format!("the store {} is not used: {}", show(store), concern.text());
        let hint = format!(
            "name it with --store to use it all the same, or add its folder to `trusted` in {}",
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
        // Where everybody may make a folder, anybody may have made this one for the group.
        let above_is_theirs = owners.accepts(above.uid()) || above.gid() == meta.gid();
        if is_shared && above.mode() & 0o002 == 0 && above_is_theirs {
            owners = owners.and_user(meta.uid()).and_user(above.uid());
        }
        Ok(bounded::walk(store, &owners.and_groups(groups))?.1)
    }

    /// Lets commands of the project run, or refuses to. Tells of them where they are new.
    pub(crate) fn check_commands(&self, project: &Project, out: &Out) -> Result<()> {
        let commands = project.config.commands();
        if self.told.get() || commands.is_empty() {
            return Ok(());
        }
        let file = &project.file;
        let is_allowed = || self.is_allowed(file, &project.bytes);
        if !self.all && self.user()?.require_trust && !is_allowed() {
            let message = format!("the commands of {} have not been allowed", show(file));
            let hint = format!("look at them: {}; then allow them with `genstore trust`", told(&commands));
            return Err(Fail::new("not-allowed", message, hint).into());
        }
        // Where nothing is remembered, they would be told of each time; where nothing is told, the next
        // run tells.
        if self.memory.is_there() && out.notes() {
            let digest = Digest::of(commands.join("\0").as_bytes()).to_string();
            if !self.memory.knows(Kind::Said, file, &digest, &self.owners) {
                out.note(&format!("{} runs {}", show(file), told(&commands)));
                // Then they are told of once more.
                self.memory.remember(Kind::Said, file, &digest, &self.owners).unwrap_or_default();
            }
        }
        self.told.set(true);
        Ok(())
    }

    fn is_allowed(&self, file: &Path, bytes: &[u8]) -> bool {
        self.memory.knows(Kind::Allowed, file, &Digest::of(bytes).to_string(), &self.owners)
    }

    /// Remembers a project's file as it is: it is obeyed until it changes. Returns what it holds.
    pub(crate) fn allow(&self, file: &Path) -> Result<Vec<u8>> {
        let io = |op, source| Error::Io { op, path: file.to_owned(), source };
        let read = bounded::read(file, &self.owners).map_err(|source| io("read", source))?;
        let digest = Digest::of(&read.bytes).to_string();
        self.memory
            .remember(Kind::Allowed, file, &digest, &self.owners)
            .map_err(|source| io("remember that you trust", source))?;
        Ok(read.bytes)
    }

    /// Takes that back; tells whether it was allowed.
    pub(crate) fn revoke(&self, file: &Path) -> Result<bool> {
        let io = |source| Error::Io { op: "forget", path: file.to_owned(), source };
        Ok(self.memory.forget(Kind::Allowed, file).map_err(io)?)
    }

    /// Checks that a project may declare a view in this folder, which lies outside it.
    pub(crate) fn allows_view_in(&self, folder: &Path) -> Result<bool> {
        Ok(self.all || self.user()?.allows_views_in(folder))
    }
}

/// Names commands on one line.
pub(crate) fn told(commands: &[String]) -> String {
    let each: Vec<String> = commands.iter().map(|command| human::line(command, 80)).collect();
    each.join("; ")
}

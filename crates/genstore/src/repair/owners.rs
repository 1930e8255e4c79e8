//! Whose the parts of a store are: found, counted, given back to the store's owner. Floor 3.
//!
//! A store belongs to the owner of its directory; one that is shared, to its group. What an earlier
//! program of root's left as its own keeps the owner from changing it. Finding that takes a stat for each
//! name in the store and no lock; giving it back takes root.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Error, Result, show_path};
use crate::fs::{Dir, Kind, Stat};
use crate::model::relpath;
use crate::parts::layout::Home;
use crate::parts::objects::is_refused;
use crate::verbs::activate::{AfterCommit, Warning};

/// Paths of a store that belong to somebody else than the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// How many.
    pub count: u64,
    /// One of them, the first in the order of paths.
    pub first: Option<PathBuf>,
}

/// A path that belongs to somebody else.
struct Found {
    path: Vec<u8>,
    stat: Stat,
}

impl Home {
    /// Looks at every name in the store, but not at what programs write to stages.
    pub(crate) fn foreign(&self) -> Result<Foreign> {
        Ok(self.sum_up(&self.find_foreign()?))
    }

    /// Looks at the names that every publish uses.
    pub(crate) fn foreign_at_top(&self) -> Result<Foreign> {
        let store = self.dir.stat_self()?;
        let mut found = Vec::new();
        for (name, _) in self.dir.list()? {
            if let Some(stat) = self.dir.stat(&name)?.filter(|stat| self.is_foreign(&store, stat)) {
                found.push(Found { path: name, stat });
            }
        }
        Ok(self.sum_up(&found))
    }

    /// Warns of what belongs to somebody else, as far as a publish looks for it.
    pub(crate) fn check_owners(&self) -> Vec<Warning> {
        let mut after = AfterCommit::default();
        match self.foreign_at_top() {
            Ok(Foreign { count, first: Some(first) }) => {
                let (store, first) = (show_path(self.dir.path()), show_path(&first));
                let whose = if self.fs.is_shared() { "the group" } else { "the owner" };
                after.warn(format!(
                    "of the store, {count} of the topmost names do not belong to {whose} of the store, the first is \
                     {first}: `sudo genstore doctor --fix --store {store}` gives back what does not"
                ));
            }
            Ok(_) => {}
            Err(error) => after.warn_of("could not look at the store's owners", &error),
        }
        after.warnings
    }

    fn sum_up(&self, found: &[Found]) -> Foreign {
        let first = found.iter().map(|found| found.path.as_slice()).min_by(|a, b| relpath::compare(a, b));
        Foreign { count: found.len() as u64, first: first.map(|path| self.dir.join(path)) }
    }

    fn is_foreign(&self, store: &Stat, stat: &Stat) -> bool {
        match self.fs.is_shared() {
            // A symlink's mode and group say nothing.
            true if stat.kind == Kind::Symlink => false,
            true => stat.gid != store.gid || (stat.kind == Kind::Dir && stat.mode & 0o070 != 0o070),
            false => stat.uid != store.uid,
        }
    }

    fn find_foreign(&self) -> Result<Vec<Found>> {
        let store = self.dir.stat_self()?;
        let (mut found, mut folders) = (Vec::new(), vec![Vec::new()]);
        while let Some(folder) = folders.pop() {
            let names = match self.dir.open_dir(&folder).and_then(|dir| Ok((dir.list()?, dir))) {
                Ok(listed) => listed,
                // Gone meanwhile, or locked up: then it is foreign itself.
                Err(e) if e.is_not_found() || is_refused(&e) => continue,
                Err(e) => return Err(e),
            };
            let (names, dir): (Vec<(Vec<u8>, Kind)>, Dir) = names;
            for (name, _) in names {
                let path = relpath::join(&folder, &name);
                let Some(stat) = dir.stat(&name)? else { continue };
                if stat.kind == Kind::Dir && !crate::parts::stage_dir::is_others(&path) {
                    folders.push(path.clone());
                }
                if self.is_foreign(&store, &stat) {
                    found.push(Found { path, stat });
                }
            }
        }
        Ok(found)
    }

    /// Gives what belongs to somebody else back to the store's owner, or group; returns what was found
    /// before, and what is left.
    ///
    /// # Errors
    /// Code `needs-root` for anybody but root.
    ///
    /// # Locks
    /// The store lock, exclusively, and the commit lock.
    pub(crate) fn give_back(&self) -> Result<(Foreign, Foreign)> {
        if !rustix::process::geteuid().is_root() {
            let why = "only root gives files to another user";
            return Err(Error::refused("needs-root", why));
        }
        let _guard = self.exclude()?;
        let _lock = self.begin_commit()?;
        let (store, found) = (self.dir.stat_self()?, self.find_foreign()?);
        // A file may have a name that some user gave it to get hold of it: all of its names must be
        // the store's, unless the system allows nobody such names.
        let mut names: HashMap<u64, u64> = HashMap::new();
        for file in found.iter().filter(|found| found.stat.kind == Kind::File) {
            *names.entry(file.stat.ino).or_default() += 1;
        }
        let are_safe = self.fs.are_links_protected();
        for Found { path, stat } in &found {
            let all_seen = names.get(&stat.ino).is_none_or(|seen| *seen >= stat.links);
            if stat.dev != store.dev || !(all_seen || are_safe) {
                continue;
            }
            let (folder, name) = relpath::split(path);
            match self.dir.open_dir(folder).and_then(|dir| self.fs.give_back(&dir, name, stat, &store)) {
                Err(e) if e.is_not_found() || is_refused(&e) => {}
                given => given?,
            }
        }
        let left = self.sum_up(&self.find_foreign()?);
        Ok((self.sum_up(&found), left))
    }
}

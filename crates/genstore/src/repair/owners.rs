//! Ownership of the parts of a store: finds foreign ones, counts them, and returns them to the store's
//! owner.
//!
//! A store belongs to the owner of its directory; a shared store belongs to its group. Entries that an
//! earlier command of root created as its own cannot be changed by the owner. The search takes a stat
//! for each name in the store and no lock. Changing the owner takes root.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::change::begin;
use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::errno::is_refused;
use crate::fs::{Kind, Stat};
use crate::model::relpath;
use crate::parts::layout::StoreDir;
use crate::parts::locks::Locks;
use crate::parts::stage_dir::is_others;
use crate::threads::prelude::*;
use crate::warning::{AfterCommit, Warning};

/// The paths of a store with a foreign owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreign {
    /// Their number.
    pub count: u64,
    /// The first of them in path order.
    pub first: Option<PathBuf>,
}

/// A path with a foreign owner.
struct Found {
    path: Vec<u8>,
    stat: Stat,
}

/// Checks every name in the store, except the output of programs in stages.
pub(crate) fn foreign(store: &StoreDir) -> Result<Foreign> {
    Ok(sum_up(store, &find_foreign(store)?))
}

/// Checks the names that every publish uses.
pub(crate) fn foreign_at_top(store: &StoreDir) -> Result<Foreign> {
    let own = store.dir.stat_self()?;
    let mut found = Vec::new();
    for (name, _) in store.dir.list()? {
        if let Some(stat) = store.dir.stat(&name)?.filter(|stat| is_foreign(store, &own, stat)) {
            found.push(Found { path: name, stat });
        }
    }
    Ok(sum_up(store, &found))
}

/// Warns about foreign names, as far as a publish checks for them.
pub(crate) fn check_owners(store: &StoreDir) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    match foreign_at_top(store) {
        Ok(Foreign { count, first: Some(first) }) => {
            let (path, first) = (show_path(store.dir.path()), show_path(&first));
            let whose = if store.fs.is_shared() { "the group" } else { "the owner" };
            after.warn(format!(
                "{count} of the topmost names do not belong to {whose} of the store; the first is {first}: \
                 `sudo genstore doctor --fix --store {path}` changes their owner"
            ));
        }
        Ok(_) => {}
        Err(error) => after.warn_about("could not check the store's owners", &error),
    }
    after.warnings
}

fn sum_up(store: &StoreDir, found: &[Found]) -> Foreign {
    let first = found.iter().map(|found| found.path.as_slice()).min_by(|a, b| relpath::compare(a, b));
    Foreign { count: found.len() as u64, first: first.map(|path| store.dir.join(path)) }
}

fn is_foreign(store: &StoreDir, own: &Stat, stat: &Stat) -> bool {
    match store.fs.is_shared() {
        // The mode and group of a symlink are meaningless.
        true if stat.kind == Kind::Symlink => false,
        true => stat.gid != own.gid || (stat.kind == Kind::Dir && stat.mode & 0o070 != 0o070),
        false => stat.uid != own.uid,
    }
}

/// Walks the store level by level, the folders of one level in parallel.
fn find_foreign(store: &StoreDir) -> Result<Vec<Found>> {
    let own = store.dir.stat_self()?;
    let (mut found, mut level) = (Vec::new(), vec![Vec::new()]);
    while !level.is_empty() {
        let read = level.par_iter().map(|folder| foreign_in(store, &own, folder));
        let read = read.collect::<Result<Vec<_>>>()?;
        level = Vec::new();
        for (foreign, folders) in read {
            found.extend(foreign);
            level.extend(folders);
        }
    }
    Ok(found)
}

/// Finds the foreign names in one folder, and its folders.
fn foreign_in(store: &StoreDir, own: &Stat, folder: &[u8]) -> Result<(Vec<Found>, Vec<Vec<u8>>)> {
    let (mut found, mut folders) = (Vec::new(), Vec::new());
    let (names, dir) = match store.dir.open_dir(folder).and_then(|dir| Ok((dir.list()?, dir))) {
        Ok(listed) => listed,
        // It was removed meanwhile, or it is unreadable: then it is foreign itself.
        Err(e) if e.is_not_found() || is_refused(&e) => return Ok((found, folders)),
        Err(e) => return Err(e),
    };
    for (name, _) in names {
        let path = relpath::join(folder, &name);
        let Some(stat) = dir.stat(&name)? else { continue };
        if stat.kind == Kind::Dir && !is_others(&path) {
            folders.push(path.clone());
        }
        if is_foreign(store, own, &stat) {
            found.push(Found { path, stat });
        }
    }
    Ok((found, folders))
}

/// The result of giving foreign paths back to the owner of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GivenBack {
    /// The foreign paths that were found.
    pub before: Foreign,
    /// The foreign paths that are left.
    pub after: Foreign,
}

/// Changes the owner, or group, of foreign names to the store's. Returns the names found before, and
/// the names that are left.
///
/// # Errors
/// Code `needs-root` for any user other than root.
///
/// # Locks
/// The exclusive store lock, and the commit lock.
pub(crate) fn give_back(store: &StoreDir) -> Result<GivenBack> {
    if !rustix::process::geteuid().is_root() {
        let why = "only root can change the owner of files";
        return Err(Error::refused(RefusedKind::NeedsRoot, why));
    }
    let _guard = Locks::of(store).exclude()?;
    let _lock = begin::begin_commit(store)?;
    let (own, found) = (store.dir.stat_self()?, find_foreign(store)?);
    // A user may have linked a foreign file into the store to get ownership of it. So all names of a
    // file must be in the store, unless the system forbids such links.
    let mut names: HashMap<u64, u64> = HashMap::new();
    for file in found.iter().filter(|found| found.stat.kind == Kind::File) {
        *names.entry(file.stat.ino).or_default() += 1;
    }
    let are_safe = store.fs.are_links_protected();
    for Found { path, stat } in &found {
        let all_seen = names.get(&stat.ino).is_none_or(|seen| *seen >= stat.links);
        if stat.dev != own.dev || !(all_seen || are_safe) {
            continue;
        }
        let (folder, name) = relpath::split(path);
        match store.dir.open_dir(folder).and_then(|dir| store.fs.give_back(&dir, name, stat, &own)) {
            Err(e) if e.is_not_found() || is_refused(&e) => {}
            given => given?,
        }
    }
    let left = sum_up(store, &find_foreign(store)?);
    Ok(GivenBack { before: sum_up(store, &found), after: left })
}

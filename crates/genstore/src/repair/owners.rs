//! Ownership of the parts of a store: counts foreign ones, and returns them to the store's owner. Changing
//! the owner takes root.

use std::collections::HashMap;

use crate::change::recover;
use crate::check::owners::{Foreign, Found, Owners};
use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::Kind;
use crate::fs::errno::is_refused;
use crate::model::relpath;
use crate::parts::layout::StoreDir;
use crate::parts::locks::Locks;
use crate::warning::{AfterCommit, Warning};

/// Checks every name in the store, except the output of programs in stages.
pub(crate) fn foreign(store: &StoreDir) -> Result<Foreign> {
    Ok(all(store)?.count())
}

fn all(store: &StoreDir) -> Result<Owners<'_>> {
    let owners = Owners::of(store)?;
    owners.walk(b"", |_, _| false)?;
    Ok(owners)
}

/// Warns about foreign names, as far as a publish checks for them.
pub(crate) fn check_owners(store: &StoreDir) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    let top = Owners::of(store).and_then(|owners| owners.walk_top().map(|()| owners.count()));
    match top {
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
    let _lock = recover::lock_and_recover(store)?;
    let (own, owners) = (store.dir.stat_self()?, all(store)?);
    let (before, found) = (owners.count(), owners.into_found());
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
    Ok(GivenBack { before, after: foreign(store)? })
}

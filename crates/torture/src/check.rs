//! Checks the state after a fault by reading the disk, without the store's own code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use genstore::faults::FaultKind;
use genstore::tree::show_path;

use crate::place::{self, CURRENT, GIVEN, STORE};
use crate::trees::{self, Thing, walk};

/// The paths that readers use: `current`, and the views that scenarios create.
const SHOWN: [&str; 5] = [CURRENT, "site", "part", "mirror", "copies"];
/// The paths that are updated file by file.
const MIRRORS: [&str; 2] = ["mirror", "copies"];

/// One path of a tree: its permission bits, and its content without the mtime.
pub(crate) type Entry = (u32, Thing);

/// A tree by path, with the folders that are not empty.
pub(crate) type Listing = BTreeMap<String, Entry>;

/// Lists a tree with all its bytes. `dir` itself may be a symlink.
fn list(dir: &Path) -> io::Result<Listing> {
    let mut found = Listing::new();
    for entry in walk(dir, 1) {
        let entry = entry?;
        let (path, meta) = (entry.path(), fs::symlink_metadata(entry.path())?);
        // The set-group-id bit of a folder is inherited from the parent folder.
        let bits = if meta.is_dir() { 0o5777 } else { 0o7777 };
        let mode = if meta.is_symlink() { 0 } else { meta.mode() & bits };
        let below = path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned();
        found.insert(below, (mode, trees::read(path, &meta)?.without_mtime()));
    }
    Ok(found)
}

/// The state of a place that readers see.
#[derive(PartialEq, Eq, Clone, Debug, Default)]
pub(crate) struct Shown {
    trees: BTreeMap<&'static str, Listing>,
    /// The user's folder at the path of a view.
    folder: Option<Listing>,
}

impl Shown {
    /// Reads a place. Anything that exists and cannot be read is a violation.
    pub(crate) fn of(place: &Path) -> Result<Shown, String> {
        let mut shown = Shown::default();
        for name in SHOWN {
            let path = place.join(name);
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(format!("{name} cannot be read: {e}")),
            };
            let tree = list(&path).map_err(|e| format!("{name} cannot be read: {e}"))?;
            if meta.is_dir() && !MIRRORS.contains(&name) {
                shown.folder = Some(tree.clone());
            }
            shown.trees.insert(name, tree);
        }
        Ok(shown)
    }

    /// Checks the state after a fault: each path must show the complete old tree or the complete new one.
    /// In a mirror, and while damage is repaired, each file may be old or new by itself.
    pub(crate) fn judge(&self, before: &Shown, after: &Shown, mends: bool) -> Result<(), String> {
        for name in SHOWN {
            let found = self.trees.get(name);
            let (old, new) = (before.trees.get(name), after.trees.get(name));
            let is_between = || match (found, old, new) {
                (Some(found), Some(old), Some(new)) => {
                    let fits = |(path, entry): (&String, &Entry)| {
                        old.get(path) == Some(entry) || new.get(path) == Some(entry)
                    };
                    found.len() == new.len() && found.iter().all(fits)
                }
                _ => false,
            };
            // A file of both trees is never missing, and a new mirror is never incomplete.
            let is_on_the_way = || match (found, old) {
                (Some(found), Some(old)) => {
                    let empty = Listing::new();
                    let new = new.unwrap_or(&empty);
                    let fits = |(path, entry): (&String, &Entry)| {
                        old.get(path) == Some(entry) || new.get(path) == Some(entry)
                    };
                    let stays = |path: &String| !new.contains_key(path) || found.contains_key(path);
                    found.iter().all(fits) && old.keys().all(stays)
                }
                _ => false,
            };
            let is_mixed = (mends && is_between()) || (MIRRORS.contains(&name) && is_on_the_way());
            if found != old && found != new && !is_mixed {
                // The message lists the differences from the nearer tree.
                let told = [old, new].map(|wanted| differences(found, wanted));
                let nearest = told.iter().min_by_key(|told| told.len()).cloned().unwrap_or_default();
                return Err(format!("{name} is neither the old nor the new tree: {}", nearest.join(", ")));
            }
        }
        Ok(())
    }

    /// Fails with the differences from the wanted state, if there are any.
    pub(crate) fn compare(&self, wanted: &Shown) -> Result<(), String> {
        self.compare_at(&SHOWN, wanted)
    }

    /// Does the same for `current` only, whatever the state of the views is.
    pub(crate) fn compare_current(&self, wanted: &Shown) -> Result<(), String> {
        self.compare_at(&[CURRENT], wanted)
    }

    fn compare_at(&self, names: &[&str], wanted: &Shown) -> Result<(), String> {
        for name in names {
            let told = differences(self.trees.get(name), wanted.trees.get(name));
            if !told.is_empty() {
                return Err(format!("{name}: {}", told.join(", ")));
            }
        }
        Ok(())
    }

    /// Checks that the user's folder still exists somewhere beside its path.
    pub(crate) fn check_folder(&self, place: &Path) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let names = names(place)?;
        let is_it = |name: &String| {
            let path = place.join(name);
            fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir())
                && list(&path).is_ok_and(|tree| tree == *folder)
        };
        match names.iter().any(is_it) {
            true => Ok(()),
            false => Err("the folder that a view was to replace is gone".to_owned()),
        }
    }
}

/// Lists the folder to be consumed; empty if there is none. Only the x bit of modes counts: a file that is
/// moved in is read-only before it is committed.
pub(crate) fn given(place: &Path) -> Result<Listing, String> {
    let dir = place.join(GIVEN);
    let mut listing = match list(&dir) {
        Ok(listing) => listing,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Listing::new(),
        Err(e) => return Err(unread(&dir, &e)),
    };
    for (mode, thing) in listing.values_mut() {
        if matches!(thing, Thing::File(..)) {
            *mode &= 0o100;
        }
    }
    Ok(listing)
}

/// Checks the folder to be consumed after a fault: all of it is left, unless it was committed, and nothing
/// else is in it.
pub(crate) fn judge_given(left: &Listing, given: &Listing, is_committed: bool) -> Result<(), String> {
    let is_as_given = |(path, entry): (&String, &Entry)| given.get(path) == Some(entry);
    if left == given || (is_committed && left.iter().all(is_as_given)) {
        return Ok(());
    }
    let told = differences(Some(left), Some(given)).join(", ");
    let more = if is_committed { "" } else { ", and it was not committed" };
    Err(format!("{GIVEN}: {told}{more}"))
}

/// Checks that no consumed file is left.
pub(crate) fn judge_consumed(place: &Path) -> Result<(), String> {
    let left = given(place)?;
    match left.iter().find(|(_, (_, thing))| matches!(thing, Thing::File(..))) {
        None => Ok(()),
        Some((path, _)) => Err(format!("{GIVEN}: {} is not consumed", show_path(path.as_bytes()))),
    }
}

/// The most differences in a message.
const MANY: usize = 4;

fn differences(found: Option<&Listing>, wanted: Option<&Listing>) -> Vec<String> {
    let (found, wanted) = match (found, wanted) {
        (Some(found), Some(wanted)) => (found, wanted),
        (None, None) => return vec![],
        (None, Some(_)) => return vec!["it is absent".to_owned()],
        (Some(_), None) => return vec!["it is there".to_owned()],
    };
    let paths: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let tell = |path: &String| {
        let what = match (found.get(path), wanted.get(path)) {
            (None, _) => "is missing",
            (_, None) => "is too much",
            (found, wanted) if found == wanted => return None,
            (Some((mode, Thing::File(..))), Some((other, Thing::File(..)))) if mode == other => {
                "has other bytes"
            }
            _ => "is something else",
        };
        Some(format!("{} {what}", show_path(path.as_bytes())))
    };
    let mut told: Vec<String> = paths.into_iter().filter_map(tell).take(MANY + 1).collect();
    if told.len() > MANY {
        told[MANY] = "and more".to_owned();
    }
    told
}

/// Checks that files outside the store and its views are unchanged: names, bytes, modes, mtimes and links.
pub(crate) fn judge_outside(place: &Path) -> Result<(), String> {
    let dir = place::outside(place);
    let found = list(&dir).map_err(|e| unread(&dir, &e))?;
    let files = found.values().filter(|entry| **entry != (0o755, Thing::Dir)).count();
    let changed = |path: &str| Err(format!("outside the store {path} was changed"));
    for (path, thing) in trees::things(0, place::OUTSIDE) {
        let mode = if matches!(thing, Thing::File(_, true, _)) { 0o755 } else { 0o644 };
        let meta = fs::symlink_metadata(dir.join(&path)).map_err(|e| unread(&dir.join(&path), &e))?;
        let is_same = (meta.mtime(), meta.nlink()) == (place::MTIME_A as i64, 1);
        if !is_same || found.get(&path) != Some(&(mode, thing)) {
            return changed(&path);
        }
    }
    if files == place::OUTSIDE.len() { Ok(()) } else { changed("the folder") }
}

/// Lists debris that no later command removed.
pub(crate) fn debris(place: &Path) -> Result<Vec<String>, String> {
    let mut left = Vec::new();
    for folder in ["staging", "views"] {
        for name in names(&place.join(STORE).join(folder))? {
            if folder == "staging" || (name.contains('.') && !name.ends_with(".mirror")) {
                left.push(format!("{STORE}/{folder}/{name}"));
            }
        }
    }
    left.extend(names(place)?.into_iter().filter(|name| name.starts_with(".genstore")));
    Ok(left)
}

/// Counts the objects, each inode once.
pub(crate) fn objects(place: &Path) -> Result<usize, String> {
    let store = place.join(STORE);
    trees::object_inodes(&store).map(|inodes| inodes.len()).map_err(|e| unread(&store.join("objects"), &e))
}

/// Lists the stages with an owner.
pub(crate) fn stages(place: &Path) -> Result<Vec<String>, String> {
    let names = names(&place.join(STORE).join("staging"))?;
    let id = |name: &String| Some(name.strip_prefix("s-")?.strip_suffix(".claim")?.to_owned());
    Ok(names.iter().filter_map(id).collect())
}

fn names(dir: &Path) -> Result<Vec<String>, String> {
    trees::names(dir).map_err(|e| unread(dir, &e))
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", show_path(path.as_os_str().as_bytes()))
}

/// The end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Killed,
    /// The run failed: readers must see the old state.
    Failed,
    /// The run succeeded, perhaps with a warning.
    Done,
}

/// Checks the end of a run: it was killed, or its exit status is the documented one.
pub(crate) fn judge_end(
    exit: Option<i32>,
    signal: Option<i32>,
    kind: FaultKind,
    expected: u8,
) -> Result<End, String> {
    match (exit, signal) {
        (None, Some(9)) if kind == FaultKind::Kill => Ok(End::Killed),
        (Some(0 | 3), _) if expected == 0 => Ok(End::Done),
        (Some(1), _) => Ok(End::Failed),
        (Some(status), _) if status == i32::from(expected) => Ok(End::Failed),
        (Some(status), _) => Err(format!("it ended with the exit status {status}")),
        (None, signal) => Err(format!("it was ended by signal {}", signal.unwrap_or_default())),
    }
}

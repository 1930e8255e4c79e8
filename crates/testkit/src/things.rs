//! Trees that tests create on the disk, change, and hand over to be consumed.

use std::fs;
use std::path::{Path, PathBuf};

use genstore_torture::trees::{Thing, Things, read_tree, same_content};

/// Writes the tree at `dir`, replacing what was there.
pub fn write_tree(dir: &Path, things: &Things) {
    if dir.symlink_metadata().is_ok() {
        fs::remove_dir_all(dir).expect("remove the old tree");
    }
    fs::create_dir_all(dir).expect("make the tree");
    put_things(dir, things);
}

/// Changes a folder from the tree `from` to `to` like a build tool that rewrites only what changed. No
/// folder may become empty.
pub fn change_tree(dir: &Path, from: &Things, to: &Things) {
    for (path, thing) in from.iter().filter(|(path, thing)| to.get(*path) != Some(thing)) {
        let path_below = dir.join(path);
        match (thing, to.get(path)) {
            // The file is written in place: the same inode then has other bytes.
            (Thing::File(..), Some(Thing::File(..))) => {}
            (Thing::Dir, _) => fs::remove_dir(path_below).expect("remove"),
            _ => fs::remove_file(path_below).expect("remove"),
        }
    }
    let changed = to.iter().filter(|(path, thing)| from.get(*path) != Some(thing));
    put_things(dir, &changed.map(|(path, thing)| (path.clone(), thing.clone())).collect());
}

fn put_things(dir: &Path, things: &Things) {
    genstore_torture::trees::put(dir, things).expect("make the tree");
}

/// Returns whether nothing of a consumed folder is lost: all of `things` is in it, or one generation of the
/// store has all of it.
pub fn is_nothing_lost(given: &Path, things: &Things, store: &Path) -> bool {
    let has_all = |dir: &Path| read_tree(dir).is_ok_and(|found| same_content(&found, things));
    has_all(given) || generation_trees(store).iter().any(|tree| has_all(tree))
}

fn generation_trees(store: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(store.join("generations")) else {
        return vec![];
    };
    entries.map(|entry| entry.expect("an entry").path().join("tree")).collect()
}

/// Fills a folder that is to be consumed. If it already has this content it is left as it is, so that the
/// remains of an interrupted publication are tried once more. Returns whether it wrote.
pub fn give(given: &Path, things: &Things) -> bool {
    let is_there = read_tree(given).is_ok_and(|found| same_content(&found, things));
    if !is_there {
        write_tree(given, things);
    }
    !is_there
}

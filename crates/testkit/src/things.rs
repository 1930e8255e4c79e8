//! Trees that tests make on the disk, change, and give away to be consumed.

use std::fs;
use std::path::{Path, PathBuf};

use genstore_torture::trees::{Thing, Things, read_tree, same_content};

/// Makes the tree below `dir`, in place of what was there.
pub fn write_tree(dir: &Path, things: &Things) {
    if dir.symlink_metadata().is_ok() {
        fs::remove_dir_all(dir).expect("remove the old tree");
    }
    fs::create_dir_all(dir).expect("make the tree");
    put_things(dir, things);
}

/// Makes of a folder that holds `from` one that holds `to`, as a build tool does that writes again
/// only what changed. No folder may become empty by it.
pub fn change_tree(dir: &Path, from: &Things, to: &Things) {
    for (path, thing) in from.iter().filter(|(path, thing)| to.get(*path) != Some(thing)) {
        let path_below = dir.join(path);
        match (thing, to.get(path)) {
            // Written in place: the same inode has other bytes then.
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

/// Returns whether nothing is lost of a folder that was given away to be consumed: all of `things` is
/// in it, or one generation of the store has all of it.
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

/// Gives a folder that is to be consumed what it has to hold: as it is where it holds that already,
/// so that what was left by a publication that was cut is tried once more. Tells whether it wrote.
pub fn give(given: &Path, things: &Things) -> bool {
    let is_there = read_tree(given).is_ok_and(|found| same_content(&found, things));
    if !is_there {
        write_tree(given, things);
    }
    !is_there
}

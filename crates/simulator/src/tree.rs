//! The wanted tree: what edits make of it, and the folder that holds it.

use std::fs;
use std::io;
use std::path::Path;

use genstore_testkit::{Thing, Things};

use crate::step::{Edit, What};

/// The paths of all trees. Some lie below others, so that files, links and folders take each other's places.
pub(crate) const PATHS: [&str; 10] = ["a", "a/x", "b", "d/a", "d/b", "d/e/f", "d/e/g", "e", "m/n", "z"];

/// The mtimes that files bring along, in seconds: the clock of a simulation starts at a million.
pub(crate) const TIMES: [u64; 5] = [1_000, 900_000, 1_000_010, 2_000, FUTURE];

/// The mtime of a file that somebody dated a hundred years ahead.
pub(crate) const FUTURE: u64 = 4_102_444_800;

/// The contents of files.
pub(crate) const CONTENTS: [&[u8]; 5] = [b"", b"one", b"two", b"three and more", &[7; 5_000]];

/// Makes one change. Entries in its way are removed.
pub(crate) fn edit(tree: &mut Things, edit: &Edit) {
    let path = PATHS[edit.path as usize % PATHS.len()];
    let below = format!("{path}/");
    tree.retain(|other, _| other != path && !other.starts_with(&below));
    let content = |n: u8| CONTENTS[n as usize % CONTENTS.len()].to_vec();
    let secs = TIMES[edit.time as usize % TIMES.len()];
    let thing = match edit.what {
        What::Nothing => return,
        What::File(n) => Thing::File(content(n), false, secs),
        What::Tool(n) => Thing::File(content(n), true, secs),
        What::Link(n) => Thing::Link(["b", "d/e"][n as usize % 2].to_owned()),
        What::Folder => Thing::Dir,
    };
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/') {
        tree.remove(parent);
        above = parent;
    }
    tree.insert(path.to_owned(), thing);
}

/// Returns whether a tree holds neither a file nor a symlink.
pub(crate) fn is_hollow(tree: &Things) -> bool {
    tree.values().all(|thing| *thing == Thing::Dir)
}

/// Returns a tree without the mtimes.
pub(crate) fn undated(tree: &Things) -> Things {
    let plain = |thing: &Thing| match thing {
        Thing::File(bytes, executable, _) => Thing::File(bytes.clone(), *executable, 0),
        other => other.clone(),
    };
    tree.iter().map(|(path, thing)| (path.clone(), plain(thing))).collect()
}

/// Makes of a folder that holds `from` one that holds `to`. Unchanged files keep their inodes.
pub(crate) fn change(dir: &Path, from: &Things, to: &Things) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let is_file = |thing: Option<&Thing>| matches!(thing, Some(Thing::File(..)));
    for (path, thing) in from.iter().filter(|(path, thing)| to.get(*path) != Some(thing)) {
        match thing {
            Thing::Dir => fs::remove_dir(dir.join(path))?,
            // A file that stays a file is written in place, as many build tools do.
            Thing::File(..) if is_file(to.get(path)) => continue,
            _ => fs::remove_file(dir.join(path))?,
        }
        let mut above = path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            if fs::remove_dir(dir.join(parent)).is_err() {
                break;
            }
            above = parent;
        }
    }
    let changed = to.iter().filter(|(path, thing)| from.get(*path) != Some(thing));
    genstore_testkit::put(dir, &changed.map(|(path, thing)| (path.clone(), thing.clone())).collect())
}

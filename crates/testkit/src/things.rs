//! Trees of a few files, written down in tests, made on the disk and read back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::clock::at;

/// One thing in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file: bytes, executable, mtime in seconds.
    File(Vec<u8>, bool, u64),
    /// A symlink.
    Link(String),
    /// An empty directory.
    Dir,
}

/// A tree, by path.
pub type Things = BTreeMap<String, Thing>;

/// Writes down a tree: `path`, and `=bytes`, `!bytes` for an executable, `>target` or `/`. The
/// mtime of every file is `secs`.
pub fn things(secs: u64, list: &[(&str, &str)]) -> Things {
    list.iter()
        .map(|(path, what)| {
            let (kind, rest) = what.split_at(1);
            let thing = match kind {
                "=" => Thing::File(rest.into(), false, secs),
                "!" => Thing::File(rest.into(), true, secs),
                ">" => Thing::Link(rest.to_owned()),
                "/" => Thing::Dir,
                _ => panic!("{path}: {what}"),
            };
            (path.to_string(), thing)
        })
        .collect()
}

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
    for (path, thing) in things {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("it is below the tree")).expect("make a folder");
        match thing {
            Thing::File(bytes, executable, secs) => {
                fs::write(&path, bytes).expect("write a file");
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
                let file = fs::File::options().append(true).open(&path).expect("open");
                file.set_modified(at(*secs)).expect("set the mtime");
            }
            Thing::Link(target) => symlink(target, &path).expect("make a symlink"),
            Thing::Dir => fs::create_dir(&path).expect("make a folder"),
        }
    }
}

/// Reads a tree back, following `dir` itself if it is a symlink.
pub fn read_tree(dir: &Path) -> std::io::Result<Things> {
    let mut found = Things::new();
    let mut folders: Vec<PathBuf> = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut empty = true;
        for entry in fs::read_dir(dir.join(&folder))? {
            empty = false;
            let below = folder.join(entry?.file_name());
            let path = dir.join(&below);
            let meta = path.symlink_metadata()?;
            let name = below.to_string_lossy().into_owned();
            if meta.is_dir() {
                folders.push(below);
            } else if meta.is_symlink() {
                let target = fs::read_link(&path)?.to_string_lossy().into_owned();
                found.insert(name, Thing::Link(target));
            } else {
                let executable = meta.mode() & 0o111 != 0;
                found.insert(name, Thing::File(fs::read(&path)?, executable, meta.mtime() as u64));
            }
        }
        if empty && !folder.as_os_str().is_empty() {
            found.insert(folder.to_string_lossy().into_owned(), Thing::Dir);
        }
    }
    Ok(found)
}

/// Compares two trees, mtimes aside.
pub fn same_content(a: &Things, b: &Things) -> bool {
    let plain = |things: &Things| -> Things {
        things
            .iter()
            .map(|(path, thing)| match thing {
                Thing::File(bytes, executable, _) => {
                    (path.clone(), Thing::File(bytes.clone(), *executable, 0))
                }
                other => (path.clone(), other.clone()),
            })
            .collect()
    };
    plain(a) == plain(b)
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

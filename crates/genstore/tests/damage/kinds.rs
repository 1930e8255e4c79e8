//! The kinds of damage: the damage, and the expected result.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use genstore_testkit::{Chance, at};

use super::place::Place;

/// The expected result of damage that has not been seen yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comes {
    /// `verify` finds it, and no verb makes a generation from it.
    Seen,
    /// `verify` finds it. The stat values do not show it, so a publish finds it only if it reads the
    /// file: with `rehash`, and once `verify` has recorded it.
    SeenByReading,
    /// Nothing of value is lost: caches, debris, and parts that are recreated.
    Harmless,
    /// No verb opens the store.
    Refused,
}

/// One kind of damage.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) comes: Comes,
    pub(crate) act: fn(&Place, &mut Chance),
}

use Comes::{Harmless, Refused, Seen, SeenByReading};

pub(crate) const KINDS: &[Kind] = &[
    // Objects. Each is used by several generations through one inode.
    Kind {
        name: "object: bit, mtime kept",
        comes: SeenByReading,
        act: |p, c| flip(&object(p, c), c, true),
    },
    Kind { name: "object: bit", comes: Seen, act: |p, c| flip(&object(p, c), c, false) },
    Kind { name: "object: cut", comes: Seen, act: |p, c| resize(&object(p, c), -1, true) },
    Kind { name: "object: grown", comes: Seen, act: |p, c| resize(&object(p, c), 1, true) },
    Kind { name: "object: emptied", comes: Seen, act: |p, c| resize(&object(p, c), -1_000, false) },
    Kind { name: "object: mode", comes: Seen, act: |p, c| mode(&object(p, c), 0o664) },
    Kind { name: "object: mtime", comes: Seen, act: |p, c| mtime(&object(p, c), at(77)) },
    Kind { name: "object: removed", comes: Seen, act: |p, c| fs::remove_file(object(p, c)).unwrap() },
    Kind { name: "object: a symlink", comes: Seen, act: |p, c| to_symlink(&object(p, c)) },
    Kind { name: "object: a folder", comes: Seen, act: |p, c| to_folder(&object(p, c)) },
    Kind { name: "object: another file", comes: Seen, act: |p, c| to_file(&object(p, c), false) },
    Kind {
        name: "object: another file, mtime kept",
        comes: SeenByReading,
        act: |p, c| to_file(&object(p, c), true),
    },
    Kind { name: "object: its twin", comes: Seen, act: twin },
    Kind { name: "object without users: bit", comes: Seen, act: |p, c| flip(&without_users(p), c, false) },
    Kind { name: "no object", comes: Seen, act: |p, _| fs::write(p.at("objects/stranger"), "x").unwrap() },
    // Files that have an inode of their own.
    Kind { name: "own inode: bit, mtime kept", comes: Seen, act: |p, c| flip(&own(p, c), c, true) },
    Kind { name: "own inode: bit", comes: Seen, act: |p, c| flip(&own(p, c), c, false) },
    Kind { name: "own inode: cut, mtime kept", comes: Seen, act: |p, c| resize(&own(p, c), -1, true) },
    Kind { name: "own inode: grown", comes: Seen, act: |p, c| resize(&own(p, c), 1, false) },
    Kind { name: "own inode: mode", comes: Seen, act: |p, c| mode(&own(p, c), 0o600) },
    Kind { name: "own inode: mtime", comes: Seen, act: |p, c| mtime(&own(p, c), at(77)) },
    Kind { name: "own inode: removed", comes: Seen, act: |p, c| fs::remove_file(own(p, c)).unwrap() },
    Kind { name: "own inode: a symlink", comes: Seen, act: |p, c| to_symlink(&own(p, c)) },
    Kind { name: "own inode: a folder", comes: Seen, act: |p, c| to_folder(&own(p, c)) },
    Kind {
        name: "own inode: another file, mtime kept",
        comes: Seen,
        act: |p, c| to_file(&own(p, c), true),
    },
    // Names in trees.
    Kind {
        name: "tree: a name added",
        comes: Seen,
        act: |p, c| fs::write(tree(p, c).join("d/new"), "x").unwrap(),
    },
    Kind {
        name: "tree: a folder added",
        comes: Seen,
        act: |p, c| fs::create_dir(tree(p, c).join("new")).unwrap(),
    },
    Kind {
        name: "tree: added to an empty folder",
        comes: Seen,
        act: |p, c| fs::write(tree(p, c).join("v/x"), "").unwrap(),
    },
    Kind {
        name: "tree: a file removed",
        comes: Seen,
        act: |p, c| fs::remove_file(tree(p, c).join("d/same")).unwrap(),
    },
    Kind {
        name: "tree: a folder removed",
        comes: Seen,
        act: |p, c| fs::remove_dir_all(tree(p, c).join("d")).unwrap(),
    },
    Kind {
        name: "tree: an empty folder removed",
        comes: Seen,
        act: |p, c| fs::remove_dir(tree(p, c).join("v")).unwrap(),
    },
    Kind { name: "tree: a link retargeted", comes: Seen, act: |p, c| to_symlink(&tree(p, c).join("d/l")) },
    Kind {
        name: "tree: a link made a file",
        comes: Seen,
        act: |p, c| {
            let link = tree(p, c).join("d/l");
            fs::remove_file(&link).unwrap();
            fs::write(link, "same").unwrap();
        },
    },
    Kind {
        name: "tree: a file made a symlink",
        comes: Seen,
        act: |p, c| to_symlink(&tree(p, c).join("d/same")),
    },
    Kind {
        name: "tree: another file, mtime kept",
        comes: Seen,
        act: |p, c| to_file(&tree(p, c).join("d/same"), true),
    },
    Kind {
        name: "tree: a folder made a symlink",
        comes: Seen,
        act: |p, c| {
            let folder = tree(p, c).join("d");
            fs::rename(&folder, p.at("staging/elsewhere")).unwrap();
            symlink(p.at("staging/elsewhere"), folder).unwrap();
        },
    },
    Kind { name: "tree: mode of a folder", comes: Seen, act: |p, c| mode(&tree(p, c).join("d"), 0o777) },
    Kind {
        name: "tree: mode of an empty folder",
        comes: Seen,
        act: |p, c| mode(&tree(p, c).join("v"), 0o700),
    },
    Kind {
        name: "tree: an empty file written to",
        comes: Seen,
        act: |p, c| resize(&tree(p, c).join("e"), 3, true),
    },
    Kind {
        name: "tree: mtime of an empty file",
        comes: Seen,
        act: |p, c| mtime(&tree(p, c).join("e"), at(77)),
    },
    Kind {
        name: "tree: twins changed",
        comes: Seen,
        act: |p, c| {
            let tree = tree(p, c);
            fs::remove_file(tree.join("d/tool")).unwrap();
            fs::hard_link(tree.join("d/same"), tree.join("d/tool")).unwrap();
        },
    },
    Kind { name: "tree: removed", comes: Seen, act: |p, c| fs::remove_dir_all(tree(p, c)).unwrap() },
    // Files beside a tree.
    Kind { name: "manifest: bit", comes: Seen, act: |p, c| flip(&beside(p, c, "manifest"), c, true) },
    Kind { name: "manifest: cut", comes: Seen, act: |p, c| resize(&beside(p, c, "manifest"), -1, true) },
    Kind {
        name: "manifest: removed",
        comes: Seen,
        act: |p, c| fs::remove_file(beside(p, c, "manifest")).unwrap(),
    },
    Kind { name: "shown: bit", comes: Seen, act: |p, c| flip(&p.at("generations/2/shown"), c, true) },
    Kind {
        name: "shown: removed",
        comes: Seen,
        act: |p, _| fs::remove_file(p.at("generations/2/shown")).unwrap(),
    },
    Kind { name: "index: bit", comes: Harmless, act: |p, c| flip(&p.at("generations/4/index"), c, true) },
    Kind { name: "delta: bit", comes: Harmless, act: |p, c| flip(&p.at("generations/4/delta"), c, true) },
    Kind {
        name: "delta: removed",
        comes: Harmless,
        act: |p, _| fs::remove_file(p.at("generations/4/delta")).unwrap(),
    },
    Kind {
        name: "sealed: written by a stranger",
        comes: Harmless,
        act: |p, _| fs::write(p.at("generations/4/sealed"), "x").unwrap(),
    },
    // Records, and the store's own names.
    Kind { name: "sequence: bit", comes: Seen, act: |p, c| flip(&p.at("sequence"), c, true) },
    Kind { name: "sequence: removed", comes: Seen, act: |p, _| fs::remove_file(p.at("sequence")).unwrap() },
    Kind { name: "mark: bit", comes: Seen, act: |p, c| flip(&p.at("marks/3"), c, true) },
    Kind { name: "pin: bit", comes: Seen, act: |p, c| flip(&p.at("pins/keep"), c, true) },
    Kind { name: "hold: a stranger's", comes: Seen, act: |p, _| fs::write(p.at("hold"), "{}\n").unwrap() },
    Kind { name: "log: removed", comes: Seen, act: |p, _| fs::remove_file(p.at("log")).unwrap() },
    Kind { name: "view: bit", comes: Seen, act: |p, c| flip(&only_file(&p.at("views")), c, true) },
    Kind { name: "current: names nothing", comes: Seen, act: |p, _| point(p, "generations/9/tree") },
    Kind { name: "current: leads elsewhere", comes: Seen, act: |p, _| point(p, "/tmp") },
    Kind {
        name: "current: a file",
        comes: Seen,
        act: |p, _| {
            fs::remove_file(p.at("current")).unwrap();
            fs::write(p.at("current"), "generations/4/tree").unwrap();
        },
    },
    Kind { name: "format: bit", comes: Refused, act: |p, c| flip(&p.at("format"), c, true) },
    Kind {
        name: "generations: no number",
        comes: Seen,
        act: |p, _| fs::create_dir(p.at("generations/old")).unwrap(),
    },
    Kind {
        name: "staging: debris",
        comes: Harmless,
        act: |p, _| {
            fs::create_dir(p.at("staging/s-dead")).unwrap();
            fs::write(p.at("staging/tmp-dead"), "x").unwrap();
        },
    },
    Kind {
        name: "locks: written to",
        comes: Harmless,
        act: |p, _| fs::write(p.at("locks/commit"), "x").unwrap(),
    },
];

fn object(place: &Place, chance: &mut Chance) -> PathBuf {
    chance.choose(&place.objects()).clone()
}

/// Creates an object that no manifest references.
fn without_users(place: &Place) -> PathBuf {
    let hex = genstore::tree::Digest::of(b"nobody's").to_string();
    let folder = place.at("objects").join(&hex[..2]);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(&hex[2..]);
    fs::write(&path, "nobody's").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    path
}

fn own(place: &Place, chance: &mut Chance) -> PathBuf {
    let path = *chance.choose(&["2/tree/own", "2/tree/own2", "4/tree/own", "4/tree/own2"]);
    place.at("generations").join(path)
}

/// Returns the tree of a generation, of the current one every second time.
fn tree(place: &Place, chance: &mut Chance) -> PathBuf {
    place.tree(*chance.choose(&[1, 4, 2, 4, 3, 4]))
}

fn beside(place: &Place, chance: &mut Chance, name: &str) -> PathBuf {
    place.at(&format!("generations/{}/{name}", chance.choose(&[1, 4, 2, 4, 3, 4])))
}

fn only_file(dir: &Path) -> PathBuf {
    fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}

/// Opens a file for writing, whatever its mode. Restores the mode, and the mtime if requested.
fn change(path: &Path, keeps_mtime: bool, act: impl FnOnce(&fs::File)) {
    let meta = path.metadata().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    act(&file);
    if keeps_mtime {
        file.set_modified(meta.modified().unwrap()).unwrap();
    }
    fs::set_permissions(path, meta.permissions()).unwrap();
}

fn flip(path: &Path, chance: &mut Chance, keeps_mtime: bool) {
    change(path, keeps_mtime, |file| {
        let mut byte = [0];
        let place = chance.below(file.metadata().unwrap().len());
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << chance.below(8))], place).unwrap();
    });
}

fn resize(path: &Path, by: i64, keeps_mtime: bool) {
    change(path, keeps_mtime, |file| {
        let len = file.metadata().unwrap().len() as i64;
        file.set_len((len + by).max(0) as u64).unwrap();
    });
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mtime(path: &Path, to: SystemTime) {
    fs::File::open(path).unwrap().set_modified(to).unwrap();
}

fn to_symlink(path: &Path) {
    fs::remove_file(path).unwrap();
    symlink("../own", path).unwrap();
}

fn to_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// Replaces a file by another one of the same size and mode.
fn to_file(path: &Path, keeps_mtime: bool) {
    let meta = path.metadata().unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, vec![b'x'; meta.len() as usize]).unwrap();
    if keeps_mtime {
        mtime(path, meta.modified().unwrap());
    }
    fs::set_permissions(path, meta.permissions()).unwrap();
}

/// Moves an executable object's name to the inode of its twin.
fn twin(place: &Place, _: &mut Chance) {
    let hex = genstore::tree::Digest::of(b"the same in all of them").to_string();
    let plain = place.at("objects").join(&hex[..2]).join(&hex[2..]);
    let executable = plain.with_extension("x");
    fs::remove_file(&executable).unwrap();
    fs::hard_link(plain, executable).unwrap();
}

fn point(place: &Place, target: &str) {
    fs::remove_file(place.at("current")).unwrap();
    symlink(target, place.at("current")).unwrap();
}

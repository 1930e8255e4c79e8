//! The kinds of damage: the damage, and the expected result.

use super::place::Place;
use crate::prelude::*;

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

const fn kind(name: &'static str, comes: Comes, act: fn(&Place, &mut Chance)) -> Kind {
    Kind { name, comes, act }
}

pub(crate) const KINDS: &[Kind] = &[
    // Objects. Each is used by several generations through one inode.
    kind("object: bit, mtime kept", SeenByReading, |p, c| flip(&object(p, c), c, true)),
    kind("object: bit", Seen, |p, c| flip(&object(p, c), c, false)),
    kind("object: cut", Seen, |p, c| resize(&object(p, c), -1, true)),
    kind("object: grown", Seen, |p, c| resize(&object(p, c), 1, true)),
    kind("object: emptied", Seen, |p, c| resize(&object(p, c), -1_000, false)),
    kind("object: mode", Seen, |p, c| mode(&object(p, c), 0o664)),
    kind("object: mtime", Seen, |p, c| mtime(&object(p, c), at(77))),
    kind("object: removed", Seen, |p, c| fs::remove_file(object(p, c)).unwrap()),
    kind("object: a symlink", Seen, |p, c| to_symlink(&object(p, c))),
    kind("object: a folder", Seen, |p, c| to_folder(&object(p, c))),
    kind("object: another file", Seen, |p, c| to_file(&object(p, c), false)),
    kind("object: another file, mtime kept", SeenByReading, |p, c| to_file(&object(p, c), true)),
    kind("object: its twin", Seen, twin),
    kind("object without users: bit", Seen, |p, c| flip(&without_users(p), c, false)),
    kind("no object", Seen, |p, _| fs::write(p.at("objects/stranger"), "x").unwrap()),
    // Files that have an inode of their own.
    kind("own inode: bit, mtime kept", Seen, |p, c| flip(&own(p, c), c, true)),
    kind("own inode: bit", Seen, |p, c| flip(&own(p, c), c, false)),
    kind("own inode: cut, mtime kept", Seen, |p, c| resize(&own(p, c), -1, true)),
    kind("own inode: grown", Seen, |p, c| resize(&own(p, c), 1, false)),
    kind("own inode: mode", Seen, |p, c| mode(&own(p, c), 0o600)),
    kind("own inode: mtime", Seen, |p, c| mtime(&own(p, c), at(77))),
    kind("own inode: removed", Seen, |p, c| fs::remove_file(own(p, c)).unwrap()),
    kind("own inode: a symlink", Seen, |p, c| to_symlink(&own(p, c))),
    kind("own inode: a folder", Seen, |p, c| to_folder(&own(p, c))),
    kind("own inode: another file, mtime kept", Seen, |p, c| to_file(&own(p, c), true)),
    // Names in trees.
    kind("tree: a name added", Seen, |p, c| fs::write(tree(p, c).join("d/new"), "x").unwrap()),
    kind("tree: a folder added", Seen, |p, c| fs::create_dir(tree(p, c).join("new")).unwrap()),
    kind("tree: added to an empty folder", Seen, |p, c| fs::write(tree(p, c).join("v/x"), "").unwrap()),
    kind("tree: a file removed", Seen, |p, c| fs::remove_file(tree(p, c).join("d/same")).unwrap()),
    kind("tree: a folder removed", Seen, |p, c| fs::remove_dir_all(tree(p, c).join("d")).unwrap()),
    kind("tree: an empty folder removed", Seen, |p, c| fs::remove_dir(tree(p, c).join("v")).unwrap()),
    kind("tree: a link retargeted", Seen, |p, c| to_symlink(&tree(p, c).join("d/l"))),
    kind("tree: a link made a file", Seen, |p, c| {
        let link = tree(p, c).join("d/l");
        fs::remove_file(&link).unwrap();
        fs::write(link, "same").unwrap();
    }),
    kind("tree: a file made a symlink", Seen, |p, c| to_symlink(&tree(p, c).join("d/same"))),
    kind("tree: another file, mtime kept", Seen, |p, c| to_file(&tree(p, c).join("d/same"), true)),
    kind("tree: a folder made a symlink", Seen, |p, c| {
        let folder = tree(p, c).join("d");
        fs::rename(&folder, p.at("staging/elsewhere")).unwrap();
        symlink(p.at("staging/elsewhere"), folder).unwrap();
    }),
    kind("tree: mode of a folder", Seen, |p, c| mode(&tree(p, c).join("d"), 0o777)),
    kind("tree: mode of an empty folder", Seen, |p, c| mode(&tree(p, c).join("v"), 0o700)),
    kind("tree: an empty file written to", Seen, |p, c| resize(&tree(p, c).join("e"), 3, true)),
    kind("tree: mtime of an empty file", Seen, |p, c| mtime(&tree(p, c).join("e"), at(77))),
    kind("tree: twins changed", Seen, |p, c| {
        let tree = tree(p, c);
        fs::remove_file(tree.join("d/tool")).unwrap();
        fs::hard_link(tree.join("d/same"), tree.join("d/tool")).unwrap();
    }),
    kind("tree: removed", Seen, |p, c| fs::remove_dir_all(tree(p, c)).unwrap()),
    // Files beside a tree.
    kind("manifest: bit", Seen, |p, c| flip(&beside(p, c, "manifest"), c, true)),
    kind("manifest: cut", Seen, |p, c| resize(&beside(p, c, "manifest"), -1, true)),
    kind("manifest: removed", Seen, |p, c| fs::remove_file(beside(p, c, "manifest")).unwrap()),
    kind("shown: bit", Seen, |p, c| flip(&p.at("generations/2/shown"), c, true)),
    kind("shown: removed", Seen, |p, _| fs::remove_file(p.at("generations/2/shown")).unwrap()),
    kind("index: bit", Harmless, |p, c| flip(&p.at("generations/4/index"), c, true)),
    kind("delta: bit", Harmless, |p, c| flip(&p.at("generations/4/delta"), c, true)),
    kind("delta: removed", Harmless, |p, _| fs::remove_file(p.at("generations/4/delta")).unwrap()),
    kind("sealed: written by a stranger", Harmless, |p, _| {
        fs::write(p.at("generations/4/sealed"), "x").unwrap()
    }),
    // Records, and the store's own names.
    kind("sequence: bit", Seen, |p, c| flip(&p.at("sequence"), c, true)),
    kind("sequence: removed", Seen, |p, _| fs::remove_file(p.at("sequence")).unwrap()),
    kind("mark: bit", Seen, |p, c| flip(&p.at("marks/3"), c, true)),
    kind("pin: bit", Seen, |p, c| flip(&p.at("pins/keep"), c, true)),
    kind("hold: a stranger's", Seen, |p, _| fs::write(p.at("hold"), "{}\n").unwrap()),
    kind("log: removed", Seen, |p, _| fs::remove_file(p.at("log")).unwrap()),
    kind("view: bit", Seen, |p, c| flip(&only_file(&p.at("views")), c, true)),
    kind("current: names nothing", Seen, |p, _| point(p, "generations/9/tree")),
    kind("current: leads elsewhere", Seen, |p, _| point(p, "/tmp")),
    kind("current: a file", Seen, |p, _| {
        fs::remove_file(p.at("current")).unwrap();
        fs::write(p.at("current"), "generations/4/tree").unwrap();
    }),
    kind("format: bit", Refused, |p, c| flip(&p.at("format"), c, true)),
    kind("generations: no number", Seen, |p, _| fs::create_dir(p.at("generations/old")).unwrap()),
    kind("staging: debris", Harmless, |p, _| {
        fs::create_dir(p.at("staging/s-dead")).unwrap();
        fs::write(p.at("staging/tmp-dead"), "x").unwrap();
    }),
    kind("locks: written to", Harmless, |p, _| fs::write(p.at("locks/commit"), "x").unwrap()),
];

fn object(place: &Place, chance: &mut Chance) -> PathBuf {
    chance.choose(&place.objects()).clone()
}

/// Creates an object that no manifest references.
fn without_users(place: &Place) -> PathBuf {
    let hex = Digest::of(b"strange").to_string();
    let folder = place.at("objects").join(&hex[..2]);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(&hex[2..]);
    fs::write(&path, "strange").unwrap();
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
    let hex = Digest::of(b"the same in all of them").to_string();
    let plain = place.at("objects").join(&hex[..2]).join(&hex[2..]);
    let executable = plain.with_extension("x");
    fs::remove_file(&executable).unwrap();
    fs::hard_link(plain, executable).unwrap();
}

fn point(place: &Place, target: &str) {
    fs::remove_file(place.at("current")).unwrap();
    symlink(target, place.at("current")).unwrap();
}

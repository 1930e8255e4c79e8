//! The scratch folder. Only this file of the torture changes the disk.
//!
//! A *place* is one folder in it, with all that a scenario needs: a project file, the store, folders that
//! views replace, and `given`, which is to be consumed. The sources `a` and `b` lie beside the places and
//! do not change: so the index knows them, and can tell an inode from its copy.

#![allow(clippy::disallowed_methods, reason = "it changes only the torture's own scratch folder")]

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::trees::{self, Lines, TREE_A, TREE_B};

pub(crate) const STORE: &str = "store";
pub(crate) const CURRENT: &str = "store/current";
pub(crate) const GIVEN: &str = "given";

/// Files beside all places, in a folder that is unrelated to any store.
pub(crate) const OUTSIDE: Lines = &[
    ("file", "=outside"),
    ("manifest", "=no manifest"),
    ("sub/deep", "=outside, deep"),
    ("tree/run", "!outside"),
];

/// Returns the folder of a place's bystanders.
pub(crate) fn outside(place: &Path) -> PathBuf {
    place.with_file_name("outside")
}

/// The mtimes of the trees. The second tree has older files, so some need a newer mtime when they replace
/// those of the first.
pub(crate) const MTIME_A: u64 = 1_700_000_000;
const MTIME_B: u64 = 1_600_000_000;

const PROJECT: &str = "[store]\npath = \"store\"\n";
/// An audit that refuses everything.
pub(crate) const NOTHING_PASSES: &str = "\n[audit]\nmax_total = 1\n";
/// A setting by which the tree of each generation becomes that of the one after the next.
pub(crate) const RECYCLES: &str = "\n[retain]\nauto = true\nkeep_last = 1\ngrace = \"0s\"\n";

/// Creates the sources. Files in both are one inode, as in a folder that a build tool rewrites.
pub fn make_sources(scratch: &Path) -> io::Result<()> {
    let [a, b] = ["a", "b"].map(|name| scratch.join(name));
    write_tree(&a, TREE_A, MTIME_A)?;
    write_tree(&b, TREE_B, MTIME_B)?;
    write_tree(&scratch.join("outside"), OUTSIDE, MTIME_A)?;
    for (path, _) in
        TREE_A.iter().filter(|(_, what)| !what.starts_with('/')).filter(|line| TREE_B.contains(line))
    {
        fs::remove_file(b.join(path))?;
        fs::hard_link(a.join(path), b.join(path))?;
    }
    trees::settle(scratch)
}

/// Creates a place without a store.
pub(crate) fn make(place: &Path) -> io::Result<()> {
    fs::create_dir(place)?;
    set_project(place, "")
}

/// Creates the folder to be consumed, replacing the rest of an earlier one.
pub(crate) fn give(place: &Path, lines: Lines) -> io::Result<()> {
    let given = place.join(GIVEN);
    match fs::remove_dir_all(&given) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => write_tree(&given, lines, MTIME_A),
    }
}

/// Writes the project's file, with one more section or none.
pub(crate) fn set_project(place: &Path, more: &str) -> io::Result<()> {
    fs::write(place.join("genstore.toml"), format!("{PROJECT}{more}"))
}

/// Writes the tree `b` at a path that may exist, as a build does.
pub(crate) fn build_b(dir: &Path) -> io::Result<()> {
    write_tree(dir, TREE_B, MTIME_B)
}

fn write_tree(dir: &Path, lines: Lines, mtime: u64) -> io::Result<()> {
    trees::put(dir, &trees::things(mtime, lines))
}

/// Creates a user's folder, which a view will replace.
pub(crate) fn make_folder(dir: &Path) -> io::Result<()> {
    write_tree(dir, &[("deep/mine", "=mine"), ("other", "=too")], MTIME_A)
}

/// Puts a user's files into a mirror: beside files that stay, and in a folder that is removed.
pub(crate) fn add_strangers(mirror: &Path) -> io::Result<()> {
    fs::write(mirror.join("mine"), "mine")?;
    fs::write(mirror.join("dir/mine"), "mine")
}

/// Damages the object with these bytes, like a program that writes through a link.
pub(crate) fn damage(place: &Path, content: &str) -> io::Result<()> {
    let hex = genstore::tree::Digest::of(content.as_bytes()).to_string();
    let path = place.join(STORE).join("objects").join(&hex[..2]).join(&hex[2..]);
    let mode = fs::metadata(&path)?.permissions();
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    fs::write(&path, content.to_uppercase())?;
    fs::set_permissions(&path, mode)
}

/// Removes a link.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Renames a place to a free name.
pub(crate) fn rename(place: &Path, to: &Path) -> io::Result<()> {
    fs::rename(place, to)
}

/// Removes a place.
pub(crate) fn remove(place: &Path) -> io::Result<()> {
    fs::remove_dir_all(place)
}

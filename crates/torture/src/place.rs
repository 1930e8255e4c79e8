//! The scratch folder: the only file of the torture that changes the disk.
//!
//! A *place* is one folder of it, with all that a scenario needs: a project file, the store, what
//! views take the place of, and `given`, which is to be consumed. The sources `a` and `b` lie beside
//! the places and stay as they are: so the index knows them, which tells an inode from its copy.

#![allow(
    clippy::disallowed_methods,
    reason = "what is made, broken and removed here is the torture's own throw-away folder"
)]

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::trees::{self, walk};

pub(crate) const STORE: &str = "store";
pub(crate) const CURRENT: &str = "store/current";
pub(crate) const GIVEN: &str = "given";

/// A tree as it is written down: path, and `=bytes`, `!bytes` of an executable, `>target`, `/`, or
/// `*` for a file of some size.
pub(crate) type Lines = &'static [(&'static str, &'static str)];

pub(crate) const TREE_A: Lines = &[
    ("a.txt", "=first"),
    ("big", "*"),
    ("bin/run", "!#!/bin/sh"),
    ("dir/b.txt", "=second"),
    ("dir/same-1", "=same"),
    ("dir/same-2", "=same"),
    ("dir/twin", "!second"),
    ("empty", "="),
    ("hollow", "/"),
    ("link", ">dir/b.txt"),
];

pub(crate) const TREE_B: Lines = &[
    ("a.txt", "=changed"),
    ("big", "*"),
    ("bin/run", "!#!/bin/sh"),
    ("dir/same-1", "=same"),
    ("empty", "="),
    ("link", ">dir/same-1"),
    ("new/c.txt", "=third"),
    ("new/d.txt", "=second"),
];

/// Mostly as the first.
pub(crate) const TREE_C: Lines = &[
    ("a.txt", "=fourth"),
    ("big", "*"),
    ("bin/more", "="),
    ("bin/run", "!#!/bin/sh"),
    ("dir/b.txt", "=second"),
    ("dir/new/d", "!fifth"),
    ("dir/same-1", "=same"),
    ("dir/twin", "!second"),
    ("empty", "="),
    ("hollow", "/"),
    ("link", ">dir/b.txt"),
];

/// What lies beside all places, in a folder that nothing has to do with any store.
pub(crate) const OUTSIDE: Lines = &[
    ("file", "=outside"),
    ("manifest", "=no manifest"),
    ("sub/deep", "=outside, deep"),
    ("tree/run", "!outside"),
];

/// The folder of a place's bystanders.
pub(crate) fn outside(place: &Path) -> PathBuf {
    place.with_file_name("outside")
}

/// The second tree has the older files, so that some of them need a newer mtime in the first's place.
pub(crate) const MTIME_A: u64 = 1_700_000_000;
const MTIME_B: u64 = 1_600_000_000;

const PROJECT: &str = "[store]\npath = \"store\"\n";
/// An audit that refuses everything.
pub(crate) const NOTHING_PASSES: &str = "\n[audit]\nmax_total = 1\n";
/// The tree of each generation becomes that of the one after the next.
pub(crate) const RECYCLES: &str = "\n[retain]\nauto = true\nkeep_last = 1\ngrace = \"0s\"\n";

/// What changed so lately may change unseen, and the index does not believe it.
const SETTLED: Duration = Duration::from_millis(40);

/// Makes the sources. What both have is one inode, as in a folder that a build tool writes to again
/// and again.
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
    std::thread::sleep(SETTLED);
    Ok(())
}

/// Makes a place without a store.
pub(crate) fn make(place: &Path) -> io::Result<()> {
    fs::create_dir(place)?;
    set_project(place, "")
}

/// Gives a tree away, in place of what is left of the one that was given before.
pub(crate) fn give(place: &Path, lines: Lines) -> io::Result<()> {
    let given = place.join(GIVEN);
    match fs::remove_dir_all(&given) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => write_tree(&given, lines, MTIME_A),
    }
}

/// Writes the project's file, with a section more or none.
pub(crate) fn set_project(place: &Path, more: &str) -> io::Result<()> {
    fs::write(place.join("genstore.toml"), format!("{PROJECT}{more}"))
}

/// Writes the tree `b` below a directory that is there or not, as a build does.
pub(crate) fn build_b(dir: &Path) -> io::Result<()> {
    write_tree(dir, TREE_B, MTIME_B)
}

fn write_tree(dir: &Path, lines: Lines, mtime: u64) -> io::Result<()> {
    trees::put(dir, &trees::things(mtime, lines))
}

/// Makes a folder of the user's, which a view is to replace.
pub(crate) fn make_folder(dir: &Path) -> io::Result<()> {
    write_tree(dir, &[("deep/mine", "=mine"), ("other", "=too")], MTIME_A)
}

/// Puts files of the user's into a mirror: beside what stays, and in a folder that goes.
pub(crate) fn add_strangers(mirror: &Path) -> io::Result<()> {
    fs::write(mirror.join("mine"), "mine")?;
    fs::write(mirror.join("dir/mine"), "mine")
}

/// Damages the object with these bytes, as a program does that writes through a link.
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

/// Gives a place another name, which is free.
pub(crate) fn rename(place: &Path, to: &Path) -> io::Result<()> {
    fs::rename(place, to)
}

/// Removes a place.
pub(crate) fn remove(place: &Path) -> io::Result<()> {
    fs::remove_dir_all(place)
}

/// Copies a place as it is: which names are one inode, modes and mtimes included. Without that the
/// copy of a store is a damaged store.
pub(crate) fn copy_exactly(from: &Path, to: &Path) -> io::Result<()> {
    let mut inodes: HashMap<(u64, u64), PathBuf> = HashMap::new();
    // A folder comes after all that is in it: then nothing is put into it any more.
    let mut folders = Vec::new();
    for entry in walk(from, 0) {
        let entry = entry?;
        let old = entry.path();
        let (new, meta) = (to.join(old.strip_prefix(from).unwrap_or(old)), fs::symlink_metadata(old)?);
        if meta.is_dir() {
            fs::create_dir(&new)?;
            folders.push((meta, new));
        } else if meta.is_symlink() {
            symlink(fs::read_link(old)?, &new)?;
        } else if let Some(first) = inodes.get(&(meta.dev(), meta.ino())) {
            fs::hard_link(first, &new)?;
        } else {
            fs::copy(old, &new)?;
            File::open(&new)?.set_modified(meta.modified()?)?;
            inodes.insert((meta.dev(), meta.ino()), new);
        }
    }
    for (meta, to) in folders.into_iter().rev() {
        fs::set_permissions(&to, meta.permissions())?;
        File::open(&to)?.set_modified(meta.modified()?)?;
    }
    Ok(())
}

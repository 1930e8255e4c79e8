//! Trees and stores on the disk. The torture and the tests write and read them without the library's code.

#![allow(clippy::disallowed_methods, reason = "it writes to a scratch folder only")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::{DirEntry, WalkDir};

/// The content of one path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file: bytes, executable, mtime in seconds.
    File(Vec<u8>, bool, u64),
    /// A symlink.
    Link(String),
    /// An empty directory.
    Dir,
}

impl Thing {
    /// Returns it with its mtime at zero.
    pub fn without_mtime(&self) -> Thing {
        match self {
            Thing::File(bytes, executable, _) => Thing::File(bytes.clone(), *executable, 0),
            other => other.clone(),
        }
    }
}

/// A tree, by path.
pub type Things = BTreeMap<String, Thing>;

/// A tree in the notation of [`things`].
pub type Lines = &'static [(&'static str, &'static str)];

/// The first tree of the scenarios.
pub const TREE_A: Lines = &[
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

/// The second tree.
pub const TREE_B: Lines = &[
    ("a.txt", "=changed"),
    ("big", "*"),
    ("bin/run", "!#!/bin/sh"),
    ("dir/same-1", "=same"),
    ("empty", "="),
    ("link", ">dir/same-1"),
    ("new/c.txt", "=third"),
    ("new/d.txt", "=second"),
];

/// The third tree, which is mostly like the first.
pub const TREE_C: Lines = &[
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

/// Parses a tree in short notation: `path`, and `=bytes`, `!bytes` for an executable, `>target`, `/`, or
/// `*` for a file of some size. The mtime of every file is `secs`.
///
/// # Panics
/// If an entry has another form.
pub fn things(secs: u64, list: &[(&str, &str)]) -> Things {
    list.iter()
        .map(|(path, what)| {
            let (kind, rest) = what.split_at(1);
            let thing = match kind {
                "=" => Thing::File(rest.into(), false, secs),
                "!" => Thing::File(rest.into(), true, secs),
                ">" => Thing::Link(rest.to_owned()),
                "/" => Thing::Dir,
                "*" => Thing::File((0..300_000u32).map(|n| (n % 251) as u8).collect(), false, secs),
                _ => panic!("{path}: {what}"),
            };
            (path.to_string(), thing)
        })
        .collect()
}

/// Splits a tree in one line of text, with blanks between its entries: `a.txt=first run!#! link>a.txt dir/`.
/// The entries have no blanks themselves.
///
/// # Panics
/// If an entry has another form.
pub fn words(text: &str) -> Vec<(&str, &str)> {
    let split = |word| match str::find(word, ['=', '!', '>', '*']) {
        Some(at) => word.split_at(at),
        None => (word.strip_suffix('/').unwrap_or_else(|| panic!("{word}")), "/"),
    };
    text.split_whitespace().map(split).collect()
}

/// Writes the tree to a folder, which is created.
///
/// # Errors
/// Also if a path is taken.
pub fn put(dir: &Path, things: &Things) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (path, thing) in things {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        match thing {
            Thing::File(bytes, executable, secs) => {
                fs::write(&path, bytes)?;
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
                let file = fs::File::options().append(true).open(&path)?;
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(*secs))?;
            }
            Thing::Link(target) => symlink(target, &path)?,
            Thing::Dir => fs::create_dir(&path)?,
        }
    }
    Ok(())
}

/// Waits until files and folders that were just written are settled: a later change would change their
/// times, so the store believes the stat values that it reads now. Leaves nothing in `dir`.
///
/// The clock is the one that the store reads. Newer kernels stamp files with a finer clock, which is ahead
/// of it by a tick or more (multigrain timestamps).
///
/// # Errors
/// If nothing can be written to `dir`.
pub fn settle(dir: &Path) -> io::Result<()> {
    let probe = dir.join("settle-probe");
    let stamp = || {
        fs::write(&probe, "")?;
        fs::metadata(&probe)?.modified()
    };
    let last = stamp()?.max(SystemTime::now());
    let result = loop {
        match stamp()?.duration_since(last) {
            Ok(elapsed) if elapsed > SETTLED => break Ok(()),
            elapsed => std::thread::sleep(SETTLED - elapsed.unwrap_or_default()),
        }
    };
    fs::remove_file(&probe)?;
    result
}

/// More than the time in which two changes may get one timestamp (20 ms for the store), and the tick of the
/// clock by which the store decides. Since Linux 6.13 a file that is written right after a stat has a finer
/// timestamp, which is up to a tick (10 ms) ahead of that clock.
const SETTLED: Duration = Duration::from_millis(40);

/// Copies a folder or a file with its hard links, modes, mtimes and owners. Without the links, the copy of a
/// store would be a damaged store.
///
/// # Errors
/// Also if a path is taken.
pub fn copy_exactly(from: &Path, to: &Path) -> io::Result<()> {
    let mut inodes: HashMap<(u64, u64), PathBuf> = HashMap::new();
    // A folder gets its mode and mtime after its content: nothing is put into it later.
    let mut folders = Vec::new();
    for entry in walk(from, 0) {
        let entry = entry?;
        let old = entry.path();
        let meta = fs::symlink_metadata(old)?;
        let new = if old == from { to.to_owned() } else { to.join(old.strip_prefix(from).unwrap_or(old)) };
        if meta.is_dir() {
            fs::create_dir(&new)?;
        } else if let Some(first) = inodes.get(&(meta.dev(), meta.ino())) {
            fs::hard_link(first, &new)?;
            continue;
        } else if meta.is_symlink() {
            symlink(fs::read_link(old)?, &new)?;
        } else {
            fs::copy(old, &new)?;
        }
        let made = fs::symlink_metadata(&new)?;
        if (made.uid(), made.gid()) != (meta.uid(), meta.gid()) {
            lchown(&new, Some(meta.uid()), Some(meta.gid()))?;
        }
        if meta.is_dir() {
            folders.push((meta, new));
            continue;
        }
        if !meta.is_symlink() {
            File::open(&new)?.set_modified(meta.modified()?)?;
        }
        inodes.insert((meta.dev(), meta.ino()), new);
    }
    for (meta, to) in folders.into_iter().rev() {
        fs::set_permissions(&to, meta.permissions())?;
        File::open(&to)?.set_modified(meta.modified()?)?;
    }
    Ok(())
}

/// Reads a tree. `dir` itself may be a symlink.
///
/// # Errors
/// If it cannot be read completely.
pub fn read_tree(dir: &Path) -> io::Result<Things> {
    let mut found = Things::new();
    for entry in walk(dir, 1) {
        let entry = entry?;
        let path = entry.path();
        let below = path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned();
        let meta = fs::symlink_metadata(path)?;
        if meta.is_dir() && fs::read_dir(path)?.next().is_some() {
            continue;
        }
        found.insert(below, read(path, &meta)?);
    }
    Ok(found)
}

/// Reads the entry of a tree at a path.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(path: &Path, meta: &fs::Metadata) -> io::Result<Thing> {
    Ok(if meta.is_dir() {
        Thing::Dir
    } else if meta.is_symlink() {
        Thing::Link(fs::read_link(path)?.to_string_lossy().into_owned())
    } else {
        Thing::File(fs::read(path)?, meta.mode() & 0o111 != 0, meta.mtime() as u64)
    })
}

/// Returns a tree with all mtimes at zero.
pub fn without_mtimes(things: &Things) -> Things {
    things.iter().map(|(path, thing)| (path.clone(), thing.without_mtime())).collect()
}

/// Compares two trees without their mtimes.
pub fn same_content(a: &Things, b: &Things) -> bool {
    without_mtimes(a) == without_mtimes(b)
}

/// Lists the names in a folder, in order; none if there is no folder.
///
/// # Errors
/// If it cannot be read.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(e),
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names = entries.map(name).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Returns the inodes of all objects of a store.
///
/// # Errors
/// If they cannot be read.
pub fn object_inodes(store: &Path) -> io::Result<BTreeSet<u64>> {
    walk(&store.join("objects"), 2).map(|object| Ok(fs::symlink_metadata(object?.path())?.ino())).collect()
}

/// Lists everything below a folder, in the order of the names.
///
/// # Errors
/// If it cannot be read.
pub fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = walk(dir, 1).map(|entry| Ok(entry?.into_path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Walks a folder, which may be a symlink, starting this many levels below it. An error is the system's
/// own.
pub(crate) fn walk(dir: &Path, from: usize) -> impl Iterator<Item = io::Result<DirEntry>> {
    let plain = |error: walkdir::Error| {
        error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of symlinks"))
    };
    WalkDir::new(dir).min_depth(from).into_iter().map(move |entry| entry.map_err(plain))
}

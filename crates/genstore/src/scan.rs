//! Scans: making a plan of a directory, by walkdir. Floor 3.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::GlobSet;
use rayon::prelude::*;
use rustix::fs::{Access, AtFlags};
use walkdir::{DirEntryExt, WalkDir};

use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::model::relpath;
use crate::plan::{ItemSource, PlanBuilder, ScannedRoot, Symlinks, What};

/// Paths longer than this are walked from a handle of their folder: PATH_MAX is 4096, and what
/// lies in the folder needs room too.
const SEGMENT_MAX: usize = 3500;

/// What a scan takes in.
#[derive(Clone, Debug, Default)]
pub struct ScanRules {
    /// Which symlinks are allowed.
    pub symlinks: Symlinks,
    /// If any: only files and links that match, by path below the directory.
    pub include: Option<GlobSet>,
    /// Paths that are left out, with all that lies below them.
    pub exclude: Option<GlobSet>,
    /// The store that is published to, which must not be in the source: see [`crate::Store::identity`].
    pub store: Option<StoreIdentity>,
}

/// Device and inode of a store's directory: how it is known whatever path leads to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreIdentity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

pub(crate) fn scan(plan: &mut PlanBuilder, prefix: &[u8], dir: &Path, rules: &ScanRules) -> Result<()> {
    let (real, meta) = find_source(dir, rules.store)?;
    if !meta.is_dir() {
        return Err(Error::BadSource { path: dir.to_owned(), why: "it is not a directory" });
    }
    scan_real(plan, prefix, dir, real, rules)
}

/// Scans a directory whose real path is known.
pub(crate) fn scan_real(
    plan: &mut PlanBuilder,
    prefix: &[u8],
    dir: &Path,
    real: PathBuf,
    rules: &ScanRules,
) -> Result<()> {
    plan.roots.came_from(prefix, &real);
    let root = Arc::new(ScannedRoot { dir: real, prefix: prefix.to_vec(), ours: false });
    walk(plan, dir, &root, rules)
}

/// Scans a stage's own directory, which lies in the store and is nobody else's.
pub(crate) fn scan_ours(plan: &mut PlanBuilder, dir: &Path, rules: &ScanRules) -> Result<()> {
    let root = Arc::new(ScannedRoot { dir: dir.to_owned(), prefix: vec![], ours: true });
    walk(plan, dir, &root, rules)
}

fn walk(plan: &mut PlanBuilder, dir: &Path, root: &Arc<ScannedRoot>, rules: &ScanRules) -> Result<()> {
    let (real, prefix) = (&root.dir, &root.prefix[..]);
    let handle = Dir::open(real)?;
    // Segments that wait: the folder below the root, and for deep ones its handle.
    let mut segments: Vec<(Vec<u8>, Option<Dir>)> = vec![(vec![], None)];
    let mut files: Vec<Vec<u8>> = Vec::new();
    while let Some((folder, deep)) = segments.pop() {
        let start = match &deep {
            None => real.clone(),
            Some(dir) => {
                let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(dir));
                PathBuf::from(format!("/proc/self/fd/{fd}/."))
            }
        };
        let mut walk = WalkDir::new(&start).min_depth(1).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let below = |path: &Path| {
                let rest = path.strip_prefix(&start).unwrap_or(path).as_os_str().as_bytes();
                relpath::join(&folder, rest)
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().map(&below).unwrap_or_default();
                    let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    plan.problem(&relpath::join(prefix, &path), format!("cannot be read: {why}"));
                    continue;
                }
            };
            let path = below(entry.path());
            let kind = entry.file_type();
            if rules
                .exclude
                .as_ref()
                .is_some_and(|globs| globs.is_match(std::ffi::OsStr::from_bytes(&path)))
            {
                if kind.is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            let in_plan = relpath::join(prefix, &path);
            if kind.is_dir() {
                if rules.store.is_some_and(|store| store.ino == entry.ino()) {
                    check_not_store(dir, entry.path(), rules.store)?;
                }
                if entry.path().as_os_str().len() > SEGMENT_MAX {
                    walk.skip_current_dir();
                    let handle = handle.open_dir(&path)?;
                    segments.push((path, Some(handle)));
                }
                // With `include`, folders follow from what is in them.
                if rules.include.is_none() {
                    plan.add(in_plan, What::Dir);
                }
                continue;
            }
            if rules
                .include
                .as_ref()
                .is_some_and(|globs| !globs.is_match(std::ffi::OsStr::from_bytes(&path)))
            {
                continue;
            }
            if kind.is_file() {
                files.push(path);
                plan.add(
                    in_plan,
                    What::File { source: ItemSource::Scanned(root.clone()), executable: false },
                );
            } else if kind.is_symlink() {
                let (parent, name) = relpath::split(&path);
                match handle.open_dir(parent)?.read_link(name)? {
                    Some(target) => plan.add(in_plan, What::Symlink(target.into())),
                    None => plan.problem(&in_plan, "vanished while it was read"),
                }
            } else {
                plan.problem(&in_plan, format!("is a {}", kind_name(kind)));
            }
        }
    }
    find_unreadable(plan, prefix, &handle, files);
    Ok(())
}

/// Asks for every file whether it may be read, so that all that may not are named together. Root
/// may read everything.
fn find_unreadable(plan: &mut PlanBuilder, prefix: &[u8], root: &Dir, files: Vec<Vec<u8>>) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let refused: Vec<(Vec<u8>, rustix::io::Errno)> = files
        .into_par_iter()
        .filter_map(|path| {
            let asked = rustix::fs::accessat(root, path.as_slice(), Access::READ_OK, AtFlags::EACCESS);
            match asked {
                // Too deep for one call: opening it will tell.
                Ok(()) | Err(rustix::io::Errno::NAMETOOLONG) => None,
                Err(why) => Some((path, why)),
            }
        })
        .collect();
    for (path, why) in refused {
        plan.problem(
            &relpath::join(prefix, &path),
            format!("cannot be read: {}", std::io::Error::from(why)),
        );
    }
}

/// Finds a source, which must not lie in the store, and gives its real path.
pub(crate) fn find_source(dir: &Path, store: Option<StoreIdentity>) -> Result<(PathBuf, Metadata)> {
    let bad = |why| Error::BadSource { path: dir.to_owned(), why };
    let real = match std::fs::canonicalize(dir) {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad("there is no such directory"));
        }
        Err(e) => return Err(Error::io("find", dir, e)),
    };
    let found = std::fs::metadata(&real).map_err(|e| Error::io("stat", dir, e))?;
    if let Some(store) = store {
        for (steps, ancestor) in real.ancestors().enumerate() {
            let meta = std::fs::metadata(ancestor).map_err(|e| Error::io("stat", ancestor, e))?;
            if (meta.dev(), meta.ino()) == (store.dev, store.ino) {
                return Err(bad(match steps {
                    0 => "it is the store itself",
                    _ => "it lies in the store, or is a view of it",
                }));
            }
        }
    }
    Ok((real, found))
}

fn check_not_store(source: &Path, found: &Path, store: Option<StoreIdentity>) -> Result<()> {
    let meta = std::fs::metadata(found).map_err(|e| Error::io("stat", found, e))?;
    match store {
        Some(store) if (meta.dev(), meta.ino()) == (store.dev, store.ino) => {
            Err(Error::BadSource { path: source.to_owned(), why: "the store lies in it" })
        }
        _ => Ok(()),
    }
}

pub(crate) fn kind_name(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "device"
    } else {
        "file of an unknown kind"
    }
}

//! Probes a filesystem, by inspection or by trying it in a scratch folder, and reads limits of the system.

#![allow(clippy::disallowed_methods, reason = "it creates and removes files of a scratch folder only")]

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::system::share_blocks;

/// The features of a filesystem.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct Abilities {
    pub(crate) flock: bool,
    pub(crate) hard_links: bool,
    /// A symlink can replace a directory in one step (`view add --replace`).
    pub(crate) exchange: bool,
    /// Copies share their blocks.
    pub(crate) reflink: bool,
    /// `README` and `readme` are the same name.
    pub(crate) folds_case: bool,
}

/// Tests what the filesystem can do in an empty folder, and leaves the folder empty.
pub(crate) fn probe(dir: &Path) -> io::Result<Abilities> {
    let (one, two) = (dir.join("one"), dir.join("two"));
    fs::write(&one, [1; 8192])?;
    let (first, second) = (File::open(&one)?, File::open(&one)?);
    // A second lock must fail while the first is held.
    let flock = first.try_lock().is_ok() && matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock));
    drop((first, second));
    let hard_links = fs::hard_link(&one, &two).is_ok();
    if hard_links {
        fs::remove_file(&two)?;
    }
    let reflink = share_blocks(&one, &two).is_ok();
    let exchange = renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).is_ok();
    let folds_case = dir.join("ONE").symlink_metadata().is_ok();
    fs::remove_file(&one)?;
    fs::remove_file(&two)?;
    Ok(Abilities { flock, hard_links, exchange, reflink, folds_case })
}

/// The known features of a filesystem. `None` means that only a test can find out.
pub(crate) struct KnownAbilities {
    pub(crate) flock: Option<bool>,
    pub(crate) hard_links: Option<bool>,
    pub(crate) exchange: Option<bool>,
    pub(crate) reflink: Option<bool>,
    pub(crate) folds_case: Option<bool>,
}

impl From<Abilities> for KnownAbilities {
    fn from(tried: Abilities) -> KnownAbilities {
        KnownAbilities {
            flock: Some(tried.flock),
            hard_links: Some(tried.hard_links),
            exchange: Some(tried.exchange),
            reflink: Some(tried.reflink),
            folds_case: Some(tried.folds_case),
        }
    }
}

/// Finds out what the filesystem of a directory can do without writing to it: by its type, and by looking
/// at existing files.
pub(crate) fn look(dir: &Path, filesystem: &str) -> KnownAbilities {
    let one_of = |yes: &[&str], no: &[&str]| match filesystem {
        name if yes.contains(&name) => Some(true),
        name if no.contains(&name) => Some(false),
        _ => None,
    };
    const FAT: [&str; 3] = ["vfat", "msdos", "exfat"];
    let linking = ["ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "bcachefs", "overlay"];
    KnownAbilities {
        flock: flock_on(dir),
        hard_links: one_of(&linking, &FAT),
        exchange: one_of(&["ext4", "xfs", "btrfs", "tmpfs", "f2fs", "bcachefs"], &["ext2", "ext3"]),
        reflink: one_of(
            &["btrfs", "bcachefs"],
            &["ext2", "ext3", "ext4", "tmpfs", "f2fs", "vfat", "exfat"],
        ),
        folds_case: folds_case(dir),
    }
}

/// Locks the directory itself, which writes nothing. A second lock must fail while the first is held.
fn flock_on(dir: &Path) -> Option<bool> {
    let (first, second) = (File::open(dir).ok()?, File::open(dir).ok()?);
    first.try_lock().ok()?;
    Some(matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Looks for an existing name that can also be found with the case of its letters swapped.
fn folds_case(dir: &Path) -> Option<bool> {
    let swap =
        |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    let names: Vec<String> =
        fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let swapped = |name: &String| name.chars().map(swap).collect::<String>();
    let telling = names.iter().find(|name| swapped(name) != **name && !names.contains(&swapped(name)))?;
    Some(dir.join(swapped(telling)).symlink_metadata().is_ok())
}

/// Returns the type of the filesystem that holds a path, from the system's list of mounts.
pub(crate) fn filesystem_of(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.replace("\\040", " ").replace("\\134", "\\");
        let depth = Path::new(&point).components().count();
        path.starts_with(&point).then(|| (depth, right.split(' ').next().map(str::to_owned)))
    };
    // Of two mounts at one point, the later one is visible.
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth)?.1
}

/// Returns how many inotify watches the system allows a user, and how many the user's readable processes
/// hold.
pub(crate) fn inotify_watches() -> Option<(u64, u64)> {
    let limit = number_in("/proc/sys/fs/inotify/max_user_watches")?;
    let own = rustix::process::geteuid().as_raw();
    let mut used = 0;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let is_own = process.metadata().is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == own);
        let infos = is_own.then(|| fs::read_dir(process.path().join("fdinfo")).ok()).flatten();
        for info in infos.into_iter().flatten().flatten() {
            let text = fs::read_to_string(info.path()).unwrap_or_default();
            used += text.lines().filter(|line| line.starts_with("inotify wd:")).count() as u64;
        }
    }
    Some((limit, used))
}

/// Reads a numeric setting of the system.
pub(crate) fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the limit of names per file on a filesystem, if it is low enough to matter.
pub(crate) fn link_limit(filesystem: &str) -> Option<u64> {
    match filesystem {
        "ext2" => Some(32_000),
        "ext3" => Some(32_000),
        "ext4" => Some(65_000),
        "btrfs" => Some(65_535),
        _ => None,
    }
}

//! Mounts for tests that run as root, in a mount namespace of the test's own; and folders outside a store
//! in which nothing may change.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::itself::itself;
use crate::skip::{is_root, skip_on_this_machine};

const INSIDE: &str = "GENSTORE_TEST_OWN_MOUNTS";

/// Returns true in a process with its own mount namespace, where the calling test continues. Otherwise runs
/// the test in such a process and returns false, or records that it is skipped.
pub fn in_own_mounts<T: Fn()>(test: T) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !is_root() {
        return false;
    }
    let own = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    if !own().arg("true").output().is_ok_and(|done| done.status.success()) {
        skip_on_this_machine("no mount namespace can be made");
        return false;
    }
    let words = itself(test);
    let done = own().args(&words).env(INSIDE, "1").output().expect("run the test");
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(done.status.success(), "in a mount namespace of its own:\n{text}");
    assert!(text.contains("1 passed"), "{words:?} is no test:\n{text}");
    false
}

/// Bind-mounts a folder or a file at another path.
pub fn bind(from: &Path, to: &Path) {
    mount(&["--bind".as_ref(), from.as_ref(), to.as_ref()]);
}

/// Runs mount(8).
pub fn mount(args: &[&OsStr]) {
    run(Command::new("mount").args(args));
}

/// Runs umount(8).
pub fn unmount(at: &Path) {
    run(Command::new("umount").arg(at));
}

/// Unmounts every mount below a folder whose path has no blanks.
pub fn unmount_below(dir: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut points: Vec<&Path> = points.filter(|point| point.starts_with(dir) && *point != dir).collect();
    points.sort();
    points.into_iter().rev().for_each(unmount);
}

fn run(command: &mut Command) {
    let done = command.output().expect("run it");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The state of a file or folder outside the store: inode, mode, links, size, times, and its bytes or
/// target.
type Look = (u64, u32, u64, u64, (i64, i64), (i64, i64), Vec<u8>);

/// Folders outside the store in which nothing may change. They are checked once more on drop.
#[derive(Debug)]
pub struct Bystanders {
    dir: PathBuf,
    before: BTreeMap<PathBuf, Look>,
}

impl Bystanders {
    /// Creates a folder with some files, among them names that a store uses, and records its state.
    pub fn make(dir: &Path) -> Bystanders {
        for (path, bytes) in [
            ("file", "bystander"),
            ("sub/deep/file", "bystander, deep"),
            ("manifest", "no manifest"),
            ("tree/a", "bystander in a tree"),
            ("a", "bystander a"),
        ] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("make a folder");
            fs::write(path, bytes).expect("write a file");
        }
        Bystanders::watch(dir)
    }

    /// Records the state of a folder.
    pub fn watch(dir: &Path) -> Bystanders {
        Bystanders { dir: dir.to_owned(), before: look(dir) }
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Fails if anything in the folder changed: names, bytes, modes, links or times.
    #[track_caller]
    pub fn check(&self, when: &str) {
        assert_eq!(look(&self.dir), self.before, "{when}: something outside the store changed");
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // A test may have removed the whole place.
        if !std::thread::panicking() && self.dir.symlink_metadata().is_ok() {
            self.check("at the end");
        }
    }
}

fn look(dir: &Path) -> BTreeMap<PathBuf, Look> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).expect("stat");
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                let entries = fs::read_dir(&path).expect("list");
                left.extend(entries.map(|entry| entry.expect("an entry").path()));
                vec![]
            }
            kind if kind.is_symlink() => {
                fs::read_link(&path).expect("read a link").into_os_string().into_encoded_bytes()
            }
            _ => fs::read(&path).expect("read"),
        };
        let times = |secs, nanos| (secs, nanos);
        let look = (
            meta.ino(),
            meta.mode(),
            meta.nlink(),
            meta.size(),
            times(meta.mtime(), meta.mtime_nsec()),
            times(meta.ctime(), meta.ctime_nsec()),
            content,
        );
        found.insert(path, look);
    }
    found
}

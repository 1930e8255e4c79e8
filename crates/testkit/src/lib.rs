//! Shared parts of the tests of genstore: temporary folders, trees in a short notation, and checks of a
//! whole store that do not use the code under test.
//!
//! Dev only.
#![allow(clippy::disallowed_methods, reason = "tests make and break files")]

mod chance;
mod clock;
mod countdown;
mod itself;
mod loopfs;
mod mounts;
mod replay;
mod skip;
mod store;
mod things;
mod trees;
mod way;

pub use chance::Chance;
pub use clock::{at, settle};
pub use countdown::{
    End, FAILURES, Fault, KINDS, Task, child_task, count_down, count_down_in_turn, kill_at,
};
pub use genstore_torture::trees::{
    Thing, Things, put, read_tree, same_content, things, without_mtimes, words,
};
pub use itself::itself;
pub use loopfs::{LoopFs, target_dir};
pub use mounts::{Bystanders, bind, in_own_mounts, mount, unmount, unmount_below};
pub use replay::replay;
pub use skip::{has_node_modules, has_program, is_root, skip_on_this_machine, skip_without_package};
pub use store::{
    assert_clean, assert_clean_for, calls, collect, commit, commit_in, id, keep, open, options, plan_of,
    publish, try_open,
};
pub use things::{change_tree, give, is_nothing_lost, write_tree};
pub use trees::Trees;
pub use way::Way;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Creates a folder that is removed at the end.
///
/// It is in memory if possible, because thousands of fault runs flush thousands of times.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new().prefix("genstore-test-").to_owned();
    match memory.metadata() {
        Ok(_) => builder.tempdir_in(memory),
        Err(_) => builder.tempdir(),
    }
    .expect("a folder for the test")
}

/// Counts the bytes that this process reads while `act` runs.
pub fn bytes_read(act: impl FnOnce()) -> usize {
    let read = || -> usize {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
        line.parse().unwrap()
    };
    let before = read();
    act();
    read() - before
}

/// Lists the debris of dead processes: anything in `staging/`.
pub fn debris(store: &Path) -> Vec<String> {
    genstore_torture::trees::names(&store.join("staging")).expect("list staging")
}

/// Lists the names in a folder, in order.
pub fn names(dir: &Path) -> Vec<String> {
    assert!(dir.is_dir(), "{} is no folder", dir.display());
    genstore_torture::trees::names(dir).expect("list")
}

/// Lists everything below a folder, in the order of the names.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    genstore_torture::trees::below(dir).expect("list")
}

/// Lists the files of the objects.
pub fn objects(store: &Path) -> Vec<PathBuf> {
    below(&store.join("objects")).into_iter().filter(|path| path.is_file()).collect()
}

/// Returns the inodes of all objects.
pub fn object_inodes(store: &Path) -> BTreeSet<u64> {
    genstore_torture::trees::object_inodes(store).expect("list the objects")
}

/// Copies a folder or a file with its hard links, modes, mtimes and owners.
pub fn copy_exactly(from: &Path, to: &Path) {
    genstore_torture::trees::copy_exactly(from, to).expect("copy");
}

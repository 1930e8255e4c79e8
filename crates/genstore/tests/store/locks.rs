//! The users who can block writers.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use super::*;

/// A user without rights to the store.
const STRANGER: u32 = 65_534;

fn mode(store: &Store, lock: &str) -> u32 {
    store.path().join(lock).metadata().unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn flock(store: &Store, lock: &str) -> Command {
    let mut command = Command::new("flock");
    command.args(["-n", "-x"]).arg(store.path().join(lock)).uid(STRANGER).gid(STRANGER);
    command.stderr(Stdio::null());
    command
}

#[test]
fn lock_files_are_for_those_who_may_write_to_the_store() {
    let dir = scratch();
    let store = open(dir.path());
    let locks = ["locks/store", "locks/commit", "locks/watch"];
    drop(store.lock_watch().unwrap());
    for (store_mode, expected) in [(0o755, 0o600), (0o775, 0o660), (0o777, 0o666), (0o700, 0o600)] {
        set_mode(store.path(), store_mode);
        // As the first programs of this format created them.
        locks.iter().for_each(|lock| set_mode(&store.path().join(lock), 0o644));
        drop(commit(&store, &plan_of(&[("n", &format!("={store_mode}"))])).unwrap());
        drop(store.lock_watch().unwrap());
        for lock in locks {
            assert_eq!(mode(&store, lock), expected, "{lock} of {store_mode:o}");
        }
    }
}

#[test]
fn whoever_completes_a_store_writes_no_notice_beside_a_writer() {
    let dir = scratch();
    let store = open(dir.path());
    let notice = store.path().join("notice");
    // The view of a process that begins to create the store, while another one is at its first commit.
    let unmake = || fs::remove_dir(store.path().join("views")).unwrap();
    unmake();
    fs::write(&notice, "").unwrap();
    let held = fs::File::open(store.path().join("locks/commit")).unwrap();
    held.lock().unwrap();
    drop(open(dir.path()));
    assert_eq!(fs::read(&notice).unwrap(), b"");
    drop(held);
    drop(store.begin().unwrap());
    assert!(fs::read_to_string(&notice).unwrap().starts_with("0 "));
}

#[test]
fn a_stranger_who_holds_a_lock_is_named_and_cannot_take_it_again() {
    let dir = scratch();
    let store = open(dir.path());
    if store.path().metadata().unwrap().uid() != 0 || Command::new("flock").arg("-V").output().is_err() {
        skip_on_this_machine("the test needs root and the program flock");
        return;
    }
    set_mode(dir.path(), 0o755);
    for lock in ["locks/store", "locks/commit"] {
        let refused = flock(&store, lock).arg("true").status().unwrap();
        assert!(!refused.success(), "{lock}: a stranger cannot open it");
        // A store of an older program, whose lock a stranger holds already.
        set_mode(&store.path().join(lock), 0o644);
        let mut holder = flock(&store, lock)
            .args(["-c", "echo held; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "{lock}");
        let mut options = ticking(2_000_000);
        options.lock_timeout = Duration::ZERO;
        let hasty = Store::open(store.path(), options).unwrap();
        let error = commit(&hasty, &plan_of(&[("n", &format!("={lock}"))])).map(drop).unwrap_err();
        let Error::Locked { path, holders, .. } = &error else { panic!("{lock}: {error}") };
        assert_eq!(path, &store.path().join(lock));
        assert!(holders.iter().any(|holder| holder.user == Some(STRANGER)), "{holders:?}");
        assert!(error.to_string().contains(&format!(" of user {STRANGER}")), "{error}");
        // The end of its input ends it.
        drop(holder.stdin.take());
        holder.wait().unwrap();
        drop(commit(&hasty, &plan_of(&[("n", &format!("={lock}"))])).unwrap());
        assert!(!flock(&store, lock).arg("true").status().unwrap().success(), "{lock}");
        // A check needs no lock that only writers may take.
        assert_eq!(mode(&store, lock), 0o600);
    }
}

//! Mounts that only a command sees.

#![allow(clippy::disallowed_methods, reason = "tests write files")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use genstore_run::{Ended, Job, Mount, Output, start};

use crate::support::*;

/// Prints its variable, and the names in the folder.
const LOOKS: &str = "echo $PLACE; ls place; echo new > \"$PLACE/b\"";

fn job(dir: &Path, at: &str) -> Job {
    let mount = Mount { folder: dir.join("folder"), at: dir.join(at), variable: "PLACE".into() };
    let env = vec![("PLACE".into(), "folder".into())];
    Job { cwd: Some(dir.to_owned()), env, mount: Some(mount), ..script(LOOKS) }
}

/// Runs a job. Returns its stdout, and the reason why it had no mount.
fn run_it(job: &Job) -> (String, Option<String>) {
    let said = Arc::new(Mutex::new(vec![]));
    let bytes = Arc::clone(&said);
    let output = Output::to(move |_, chunk: &[u8]| {
        bytes.lock().unwrap().extend(chunk);
        Ok(())
    });
    let mut running = start(&guard(), job, output).unwrap();
    let why = running.unmounted().map(ToString::to_string);
    running.wait(None, None);
    assert_eq!(running.finish().ended, Ended::Exited(0));
    (String::from_utf8(said.lock().unwrap().clone()).unwrap(), why)
}

fn folders() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["folder", "place"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join(format!("of-{name}")), "").unwrap();
    }
    dir
}

#[test]
fn only_the_command_sees_it() {
    // As root, or as another user.
    let can = [&["--mount", "true"][..], &["--user", "--mount", "true"]]
        .iter()
        .any(|words| Command::new("unshare").args(*words).output().is_ok_and(|done| done.status.success()));
    let dir = folders();
    let place = dir.path().join("place");
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (said, why) = run_it(&job(dir.path(), "place"));
    if can {
        assert_eq!((said, why), (format!("{}\nof-folder\n", place.display()), None));
        assert!(dir.path().join("folder/b").try_exists().unwrap());
    }
    assert_eq!(fs::read_dir(place).unwrap().count(), 1);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

#[test]
fn without_it_the_command_runs_and_the_reason_is_known() {
    let dir = folders();
    let (said, why) = run_it(&job(dir.path(), "missing"));
    assert_eq!(said, "folder\nof-place\n");
    let why = why.unwrap();
    assert!(why.contains("No such file or directory") || why.contains("not permitted"), "{why}");
    assert!(dir.path().join("folder/b").try_exists().unwrap());
}

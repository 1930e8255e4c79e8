//! Tests of the checks: a store is broken by hand, and each check must find it.

#![allow(clippy::disallowed_methods, reason = "tests make and break files")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use genstore::faults::FaultKind;
use genstore::plan::ScanRules;
use genstore::{CommitOptions, Options, Plan, StageOptions, Store};
use tempfile::TempDir;

use crate::check::{self, End, Shown, judge_end};
use crate::place;

/// A place whose store was published to from `a` and then from `b`, and the states in between.
struct Broken {
    path: PathBuf,
    before: Shown,
    after: Shown,
    _temp: TempDir,
}

impl Broken {
    fn new() -> Broken {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("place");
        place::make(&path).unwrap();
        place::make_sources(temp.path()).unwrap();
        symlink("store/current", path.join("site")).unwrap();
        let mut shown = ["a", "b"].map(|source| {
            publish(&path, &temp.path().join(source));
            Shown::of(&path).unwrap()
        });
        let [before, after] = shown.each_mut().map(std::mem::take);
        assert_ne!(before, after);
        Broken { path, before, after, _temp: temp }
    }

    /// Breaks something, and compares the message of the checks.
    #[track_caller]
    fn says(&self, expected: &str) {
        let told = Shown::of(&self.path).and_then(|shown| shown.judge(&self.before, &self.after, false));
        assert_eq!(told.as_ref().map_err(String::as_str), Err(expected));
    }
}

fn publish(place: &Path, source: &Path) {
    let options = Options::new(Arc::new(|| SystemTime::UNIX_EPOCH));
    let store = Store::init(&place.join(place::STORE), options).unwrap().store;
    let plan = Plan::scan(source, &ScanRules::default()).unwrap();
    let staged = store.stage(&plan, StageOptions::default()).unwrap();
    drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
}

#[test]
fn the_old_tree_and_the_new_one_are_fine() {
    let broken = Broken::new();
    for shown in [&broken.before, &broken.after] {
        assert_eq!(shown.judge(&broken.before, &broken.after, false), Ok(()));
    }
    assert_eq!(check::debris(&broken.path), Ok(vec![]));
    assert_eq!(broken.after.compare(&broken.after), Ok(()));
    let told = broken.before.compare(&broken.after).unwrap_err();
    assert!(told.starts_with("store/current: a.txt has other bytes, "), "{told}");
}

#[test]
fn whatever_changes_outside_the_store_is_told() {
    let told = |change: &dyn Fn(&Path)| {
        let broken = Broken::new();
        let outside = place::outside(&broken.path);
        assert_eq!(check::judge_outside(&broken.path), Ok(()));
        change(&outside);
        check::judge_outside(&broken.path).unwrap_err()
    };
    let chmod = |path: &Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode).unwrap();
    };
    let file = "outside the store file was changed";
    assert_eq!(told(&|dir| chmod(&dir.join("file"), 0o444)), file);
    assert_eq!(told(&|dir| fs::hard_link(dir.join("file"), dir.with_file_name("link")).unwrap()), file);
    assert_eq!(told(&|dir| fs::write(dir.join("file"), "outside").unwrap()), file, "its mtime");
    let folder = "outside the store the folder was changed";
    assert_eq!(told(&|dir| fs::write(dir.join("new"), "").unwrap()), folder);
    assert_eq!(told(&|dir| chmod(&dir.join("sub"), 0o700)), folder);
    assert!(told(&|dir| fs::remove_file(dir.join("sub/deep")).unwrap()).contains("sub/deep"));
}

#[test]
fn a_missing_file_is_told() {
    let broken = Broken::new();
    fs::remove_file(broken.path.join("store/current/new/c.txt")).unwrap();
    broken.says("store/current is neither the old nor the new tree: new/c.txt is missing");
}

#[test]
fn other_bytes_modes_and_strangers_are_told() {
    let broken = Broken::new();
    let path = broken.path.join("store/current/new/d.txt");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "secon").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    broken.says("store/current is neither the old nor the new tree: new/d.txt has other bytes");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "second").unwrap();
    broken.says("store/current is neither the old nor the new tree: new/d.txt is something else");
    let broken = Broken::new();
    fs::write(broken.path.join("store/current/more"), "").unwrap();
    broken.says("store/current is neither the old nor the new tree: more is too much");
}

#[test]
fn a_current_that_is_gone_or_leads_nowhere_is_told() {
    let broken = Broken::new();
    let current = broken.path.join(place::CURRENT);
    fs::remove_file(&current).unwrap();
    fs::remove_file(broken.path.join("site")).unwrap();
    broken.says("store/current is neither the old nor the new tree: it is absent");
    symlink("generations/7/tree", &current).unwrap();
    broken.says("store/current cannot be read: No such file or directory (os error 2)");
}

#[test]
fn a_view_that_shows_half_is_told() {
    let broken = Broken::new();
    let site = broken.path.join("site");
    fs::remove_file(&site).unwrap();
    crate::trees::copy_exactly(&broken.path.join("store/generations/2/tree"), &site).unwrap();
    fs::remove_dir_all(site.join("new")).unwrap();
    broken.says(
        "site is neither the old nor the new tree: new is missing, new/c.txt is missing, new/d.txt is missing",
    );
}

#[test]
fn what_is_between_is_fine_only_where_damage_is_mended() {
    let broken = Broken::new();
    // The new tree with one file of the old one.
    let path = broken.path.join("store/current/a.txt");
    fs::remove_file(&path).unwrap();
    fs::hard_link(broken.path.join("store/generations/1/tree/a.txt"), &path).unwrap();
    let shown = Shown::of(&broken.path).unwrap();
    assert_eq!(shown.judge(&broken.before, &broken.after, true), Ok(()));
    assert!(shown.judge(&broken.before, &broken.after, false).is_err());
    fs::remove_file(&path).unwrap();
    fs::write(&path, "neither").unwrap();
    assert!(Shown::of(&broken.path).unwrap().judge(&broken.before, &broken.after, true).is_err());
}

#[test]
fn a_mirror_may_be_on_the_way_and_misses_nothing() {
    let mut broken = Broken::new();
    let mirror = broken.path.join("mirror");
    let tree = |generation: u64| broken.path.join(format!("store/generations/{generation}/tree"));
    let [old, new] = [tree(1), tree(2)];
    let mut shown = [&old, &new].map(|tree| {
        crate::trees::copy_exactly(tree, &mirror).unwrap();
        let shown = Shown::of(&broken.path).unwrap();
        fs::remove_dir_all(&mirror).unwrap();
        shown
    });
    [broken.before, broken.after] = shown.each_mut().map(std::mem::take);
    crate::trees::copy_exactly(&old, &mirror).unwrap();
    fs::copy(new.join("a.txt"), mirror.join("a.txt")).unwrap();
    fs::create_dir(mirror.join("new")).unwrap();
    let judge = |shown: &Shown| shown.judge(&broken.before, &broken.after, false);
    assert_eq!(judge(&Shown::of(&broken.path).unwrap()), Ok(()));
    fs::remove_file(mirror.join("dir/b.txt")).unwrap();
    assert_eq!(judge(&Shown::of(&broken.path).unwrap()), Ok(()));
    // Both trees have this file.
    fs::remove_file(mirror.join("bin/run")).unwrap();
    assert!(judge(&Shown::of(&broken.path).unwrap()).is_err());
    fs::copy(new.join("bin/run"), mirror.join("bin/run")).unwrap();
    fs::remove_file(mirror.join("a.txt")).unwrap();
    fs::write(mirror.join("a.txt"), "neither").unwrap();
    assert!(judge(&Shown::of(&broken.path).unwrap()).is_err());
}

#[test]
fn debris_is_told() {
    let broken = Broken::new();
    fs::create_dir(broken.path.join("store/staging/s-dead")).unwrap();
    fs::write(broken.path.join("store/staging/s-dead.claim"), "").unwrap();
    fs::write(broken.path.join("store/views/00.pending"), "").unwrap();
    symlink("store/current", broken.path.join(".genstore-view-1")).unwrap();
    let expected = [
        "store/staging/s-dead",
        "store/staging/s-dead.claim",
        "store/views/00.pending",
        ".genstore-view-1",
    ];
    assert_eq!(check::debris(&broken.path).unwrap(), expected);
    assert_eq!(check::stages(&broken.path).unwrap(), ["dead"]);
}

#[test]
fn objects_are_counted_by_their_inodes() {
    let broken = Broken::new();
    let objects = check::objects(&broken.path).unwrap();
    let folder = broken.path.join("store/objects/ab");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("one"), "").unwrap();
    fs::hard_link(folder.join("one"), folder.join("two")).unwrap();
    assert_eq!(check::objects(&broken.path).unwrap(), objects + 1);
}

#[test]
fn a_folder_that_a_view_replaced_must_be_kept() {
    let broken = Broken::new();
    let site = broken.path.join("site");
    fs::remove_file(&site).unwrap();
    place::make_folder(&site).unwrap();
    let before = Shown::of(&broken.path).unwrap();
    fs::rename(&site, broken.path.join("site.before-genstore")).unwrap();
    assert_eq!(before.check_folder(&broken.path), Ok(()));
    fs::remove_file(broken.path.join("site.before-genstore/deep/mine")).unwrap();
    assert!(before.check_folder(&broken.path).is_err());
}

#[test]
fn what_was_given_away_is_whole_or_committed() {
    let broken = Broken::new();
    assert!(check::given(&broken.path).unwrap().is_empty());
    assert_eq!(check::judge_consumed(&broken.path), Ok(()));
    place::give(&broken.path, crate::trees::TREE_C).unwrap();
    let path = |below: &str| broken.path.join(place::GIVEN).join(below);
    let given = check::given(&broken.path).unwrap();
    let judge =
        |is_committed| check::judge_given(&check::given(&broken.path).unwrap(), &given, is_committed);
    assert_eq!(check::judge_consumed(&broken.path), Err("given: a.txt is not consumed".to_owned()));
    // A file that is being moved in is read-only.
    fs::set_permissions(path("a.txt"), std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    assert_eq!(judge(false), Ok(()));
    fs::remove_file(path("a.txt")).unwrap();
    assert_eq!(judge(true), Ok(()));
    let told = "given: a.txt is missing, and it was not committed";
    assert_eq!(judge(false), Err(told.to_owned()));
    fs::write(path("bin/more"), "half").unwrap();
    let told = "given: a.txt is missing, bin/more has other bytes";
    assert_eq!(judge(true), Err(told.to_owned()));
    // Empty folders and symlinks stay.
    place::give(&broken.path, &[("a/hollow", "/"), ("link", ">a")]).unwrap();
    assert_eq!(check::judge_consumed(&broken.path), Ok(()));
}

#[test]
fn ends_are_as_documented() {
    use FaultKind::{Eio, Kill};
    let check = |exit, signal, kind, expected, end: Result<End, &str>| {
        let found = judge_end(exit, signal, kind, expected);
        assert_eq!(found.as_ref().map_err(String::as_str), end.as_ref().map_err(|e| *e));
    };
    check(None, Some(9), Kill, 0, Ok(End::Killed));
    check(None, Some(9), Eio, 0, Err("it was ended by signal 9"));
    check(None, Some(6), Kill, 0, Err("it was ended by signal 6"));
    check(Some(0), None, Eio, 0, Ok(End::Done));
    check(Some(3), None, Eio, 0, Ok(End::Done));
    check(Some(1), None, Eio, 0, Ok(End::Failed));
    check(Some(101), None, Eio, 0, Err("it ended with the exit status 101"));
    check(Some(4), None, Eio, 0, Err("it ended with the exit status 4"));
    // An audit refuses: success would be wrong.
    check(Some(5), None, Eio, 5, Ok(End::Failed));
    check(Some(0), None, Eio, 5, Err("it ended with the exit status 0"));
}

#[test]
fn a_sample_is_even_and_has_both_ends() {
    assert_eq!(super::sample(10, Some(4)), [1, 4, 7, 10]);
    assert_eq!(super::sample(3, Some(4)), [1, 2, 3]);
    assert_eq!(super::sample(9, Some(1)), [5]);
    assert_eq!(super::sample(0, Some(1)), [0; 0]);
    assert_eq!(super::sample(4, None), [1, 2, 3, 4]);
}

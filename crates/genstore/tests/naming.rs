//! An object with a name is durable for every publisher that finds it (INV-3), even if the publisher
//! that created the name died, failed, or is still running. A failed publish leaves no objects.

use crate::prelude::*;

/// The files of the first publisher, which the second one finds.
const SHARED: [&str; 3] = ["one", "two", "three"];

fn open_with(path: &Path, faults: Faults, durability: Durability) -> Store {
    let mut options = options(faults);
    options.durability = durability;
    Store::init(path, options).unwrap().store
}

fn publish(store: &Store, contents: &[&str]) -> genstore::Result<Publication> {
    let files = contents.iter().map(|content| (format!("d/{content}"), format!("={content}")));
    let files: Vec<_> = files.collect();
    let files: Vec<_> = files.iter().map(|(path, bytes)| (&**path, &**bytes)).collect();
    commit(store, &plan_of(&files))
}

/// The files of the second publisher: all of the first one's, and one of its own.
fn second() -> Vec<&'static str> {
    [&SHARED[..], &["four"]].concat()
}

fn first_generation(path: &Path) {
    drop(publish(&open(path, Faults::default()), &["base"]).unwrap());
}

/// Lists the objects, as `ab/cdef…`.
fn objects(path: &Path) -> BTreeSet<String> {
    let name = |object: PathBuf| object.strip_prefix(path.join("objects")).unwrap().display().to_string();
    genstore_testkit::objects(path).into_iter().map(name).collect()
}

/// Publishes, and returns the calls with paths below the store.
fn calls(path: &Path, durability: Durability, act: impl FnOnce(&Store)) -> Vec<String> {
    let faults = Faults::record();
    act(&open_with(path, faults.clone(), durability));
    genstore_testkit::calls(&faults, path)
}

/// Returns the objects that no call flushes before `current` moves, neither by folder nor by a flush of
/// everything.
fn unflushed(calls: &[String], objects: &BTreeSet<String>) -> Vec<String> {
    let moved = calls.iter().position(|call| call == "rename current").expect("it was published");
    let before = &calls[..moved];
    if before.iter().any(|call| call == "syncfs objects" || call == "syncfs .") {
        return vec![];
    }
    let flushed = |folder: &str| before.contains(&format!("fsync {folder}"));
    let is_flushed = |object: &&String| flushed("objects") && flushed(&format!("objects/{}", &object[..2]));
    objects.iter().filter(|object| !is_flushed(object)).cloned().collect()
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    let durability = if words[0] == "none" { Durability::None } else { Durability::Full };
    drop(publish(&open_with(&place, faults, durability), &SHARED).unwrap());
}

/// Returns the first and the last step, counted from 1, between which names exist that are not durable,
/// and the number of steps.
fn window(durability: Durability) -> (usize, usize, usize) {
    let dir = scratch();
    let path = dir.path().join("store");
    first_generation(&path);
    let calls = calls(&path, durability, |store| drop(publish(store, &SHARED).unwrap()));
    let first = calls.iter().position(|call| call.starts_with("link objects/")).unwrap() + 1;
    let last =
        calls.iter().rposition(|call| call.starts_with("fsync objects")).map_or(calls.len(), |at| at + 1);
    (first, last, calls.len())
}

#[test]
fn names_of_a_publisher_that_died_are_made_durable_by_the_next_one() {
    let (first, last, steps) = window(Durability::Full);
    assert!(first + 2 < last && last < steps, "{first} {last} {steps}");
    let mut reused = 0;
    for step in first..=steps.min(last + 4) {
        let dir = scratch();
        let path = dir.path().join("store");
        first_generation(&path);
        let before = objects(&path);
        let task = Task::new(child, &path, &["full"]);
        assert!(kill_at(step as u64, &task), "step {step}");
        let left: BTreeSet<String> = objects(&path).difference(&before).cloned().collect();
        let calls = calls(&path, Durability::Full, |store| drop(publish(store, &second()).unwrap()));
        // Their order differs from run to run, so at the edges there may be nothing to flush.
        if step > first && step <= last {
            assert_eq!(unflushed(&calls, &left), [""; 0], "killed at step {step}: {calls:#?}");
            reused += left.len();
        } else if step > last + 1 {
            // Durable names are not flushed again: at most the folder of the new object.
            let folders = calls.iter().filter(|call| call.starts_with("fsync objects/")).count();
            assert!(folders <= 1, "killed at step {step}: {calls:#?}");
        }
        assert_eq!(debris(&path), [""; 0], "step {step}");
        assert!(open(&path, Faults::default()).verify(None, Depth::Full).unwrap().is_clean());
    }
    assert!(reused >= SHARED.len(), "{reused}");
}

#[test]
fn names_that_another_publisher_is_giving_now_are_flushed_by_both() {
    let (_, last, _) = window(Durability::Full);
    let dir = scratch();
    let path = dir.path().join("store");
    first_generation(&path);
    let before = objects(&path);
    // Killed right before its last flush. The test holds its lock, as if it were alive.
    let task = Task::new(child, &path, &["full"]);
    assert!(kill_at(last as u64, &task));
    let lock = debris(&path).into_iter().find(|name| name.ends_with(".lock")).unwrap();
    let lock = fs::File::open(path.join("staging").join(lock)).unwrap();
    lock.lock().unwrap();
    let left: BTreeSet<String> = objects(&path).difference(&before).cloned().collect();
    assert_eq!(left.len(), SHARED.len());
    let found = calls(&path, Durability::Full, |store| drop(publish(store, &second()).unwrap()));
    assert_eq!(unflushed(&found, &left), [""; 0], "{found:#?}");
    // If no folder is common, nothing is flushed for it.
    let found = calls(&path, Durability::Full, |store| drop(publish(store, &["base", "five"]).unwrap()));
    let folders = found.iter().filter(|call| call.starts_with("fsync objects/")).count();
    assert_eq!(folders, 1, "{found:#?}");
    drop(lock);
    assert_eq!(debris(&path).len(), 2, "it was left alone");
    drop(publish(&open(&path, Faults::default()), &["six"]).unwrap());
    assert_eq!(debris(&path), [""; 0]);
}

#[test]
fn a_publish_that_fails_takes_its_objects_back() {
    let (.., steps) = window(Durability::Full);
    let (mut failed, mut left) = (0, 0);
    for kind in [FaultKind::Eio, FaultKind::Full] {
        for step in 1..=steps as u64 {
            let dir = scratch();
            let path = dir.path().join("store");
            first_generation(&path);
            let before = objects(&path);
            let faults = Faults::inject(FaultPlan::step(step, kind));
            if publish(&open(&path, faults), &SHARED).is_ok() {
                continue;
            }
            failed += 1;
            // If it could not even remove the generation, recovery does that, and gc the rest.
            let is_left = path.join("generations/2").exists();
            left += u64::from(is_left);
            assert!(is_left || objects(&path) == before, "{kind:?} at step {step}");
            // The disk has space again, and the next publish finds none of its objects.
            let done = publish(&open(&path, Faults::default()), &SHARED).unwrap();
            assert_eq!(done.new_objects, if is_left { 0 } else { 3 }, "{kind:?} at step {step}");
            assert_eq!(debris(&path), [""; 0], "{kind:?} at step {step}");
            assert!(open(&path, Faults::default()).verify(None, Depth::Full).unwrap().is_clean());
        }
    }
    assert!(failed > 2 * 20 && left < 5, "{failed}, {left}");
}

#[test]
fn objects_that_others_may_need_are_left_and_flushed() {
    let (first, last, steps) = window(Durability::Full);
    let dir = scratch();
    let path = dir.path().join("store");
    first_generation(&path);
    // Another publisher is staging, and may have found any object.
    let other = open(&path, Faults::default());
    let plan = plan_of(&[("x", "=x")]);
    let staged = other.stage(&plan, StageOptions::default()).unwrap();
    let before = objects(&path);
    // The last flush of names fails.
    let faults = Faults::inject(FaultPlan::step(last as u64, FaultKind::Eio));
    assert!(publish(&open(&path, faults), &SHARED).is_err());
    let left: BTreeSet<String> = objects(&path).difference(&before).cloned().collect();
    assert_eq!(left.len(), SHARED.len(), "{first} {last} {steps}");
    let found = calls(&path, Durability::Full, |store| drop(publish(store, &second()).unwrap()));
    assert_eq!(unflushed(&found, &left), [""; 0], "{found:#?}");
    drop(staged);
    // A generation needs them by now, although the next failing publish is alone.
    let faults = Faults::inject(FaultPlan::stage(genstore::faults::FaultStage::Number, FaultKind::Eio));
    let store = open(&path, faults);
    let plan = plan_of(&[("y", "=y")]);
    let staged = store.stage(&plan, StageOptions::default()).unwrap();
    drop(publish(&open(&path, Faults::default()), &["y"]).unwrap());
    assert!(staged.unaudited().commit(&CommitOptions::default()).is_err());
    let report = open(&path, Faults::default()).verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

#[test]
fn what_was_written_without_flushes_is_flushed_by_the_next_one_that_does() {
    let flushes_all = |calls: &[String]| calls.iter().any(|call| call == "syncfs .");
    let (first, _, steps) = window(Durability::None);
    for step in first as u64 - 2..=steps as u64 {
        let dir = scratch();
        let path = dir.path().join("store");
        first_generation(&path);
        let before = objects(&path);
        let task = Task::new(child, &path, &["none"]);
        assert!(kill_at(step, &task), "step {step}");
        let left: BTreeSet<String> = objects(&path).difference(&before).cloned().collect();
        let found = calls(&path, Durability::Full, |store| drop(publish(store, &second()).unwrap()));
        if !left.is_empty() {
            let names = found.iter().any(|call| call == "syncfs objects");
            assert!(flushes_all(&found) || names, "killed at step {step}: {found:#?}");
        }
        assert_eq!(debris(&path), [""; 0], "step {step}");
        // Once is enough.
        let found = calls(&path, Durability::Full, |store| drop(publish(store, &["seven"]).unwrap()));
        assert!(!flushes_all(&found), "{found:#?}");
    }
    // A generation made without flushes is not durably current. The next writer, of any kind, makes it
    // so.
    let dir = scratch();
    let path = dir.path().join("store");
    first_generation(&path);
    drop(publish(&open_with(&path, Faults::default(), Durability::None), &SHARED).unwrap());
    let found = calls(&path, Durability::Full, |store| drop(publish(store, &SHARED).unwrap()));
    assert!(flushes_all(&found), "nothing else changes: {found:#?}");
    assert!(!path.join("unflushed").exists() && !path.join("unflushing").exists());
    // If that is interrupted, the writer after it does it.
    drop(publish(&open_with(&path, Faults::default(), Durability::None), &second()).unwrap());
    let flush = found.iter().position(|call| call == "syncfs .").unwrap() as u64 + 1;
    let faults = Faults::inject(FaultPlan::step(flush, FaultKind::Eio));
    assert!(publish(&open(&path, faults), &second()).is_err());
    let found = calls(&path, Durability::Full, |store| drop(publish(store, &second()).unwrap()));
    assert!(flushes_all(&found), "{found:#?}");
}

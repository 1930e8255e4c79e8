//! The hold after a rollback: it exists if and only if the rollback happened, and automatic
//! publications obey it.

use genstore::publish::HoldEnded;

use crate::prelude::*;

fn open(dir: &Path, faults: Faults) -> Store {
    let mut options = options(faults);
    options.actor = "a test".to_owned();
    Store::init(&dir.join("store"), options).unwrap().store
}

fn publish(store: &Store, content: &str, activate: Activate) -> Result<Publication, Error> {
    publish_in(Way::PLAIN, store, content, activate)
}

/// The published files are bytes in memory, so they are neither in the index nor consumed.
fn publish_in(way: Way, store: &Store, content: &str, activate: Activate) -> Result<Publication, Error> {
    let plan = plan_of(&[("file", &format!("={content}")), ("same", "=same")]);
    let staged = store.stage(&plan, way.staging())?;
    staged.unaudited().commit(&CommitOptions::default().activate(activate))
}

/// Makes two generations.
fn two(dir: &Path, way: Way) -> Store {
    let store = open(dir, Faults::default());
    for content in ["one", "two"] {
        assert!(publish_in(way, &store, content, Activate::Always).unwrap().current);
    }
    store
}

/// Makes two generations, and goes back to the first.
fn rolled_back(dir: &Path) -> Store {
    rolled_back_in(dir, Way::PLAIN)
}

fn rolled_back_in(dir: &Path, way: Way) -> Store {
    let store = two(dir, way);
    assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().generation, id(1));
    store
}

#[test]
fn what_publishes_by_itself_obeys_a_hold_and_what_a_person_publishes_ends_it() {
    let dir = scratch();
    let store = rolled_back(dir.path());
    let hold = store.hold().unwrap().unwrap();
    assert_eq!((hold.generation, hold.left, hold.since), (id(1), id(2), at(5_000)));
    assert_eq!(hold.by, "a test");
    let kept = publish(&store, "three", Activate::UnlessHeld).unwrap();
    assert_eq!((kept.generation, kept.changed, kept.current), (id(3), true, false));
    assert_eq!(store.current().unwrap(), Some(id(1)));
    assert!(publish(&store, "four", Activate::Always).unwrap().current);
    assert_eq!(store.hold().unwrap(), None);
    assert!(publish(&store, "five", Activate::UnlessHeld).unwrap().current);
    assert_eq!(store.current().unwrap(), Some(id(5)));
}

#[test]
fn a_switch_ends_a_hold_even_to_what_is_current() {
    for target in [1, 2] {
        let dir = scratch();
        let store = rolled_back(dir.path());
        drop(store.activate(&Rev::Number(id(target)), Expect::Any).unwrap());
        assert_eq!(store.hold().unwrap(), None, "switch to {target}");
    }
}

#[test]
fn ending_a_hold_shows_the_newest_good_build_since() {
    let dir = scratch();
    let store = rolled_back(dir.path());
    // Only the generation that was current before is newer, and it is marked as bad.
    let HoldEnded { hold, activation: activated, .. } = store.end_hold().unwrap();
    assert_eq!((hold.map(|hold| hold.left), activated.map(|a| a.generation)), (Some(id(2)), None));
    assert_eq!(store.current().unwrap(), Some(id(1)));

    drop(publish(&store, "three", Activate::Always).unwrap());
    drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
    for content in ["four", "five"] {
        assert!(!publish(&store, content, Activate::UnlessHeld).unwrap().current);
    }
    store.mark(&Rev::Number(id(5)), Mark::Bad, None).unwrap();
    let HoldEnded { activation: activated, .. } = store.end_hold().unwrap();
    assert_eq!(activated.map(|a| (a.previous, a.generation)), Some((Some(id(1)), id(4))));
    assert_eq!(store.hold().unwrap(), None);

    // Without a hold, nothing is done.
    drop(publish(&store, "six", Activate::Never).unwrap());
    let HoldEnded { hold, activation: activated, .. } = store.end_hold().unwrap();
    assert!(hold.is_none() && activated.is_none());
    assert_eq!(store.current().unwrap(), Some(id(4)));
}

#[test]
fn a_hold_that_cannot_be_read_ends_like_any_other() {
    let dir = scratch();
    let store = rolled_back(dir.path());
    fs::write(store.path().join("hold"), "no record\n").unwrap();
    assert_eq!(store.hold().unwrap_err().code(), "damaged");
    let ended = store.end_hold().unwrap();
    assert!(ended.hold.is_none() && ended.activation.is_none());
    assert_eq!(store.hold().unwrap(), None);
    assert!(publish(&store, "three", Activate::UnlessHeld).unwrap().current);
}

/// Fails a verb at each call, lets another writer settle it, and checks the hold.
fn at_each_call(
    name: &str,
    prepare: impl Fn(&Path) -> Store,
    verb: impl Fn(&Store) -> genstore::Result<()>,
    held: impl Fn(u64) -> bool,
) {
    let points = count_down(name, &FAILURES, 1, |fault, what| {
        let dir = scratch();
        let store = prepare(dir.path());
        let end = fault.fail(|faults| verb(&open(dir.path(), faults)));
        // Any writer settles first.
        store.mark(&Rev::Current { older: 0 }, Mark::Good, None).unwrap();
        let current = store.current().unwrap().unwrap().get();
        let what = format!("{what}, current is {current}");
        assert_eq!(store.hold().unwrap().is_some(), held(current), "{what}");
        assert_eq!(debris(&dir.path().join("store")), [""; 0], "{what}");
        assert_clean_for(&store, &what);
        end
    });
    assert!(points.iter().all(|&count| count > 3), "{name}: {points:?}");
}

/// `current` alone shows whether the rollback happened (INV-9).
#[test]
fn a_hold_is_there_if_and_only_if_the_rollback_is() {
    for way in Way::COPYING {
        let prepare = |dir: &Path| two(dir, way);
        let rollback = |store: &Store| store.rollback(1, MarkLeft::Bad).map(drop);
        at_each_call(&format!("rollback, {way}"), prepare, rollback, |current| current == 1);
    }
}

#[test]
fn a_hold_ends_if_and_only_if_the_publication_is() {
    for way in Way::COPYING {
        let prepare = |dir: &Path| rolled_back_in(dir, way);
        let is_held = |current| current == 1;
        let publish = |store: &Store| publish_in(way, store, "three", Activate::Always).map(drop);
        at_each_call(&format!("publish, {way}"), prepare, publish, is_held);
        let activate = |store: &Store| store.activate(&Rev::Number(id(2)), Expect::Any).map(drop);
        at_each_call(&format!("switch, {way}"), prepare, activate, is_held);
    }
}

/// The generation that was left is bad, and so retention has no reason to keep it.
#[test]
fn what_a_rollback_left_is_recycled_and_the_hold_stays() {
    let dir = scratch();
    let store = rolled_back_in(dir.path(), Way::ALL[3]);
    let kept = publish_in(Way::ALL[3], &store, "three", Activate::UnlessHeld).unwrap();
    assert_eq!((kept.recycled, kept.current), (Some(id(2)), false));
    assert_eq!(store.hold().unwrap().map(|hold| (hold.generation, hold.left)), Some((id(1), id(2))));
    assert_clean(&store);
}

#[test]
fn one_process_watches_at_a_time() {
    let dir = scratch();
    let store = open(dir.path(), Faults::default());
    let lock = store.lock_watch().unwrap();
    let other = open(dir.path(), Faults::default());
    assert!(matches!(other.lock_watch(), Err(Error::Locked { .. })));
    drop(lock);
    drop(other.lock_watch().unwrap());
}

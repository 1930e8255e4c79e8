//! The end of a change is not flushed: a power loss may bring its intent back. Recovery must then not
//! overwrite later durable changes (`store-layout.md`, "The end of a change").

use crate::prelude::*;

/// A change to a store.
type Change = fn(&Store);

fn publish(store: &Store, content: &str) {
    assert!(commit(store, &plan_of(&[("file", &format!("={content}"))])).unwrap().current);
}

fn two(path: &Path) -> Store {
    let store = open(path, Faults::default());
    for content in ["one", "two"] {
        publish(&store, content);
    }
    store
}

/// Runs `act`, and returns the calls that change the disk.
fn calls(path: &Path, act: impl FnOnce(&Store)) -> Vec<String> {
    let faults = Faults::record();
    act(&open(path, faults.clone()));
    genstore_testkit::calls(&faults, path)
}

/// Returns the intent that a change writes: does the same change in another store, without its end.
fn intent(change: Change) -> Vec<u8> {
    let dir = scratch();
    let path = dir.path().join("store");
    drop(two(&path));
    let copy = dir.path().join("copy");
    copy_exactly(&path, &copy);
    let ends = calls(&copy, change).iter().rposition(|call| call == "rename sequence").unwrap();
    change(&open(&path, Faults::inject(FaultPlan::step(ends as u64 + 1, FaultKind::Eio))));
    let sequence = fs::read(path.join("sequence")).unwrap();
    assert!(String::from_utf8_lossy(&sequence).contains("\"intent\""), "the change was not cut at its end");
    sequence
}

/// Restores the sequence that a power loss may bring back, and runs the next writer.
fn bring_back(path: &Path, sequence: &[u8]) {
    fs::write(path.join("sequence"), sequence).unwrap();
    // `pin` is a writer that changes neither marks nor holds nor `current`; its line in the log is its own.
    let pin = "there".parse().unwrap();
    open(path, Faults::default()).pin(&Rev::Current { older: 0 }, &pin, None, None).unwrap();
    assert!(!fs::read_to_string(path.join("sequence")).unwrap().contains("intent"));
    assert!(open(path, Faults::default()).verify(None, Depth::Full).unwrap().is_clean());
}

fn roll_back(store: &Store) {
    drop(store.rollback(1, MarkLeft::Bad).unwrap());
}

#[test]
fn an_intent_that_comes_back_finds_all_of_it_done() {
    for change in [roll_back as Change, |store| publish(store, "three")] {
        let sequence = intent(change);
        let dir = scratch();
        let path = dir.path().join("store");
        drop(two(&path));
        let store = open(&path, Faults::default());
        change(&store);
        let told = |name: &str| {
            let text = String::from_utf8(fs::read(path.join(name)).ok()?).unwrap();
            // The next writer's own line is no part of the change.
            let lines = text.lines().filter(|line| !line.contains("\"event\":\"pin\""));
            Some(lines.map(str::to_owned).collect::<Vec<String>>())
        };
        let tells = || ["log", "hold", "marks/2", "notice"].map(told);
        let (before, current) = (tells(), store.current().unwrap());
        bring_back(&path, &sequence);
        assert_eq!(tells(), before);
        assert_eq!(store.current().unwrap(), current);
    }
}

#[test]
fn nobody_waits_for_the_end() {
    for change in [roll_back as Change, |store| publish(store, "three")] {
        let dir = scratch();
        let path = dir.path().join("store");
        drop(two(&path));
        let calls = calls(&path, change);
        let end = calls.iter().rposition(|call| call == "rename sequence").unwrap();
        let flushes = calls[end..].iter().filter(|call| call.contains("sync")).count();
        assert_eq!(flushes, 0, "{calls:#?}");
        // All records that the intent covers are durable by then.
        let flushed = |what: &str| calls[..end].iter().rposition(|call| call == what);
        let last_told = calls[..end].iter().rposition(|call| call == "write log").unwrap();
        for told in ["fsync log", "fsync ."] {
            assert!(flushed(told).is_some_and(|at| at > last_told), "{told}: {calls:#?}");
        }
    }
}

#[test]
fn what_a_person_says_next_is_said_of_a_change_that_has_ended_durably() {
    let says: [(&str, Change); 3] = [
        ("marks/2", |store| store.mark(&Rev::Number(id(2)), Mark::Good, None).map(drop).unwrap()),
        ("hold", |store| drop(store.end_hold().unwrap())),
        ("hold", |store| drop(store.activate(&Rev::Number(id(1)), Expect::Any).unwrap())),
    ];
    for (name, say) in says {
        let dir = scratch();
        let path = dir.path().join("store");
        roll_back(&two(&path));
        let calls = calls(&path, say);
        let says = calls.iter().position(|call| {
            ["rename ", "unlink "].iter().any(|verb| call.strip_prefix(verb) == Some(name))
        });
        let says = says.unwrap_or_else(|| panic!("{name} is not among {calls:#?}"));
        assert!(calls[..says].contains(&"fsync .".to_owned()), "{name}: {calls:#?}");
    }
}

#[test]
fn the_next_change_takes_the_place_of_the_intent() {
    let dir = scratch();
    let path = dir.path().join("store");
    roll_back(&two(&path));
    let calls = calls(&path, |store| drop(store.activate(&Rev::Number(id(2)), Expect::Any).unwrap()));
    let noted = calls.iter().position(|call| call == "rename sequence").unwrap();
    let durable = noted + calls[noted..].iter().position(|call| call == "fsync .").unwrap();
    let says = calls.iter().position(|call| call == "rename marks/2").unwrap();
    assert!(durable < says, "{calls:#?}");
}

#[test]
fn a_generation_that_is_gone_gets_no_mark() {
    let sequence = intent(roll_back);
    let dir = scratch();
    let path = dir.path().join("store");
    let store = two(&path);
    roll_back(&store);
    let collected = genstore_testkit::collect(&store, 1).unwrap();
    assert_eq!(collected.generations, [id(2)]);
    bring_back(&path, &sequence);
    assert!(!path.join("marks/2").exists());
}

#[test]
fn a_generation_that_is_only_kept_is_there_once_its_intent_is_gone_for_good() {
    let dir = scratch();
    let path = dir.path().join("store");
    drop(two(&path));
    let calls = calls(&path, |store| {
        let plan = plan_of(&[("file", "=kept")]);
        assert!(!keep(store, &plan).unwrap().current);
    });
    let end = calls.iter().rposition(|call| call == "rename sequence").unwrap();
    assert!(calls[end..].contains(&"fsync .".to_owned()), "{calls:#?}");
}

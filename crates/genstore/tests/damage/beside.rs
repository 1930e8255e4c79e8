//! `verify` beside every writer raises no false alarm.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::place::{Place, options};
use crate::prelude::*;

/// The minimum number of acts of each writer, and of checks.
fn rounds() -> usize {
    let asked = std::env::var("GENSTORE_BESIDE").ok();
    asked.map_or(12, |count| count.parse().expect("GENSTORE_BESIDE is a number"))
}

/// The maximum number of acts during one check, so that the store does not grow without limit.
const AHEAD: usize = 16;

fn keep_three() -> Retention {
    Retention::only_last(3)
}

/// One act of a writer.
type Act = fn(&mut Place, &mut Chance, usize) -> genstore::Result<()>;

const WRITERS: &[(&str, Act)] = &[
    ("switch", |place, chance, _| place.switch(*chance.choose(&[1, 2, 4])).map(drop)),
    ("publish", |place, _, round| {
        let mut tree = place.trees[&4].clone();
        tree.insert("round".into(), Thing::File(round.to_string().into_bytes(), false, 1_000));
        place.publish(&tree, StageOptions::default(), true).map(drop)
    }),
    ("recycle", |place, chance, round| {
        let (_, newest) = place.trees.last_key_value().unwrap();
        let text = format!("{round}{}", chance.below(10)).into_bytes();
        let mut tree = newest.clone();
        tree.insert("round".into(), Thing::File(text, false, 1_000));
        let options = StageOptions::default().recycle(keep_three());
        place.publish(&tree, options, true).map(drop)
    }),
    ("rollback", |place, _, _| {
        drop(place.switch(4)?);
        place.store.rollback(1, MarkLeft::Unchanged).map(drop)
    }),
    ("gc", |place, _, _| place.store.collect(&place.store.plan_gc(&keep_three())?).map(drop)),
    ("pin", |place, _, _| {
        let name = "beside".parse().unwrap();
        place.store.pin(&"@".parse().unwrap(), &name, None, None)?;
        place.store.unpin(&name).map(drop)
    }),
    ("mark", |place, chance, _| {
        let mark = *chance.choose(&[Mark::Good, Mark::Bad]);
        place.store.mark(&"@".parse().unwrap(), mark, None).map(drop)
    }),
    ("view", |place, _, _| {
        let path = place.dir.join("beside");
        drop(place.store.add_view(&path, &ViewOptions::default())?);
        place.store.remove_view(&path).map(drop)
    }),
    ("begin", |place, _, round| {
        let stage = place.store.begin()?;
        fs::write(stage.path().join("x"), round.to_string()).unwrap();
        stage.abort()
    }),
];

#[test]
fn verify_raises_no_false_alarm_beside_a_writer() {
    for (name, act) in WRITERS {
        let dir = scratch();
        let mut place = Place::make(dir.path());
        let path = place.store.path().to_owned();
        let (is_over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (begins, begun) = std::sync::mpsc::sync_channel(AHEAD);
        let acts = std::thread::scope(|scope| {
            let (path, is_over, looks) = (&path, &is_over, &looks);
            let verifier = scope.spawn(move || {
                let begun = begun;
                let store = Store::open(path, options()).unwrap();
                // gc waits until no check runs, so each check begins together with one of its acts.
                let next = || {
                    if *name == "gc" {
                        return begun.recv().is_ok();
                    }
                    begun.try_iter().take(AHEAD).for_each(drop);
                    !is_over.load(Relaxed)
                };
                while next() {
                    let report = store.verify(None, Depth::Full).unwrap();
                    let nth = looks.fetch_add(1, Relaxed);
                    assert!(report.is_clean(), "beside {name}, look {nth}: {report:#?}");
                }
            });
            let mut chance = Chance::new(7);
            let mut acts = 0;
            while acts < rounds() || looks.load(Relaxed) < rounds() {
                let round = acts;
                acts += 1;
                // Empty if a check found damage and ended the loop.
                if begins.send(()).is_err() {
                    break;
                }
                act(&mut place, &mut chance, round).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            is_over.store(true, Relaxed);
            drop(begins);
            verifier.join().unwrap();
            // Recycled generations are not listed any more: some were removed, although `verify` was
            // checking them.
            assert!(*name != "recycle" || place.trees.len() < acts, "{} of {acts}", place.trees.len());
            acts
        });
        println!("{name}: {} looks beside {acts} acts", looks.into_inner());
    }
}

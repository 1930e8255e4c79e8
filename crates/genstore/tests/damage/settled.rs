//! A verb that fails settles its own change, so that the next writer has nothing to recover.

use super::place::{Place, options};
use crate::prelude::*;

#[test]
fn a_rollback_that_fails_leaves_nothing_begun() {
    count_down("rollback", &[FaultKind::Eio, FaultKind::Full], 1, |fault, words| {
        let dir = scratch();
        let place = Place::make(dir.path());
        let end = fault.fail(|faults| with(&place, faults).rollback(1, MarkLeft::Bad).map(drop));
        if end.is_failure() {
            let sequence = fs::read_to_string(place.at("sequence")).unwrap();
            // The remaining records need space, too.
            let is_full = fault.kind == FaultKind::Full;
            assert!(is_full || !sequence.contains("intent"), "{words}: {sequence}");
            let report = place.store.verify(None, Depth::Full).unwrap();
            assert!(report.is_clean(), "{words}: {report:#?}");
            assert_eq!(place.store.current().unwrap(), Some(id(4)), "{words}");
        }
        end
    });
}

/// If nothing can be written any more, the change stays interrupted. `verify` distinguishes it from
/// damage.
#[test]
fn what_a_dying_disk_cut_short_is_no_damage() {
    count_down("switch", &[FaultKind::EioFromHere], 1, |fault: Fault, words| {
        let dir = scratch();
        let place = Place::make(dir.path());
        let switch = |faults| with(&place, faults).activate(&"2".parse().unwrap(), Expect::Any).map(drop);
        let end: End = fault.fail(switch);
        let report = place.store.verify(None, Depth::Full).unwrap();
        assert!(report.is_clean(), "{words}: {report:#?}");
        end
    });
}

#[test]
fn what_was_killed_is_no_damage() {
    let dir = scratch();
    let mut place = Place::make(dir.path());
    drop(place.switch(2).unwrap());
    drop(place.publish(&things(1, &[("a", "=fifth")]), StageOptions::default(), true).unwrap());
    // As if a switch had been killed after the inodes were in their places and before `shown` was.
    let own = place.tree(2).join("own");
    let shown = fs::read(place.at("generations/2/shown")).unwrap();
    drop(place.switch(2).unwrap());
    drop(place.switch(5).unwrap());
    assert_ne!(shown, fs::read(place.at("generations/2/shown")).unwrap());
    fs::write(place.at("generations/2/shown"), &shown).unwrap();
    assert!(own.exists());
    let intent =
        "{\"high\":5,\"heals\":0,\"intent\":{\"kind\":\"activate\",\"generation\":2,\"marks\":[]}}";
    let record = format!("{intent}\n{}\n", Digest::of(intent.as_bytes()));
    fs::write(place.at("sequence"), &record).unwrap();
    assert_clean(&place.store);
}

fn with(place: &Place, faults: Faults) -> Store {
    let mut options = Options::new(Arc::new(|| at(2_000_000)));
    options.durability = self::options().durability;
    options.faults = faults;
    Store::open(place.store.path(), options).unwrap()
}

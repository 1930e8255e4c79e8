//! Checks the promises of the store, above all that `current` names one complete generation (INV-1).

use super::Place;
use super::scenarios::Scenario;
use crate::prelude::*;

/// Checks the state after a fault at any step.
pub(super) fn check_promises(
    scenario: &Scenario,
    place: &Place,
    before: Option<&Things>,
    after: &Things,
    what: &str,
) {
    let shown = place.shown();
    let is_old = match (&shown, before) {
        (Some(shown), Some(before)) => same_content(shown, before),
        (None, None) => true,
        _ => false,
    };
    let is_new = shown.as_ref().is_some_and(|shown| same_content(shown, after));
    // Consumed sources are not touched before they are in a generation and the commit has happened.
    for source in Trees::NAMES {
        let given = place.given(source);
        if given.symlink_metadata().is_ok() {
            let is_whole =
                read_tree(&given).is_ok_and(|found| same_content(&found, Trees::usual().get(source)));
            assert!(is_whole || is_new, "{what}: {source} is consumed, and nothing was committed");
            assert!(
                is_nothing_lost(&given, Trees::usual().get(source), &place.store()),
                "{what}: {source} is lost"
            );
        }
    }
    let is_mended = scenario.mends && shown.as_ref().is_some_and(|shown| is_between(shown, before, after));
    assert!(is_old || is_new || is_mended, "{what}: current is neither the old nor the new: {shown:#?}");

    // The next writer needs no help, and reaches the state of an uninterrupted run.
    let store = place.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
    match (scenario.act)(place, Faults::default()) {
        Err(e) if !scenario.again.contains(&e.code()) => {
            panic!("{what}: the same again: {e} ({:?})", std::error::Error::source(&e));
        }
        _ => {}
    }
    if scenario.mends {
        let shown = place.shown().unwrap_or_else(|| panic!("{what}: nothing is current again"));
        assert!(same_content(&shown, after), "{what}: the same again mends the rest: {shown:#?}");
    }
    for source in ["b", "a"] {
        let done = place.publish_with(Faults::default(), source, Activate::Always);
        assert_eq!(done.unwrap_or_else(|e| panic!("{what}: {e}")).warnings, [], "{what}");
    }
    let left = debris(&place.store());
    assert!(left.is_empty(), "{what}: debris is left: {left:?}");
    assert_clean_for(&store, what);
    assert!(same_content(&place.shown().expect("published"), &Trees::usual().a), "{what}");

    // gc finds every unreferenced object.
    let rule = Retention::only_last(0);
    let plan = store.plan_gc(&rule).unwrap_or_else(|e| panic!("{what}: {e}"));
    store.collect(&plan).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(object_inodes(&place.store()).len(), 5, "{what}: five contents are not empty");
}

/// Damaged paths are repaired one by one: each is unchanged or right.
fn is_between(shown: &Things, before: Option<&Things>, after: &Things) -> bool {
    let Some(before) = before else { return false };
    shown.len() == after.len()
        && shown
            .iter()
            .all(|(path, thing)| before.get(path) == Some(thing) || after.get(path) == Some(thing))
}

//! Damage at rest: `verify` finds it, no verb copies it to another generation, and repair together with
//! the right bytes removes it.

use super::kinds::{Comes, KINDS, Kind};
use super::place::{Place, options};
use crate::prelude::*;

/// The number of cases. The gate tries each kind a few times.
fn count() -> usize {
    let asked = std::env::var("GENSTORE_DAMAGES").ok();
    asked.map_or(3 * KINDS.len(), |count| count.parse().expect("GENSTORE_DAMAGES is a number"))
}

/// The next command, by a user who does not know of the damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Nothing,
    Publish(Way),
    PublishSame(Way),
    PublishAlways(Way),
    Switch(u64),
    Rollback,
}

impl Next {
    fn choose(chance: &mut Chance) -> Next {
        let way = *chance.choose(&Way::ALL);
        match chance.below(8) {
            0 => Next::Nothing,
            1 | 2 => Next::Publish(way),
            3 | 4 => Next::PublishSame(way),
            5 => Next::PublishAlways(way),
            6 => Next::Switch(*chance.choose(&[1, 2, 3])),
            _ => Next::Rollback,
        }
    }
}

#[test]
fn every_damage_is_seen_and_none_is_carried_on() {
    assert!(KINDS.len() >= 40);
    // All failures are reported, not only the first.
    let is_wrong = |nth: &usize| {
        std::panic::catch_unwind(|| one(&KINDS[nth % KINDS.len()], *nth as u64, false)).is_err()
    };
    let wrong: Vec<usize> = (0..count()).filter(is_wrong).collect();
    assert_eq!(wrong, [0; 0], "damages that were blessed or not mended; the messages are above");
    println!("{} damages of {} kinds", count(), KINDS.len());
}

/// Mounts in a stage without an owner while the damage is done and repaired, and in the generations
/// that gc then removes.
#[test]
fn no_damage_opens_a_way_to_what_is_mounted_inside() {
    needs!(in_own_mounts(no_damage_opens_a_way_to_what_is_mounted_inside));
    let is_wrong = |(nth, kind): &(usize, &Kind)| {
        std::panic::catch_unwind(|| one(kind, 1_000 + *nth as u64, true)).is_err()
    };
    let wrong: Vec<&str> = KINDS.iter().enumerate().filter(is_wrong).map(|(_, kind)| kind.name).collect();
    assert_eq!(wrong, [""; 0], "the messages are above");
}

fn mount_in_a_stage(place: &Place) {
    let stage = place.store.begin().unwrap();
    let deep = stage.path().join("deep");
    fs::create_dir(&deep).unwrap();
    bind(place.outside.path(), &deep);
    drop(stage.leave_to(Owner::Until(at(1))).unwrap());
}

fn collect_around_mounts(place: &Place, what: &str) {
    let old: Vec<_> = place
        .store
        .list()
        .unwrap()
        .generations
        .iter()
        .filter(|one| !one.current)
        .map(|one| one.id)
        .collect();
    for id in &old {
        bind(place.outside.path(), &place.tree(id.get()).join("v"));
    }
    place.outside.check(what);
    let done = genstore_testkit::collect(&place.store, 1).unwrap();
    // One more in the stage.
    assert!(!done.generations.is_empty(), "{what}");
    assert_eq!(done.left.len(), done.generations.len() + 1, "{what}: {:?}", done.left);
    place.outside.check(what);
    unmount_below(&place.dir);
    place.outside.check(what);
}

fn one(kind: &Kind, seed: u64, with_mounts: bool) {
    let mut chance = Chance::new(seed);
    let next = Next::choose(&mut chance);
    let what = format!("damage {seed}, {}, then {next:?}", kind.name);
    let dir = scratch();
    let mut place = Place::make(dir.path());
    if seed == 0 {
        let report = place.store.verify(None, Depth::Full).unwrap();
        assert!(report.is_clean(), "the store is whole at first: {report:#?}");
    }
    if with_mounts {
        mount_in_a_stage(&place);
    }
    (kind.act)(&place, &mut chance);
    if kind.comes == Comes::Refused {
        let error = Store::open(place.store.path(), options()).map(drop).unwrap_err();
        assert!(["damaged", "not-a-store", "newer-format"].contains(&error.code()), "{what}: {error}");
        unmount_below(&place.dir);
        return;
    }
    // The stat values do not show it, so publishing is right only after `verify` has read it.
    let is_known = kind.comes == Comes::SeenByReading;
    if is_known {
        assert!(!verify(&place, &what), "{what}: not seen");
    }
    act(&mut place, next, &what);
    let differing = place.differing();
    let is_clean = verify(&place, &what);
    assert!(!is_clean || differing.is_empty(), "{what}: generations {differing:?} differ, unseen");
    match (kind.comes, next) {
        (Comes::Seen, Next::Nothing) => assert!(!is_clean, "{what}: not seen"),
        (Comes::Harmless, _) => assert!(is_clean, "{what}: seen, though nothing is lost"),
        _ => {}
    }
    mend(&mut place, &what);
    place.outside.check(&what);
    if with_mounts {
        collect_around_mounts(&place, &what);
        assert!(verify(&place, &what), "{what}: after gc");
    }
}

fn verify(place: &Place, what: &str) -> bool {
    match place.store.verify(None, Depth::Full) {
        Ok(report) => report.is_clean(),
        Err(Error::Damaged { .. }) => false,
        Err(error) => panic!("{what}: verify: {error}"),
    }
}

fn act(place: &mut Place, next: Next, what: &str) {
    let fourth = place.trees[&4].clone();
    let mut more = fourth.clone();
    more.insert("newest".into(), Thing::File(b"newest of all".into(), false, 4_000));
    let done = match next {
        Next::Nothing => return,
        Next::Publish(way) => publish(place, &more, way.staging(), what),
        Next::PublishSame(way) => publish(place, &fourth, way.staging(), what),
        Next::PublishAlways(way) => publish(place, &fourth, way.staging().always(), what),
        Next::Switch(to) => place.switch(to).map(|done| done.generation.get()),
        Next::Rollback => place.store.rollback(1, MarkLeft::Bad).map(|done| done.generation.get()),
    };
    match done {
        // Readers now see the tree that was published.
        Ok(current) => {
            let own = matches!(next, Next::Switch(_) | Next::Rollback);
            let differs = place.differing().contains(&current);
            // An activation checks neither files that are the same in both generations, nor names.
            assert!(!differs || own, "{what}: generation {current} differs");
        }
        Err(Error::Damaged { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

fn publish(place: &mut Place, tree: &Things, options: StageOptions, what: &str) -> genstore::Result<u64> {
    let before = place.trees.clone();
    let done = place.publish(tree, options, true);
    if done.is_err() {
        place.trees = before;
    }
    let done = done?;
    assert!(done.current, "{what}");
    Ok(done.generation.get())
}

/// Repairs, and publishes the right bytes.
fn mend(place: &mut Place, what: &str) {
    let Repaired { .. } = place.store.repair().unwrap_or_else(|error| panic!("{what}: repair: {error}"));
    let contents: Vec<Things> = place.trees.values().cloned().collect();
    for tree in contents {
        let done = place.publish(&tree, StageOptions::default(), true);
        drop(done.unwrap_or_else(|error| panic!("{what}: publish after repair: {error}")));
    }
    let report = place.store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{what}: after repair and publish: {report:#?}");
    assert_eq!(place.differing(), [0; 0], "{what}");
}

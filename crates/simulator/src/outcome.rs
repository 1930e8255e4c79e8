//! The outcomes that the model allows for a step.

use std::collections::BTreeSet;

use crate::model::Model;
use crate::seen::State;
use crate::step::{Act, Expected, Moves, Publish};

/// The outcomes that the model allows for a step.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// The store as it may be after it.
    pub(crate) done: Vec<Model>,
    /// The codes with which it may be refused. Then nothing has changed.
    pub(crate) refused: Vec<&'static str>,
    /// Generations that may be gone after it.
    pub(crate) removable: BTreeSet<u64>,
    /// Of these all must be gone, unless it failed.
    pub(crate) removes_all: bool,
}

impl Outcomes {
    fn one(model: Model) -> Outcomes {
        Outcomes { done: vec![model], ..Outcomes::default() }
    }

    fn refused(code: &'static str) -> Outcomes {
        Outcomes { refused: vec![code], ..Outcomes::default() }
    }
}

/// Finds out what may come of a step. A generation that it makes has the number `made`.
pub(crate) fn outcomes(before: &Model, act: &Act, made: u64) -> Outcomes {
    let mut next = before.clone();
    match act {
        Act::Publish(publish) => publish_outcomes(before, publish, made),
        Act::Rollback { steps, keep_good } => {
            let targets = before.rollback_targets(*steps);
            let mut all = Outcomes::default();
            if targets.is_empty() || before.generations.values().any(|one| one.lived.is_none()) {
                all.refused = vec!["nothing-older", "no-current", "not-activated"];
            }
            for target in targets {
                let mut next = before.clone();
                if let Some(left) = next.current.and_then(|id| next.generations.get_mut(&id)) {
                    left.good = left.good && *keep_good;
                }
                next.move_to(target);
                next.held = true;
                all.done.push(next);
            }
            all
        }
        Act::Switch(n) => match before.pick(*n) {
            None => Outcomes::refused("unknown-ref"),
            Some(id) => {
                next.move_to(id);
                next.held = false;
                if let Some(one) = next.generations.get_mut(&id) {
                    one.good = true;
                }
                Outcomes::one(next)
            }
        },
        Act::EndHold => {
            let newest = before.generations.iter().rev().find(|(_, one)| one.good).map(|(id, _)| *id);
            if before.held && before.current.is_some() && newest > before.current {
                next.move_to(newest.unwrap_or_default());
            }
            next.held = false;
            Outcomes::one(next)
        }
        Act::Collect { keep, meanwhile } => Outcomes {
            removable: before.given_up(*keep),
            removes_all: !before.times_unknown && !before.damage.any && meanwhile.is_empty(),
            ..Outcomes::one(next)
        },
        Act::Pin { generation, name, secs } => match before.pick(*generation) {
            None => Outcomes::refused("unknown-ref"),
            Some(id) if before.pins.get(name).is_some_and(|(taken, _)| *taken != id) => {
                Outcomes::refused("pin-taken")
            }
            Some(id) => {
                next.pins.insert(*name, (id, secs.map(|secs| before.now + u64::from(secs))));
                Outcomes::one(next)
            }
        },
        Act::Unpin(name) => match next.pins.remove(name) {
            None => Outcomes::refused("no-such-pin"),
            Some(_) => Outcomes::one(next),
        },
        Act::Mark(n, good) => match before.pick(*n) {
            None => Outcomes::refused("unknown-ref"),
            Some(id) => {
                if let Some(one) = next.generations.get_mut(&id) {
                    one.good = *good;
                }
                Outcomes::one(next)
            }
        },
        Act::AddView(n) => {
            next.views.insert(*n);
            Outcomes::one(next)
        }
        Act::RemoveView(n) => match next.views.remove(n) {
            false => Outcomes::refused("no-such-view"),
            true => Outcomes::one(next),
        },
        Act::Clock(_) | Act::Damage(..) | Act::Verify | Act::Repair => Outcomes::one(next),
    }
}

fn publish_outcomes(before: &Model, publish: &Publish, made: u64) -> Outcomes {
    let mut next = before.clone();
    let activates = match publish.moves {
        Moves::Always => true,
        Moves::Never => false,
        Moves::UnlessHeld => !before.held,
    };
    let removable = publish.recycle.map(|keep| before.given_up(keep)).unwrap_or_default();
    let mut all = Outcomes { removable, ..Outcomes::default() };
    if publish.expect == Expected::Wrong {
        all.refused.push("lost-compare-and-set");
    }
    if activates && before.would_empty() {
        all.refused.push("empty-input");
    }
    if !all.refused.is_empty() {
        return all;
    }
    // A publication that changes nothing leaves a hold as it is (INV-18).
    if !before.is_unchanged() || publish.always {
        next.add(made);
        if activates {
            next.move_to(made);
            next.held = false;
        }
    }
    all.done.push(next);
    all
}

/// Returns whether each part of `seen` is as in one of the two: so a step may have been cut that has several
/// parts and moves nothing.
pub(crate) fn is_between(seen: &State, before: &State, after: &State) -> bool {
    let all: BTreeSet<u64> = before.generations.union(&after.generations).copied().collect();
    let both: BTreeSet<u64> = before.generations.intersection(&after.generations).copied().collect();
    before.current == after.current
        && seen.current == before.current
        && seen.generations.is_subset(&all)
        && both.is_subset(&seen.generations)
        && [&before.bad, &after.bad].contains(&&seen.bad)
        && [before.held, after.held].contains(&seen.held)
        && [&before.pins, &after.pins].contains(&&seen.pins)
        && [&before.views, &after.views].contains(&&seen.views)
}

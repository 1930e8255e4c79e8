//! The model: what a store ought to hold, in memory.

use std::collections::{BTreeMap, BTreeSet};

use genstore_testkit::Things;

use crate::step::Keep;
use crate::tree::{is_hollow, undated};

/// A generation.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// Its tree, without mtimes.
    pub(crate) tree: Things,
    /// When it was made.
    pub(crate) created: u64,
    /// Whether it was current at some time; `None` after damage that makes nobody know.
    pub(crate) lived: Option<bool>,
    /// When it ceased to be current.
    pub(crate) last_current: Option<u64>,
    pub(crate) good: bool,
}

/// The file that was last shown at a path of `current`.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) secs: u64,
    /// The store gave it its mtime, to be fresh.
    pub(crate) is_given: bool,
    pub(crate) bytes: Vec<u8>,
}

/// A store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    /// The latest time that the clock ever showed.
    pub(crate) latest: u64,
    /// The highest number that was ever seen.
    pub(crate) high: u64,
    pub(crate) generations: BTreeMap<u64, Generation>,
    pub(crate) current: Option<u64>,
    pub(crate) held: bool,
    /// Pins, with their ends.
    pub(crate) pins: BTreeMap<u8, (u64, Option<u64>)>,
    pub(crate) views: BTreeSet<u8>,
    /// The tree of the next publication, with mtimes.
    pub(crate) wanted: Things,
    pub(crate) seen: BTreeMap<String, Seen>,
    /// The clock went back, or a fault left the times of changes unknown: ages tell nothing exact.
    pub(crate) times_unknown: bool,
    pub(crate) damage: Damaged,
}

/// Damage at rest that is not repaired yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damaged {
    /// Something is.
    pub(crate) any: bool,
    /// Something is that only reading finds, and nothing has read it yet.
    pub(crate) unread: bool,
    /// `current` was removed.
    pub(crate) no_current: bool,
    /// Something else was damaged, too.
    pub(crate) other: bool,
    /// Generations that may differ from what was published.
    pub(crate) touched: BTreeSet<u64>,
}

impl Model {
    /// Returns the number of a generation that is there, by a small number that fits always.
    pub(crate) fn pick(&self, n: u8) -> Option<u64> {
        let count = self.generations.len();
        self.generations.keys().copied().nth(usize::from(n) % count.max(1))
    }

    pub(crate) fn tree_of_current(&self) -> Option<&Things> {
        self.current.and_then(|id| self.generations.get(&id)).map(|one| &one.tree)
    }

    /// Returns whether the wanted tree is what is current.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.tree_of_current() == Some(&undated(&self.wanted))
    }

    /// Returns whether nothing is to take the place of something.
    pub(crate) fn would_empty(&self) -> bool {
        is_hollow(&self.wanted) && self.tree_of_current().is_some_and(|tree| !is_hollow(tree))
    }

    /// Lists the generations that a rule keeps for certain.
    pub(crate) fn kept(&self, rule: Keep) -> BTreeSet<u64> {
        let mut kept: BTreeSet<u64> = self.current.into_iter().collect();
        let holds = |until: Option<u64>| until.is_none_or(|until| until > self.now);
        kept.extend(self.pins.values().filter(|(_, until)| holds(*until)).map(|(id, _)| *id));
        let good = self.generations.iter().rev().filter(|(_, one)| one.good).map(|(id, _)| *id);
        kept.extend(good.take(usize::from(rule.last)));
        if !self.times_unknown {
            let age = |time: u64| self.now - time;
            for (id, one) in &self.generations {
                let is_young = rule.within.is_some_and(|within| age(one.created) <= u64::from(within));
                let was_just_current =
                    one.last_current.is_some_and(|last| age(last) < u64::from(rule.grace));
                if is_young || was_just_current {
                    kept.insert(*id);
                }
            }
        }
        kept
    }

    /// Lists the generations that a rule may give up.
    pub(crate) fn given_up(&self, rule: Keep) -> BTreeSet<u64> {
        let kept = self.kept(rule);
        self.generations.keys().copied().filter(|id| !kept.contains(id)).collect()
    }

    /// Lists the generations that a rollback may go to: one, where all history is known.
    pub(crate) fn rollback_targets(&self, steps: u64) -> Vec<u64> {
        let Some(current) = self.current else { return vec![] };
        let older = self.generations.range(..current).rev().filter(|(_, one)| one.good);
        let mut left = steps.max(1);
        let mut targets = Vec::new();
        for (id, one) in older {
            match one.lived {
                Some(false) => continue,
                Some(true) => left = left.saturating_sub(1),
                // It may count or not, and so may all that are older.
                None => targets.push(*id),
            }
            if left == 0 {
                targets.push(*id);
                break;
            }
        }
        targets
    }

    /// Makes a generation current.
    pub(crate) fn move_to(&mut self, id: u64) {
        let now = self.now;
        if let Some(old) = self.current.filter(|old| *old != id)
            && let Some(old) = self.generations.get_mut(&old)
        {
            old.last_current = Some(now);
        }
        if let Some(one) = self.generations.get_mut(&id) {
            one.lived = Some(true);
        }
        self.current = Some(id);
    }

    /// Adds a generation of the wanted tree.
    pub(crate) fn add(&mut self, id: u64) {
        let tree = undated(&self.wanted);
        let one =
            Generation { tree, created: self.now, lived: Some(false), last_current: None, good: true };
        self.generations.insert(id, one);
        self.high = self.high.max(id);
    }

    /// Forgets a generation that is gone.
    pub(crate) fn forget(&mut self, id: u64) {
        self.generations.remove(&id);
        self.damage.touched.remove(&id);
    }
}

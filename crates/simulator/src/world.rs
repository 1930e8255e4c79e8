//! A real store beside its model: a step is taken in both, and what comes of it is compared.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genstore::faults::{FaultKind, FaultPlan, Faults};
use genstore::{Options, Store};
use genstore_testkit::{Things, at, scratch};
use tempfile::TempDir;

use crate::model::Model;
use crate::outcome::{Outcomes, is_between, outcomes};
use crate::seen::State;
use crate::step::{Act, Fault, Step, Way};
use crate::tree;

/// When a simulation starts, in seconds since 1970.
const START: u64 = 1_000_000;

/// The end of an action in the real store.
#[derive(Debug)]
pub(crate) enum Did {
    Done,
    Failed(genstore::Error),
    /// Its process was killed, or ended without a word.
    Unheard,
}

impl Did {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Did::Done)
    }
}

impl From<Result<(), genstore::Error>> for Did {
    fn from(done: Result<(), genstore::Error>) -> Did {
        done.map_or_else(Did::Failed, |()| Did::Done)
    }
}

/// A store, its model, and the folder with all of it.
pub(crate) struct World {
    place: PathBuf,
    /// Removes the folder at the end.
    _dir: Option<TempDir>,
    pub(crate) store: Store,
    pub(crate) model: Model,
    clock: Arc<AtomicU64>,
    /// The contents of the source folder.
    pub(crate) source: Things,
    /// The number of faults that were met.
    pub(crate) met: u64,
    /// The step that is being taken has a fault, or one before it had.
    pub(crate) faulty: bool,
}

/// Returns the message as the error of the step.
macro_rules! fail {
    ($($words:tt)*) => { return Err(format!($($words)*)) };
}
pub(crate) use fail;

impl World {
    pub(crate) fn new() -> World {
        let dir = scratch();
        let world = World::join(dir.path(), START);
        World { _dir: Some(dir), ..world }
    }

    /// Opens the store of a folder, or makes one.
    pub(crate) fn join(place: &Path, now: u64) -> World {
        let clock = Arc::new(AtomicU64::new(now));
        let store = open(&place.join("store"), &clock, Faults::default()).expect("open the store");
        let model = Model { now, ..Model::default() };
        let (place, source) = (place.to_owned(), Things::new());
        World { place, _dir: None, store, model, clock, source, met: 0, faulty: false }
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// A path in the store.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.store.path().join(path)
    }

    pub(crate) fn tree(&self, generation: u64) -> PathBuf {
        self.at(&format!("generations/{generation}/tree"))
    }

    /// Opens the store once more, as another process does.
    pub(crate) fn open(&self, faults: Faults) -> Result<Store, genstore::Error> {
        open(self.store.path(), &self.clock, faults)
    }

    /// Takes a step, and compares what came of it.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        self.set_clock(self.model.now + 1);
        match &step.act {
            Act::Clock(by) => {
                self.model.times_unknown |= *by < 0;
                self.set_clock(self.model.now.saturating_add_signed(*by).max(START / 2));
            }
            Act::Damage(damage, n) => self.damage(*damage, *n)?,
            Act::Verify => self.verify()?,
            Act::Repair => self.repair()?,
            act => self.act(act, step.fault)?,
        }
        self.check()
    }

    fn set_clock(&mut self, to: u64) {
        self.model.now = to;
        self.model.latest = self.model.latest.max(to);
        self.clock.store(to, Ordering::SeqCst);
    }

    /// Does what is not done behind the store's back, with a fault, and judges what came of it.
    pub(crate) fn act(&mut self, act: &Act, fault: Option<Fault>) -> Result<(), String> {
        if let Act::Publish(publish) = act {
            publish.edits.iter().for_each(|edit| tree::edit(&mut self.model.wanted, edit));
        }
        if let Some(fault) = fault {
            return self.act_with(act, fault);
        }
        let standing = self.standing(act);
        let store = self.store.clone();
        let did = self.perform(&store, act)?;
        self.check_standing(standing, &did)?;
        let (is_done, removes_all) = (did.is_done(), outcomes(&self.model, act, 0).removes_all);
        self.judge(act, did, None)?;
        if is_done && removes_all { self.check_collected() } else { Ok(()) }
    }

    /// Acts with a fault. Afterwards everybody is another process, and the first that writes recovers.
    fn act_with(&mut self, act: &Act, fault: Fault) -> Result<(), String> {
        self.faulty = true;
        let objects = self.objects();
        let mut is_killed = false;
        let did = if fault.kind == FaultKind::Kill {
            is_killed = self.perform_killed(act, fault.at)?;
            self.met += u64::from(is_killed);
            Did::Unheard
        } else {
            let faults = Faults::inject(FaultPlan::step(fault.at, fault.kind));
            let did = match self.open(faults.clone()) {
                Ok(store) => self.perform(&store, act)?,
                Err(error) => Did::Failed(error),
            };
            if faults.count() < fault.at {
                return self.judge(act, did, None);
            }
            self.met += 1;
            did
        };
        self.model.times_unknown = true;
        // Any other error has another reason, and met the fault while it was undone.
        let is_undone = matches!(&did, Did::Failed(error) if error.code() == "io");
        if fault.kind == FaultKind::Eio && is_undone && !self.model.damage.any {
            self.check_undone(act, &objects).map_err(|error| format!("after {did:?}: {error}"))?;
        }
        self.store = self.open(Faults::default()).map_err(|e| format!("open after a fault: {e}"))?;
        match self.store.unpin(&"nobody".parse().expect("a name")) {
            Err(error) if error.code() == "no-such-pin" => {}
            Err(error) if self.model.damage.any && error.code() == "damaged" => {}
            other => fail!("recovery after a fault: {other:?}"),
        }
        if let Act::Publish(publish) = act
            && publish.way == Way::Consume
            && is_killed
        {
            let (given, wanted) = (self.place().join("given"), self.model.wanted.clone());
            self.check_given(&given, &wanted, &did)?;
        }
        self.judge(act, did, Some(fault.kind))?;
        match act {
            // A mirror whose removal was cut is there no more, and its record still is.
            Act::RemoveView(n) if self.model.views.contains(n) => self.act(act, None),
            _ => Ok(()),
        }
    }

    /// Judges what came of a step, and goes on with the model that fits.
    fn judge(&mut self, act: &Act, did: Did, fault: Option<FaultKind>) -> Result<(), String> {
        if self.model.damage.any {
            return self.judge_damaged(act, did);
        }
        let seen = State::of_store(&self.store, self.place())?;
        let before = State::of_model(&self.model);
        let new: Vec<u64> = seen.generations.difference(&before.generations).copied().collect();
        let made = new.first().copied().unwrap_or(self.model.high + 1);
        if made <= self.model.high {
            fail!("INV-7: {made} was taken before");
        }
        let may = outcomes(&self.model, act, made);
        let gone: BTreeSet<u64> = before.generations.difference(&seen.generations).copied().collect();
        if !gone.is_subset(&may.removable) {
            fail!("INV-13: gone are {gone:?}, and only {:?} may be", may.removable);
        }
        let mut candidates: Vec<Model> = may.done.clone();
        match (&did, fault) {
            (Did::Done, _) if may.removes_all && gone != may.removable => {
                fail!("gone are {gone:?}, and {:?} are to be", may.removable)
            }
            (Did::Done, _) if candidates.is_empty() => fail!("done, and not refused: {:?}", may.refused),
            (Did::Done, _) => {}
            (Did::Unheard, _) => candidates.push(self.model.clone()),
            (Did::Failed(error), None) if !may.refused.contains(&error.code()) => {
                fail!("refused with {}: {error}; {:?}", error.code(), std::error::Error::source(error))
            }
            (Did::Failed(_), _) => candidates = vec![self.model.clone()],
        }
        for mut model in candidates.clone() {
            gone.iter().for_each(|id| model.forget(*id));
            if State::of_model(&model) == seen {
                self.model = model;
                return Ok(());
            }
        }
        if fault.is_some() && self.adopt(&may, &seen) {
            return Ok(());
        }
        candidates.iter_mut().for_each(|model| gone.iter().for_each(|id| model.forget(*id)));
        let wanted: Vec<State> = candidates.iter().map(State::of_model).collect();
        fail!("{did:?}: the store is {seen:?} and ought to be one of {wanted:?}")
    }

    /// Goes on with what a fault left of a step that moves nothing.
    fn adopt(&mut self, may: &Outcomes, seen: &State) -> bool {
        let before = State::of_model(&self.model);
        let fits = |after: &&Model| {
            let mut before = before.clone();
            before.generations.retain(|id| !may.removable.contains(id) || seen.generations.contains(id));
            let mut after = State::of_model(after);
            after.generations.retain(|id| !may.removable.contains(id) || seen.generations.contains(id));
            is_between(seen, &before, &after)
        };
        let Some(after) = may.done.iter().find(fits) else { return false };
        let mut model = after.clone();
        model.generations.retain(|id, _| seen.generations.contains(id));
        for (id, one) in &mut model.generations {
            one.good = !seen.bad.contains(id);
        }
        (model.held, model.pins, model.views) = (seen.held, seen.pins.clone(), seen.views.clone());
        self.model = model;
        true
    }
}

fn open(path: &Path, clock: &Arc<AtomicU64>, faults: Faults) -> Result<Store, genstore::Error> {
    let clock = clock.clone();
    // As every clock it has a part below the second.
    let now = move || at(clock.load(Ordering::SeqCst)) + Duration::from_millis(500);
    let mut options = Options::new(Arc::new(now));
    options.faults = faults;
    Store::init(path, options).map(|made| made.store)
}

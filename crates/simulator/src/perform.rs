//! Taking a step in the real store.

use std::fs;
use std::path::Path;
use std::time::Duration;

use genstore::generation::Mark;
use genstore::plan::ScanRules;
use genstore::publish::{Activate, Expect, MarkLeft, Staged};
use genstore::view::ViewOptions;
use genstore::{CommitOptions, Error, GenerationId, Plan, Retention, Source, StageOptions, Store};
use genstore_testkit::{Thing, Things, at, is_nothing_lost, put, read_tree, settle, write_tree};

use crate::seen::{PINS, VIEWS, generations};
use crate::step::{Act, Expected, Keep, Moves, Publish, Way};
use crate::tree;
use crate::world::{Did, World, fail};

/// The rule of retention that a step names.
pub(crate) fn retention(keep: Keep) -> Retention {
    let grace = Duration::from_secs(u64::from(keep.grace));
    let mut rule = Retention::only_last(usize::from(keep.last)).grace(grace);
    rule.keep_within = keep.within.map(|secs| Duration::from_secs(u64::from(secs)));
    rule
}

impl World {
    /// Takes a step in the real store. The first error is one of the simulation: what was seen of it must not be.
    pub(crate) fn perform(&mut self, store: &Store, act: &Act) -> Result<Did, String> {
        let rev = |n: u8| self.model.pick(n).unwrap_or(77).to_string().parse().expect("a number");
        let pin = |n: u8| PINS[usize::from(n) % PINS.len()].parse().expect("a name");
        let view = |n: u8| self.place().join(VIEWS[usize::from(n) % VIEWS.len()]);
        let done = match act {
            Act::Publish(publish) => return self.publish(store, publish),
            Act::Collect { keep, meanwhile } => return self.collect(store, *keep, meanwhile),
            Act::Rollback { steps, keep_good } => {
                let left = if *keep_good { MarkLeft::Unchanged } else { MarkLeft::Bad };
                store.rollback(*steps, left).map(drop)
            }
            Act::Switch(n) => store.activate(&rev(*n), Expect::Any).map(drop),
            Act::EndHold => store.end_hold().map(drop),
            Act::Pin { generation, name, secs } => {
                let until = secs.map(|secs| at(self.model.now + u64::from(secs)));
                store.pin(&rev(*generation), &pin(*name), None, until).map(drop)
            }
            Act::Unpin(name) => store.unpin(&pin(*name)).map(drop),
            Act::Mark(n, good) => {
                let mark = if *good { Mark::Good } else { Mark::Bad };
                store.mark(&rev(*n), mark, None).map(drop)
            }
            Act::AddView(n) => {
                let options = match *n {
                    0 => ViewOptions::link(),
                    2 => ViewOptions::mirror().copy(),
                    _ => ViewOptions::mirror(),
                };
                store.add_view(&view(*n), &options).map(drop)
            }
            Act::RemoveView(n) => store.remove_view(&view(*n)).map(drop),
            Act::Clock(_) | Act::Damage(..) | Act::Verify | Act::Repair => Ok(()),
        };
        Ok(done.into())
    }

    fn collect(&mut self, store: &Store, keep: Keep, meanwhile: &[Act]) -> Result<Did, String> {
        let plan = match store.plan_gc(&retention(keep)) {
            Ok(plan) => plan,
            Err(error) => return Ok(Did::Failed(error)),
        };
        for act in meanwhile {
            self.act(act, None).map_err(|error| format!("meanwhile: {error}"))?;
        }
        Ok(store.collect(&plan).map(drop).into())
    }

    fn publish(&mut self, store: &Store, publish: &Publish) -> Result<Did, String> {
        let wanted = self.model.wanted.clone();
        let given = self.place().join("given");
        let expect = self.expect(publish.expect);
        if publish.way == Way::Consume {
            write_tree(&given, &wanted);
        }
        let done = match self.stage(store, publish, &wanted)? {
            Err(error) => Err(error),
            Ok(staged) => {
                if let Some(act) = &publish.meanwhile {
                    self.adopt_retired(publish)?;
                    self.act(act, None).map_err(|error| format!("meanwhile: {error}"))?;
                    if !self.model.damage.any {
                        self.check_times().map_err(|error| format!("meanwhile: {error}"))?;
                    }
                    // The other publisher changed the wanted tree.
                    self.model.wanted = wanted.clone();
                }
                let activate = match publish.moves {
                    Moves::Always => Activate::Always,
                    Moves::UnlessHeld => Activate::UnlessHeld,
                    Moves::Never => Activate::Never,
                };
                let commit = CommitOptions::default().expect(expect).activate(activate);
                staged.unaudited().commit(&commit).map(drop)
            }
        };
        let did = done.into();
        if publish.way == Way::Consume {
            self.check_given(&given, &wanted, &did)?;
        }
        Ok(did)
    }

    /// Fails if a consumed file is neither committed nor in its folder.
    pub(crate) fn check_given(&self, given: &Path, wanted: &Things, did: &Did) -> Result<(), String> {
        if !self.model.damage.any && !is_nothing_lost(given, wanted, self.store.path()) {
            fail!("{did:?}: consumed files are lost");
        }
        let left = read_tree(given).unwrap_or_default();
        let has_files = left.values().any(|thing| matches!(thing, Thing::File(..)));
        if did.is_done() && has_files && !self.faulty {
            fail!("{left:?} is left of what was consumed");
        }
        fs::remove_dir_all(given).or_else(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(format!("remove what was consumed: {e}")),
        })
    }

    /// Staging takes a generation that it recycles off the list.
    fn adopt_retired(&mut self, publish: &Publish) -> Result<(), String> {
        let on_disk = generations(&self.store)?;
        let may = publish.recycle.map(|keep| self.model.given_up(keep)).unwrap_or_default();
        let gone: Vec<u64> =
            self.model.generations.keys().copied().filter(|id| !on_disk.contains(id)).collect();
        for id in gone {
            if !may.contains(&id) {
                fail!("INV-13: {id} is recycled");
            }
            self.model.forget(id);
        }
        Ok(())
    }

    fn expect(&self, expect: Expected) -> Expect {
        let id = |number| GenerationId::new(number).expect("a number");
        match (expect, self.model.current) {
            (Expected::Any, _) => Expect::Any,
            (Expected::Right, None) => Expect::Unborn,
            (Expected::Right, Some(current)) => Expect::Current(id(current)),
            (Expected::Wrong, Some(_)) => Expect::Unborn,
            (Expected::Wrong, None) => Expect::Current(id(1)),
        }
    }

    fn stage<'s>(
        &mut self,
        store: &'s Store,
        publish: &Publish,
        wanted: &Things,
    ) -> Result<Result<Staged<'s>, Error>, String> {
        let mut options = StageOptions::default();
        options.recycle = publish.recycle.map(retention);
        (options.always, options.rehash) = (publish.always, publish.rehash);
        options.consume = publish.way == Way::Consume;
        let (source, given) = (self.place().join("source"), self.place().join("given"));
        let scanned = |dir: &Path, options| {
            Plan::scan(dir, &ScanRules::default()).and_then(|plan| store.stage(&plan, options))
        };
        Ok(match publish.way {
            Way::Copy | Way::CopySettled => {
                tree::change(&source, &self.source, wanted).map_err(|e| format!("the source: {e}"))?;
                self.source = wanted.clone();
                if publish.way == Way::CopySettled {
                    settle(self.place());
                }
                scanned(&source, options)
            }
            Way::Consume => scanned(&given, options),
            Way::Memory => memory(wanted).and_then(|plan| store.stage(&plan, options)),
            Way::Stage => match store.begin() {
                Err(error) => Err(error),
                Ok(stage) => {
                    put(stage.path(), wanted).map_err(|e| format!("the stage: {e}"))?;
                    stage.seal(&ScanRules::default(), options)
                }
            },
        })
    }
}

fn memory(wanted: &Things) -> Result<Plan, Error> {
    let mut plan = Plan::builder();
    for (path, thing) in wanted {
        plan = match thing {
            Thing::File(bytes, executable, _) => {
                let source = Source::Bytes(bytes.clone());
                if *executable {
                    plan.executable(path.as_str(), source)
                } else {
                    plan.file(path.as_str(), source)
                }
            }
            Thing::Link(target) => plan.symlink(path.as_str(), target.as_str()),
            Thing::Dir => plan.dir(path.as_str()),
        };
    }
    plan.build()
}

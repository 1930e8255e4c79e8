//! The fault countdown: every call that changes the disk, in every verb, is interrupted or failed once,
//! and after each the promises of the store are checked.
//!
//! See the testkit's `countdown`. Scenarios that stage a tree run in every way of publishing.

mod promises;
mod scenarios;

use promises::check_promises;
use scenarios::{SCENARIOS, Scenario};

use crate::prelude::*;

/// A folder to work in, with `store`, and `given-a`, `given-b` and `given-c`, which are consumed.
struct Place {
    dir: PathBuf,
    /// The sources `a`, `b` and `c`. They stay where they are, as the index records their inodes.
    sources: PathBuf,
    way: Way,
}

impl Place {
    /// Returns the place in another folder, with the same sources.
    fn at(&self, dir: PathBuf) -> Place {
        Place { dir, sources: self.sources.clone(), way: self.way }
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn given(&self, source: &str) -> PathBuf {
        self.dir.join(format!("given-{source}"))
    }

    fn open(&self, faults: Faults) -> genstore::Result<Store> {
        try_open(&self.store(), faults)
    }

    /// Plans to publish a source, or the one that is given away instead.
    fn plan(&self, store: &Store, source: &str) -> genstore::Result<Plan> {
        let rules = ScanRules::default().store(store.identity()?);
        let dir = if self.way.consume { self.given(source) } else { self.sources.join(source) };
        Plan::scan(&dir, &rules)
    }

    fn publish_with(
        &self,
        faults: Faults,
        source: &str,
        activate: Activate,
    ) -> genstore::Result<Publication> {
        if self.way.consume {
            give(&self.given(source), Trees::usual().get(source));
        }
        let store = self.open(faults)?;
        let staged = store.stage(&self.plan(&store, source)?, self.way.staging())?;
        staged.unaudited().commit(&CommitOptions::default().activate(activate))
    }

    fn publish(&self, source: &str) {
        let done = self.publish_with(Faults::default(), source, Activate::Always);
        assert_eq!(done.unwrap_or_else(|e| panic!("publish {source}: {e}")).warnings, [], "{source}");
        if self.way.consume {
            fs::remove_dir_all(self.given(source)).expect("remove the empty folders");
        }
    }

    /// The task of a child that does a scenario's verb here.
    fn task(&self, scenario: &Scenario) -> Task {
        let sources = self.sources.to_str().expect("a path of letters");
        Task::new(child, &self.dir, &[scenario.name, &self.way.to_string(), sources])
    }

    fn shown(&self) -> Option<Things> {
        self.store().join("current").symlink_metadata().ok()?;
        Some(read_tree(&self.store().join("current")).expect("current is complete"))
    }
}

fn prepare(scenario: &Scenario, dir: &Path, way: Way) -> Place {
    let place = Place { dir: dir.join("prepared"), sources: dir.join("sources"), way };
    Trees::usual().write(&place.sources);
    settle(dir);
    fs::create_dir(&place.dir).expect("mkdir");
    scenario.published.iter().for_each(|source| place.publish(source));
    (scenario.prepare)(&place);
    place
}

/// Copies the prepared place, and completes the preparation there.
fn copy_prepared(scenario: &Scenario, prepared: &Place, name: &str) -> Place {
    let place = prepared.at(prepared.dir.with_file_name(name));
    copy_exactly(&prepared.dir, &place.dir);
    (scenario.prepare_each)(&place);
    place
}

/// Number of calls that write `sealed` to a temporary file and rename it.
const MOST_STEPS_OF_A_CACHE: u64 = 8;

fn run(name: &str, way: Way) {
    let scenario = find(name);
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("outside"));
    let prepared = prepare(scenario, dir.path(), way);
    let unbroken = copy_prepared(scenario, &prepared, "unbroken");
    let before = unbroken.shown();
    (scenario.act)(&unbroken, Faults::default()).unwrap_or_else(|e| panic!("{name}, {way}: {e}"));
    let after = unbroken.shown().expect("something is current");
    if scenario.third {
        let generation = |id: u64| unbroken.store().join(format!("generations/{id}"));
        assert_eq!(generation(1).exists(), !way.recycle, "{name}, {way}");
        assert!(same_content(&after, Trees::usual().get("c")), "{name}, {way}: {after:#?}");
        let index = generation(2).join("index");
        assert!(way.consume && !scenario.known || index.exists(), "{name}, {way}: there is an index");
    }

    let points = count_down_in_turn(&format!("{name}, {way}"), 1, |fault, what| {
        let place = copy_prepared(scenario, &prepared, "broken");
        let end = fault.meet(&place.task(scenario), |faults| (scenario.act)(&place, faults));
        // A fault after the commit is a warning, one before it is an error.
        if end.is_failure() && !scenario.mends {
            let shown = place.shown();
            assert_eq!(shown.is_some(), before.is_some(), "{what}: it failed, but changed current");
            if let (Some(shown), Some(before)) = (&shown, &before) {
                assert!(same_content(shown, before), "{what}: it failed, but changed current");
            }
        }
        outside.check(what);
        check_promises(scenario, &place, before.as_ref(), &after, what);
        outside.check(what);
        fs::remove_dir_all(&place.dir).expect("clean up");
        end
    });
    // Publishing the current tree changes nothing, except that sources are consumed, and except
    // `sealed`, a cache that is written if the folders were not changed just before.
    let idle = scenario.idle && !way.consume;
    let expected = if idle { 0..=MOST_STEPS_OF_A_CACHE } else { 1..=u64::MAX };
    assert!(expected.contains(&points), "{name}, {way}: {points}");
}

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario")
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((dir, words, faults)) = child_task() else { return };
    let place = Place { dir, sources: (&words[2]).into(), way: Way::named(&words[1]) };
    (find(&words[0]).act)(&place, faults).expect("the verb itself works");
}

/// The tests of one scenario.
macro_rules! in_ways {
    // Scenarios that stage a tree.
    (every, $name:literal) => {
        in_ways!(tests, $name, plain: 0, recycled_and_consumed: 1, reread_and_consumed: 2, recycled: 3);
    };
    // Scenarios that use trees of each way, and stage none.
    (copying, $name:literal) => {
        in_ways!(tests, $name, plain: 0, recycled: 3);
    };
    // Scenarios that consume a source that was copied before.
    (indexed, $name:literal) => {
        in_ways!(tests, $name, recycled_and_consumed: 1);
    };
    (tests, $name:literal, $($way:ident: $nth:literal),*) => {
        $(
            #[test]
            fn $way() {
                run($name, Way::ALL[$nth]);
            }
        )*
    };
}

/// One test for each scenario and each way in which it is run.
macro_rules! scenarios {
    ($($test:ident: $ways:ident, $name:literal;)*) => {
        $(mod $test {
            use super::*;
            in_ways!($ways, $name);
        })*

        #[test]
        fn every_scenario_is_run() {
            let names: BTreeSet<&str> = [$($name),*].into();
            assert_eq!(names, SCENARIOS.iter().map(|scenario| scenario.name).collect());
        }
    };
}

scenarios! {
    first_publish: every, "first publish";
    second_publish: every, "second publish";
    unchanged_publish: every, "publish of what is current";
    kept_publish: every, "publish that is only kept";
    third_publish: every, "third publish";
    third_publish_of_known: indexed, "third publish, of what the index knows";
    third_publish_over_spoilt: every, "third publish, over a changed spare";
    recovery_of_third_publish: every, "recovery of a third publish";
    third_build: every, "third build in a stage";
    batch: copying, "batch of two roots, beside its base";
    rollback: copying, "rollback";
    switch_forward: copying, "switch forward";
    gc: copying, "gc";
    mark_pin_unpin: copying, "mark, pin and unpin";
    recovery_of_publish: every, "recovery of a publish";
    recovery_of_rollback: copying, "recovery of a rollback";
    recovery_of_gc: copying, "recovery of gc";
    healing_publish: every, "publish that heals a damaged object";
    repair: copying, "repair";
    repair_of_losses: copying, "repair of a store that lost its parts";
    forget: copying, "forget";
    relink_of_a_copy: copying, "relink of a copy";
    repair_of_records: copying, "repair of what took the place of records";
    build_in_a_stage: every, "build in a stage";
    begin_and_leave: copying, "begin, without an owner";
    commit_of_a_left_stage: every, "commit of a stage that was left";
    refusal: every, "refusal";
}

//! The fault countdown for mirrors: every call that changes the disk while a mirror is created,
//! updated, converted or removed is interrupted or failed once. See the testkit's `countdown`.

use genstore::view::ViewKind;

use crate::crash_views::{Act, Place};
use crate::prelude::*;

/// The content of generations.
const ONE: &str = "app/file=one gone/deep/x=x hollow/ link>same ring/a=a ring/b/c=c same=same turn=file";
const TWO: &str =
    "app/file=two hollow/now=full link>app/file new/deep/y=y ring=file same=same turn/inside=folder";

/// The task of a child that does a scenario's verb here.
fn task(place: &Place, scenario: &Scenario) -> Task {
    Task::new(child, &place.0, &[scenario.name, &place.1.to_string()])
}

/// Returns the tree that a program finds at the view's path. `None` if there is no entry.
fn standing(place: &Place) -> Option<Things> {
    fs::symlink_metadata(place.site()).ok()?;
    Some(without_mtimes(&read_tree(&place.site()).expect("read")))
}

/// Counts the foreign files: all files called `mine`, wherever in the place they are.
fn strangers(place: &Place) -> usize {
    let all = read_tree(&place.0).expect("read");
    let is_mine = |thing: &Thing| matches!(thing, Thing::File(bytes, ..) if bytes == b"mine");
    all.iter().filter(|(path, thing)| path.ends_with("/mine") && is_mine(thing)).count()
}

fn mirror() -> ViewOptions {
    ViewOptions::mirror()
}

struct Scenario {
    name: &'static str,
    prepare: fn(&Place),
    act: Act,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Make,
    Update,
    Convert,
    Remove,
}

use Does::{Convert, Make, Remove, Update};

const fn scenario(does: Does, name: &'static str, act: Act) -> Scenario {
    Scenario { name, prepare: |_| {}, act, does }
}

impl Scenario {
    const fn after(self, prepare: fn(&Place)) -> Scenario {
        Scenario { prepare, ..self }
    }
}

const NO_FAULTS: fn() -> Faults = Faults::default;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
    fs::write(path, text).expect("write");
}

/// Foreign files in a mirror: beside entries that stay, in a folder that is removed, in a folder that
/// becomes a file.
fn add_strangers(place: &Place) {
    for path in ["mine", "gone/deep/mine", "app/mine"] {
        write(&place.site().join(path), "mine");
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario(Make, "add", add_mirror),
    scenario(Make, "add a mirror of copies in an empty folder", |place, faults| {
        place.add_view(faults, &mirror().copy())
    })
    .after(|place| fs::create_dir(place.site()).expect("mkdir")),
    scenario(Make, "replace a folder", |place, faults| place.add_view(faults, &mirror().replace()))
        .after(|place| write(&place.site().join("deep/mine"), "mine")),
    scenario(Update, "publish", publish_two).after(with_strangers),
    scenario(Update, "publish to copies", publish_two).after(|place| {
        place.add_view(NO_FAULTS(), &mirror().copy()).expect("add");
        add_strangers(place);
    }),
    scenario(Update, "publish where removed files stay", publish_two).after(|place| {
        let mirror = mirror().keep_removed(std::time::Duration::from_secs(3600));
        place.add_view(NO_FAULTS(), &mirror).expect("add");
        add_strangers(place);
    }),
    scenario(Update, "switch", |place, faults| {
        place.open(faults)?.activate(&"1".parse().expect("a number"), Expect::Any).map(drop)
    })
    .after(|place| {
        with_mirror(place);
        publish_two(place, NO_FAULTS()).expect("publish");
    }),
    scenario(Update, "publish where the mirror was removed", publish_two).after(|place| {
        with_mirror(place);
        fs::remove_dir_all(place.site()).expect("remove");
    }),
    scenario(Convert, "show another part", |place, faults| {
        place.add_view(faults, &mirror().from(RelPath::new("app").expect("a path")))
    })
    .after(with_strangers),
    scenario(Convert, "a link becomes a mirror", add_mirror).after(with_link),
    scenario(Convert, "a mirror becomes a link", |place, faults| {
        place.add_view(faults, &ViewOptions::default())
    })
    .after(with_mirror),
    scenario(Convert, "a mirror with strangers is replaced by a link", |place, faults| {
        place.add_view(faults, &ViewOptions::default().replace())
    })
    .after(with_strangers),
    scenario(Update, "publish where a folder took a link's place", publish_two).after(|place| {
        with_link(place);
        fs::remove_file(place.site()).expect("remove");
        write(&place.site().join("deep/mine"), "mine");
    }),
    scenario(Remove, "remove", Place::remove_view).after(with_mirror),
    scenario(Remove, "remove, with strangers", Place::remove_view).after(with_strangers),
];

fn add_mirror(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.add_view(faults, &mirror())
}

fn publish_two(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.commit(faults, &words(TWO))
}

fn with_mirror(place: &Place) {
    add_mirror(place, NO_FAULTS()).expect("add");
}

fn with_strangers(place: &Place) {
    with_mirror(place);
    add_strangers(place);
}

fn with_link(place: &Place) {
    place.add_view(NO_FAULTS(), &ViewOptions::default()).expect("add");
}

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario")
}

fn check_promises(scenario: &Scenario, place: &Place, after: &Option<Things>, had: usize, what: &str) {
    assert_eq!(strangers(place), had, "{what}: strangers stay");

    // The next writer, whatever it does, updates a mirror.
    let store = place.next_writer(what);
    for view in store.views().unwrap_or_else(|e| panic!("{what}: {e}")) {
        if fs::symlink_metadata(&view.path).is_ok_and(|meta| meta.is_dir()) && view.kind == ViewKind::Mirror
        {
            let is_whole = matches!(view.state, ViewState::Ok | ViewState::Strangers(_));
            // The removal was interrupted, and no later command has run.
            assert!(is_whole || (scenario.does == Does::Remove), "{what}: {:?}", view.state);
        }
    }
    place.act_again(scenario.act, what);
    assert_eq!(standing(place), *after, "{what}");
    place.commit(Faults::default(), &words(ONE)).unwrap_or_else(|e| panic!("{what}: {e}"));
    place.commit(Faults::default(), &words(TWO)).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(strangers(place), had, "{what}: strangers stay");
    let views = store.views().unwrap_or_else(|e| panic!("{what}: {e}"));
    let is_whole = |state: &ViewState| matches!(state, ViewState::Ok | ViewState::Strangers(_));
    assert_eq!(views.len(), usize::from(!(scenario.does == Does::Remove)), "{what}");
    assert!(views.iter().all(|view| is_whole(&view.state)), "{what}: {views:?}");
    place.check_end(&store, what);
}

fn run(scenario: &Scenario, way: Way) {
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("outside"));
    let prepared = Place(dir.path().join("prepared"), way);
    fs::create_dir(&prepared.0).expect("mkdir");
    if way.recycle {
        // A generation to recycle.
        prepared.commit(Faults::default(), &words(TWO)).expect("publish");
    }
    prepared.commit(Faults::default(), &words(ONE)).expect("publish");
    let place = Place(dir.path().join("broken"), way);
    // The place is not copied once it has a mirror: in a copy the inodes differ.
    let prepare = || {
        copy_exactly(&prepared.0, &place.0);
        (scenario.prepare)(&place);
    };
    prepare();
    let (before, had) = (standing(&place), strangers(&place));
    let faults = Faults::record();
    (scenario.act)(&place, faults.clone()).expect("it works");
    let after = standing(&place);
    if way.recycle {
        assert!(fs::symlink_metadata(place.0.join("store/generations/1")).is_err(), "it is recycled");
    }
    // The steps before a commit are tested in `crash`, and do not concern mirrors.
    let moved = faults.seen().iter().position(|call| call.ends_with("/store/current"));
    let first = moved.map_or(1, |at| at as u64 + 1);
    fs::remove_dir_all(&place.0).expect("clean up");
    let points = count_down_in_turn(&format!("{}, {way}", scenario.name), first, |fault, what| {
        prepare();
        let end = fault.meet(&task(&place, scenario), |faults| (scenario.act)(&place, faults));
        // After EIO from one step on, nothing can be restored: the next publish does it.
        let gone = (scenario.does == Does::Remove) && fault.kind == FaultKind::EioFromHere;
        if end.is_failure() && !gone {
            assert_eq!(standing(&place), before, "{what}: it failed, but changed the view");
        }
        check_promises(scenario, &place, &after, had, what);
        outside.check(what);
        fs::remove_dir_all(&place.0).expect("clean up");
        end
    });
    assert!(points > 3, "{}: {points}", scenario.name);
}

fn run_all(does: Does) {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.does == does) {
        run(scenario, Way::PLAIN);
    }
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    let place = Place(place, Way::named(&words[1]));
    (find(&words[0]).act)(&place, faults).expect("the verb itself works");
}

#[test]
fn a_mirror_converges_wherever_making_it_is_cut() {
    run_all(Does::Make);
}

#[test]
fn a_mirror_converges_wherever_bringing_it_up_to_date_is_cut() {
    run_all(Does::Update);
}

/// The published files are bytes in memory, so they are neither in the index nor consumed.
#[test]
fn a_mirror_converges_where_the_tree_is_a_recycled_one() {
    for name in ["publish", "publish to copies"] {
        run(find(name), Way::ALL[3]);
    }
}

#[test]
fn a_mirror_converges_wherever_changing_its_kind_is_cut() {
    run_all(Does::Convert);
}

#[test]
fn a_mirror_is_removed_wherever_that_is_cut() {
    run_all(Does::Remove);
}

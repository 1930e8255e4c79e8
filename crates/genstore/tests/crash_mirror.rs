//! The fault countdown for mirrors: every call that changes the disk while a mirror is created,
//! updated, converted or removed is interrupted or failed once. See the testkit's `countdown`.

use std::fs;
use std::path::{Path, PathBuf};

use genstore::faults::{FaultKind, Faults};
use genstore::generation::Mark;
use genstore::publish::Expect;
use genstore::tree::RelPath;
use genstore::verify::Depth;
use genstore::view::{ViewKind, ViewOptions, ViewState};
use genstore::{Error, Store};
use genstore_testkit::{
    Bystanders, Task, Thing, Things, Way, child_task, commit_in, copy_exactly, count_down_in_turn, debris,
    names, plan_of, read_tree, scratch, try_open, without_mtimes,
};

/// The content of generations.
const ONE: &[(&str, &str)] = &[
    ("app/file", "=one"),
    ("gone/deep/x", "=x"),
    ("hollow", "/"),
    ("link", ">same"),
    ("ring/a", "=a"),
    ("ring/b/c", "=c"),
    ("same", "=same"),
    ("turn", "=file"),
];
const TWO: &[(&str, &str)] = &[
    ("app/file", "=two"),
    ("hollow/now", "=full"),
    ("link", ">app/file"),
    ("new/deep/y", "=y"),
    ("ring", "=file"),
    ("same", "=same"),
    ("turn/inside", "=folder"),
];

/// A folder to work in, with `store` and the view `site`, and the way of publishing.
struct Place(PathBuf, Way);

impl Place {
    fn open(&self, faults: Faults) -> genstore::Result<Store> {
        try_open(&self.0.join("store"), faults)
    }

    fn publish(&self, faults: Faults, content: &[(&str, &str)]) -> genstore::Result<()> {
        commit_in(self.1, &self.open(faults)?, &plan_of(content)).map(drop)
    }

    fn add(&self, faults: Faults, options: &ViewOptions) -> genstore::Result<()> {
        self.open(faults)?.add_view(&self.site(), options).map(drop)
    }

    /// The task of a child that does a scenario's verb here.
    fn task(&self, scenario: &Scenario) -> Task {
        Task::new(child, &self.0, &[scenario.name, &self.1.to_string()])
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    /// Returns the tree that a program finds at the view's path. `None` if there is no entry.
    fn standing(&self) -> Option<Things> {
        fs::symlink_metadata(self.site()).ok()?;
        Some(without_mtimes(&read_tree(&self.site()).expect("read")))
    }

    /// Counts the foreign files: all files called `mine`, wherever in the place they are.
    fn strangers(&self) -> usize {
        let all = read_tree(&self.0).expect("read");
        let is_mine = |thing: &Thing| matches!(thing, Thing::File(bytes, ..) if bytes == b"mine");
        all.iter().filter(|(path, thing)| path.ends_with("/mine") && is_mine(thing)).count()
    }
}

fn mirror() -> ViewOptions {
    ViewOptions::mirror()
}

fn copies() -> ViewOptions {
    mirror().copy()
}

fn replacing(options: ViewOptions) -> ViewOptions {
    options.replace()
}

struct Scenario {
    name: &'static str,
    prepare: fn(&Place),
    act: fn(&Place, Faults) -> genstore::Result<()>,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Make,
    Update,
    Convert,
    Remove,
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
    Scenario {
        name: "add",
        prepare: |_| {},
        act: |place, faults| place.add(faults, &mirror()),
        does: Does::Make,
    },
    Scenario {
        name: "add a mirror of copies in an empty folder",
        prepare: |place| fs::create_dir(place.site()).expect("mkdir"),
        act: |place, faults| place.add(faults, &copies()),
        does: Does::Make,
    },
    Scenario {
        name: "replace a folder",
        prepare: |place| write(&place.site().join("deep/mine"), "mine"),
        act: |place, faults| place.add(faults, &replacing(mirror())),
        does: Does::Make,
    },
    Scenario {
        name: "publish",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            add_strangers(place);
        },
        act: |place, faults| place.publish(faults, TWO),
        does: Does::Update,
    },
    Scenario {
        name: "publish to copies",
        prepare: |place| {
            place.add(NO_FAULTS(), &copies()).expect("add");
            add_strangers(place);
        },
        act: |place, faults| place.publish(faults, TWO),
        does: Does::Update,
    },
    Scenario {
        name: "switch",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            place.publish(NO_FAULTS(), TWO).expect("publish");
        },
        act: |place, faults| {
            let store = place.open(faults)?;
            store.activate(&"1".parse().expect("a number"), Expect::Any).map(drop)
        },
        does: Does::Update,
    },
    Scenario {
        name: "publish where the mirror was removed",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            fs::remove_dir_all(place.site()).expect("remove");
        },
        act: |place, faults| place.publish(faults, TWO),
        does: Does::Update,
    },
    Scenario {
        name: "show another part",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            add_strangers(place);
        },
        act: |place, faults| place.add(faults, &mirror().from(RelPath::new("app").expect("a path"))),
        does: Does::Convert,
    },
    Scenario {
        name: "a link becomes a mirror",
        prepare: |place| place.add(NO_FAULTS(), &ViewOptions::default()).expect("add"),
        act: |place, faults| place.add(faults, &mirror()),
        does: Does::Convert,
    },
    Scenario {
        name: "a mirror becomes a link",
        prepare: |place| place.add(NO_FAULTS(), &mirror()).expect("add"),
        act: |place, faults| place.add(faults, &ViewOptions::default()),
        does: Does::Convert,
    },
    Scenario {
        name: "a mirror with strangers is replaced by a link",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            add_strangers(place);
        },
        act: |place, faults| place.add(faults, &replacing(ViewOptions::default())),
        does: Does::Convert,
    },
    Scenario {
        name: "publish where a folder took a link's place",
        prepare: |place| {
            place.add(NO_FAULTS(), &ViewOptions::default()).expect("add");
            fs::remove_file(place.site()).expect("remove");
            write(&place.site().join("deep/mine"), "mine");
        },
        act: |place, faults| place.publish(faults, TWO),
        does: Does::Update,
    },
    Scenario {
        name: "remove",
        prepare: |place| place.add(NO_FAULTS(), &mirror()).expect("add"),
        act: |place, faults| place.open(faults)?.remove_view(&place.site()).map(drop),
        does: Does::Remove,
    },
    Scenario {
        name: "remove, with strangers",
        prepare: |place| {
            place.add(NO_FAULTS(), &mirror()).expect("add");
            add_strangers(place);
        },
        act: |place, faults| place.open(faults)?.remove_view(&place.site()).map(drop),
        does: Does::Remove,
    },
];

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario")
}

fn check_promises(scenario: &Scenario, place: &Place, after: &Option<Things>, had: usize, what: &str) {
    assert_eq!(place.strangers(), had, "{what}: strangers stay");

    // The next writer, whatever it does, updates a mirror.
    let store = place.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
    store.mark(&"@".parse().unwrap(), Mark::Good, None).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
    check_nothing_left(place, what);
    for view in store.views().unwrap_or_else(|e| panic!("{what}: {e}")) {
        if fs::symlink_metadata(&view.path).is_ok_and(|meta| meta.is_dir()) && view.kind == ViewKind::Mirror
        {
            let is_whole = matches!(view.state, ViewState::Ok | ViewState::Strangers(_));
            // The removal was interrupted, and no later command has run.
            assert!(is_whole || (scenario.does == Does::Remove), "{what}: {:?}", view.state);
        }
    }
    assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");

    // The final state is the state of an uninterrupted run.
    match (scenario.act)(place, Faults::default()) {
        Err(Error::UnknownView { .. }) | Ok(()) => {}
        Err(error) => panic!("{what}: the same again: {error}"),
    }
    assert_eq!(place.standing(), *after, "{what}");
    place.publish(Faults::default(), ONE).unwrap_or_else(|e| panic!("{what}: {e}"));
    place.publish(Faults::default(), TWO).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(place.strangers(), had, "{what}: strangers stay");
    let views = store.views().unwrap_or_else(|e| panic!("{what}: {e}"));
    let is_whole = |state: &ViewState| matches!(state, ViewState::Ok | ViewState::Strangers(_));
    assert_eq!(views.len(), usize::from(!(scenario.does == Does::Remove)), "{what}");
    assert!(views.iter().all(|view| is_whole(&view.state)), "{what}: {views:?}");
    check_nothing_left(place, what);
    let left = debris(&place.0.join("store"));
    assert!(left.is_empty(), "{what}: debris is left: {left:?}");
    assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
}

fn check_nothing_left(place: &Place, what: &str) {
    let stray: Vec<String> =
        names(&place.0).into_iter().filter(|name| name.starts_with(".genstore")).collect();
    assert!(stray.is_empty(), "{what}: left beside the view: {stray:?}");
    for name in names(&place.0.join("store/views")) {
        let is_done = name.len() == 32 || name.ends_with(".mirror");
        assert!(is_done, "{what}: left unfinished: {name}");
    }
}

fn run(scenario: &Scenario, way: Way) {
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("outside"));
    let prepared = Place(dir.path().join("prepared"), way);
    fs::create_dir(&prepared.0).expect("mkdir");
    if way.recycle {
        // A generation to recycle.
        prepared.publish(Faults::default(), TWO).expect("publish");
    }
    prepared.publish(Faults::default(), ONE).expect("publish");
    let place = Place(dir.path().join("broken"), way);
    // The place is not copied once it has a mirror: in a copy the inodes differ.
    let prepare = || {
        copy_exactly(&prepared.0, &place.0);
        (scenario.prepare)(&place);
    };
    prepare();
    let (before, had) = (place.standing(), place.strangers());
    let faults = Faults::record();
    (scenario.act)(&place, faults.clone()).expect("it works");
    let after = place.standing();
    if way.recycle {
        assert!(fs::symlink_metadata(place.0.join("store/generations/1")).is_err(), "it is recycled");
    }
    // The steps before a commit are tested in `crash`, and do not concern mirrors.
    let moved = faults.seen().iter().position(|call| call.ends_with("/store/current"));
    let first = moved.map_or(1, |at| at as u64 + 1);
    fs::remove_dir_all(&place.0).expect("clean up");
    let points = count_down_in_turn(&format!("{}, {way}", scenario.name), first, |fault, what| {
        prepare();
        let end = fault.meet(&place.task(scenario), |faults| (scenario.act)(&place, faults));
        // After EIO from one step on, nothing can be restored: the next publish does it.
        let gone = (scenario.does == Does::Remove) && fault.kind == FaultKind::EioFromHere;
        if end.is_failure() && !gone {
            assert_eq!(place.standing(), before, "{what}: it failed, but changed the view");
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
    let Some((place, words, faults)) = child_task() else {
        return;
    };
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

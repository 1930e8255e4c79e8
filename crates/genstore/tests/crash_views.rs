//! The fault countdown for views: every call that changes the disk while a view is created, changed,
//! removed or restored is interrupted or failed once. See the testkit's `countdown`.

use crate::prelude::*;

/// A folder to work in, with `store` and the view `site`, and the way of publishing.
pub(crate) struct Place(pub(crate) PathBuf, pub(crate) Way);

impl Place {
    pub(crate) fn open(&self, faults: Faults) -> genstore::Result<Store> {
        try_open(&self.0.join("store"), faults)
    }

    /// Publishes a tree.
    pub(crate) fn commit(&self, faults: Faults, list: &[(&str, &str)]) -> genstore::Result<()> {
        commit_in(self.1, &self.open(faults)?, &plan_of(list)).map(drop)
    }

    pub(crate) fn add_view(&self, faults: Faults, options: &ViewOptions) -> genstore::Result<()> {
        self.open(faults)?.add_view(&self.site(), options).map(drop)
    }

    pub(crate) fn remove_view(&self, faults: Faults) -> genstore::Result<()> {
        self.open(faults)?.remove_view(&self.site()).map(drop)
    }

    pub(crate) fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    /// Runs the next writer. It first completes or undoes the change, in each verb.
    pub(crate) fn next_writer(&self, what: &str) -> Store {
        let store = self.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
        store.mark(&"@".parse().unwrap(), Mark::Good, None).unwrap_or_else(|e| panic!("{what}: {e}"));
        self.check_nothing_left(what);
        assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
        store
    }

    /// Does a verb again, which ends in the state of an uninterrupted run.
    pub(crate) fn act_again(&self, act: Act, what: &str) {
        match act(self, Faults::default()) {
            Err(Error::UnknownView { .. }) | Ok(()) => {}
            Err(error) => panic!("{what}: the same again: {error}"),
        }
    }

    pub(crate) fn check_nothing_left(&self, what: &str) {
        let stray: Vec<_> =
            names(&self.0).into_iter().filter(|name| name.starts_with(".genstore")).collect();
        assert!(stray.is_empty(), "{what}: left beside the view: {stray:?}");
        let views = self.0.join("store/views");
        for name in if views.exists() { names(&views) } else { vec![] } {
            let is_done = name.len() == 32 || name.ends_with(".mirror");
            assert!(is_done, "{what}: left unfinished: {name}");
        }
    }

    pub(crate) fn check_end(&self, store: &Store, what: &str) {
        self.check_nothing_left(what);
        assert_eq!(debris(&self.0.join("store")), [""; 0], "{what}: debris is left");
        assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
    }

    fn publish(&self, faults: Faults, content: &str) -> genstore::Result<()> {
        let content = format!("={content}");
        // Enough files stay the same for a tree to be recycled.
        self.commit(
            faults,
            &[("app/file", &content), ("file", &content), ("same", "=same"), ("too", "=same")],
        )
    }

    fn add(&self, faults: Faults, from: Option<&str>, replace: bool) -> genstore::Result<()> {
        let mut options = ViewOptions::default();
        options.from = from.map(|from| RelPath::new(from).expect("a path"));
        options.replace = replace;
        self.add_view(faults, &options)
    }

    /// The task of a child that does a scenario's verb here.
    fn task(&self, scenario: &Scenario) -> Task {
        Task::new(child, &self.0, &[scenario.name, &self.1.to_string()])
    }

    /// Returns the entry at the view's path.
    fn standing(&self) -> Standing {
        match fs::symlink_metadata(self.site()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Standing::Nothing,
            Ok(meta) if meta.is_dir() => Standing::Directory,
            Ok(meta) if meta.is_symlink() => {
                Standing::Link(fs::read_link(self.site()).expect("read").to_string_lossy().into_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns whether the previous folder still exists, wherever it is.
    fn has_mine(&self) -> bool {
        names(&self.0).iter().any(|name| {
            let path = self.0.join(name);
            let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            is_dir && fs::read(path.join("deep/mine")).is_ok_and(|bytes| bytes == b"mine")
        })
    }
}

#[derive(PartialEq, Clone, Debug)]
enum Standing {
    Nothing,
    Directory,
    Link(String),
}

fn link(target: &str) -> Standing {
    Standing::Link(target.to_owned())
}

pub(crate) type Act = fn(&Place, Faults) -> genstore::Result<()>;

struct Scenario {
    name: &'static str,
    prepare: fn(&Place),
    act: Act,
    /// The target of the link in the end. Empty: there is no entry.
    after: &'static str,
    publishes: bool,
}

const fn scenario(name: &'static str, after: &'static str, act: Act) -> Scenario {
    Scenario { name, prepare: |_| {}, act, after, publishes: false }
}

impl Scenario {
    const fn after(self, prepare: fn(&Place)) -> Scenario {
        Scenario { prepare, ..self }
    }

    const fn publishes(self) -> Scenario {
        Scenario { publishes: true, ..self }
    }
}

const RECYCLING: Way = Way::ALL[3];

const SCENARIOS: &[Scenario] = &[
    // Like a store of an older program.
    scenario("add", "store/current", |place, faults| place.add(faults, None, false))
        .after(|place| fs::remove_dir(place.0.join("store/views")).expect("remove")),
    scenario("replace a folder", "store/current", |place, faults| place.add(faults, None, true))
        .after(make_folder),
    scenario("replace a symlink", "store/current/app", |place, faults| {
        place.add(faults, Some("app"), true)
    })
    .after(|place| {
        fs::create_dir(place.0.join("other")).expect("mkdir");
        symlink("other", place.site()).expect("symlink");
    }),
    scenario("show another part", "store/current/app", |place, faults| {
        place.add(faults, Some("app"), false)
    })
    .after(add_link),
    scenario("remove", "", Place::remove_view).after(add_link),
    scenario("publish that makes a link again", "store/current", publish_two).publishes().after(|place| {
        add_link(place);
        fs::remove_file(place.site()).expect("remove");
    }),
    scenario("recovery of a replacement", "store/current", publish_two).publishes().after(|place| {
        make_folder(place);
        let scenario = find("replace a folder");
        let trial = Place(place.0.with_extension("trial"), place.1);
        copy_exactly(&place.0, &trial.0);
        let faults = Faults::record();
        (scenario.act)(&trial, faults.clone()).expect("it works");
        let calls = faults.seen();
        let at = calls.iter().position(|call| call.ends_with("site.before-genstore"));
        let step = at.unwrap_or_else(|| panic!("no step puts the folder aside: {calls:#?}")) + 1;
        assert!(kill_at(step as u64, &place.task(scenario)));
        fs::remove_dir_all(&trial.0).expect("clean up");
        assert!(!place.0.join("site.before-genstore").exists(), "it was cut before that");
    }),
];

fn add_link(place: &Place) {
    place.add(Faults::default(), None, false).expect("add");
}

fn publish_two(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.publish(faults, "two")
}

fn make_folder(place: &Place) {
    fs::create_dir_all(place.site().join("deep")).expect("mkdir");
    fs::write(place.site().join("deep/mine"), "mine").expect("write");
}

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario")
}

fn check_promises(scenario: &Scenario, place: &Place, before: &Standing, had_mine: bool, what: &str) {
    let after = if scenario.after.is_empty() { Standing::Nothing } else { link(scenario.after) };
    let standing = place.standing();
    assert!(standing == *before || standing == after, "{what}: at the view stands {standing:?}");
    assert_eq!(place.has_mine(), had_mine, "{what}: the folder is kept: {:?}", names(&place.0));

    let store = place.next_writer(what);
    let views = place.0.join("store/views");
    assert!(!views.exists() || names(&views).iter().all(|name| !name.ends_with(".mirror")), "{what}");
    place.act_again(scenario.act, what);
    place.publish(Faults::default(), "three").unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(place.standing(), after, "{what}");
    assert_eq!(place.has_mine(), had_mine, "{what}: {:?}", names(&place.0));
    let views = store.views().unwrap_or_else(|e| panic!("{what}: {e}"));
    match scenario.after {
        "" => assert_eq!(views, [], "{what}"),
        _ => {
            let states: Vec<_> = views.iter().map(|view| &view.state).collect();
            assert_eq!(states, [&ViewState::Ok], "{what}");
            assert_eq!(fs::read(place.site().join("file")).expect("read"), b"three", "{what}");
        }
    }
    place.check_end(&store, what);
}

#[test]
fn directories_that_are_made_for_a_view_are_no_debris() {
    let dir = scratch();
    let points = count_down("directories above a view", &FAILURES, 1, |fault, what| {
        let place = Place(dir.path().join(what), Way::PLAIN);
        fs::create_dir(&place.0).expect("mkdir");
        place.publish(Faults::default(), "one").expect("publish");
        let path = place.0.join("not/there/site");
        let options = ViewOptions::default().parents();
        let end = fault.fail(|faults| place.open(faults)?.add_view(&path, &options).map(drop));
        let store = place.open(Faults::default()).expect("open");
        let again = store.add_view(&path, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(again.warnings.len(), 0, "{what}");
        assert_eq!(fs::read(path.join("file")).expect("read"), b"one", "{what}");
        place.publish(Faults::default(), "two").unwrap_or_else(|e| panic!("{what}: {e}"));
        let above = fs::read_dir(path.parent().expect("a parent")).expect("list");
        assert_eq!(above.count(), 1, "{what}: something is left beside the view");
        assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
        end
    });
    assert!(points.iter().all(|&count| count > 6), "the directories and the link are calls of their own");
}

fn run(scenario: &Scenario, way: Way) {
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("outside"));
    let prepared = Place(dir.path().join("prepared"), way);
    fs::create_dir(&prepared.0).expect("mkdir");
    for content in ["zero", "one"] {
        prepared.publish(Faults::default(), content).expect("publish");
    }
    (scenario.prepare)(&prepared);
    let (before, had_mine) = (prepared.standing(), prepared.has_mine());
    let points = count_down_in_turn(&format!("{}, {way}", scenario.name), 1, |fault, what| {
        let place = Place(dir.path().join("broken"), way);
        copy_exactly(&prepared.0, &place.0);
        let end = fault.meet(&place.task(scenario), |faults| (scenario.act)(&place, faults));
        if let End::Unmet = end
            && scenario.publishes
        {
            let oldest = place.0.join("store/generations/1");
            assert_eq!(fs::symlink_metadata(oldest).is_ok(), !way.recycle, "{what}");
        }
        // After EIO from one step on, nothing can be restored: the next publish does it.
        let gone = scenario.after.is_empty() && fault.kind == FaultKind::EioFromHere;
        if end.is_failure() && !gone {
            assert_eq!(place.standing(), before, "{what}: it failed, but changed the view");
        }
        check_promises(scenario, &place, &before, had_mine, what);
        outside.check(what);
        fs::remove_dir_all(&place.0).expect("clean up");
        end
    });
    assert!(points > 3, "{}: {points}", scenario.name);
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    let place = Place(place, Way::named(&words[1]));
    (find(&words[0]).act)(&place, faults).expect("the verb itself works");
}

/// The order of the changes beside the view, and of their flushes.
#[test]
fn the_order_is_that_of_the_layout() {
    let dir = scratch();
    let place = Place(dir.path().join("place"), Way::PLAIN);
    fs::create_dir(&place.0).expect("mkdir");
    place.publish(Faults::default(), "one").expect("publish");
    let steps = |act: &dyn Fn(Faults)| -> Vec<String> {
        let faults = Faults::record();
        act(faults.clone());
        let record = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let short = |call: String| {
            let call = call.replace(place.0.to_str().expect("text"), "");
            let words = call.split_inclusive(['/', '.', '-']);
            words
                .map(|word| if record(word.trim_end_matches('.')) { "KEY." } else { word })
                .collect::<String>()
        };
        let calls = faults.seen().into_iter().filter(|call| !call.contains("/staging/"));
        let calls: Vec<String> = calls.filter(|call| !call.starts_with("chmod")).map(short).collect();
        // Records are written and flushed as temporary files, which are logged under their final names.
        // Whether the cache of folder stamps is renewed depends on the age of the tree.
        calls
            .into_iter()
            .filter(|call| !call.ends_with("/sealed"))
            .filter(|call| !call.starts_with("write ") && !call.starts_with("fsync /store/views/"))
            .collect()
    };
    make_folder(&place);
    let replaced = steps(&|faults| place.add(faults, None, true).expect("add"));
    let own = Digest::of(b"").short().len();
    let temp =
        replaced.iter().find_map(|call| call.strip_prefix("symlink /")).expect("the link").to_owned();
    assert_eq!(temp.len(), ".genstore-view-".len() + own);
    let expected = [
        "rename /store/views/KEY.pending".to_owned(),
        "fsync /store/views".to_owned(),
        format!("symlink /{temp}"),
        "exchange /site".to_owned(),
        "rename /site.before-genstore".to_owned(),
        "fsync ".to_owned(),
        "rename /store/views/KEY.".to_owned(),
        "fsync /store/views".to_owned(),
        "unlink /store/views/KEY.pending".to_owned(),
        "fsync /store/views".to_owned(),
    ];
    assert_eq!(replaced, expected);
    let removed = steps(&|faults| place.remove_view(faults).expect("remove"));
    assert_eq!(removed, ["unlink /site", "fsync ", "unlink /store/views/KEY.", "fsync /store/views"]);
    place.add(Faults::default(), None, false).expect("add");
    fs::remove_file(place.site()).expect("remove");
    let again = steps(&|faults| place.publish(faults, "one").expect("publish"));
    assert_eq!(again, ["symlink /site", "fsync "]);
}

#[test]
fn a_view_is_the_old_thing_or_the_link_wherever_it_is_cut() {
    for scenario in SCENARIOS {
        run(scenario, Way::PLAIN);
    }
}

/// The published files are bytes in memory, so they are neither in the index nor consumed.
#[test]
fn it_is_also_where_the_tree_is_a_recycled_one() {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.publishes) {
        run(scenario, RECYCLING);
    }
}

//! The fault countdown for views: every call that changes the disk while a view is made, moved,
//! removed or made again is cut short or failed once. See `crash.rs` for how.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read the environment, and make and break files"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use genstore::{
    CommitOptions, Depth, Error, FaultKind, FaultPlan, Faults, Mark, Options, Plan, RelPath, Source,
    StageOptions, Store, ViewOptions, ViewState,
};
use genstore_testkit::{at, copy_exactly, debris, scratch};

const KINDS: [FaultKind; 4] = [FaultKind::Kill, FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full];

/// A place to work in: `store`, and the view `site`.
struct Place(PathBuf);

impl Place {
    fn open(&self, faults: Faults) -> genstore::Result<Store> {
        let mut options = Options::new(Arc::new(|| at(5_000)));
        options.faults = faults;
        Store::init(&self.0.join("store"), options).map(|(store, _)| store)
    }

    fn publish(&self, faults: Faults, content: &str) -> genstore::Result<()> {
        let bytes = || Source::Bytes(content.as_bytes().to_vec());
        let plan = Plan::builder().file("app/file", false, bytes()).file("file", false, bytes()).build()?;
        let store = self.open(faults)?;
        store.stage(&plan, StageOptions::default())?.unaudited().commit(&CommitOptions::default()).map(drop)
    }

    fn add(&self, faults: Faults, from: Option<&str>, replace: bool) -> genstore::Result<()> {
        let from = from.map(|from| RelPath::new(from).expect("a path"));
        let options = ViewOptions { from, replace, ..ViewOptions::default() };
        self.open(faults)?.add_view(&self.site(), &options).map(drop)
    }

    fn remove(&self, faults: Faults) -> genstore::Result<()> {
        self.open(faults)?.remove_view(&self.site()).map(drop)
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("list").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// What a program finds at the view's path.
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

    /// Tells whether the folder that was there before still is, wherever it is.
    fn has_mine(&self) -> bool {
        self.names().iter().any(|name| {
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

struct Scenario {
    name: &'static str,
    prepare: fn(&Place),
    act: fn(&Place, Faults) -> genstore::Result<()>,
    /// What stands there in the end.
    after: &'static str,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "add",
        // As a store of an older program.
        prepare: |place| fs::remove_dir(place.0.join("store/views")).expect("remove"),
        act: |place, faults| place.add(faults, None, false),
        after: "store/current",
    },
    Scenario {
        name: "replace a folder",
        prepare: make_folder,
        act: |place, faults| place.add(faults, None, true),
        after: "store/current",
    },
    Scenario {
        name: "replace a symlink",
        prepare: |place| {
            fs::create_dir(place.0.join("other")).expect("mkdir");
            symlink("other", place.site()).expect("symlink");
        },
        act: |place, faults| place.add(faults, Some("app"), true),
        after: "store/current/app",
    },
    Scenario {
        name: "show another part",
        prepare: |place| place.add(Faults::default(), None, false).expect("add"),
        act: |place, faults| place.add(faults, Some("app"), false),
        after: "store/current/app",
    },
    Scenario {
        name: "remove",
        prepare: |place| place.add(Faults::default(), None, false).expect("add"),
        act: |place, faults| place.remove(faults),
        after: "",
    },
    Scenario {
        name: "publish that makes a link again",
        prepare: |place| {
            place.add(Faults::default(), None, false).expect("add");
            fs::remove_file(place.site()).expect("remove");
        },
        act: |place, faults| place.publish(faults, "two"),
        after: "store/current",
    },
    Scenario {
        name: "recovery of a replacement",
        prepare: |place| {
            make_folder(place);
            let scenario = find("replace a folder");
            let trial = Place(place.0.with_extension("trial"));
            copy_exactly(&place.0, &trial.0);
            let faults = Faults::record();
            (scenario.act)(&trial, faults.clone()).expect("it works");
            let calls = faults.seen();
            let at = calls.iter().position(|call| call.ends_with("site.before-genstore"));
            let step = at.unwrap_or_else(|| panic!("no step puts the folder aside: {calls:#?}")) + 1;
            assert!(kill_at(scenario, place, step as u64));
            fs::remove_dir_all(&trial.0).expect("clean up");
            assert!(!place.0.join("site.before-genstore").exists(), "it was cut before that");
        },
        act: |place, faults| place.publish(faults, "two"),
        after: "store/current",
    },
];

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
    assert_eq!(place.has_mine(), had_mine, "{what}: the folder is kept: {:?}", place.names());

    // The next writer, whatever it does, finishes or takes back.
    let store = place.open(Faults::default()).unwrap_or_else(|e| panic!("{what}: next open: {e}"));
    store.mark(&"1".parse().unwrap(), Mark::Good, None).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
    let stray: Vec<String> =
        place.names().into_iter().filter(|name| name.starts_with(".genstore")).collect();
    assert!(stray.is_empty(), "{what}: left beside the view: {stray:?}");
    if let Ok(records) = fs::read_dir(place.0.join("store/views")) {
        let names: Vec<_> = records.map(|record| record.expect("a record").file_name()).collect();
        assert!(names.iter().all(|name| name.len() == 32), "{what}: left unfinished: {names:?}");
    }
    assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");

    // And all comes to the state of an unbroken run.
    match (scenario.act)(place, Faults::default()) {
        Err(Error::UnknownView { .. }) | Ok(()) => {}
        Err(error) => panic!("{what}: the same again: {error}"),
    }
    place.publish(Faults::default(), "three").unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(place.standing(), after, "{what}");
    assert_eq!(place.has_mine(), had_mine, "{what}: {:?}", place.names());
    let views = store.views().unwrap_or_else(|e| panic!("{what}: {e}"));
    match scenario.after {
        "" => assert_eq!(views, [], "{what}"),
        _ => {
            assert_eq!(
                views.iter().map(|view| &view.state).collect::<Vec<_>>(),
                [&ViewState::Ok],
                "{what}"
            );
            assert_eq!(fs::read(place.site().join("file")).expect("read"), b"three", "{what}");
        }
    }
    let left = debris(&place.0.join("store"));
    assert!(left.is_empty(), "{what}: debris is left: {left:?}");
    assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
}

#[test]
fn directories_that_are_made_for_a_view_are_no_debris() {
    let dir = scratch();
    for kind in [FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full] {
        for step in 1.. {
            let what = format!("{kind:?} at step {step}");
            let place = Place(dir.path().join(format!("{kind:?}-{step}")));
            fs::create_dir(&place.0).expect("mkdir");
            place.publish(Faults::default(), "one").expect("publish");
            let path = place.0.join("not/there/site");
            let options = ViewOptions { parents: true, ..ViewOptions::default() };
            let faults = Faults::inject(FaultPlan::step(step, kind));
            let added = place.open(faults.clone()).and_then(|store| store.add_view(&path, &options));
            let met = faults.count() >= step;
            assert!(met || added.is_ok(), "{what}: failed without a fault: {added:?}");
            let store = place.open(Faults::default()).expect("open");
            let again = store.add_view(&path, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(again.warnings.len(), 0, "{what}");
            assert_eq!(fs::read(path.join("file")).expect("read"), b"one", "{what}");
            place.publish(Faults::default(), "two").unwrap_or_else(|e| panic!("{what}: {e}"));
            let above = fs::read_dir(path.parent().expect("a parent")).expect("list");
            assert_eq!(above.count(), 1, "{what}: something is left beside the view");
            assert!(store.verify(None, Depth::Full).expect("verify").is_clean(), "{what}: not clean");
            if !met {
                assert!(step > 7, "{what}: the directories and the link are calls of their own");
                break;
            }
        }
    }
}

/// See `crash.rs`.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(scenario: &Scenario) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = scratch();
    let prepared = Place(dir.path().join("prepared"));
    fs::create_dir(&prepared.0).expect("mkdir");
    prepared.publish(Faults::default(), "one").expect("publish");
    (scenario.prepare)(&prepared);
    let (before, had_mine) = (prepared.standing(), prepared.has_mine());
    let mut points = Vec::new();
    for kind in KINDS {
        for step in 1.. {
            let what = format!("{}, {kind:?} at step {step}", scenario.name);
            let place = Place(dir.path().join("broken"));
            copy_exactly(&prepared.0, &place.0);
            let met = if kind == FaultKind::Kill {
                kill_at(scenario, &place, step)
            } else {
                let faults = Faults::inject(FaultPlan::step(step, kind));
                let result = (scenario.act)(&place, faults.clone());
                let met = faults.count() >= step;
                assert!(met || result.is_ok(), "{what}: failed without a fault: {result:?}");
                // On a disk that is gone nothing can be put back: the next publish does it.
                let gone = scenario.name == "remove" && kind == FaultKind::EioFromHere;
                if result.is_err() && !gone {
                    assert_eq!(place.standing(), before, "{what}: failed, and changed something");
                }
                met
            };
            check_promises(scenario, &place, &before, had_mine, &what);
            fs::remove_dir_all(&place.0).expect("clean up");
            if !met {
                points.push(step - 1);
                break;
            }
        }
    }
    println!("{}: {points:?} fault points (killed, EIO once, EIO from there on, disk full)", scenario.name);
    assert!(points.iter().all(|&count| count > 3), "{}: {points:?}", scenario.name);
}

const CHILD: &str = "GENSTORE_CRASH_CHILD";

/// Runs the verb in a child that is killed at `step`; tells whether it got that far.
fn kill_at(scenario: &Scenario, place: &Place, step: u64) -> bool {
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{step}:{}:{}", scenario.name, place.0.display()))
        .output()
        .expect("run the child")
        .status;
    match std::os::unix::process::ExitStatusExt::signal(&status) {
        Some(9) => true,
        None if status.success() => false,
        _ => panic!("{}, kill at step {step}: the child ended by itself: {status}", scenario.name),
    }
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = task.splitn(3, ':');
    let step = parts.next().expect("a step").parse().expect("a number");
    let scenario = find(parts.next().expect("a scenario"));
    let place = Place(Path::new(parts.next().expect("a place")).to_owned());
    let fault = FaultPlan::step(step, FaultKind::Kill);
    (scenario.act)(&place, Faults::inject(fault)).expect("the verb itself works");
}

/// What is done beside the view, and what of it is durable before the next step.
#[test]
fn the_order_is_that_of_the_layout() {
    let dir = scratch();
    let place = Place(dir.path().join("place"));
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
        // Records are written and flushed on their way, under the name that they are to get.
        calls
            .into_iter()
            .filter(|call| !call.starts_with("write ") && !call.starts_with("fsync /store/views/"))
            .collect()
    };
    make_folder(&place);
    let replaced = steps(&|faults| place.add(faults, None, true).expect("add"));
    let own = genstore::Digest::of(b"").short().len();
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
    let removed = steps(&|faults| place.remove(faults).expect("remove"));
    assert_eq!(removed, ["unlink /site", "fsync ", "unlink /store/views/KEY.", "fsync /store/views"]);
    place.add(Faults::default(), None, false).expect("add");
    fs::remove_file(place.site()).expect("remove");
    let again = steps(&|faults| place.publish(faults, "one").expect("publish"));
    assert_eq!(again, ["symlink /site", "fsync "]);
}

#[test]
fn a_view_is_the_old_thing_or_the_link_wherever_it_is_cut() {
    for scenario in SCENARIOS {
        run(scenario);
    }
}

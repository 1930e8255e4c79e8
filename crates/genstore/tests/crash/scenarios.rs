//! The verbs under test: the state before, and the action.

use genstore::plan::Base;
use genstore::publish::{Lossy, Stage, StageId};

use super::Place;
use crate::prelude::*;

/// A verb under test: the state before, and the action.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Whether the previous current generation is damaged.
    pub(super) mends: bool,
    /// The sources that are published before.
    pub(super) published: &'static [&'static str],
    pub(super) prepare: fn(&Place),
    /// An action in each copy of the place before the verb, for state that cannot be copied.
    pub(super) prepare_each: fn(&Place),
    pub(super) act: Act,
    /// Whether it changes nothing but sources that are consumed.
    pub(super) idle: bool,
    /// Whether it publishes `c` as the third generation, which recycles the first one.
    pub(super) third: bool,
    /// Whether the index knows sources that are consumed.
    pub(super) known: bool,
    /// The error codes that the repeated verb may return if it was done before.
    pub(super) again: &'static [&'static str],
}

type Act = fn(&Place, Faults) -> genstore::Result<()>;

const fn after(published: &'static [&'static str], name: &'static str, act: Act) -> Scenario {
    Scenario {
        name,
        mends: false,
        published,
        prepare: |_| {},
        prepare_each: |_| {},
        act,
        idle: false,
        third: false,
        known: false,
        again: &[],
    }
}

impl Scenario {
    const fn and(self, prepare: fn(&Place)) -> Scenario {
        Scenario { prepare, ..self }
    }

    const fn and_each(self, prepare_each: fn(&Place)) -> Scenario {
        Scenario { prepare_each, ..self }
    }

    const fn mends(self) -> Scenario {
        Scenario { mends: true, ..self }
    }

    const fn idle(self) -> Scenario {
        Scenario { idle: true, ..self }
    }

    const fn third(self) -> Scenario {
        Scenario { third: true, ..self }
    }

    const fn known(self) -> Scenario {
        Scenario { known: true, ..self }
    }

    const fn again(self, again: &'static [&'static str]) -> Scenario {
        Scenario { again, ..self }
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    after(&[], "first publish", publish_a),
    after(&["a"], "second publish", publish_b),
    after(&["a"], "publish of what is current", publish_a).idle(),
    after(&["a"], "publish that is only kept", |place, faults| {
        place.publish_with(faults, "b", Activate::Never).map(drop)
    }),
    after(&["a", "b"], "third publish", publish_c).third(),
    // The folder that was published before, and is consumed now that it was built again.
    after(&["a"], "third publish, of what the index knows", publish_c)
        .and_each(|place| {
            let given = place.given("c");
            let mut built = Trees::usual().a;
            built.extend(things(1_000, &[("a.txt", "=second")]));
            write_tree(&given, &built);
            settle(&place.dir);
            let copying = Place { way: Way { consume: false, ..place.way }, ..place.at(place.dir.clone()) };
            let store = copying.open(Faults::default()).expect("open");
            let plan = Plan::scan(&given, &ScanRules::default()).expect("scan");
            let staged = store.stage(&plan, copying.way.staging()).expect("stage");
            drop(staged.unaudited().commit(&CommitOptions::default()).expect("commit"));
            change_tree(&given, &built, &Trees::usual().c);
        })
        .third()
        .known(),
    after(&["a", "b"], "third publish, over a changed spare", publish_c).and(spoil).third(),
    after(&["a", "b"], "recovery of a third publish", publish_c).and(|place| {
        // With recycling, the generation is in the stage by then.
        let last = if place.way.recycle { "tree/a.txt" } else { "store/current" };
        cut(place, "third publish", "rename", last);
    }),
    after(&["a", "b"], "third build in a stage", |place, faults| {
        let store = place.open(faults)?;
        let stage = store.begin()?;
        write_tree(stage.path(), &Trees::usual().c);
        let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
        staged.unaudited().commit(&CommitOptions::default()).map(drop)
    })
    .third(),
    after(&["a", "b"], "rollback", roll_back).again(&["nothing-older"]),
    after(&["a", "b"], "switch forward", |place, faults| {
        place.open(faults)?.activate(&"2".parse().unwrap(), Expect::Any).map(drop)
    })
    .and(|place| place.open(Faults::default()).unwrap().rollback(1, MarkLeft::Bad).map(drop).unwrap()),
    after(&["a", "b"], "gc", collect_all).and(|place| {
        place
            .open(Faults::default())
            .unwrap()
            .mark(&"1".parse().unwrap(), Mark::Bad, None)
            .map(drop)
            .unwrap()
    }),
    after(&["a"], "mark, pin and unpin", |place, faults| {
        let store = place.open(faults)?;
        store.mark(&"@".parse().unwrap(), Mark::Good, Some("looked at".to_owned()))?;
        store.pin(&"@".parse().unwrap(), &"keep".parse().unwrap(), None, None)?;
        store.unpin(&"keep".parse().unwrap()).map(drop)
    })
    .again(&["no-such-pin"]),
    after(&["a"], "recovery of a publish", publish_b)
        .and(|place| cut(place, "second publish", "rename", "store/current")),
    after(&["a", "b"], "recovery of a rollback", roll_back)
        .and(|place| cut(place, "rollback", "rename", "store/current"))
        .again(&["nothing-older"]),
    after(&["a", "b"], "recovery of gc", collect_all)
        .and(|place| cut(place, "gc", "unlink", "s-gone-1/manifest")),
    after(&["b", "a"], "publish that heals a damaged object", publish_a)
        .and(|place| damage_object(place, b"same"))
        .mends(),
    after(&["a"], "build in a stage", |place, faults| {
        let store = place.open(faults)?;
        let stage = store.begin_build()?;
        let mut log = stage.log()?;
        std::io::Write::write_all(&mut log, b"building\n").expect("write the log");
        write_tree(stage.path(), &Trees::usual().b);
        let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
        staged.unaudited().commit(&CommitOptions::default()).map(drop)
    }),
    after(&["a"], "begin, without an owner", |place, faults| {
        let store = place.open(faults)?;
        let stage = store.begin()?;
        write_tree(stage.path(), &Trees::usual().b);
        // It expires at once, so that the next writer removes it.
        stage.leave_to(Owner::Until(at(5_000))).map(drop)
    }),
    after(&["a"], "commit of a stage that was left", |place, faults| {
        let store = place.open(faults)?;
        if place.shown().is_some_and(|shown| same_content(&shown, &Trees::usual().b)) {
            // The commit happened before the interruption: any writer removes the rest.
            store.mark(&"@".parse().unwrap(), Mark::Good, None)?;
            assert_eq!(debris(&place.store()), [""; 0], "the stage of a commit that happened");
            return Ok(());
        }
        let left = debris(&place.store());
        let name = left.iter().find_map(|name| name.strip_prefix("s-")?.strip_suffix(".claim"));
        let id = name.expect("a stage that was left").parse().expect("an id");
        let stage = store.resume(&id)?;
        let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
        staged.unaudited().commit(&CommitOptions::default()).map(drop)
    })
    .and(|place| {
        let store = place.open(Faults::default()).expect("open");
        let stage = store.begin().expect("begin");
        write_tree(stage.path(), &Trees::usual().b);
        stage.leave_to(Owner::Process(std::process::id())).map(drop).expect("leave");
    })
    .again(&["stage-committed"]),
    after(&["a"], "batch of two roots, beside its base", |place, faults| {
        let store = place.open(faults)?;
        let id = store.begin_batch()?.leave_to(Owner::Process(std::process::id()))?;
        let done = fill_and_commit(place, &store, &id);
        if done.is_err() {
            // This process lives on, and so would the stage.
            let aborted = place.open(Faults::default())?.resume(&id).and_then(Stage::abort);
            assert!(aborted.is_ok() || aborted.is_err_and(|e| e.code() == "stage-committed"));
        }
        done
    }),
    after(&["a"], "refusal", refuse).and(|place| refuse(place, Faults::default()).expect("refuse")),
    // An executable has the same bytes, too: a copy to heal from.
    after(&["a", "b"], "repair", repair).and(|place| damage_object(place, b"second")).mends(),
    after(&["a", "b"], "repair of a store that lost its parts", repair).and(lose_parts).mends(),
    // It is allowed again, so that `a` and `b` can be published after it.
    after(&["a", "b"], "forget", |place, faults| {
        let store = place.open(faults)?;
        let digests = [genstore::tree::Digest::of(b"second")].into();
        store.forget(&digests)?;
        store.allow_again(&digests).map(drop)
    })
    .mends(),
    after(&["a", "b"], "relink of a copy", |place, faults| place.open(faults)?.relink().map(drop))
        .and(|place| {
            copy_without_links(place);
            fs::remove_dir_all(place.store().join("objects")).expect("remove");
        })
        .mends(),
    after(&["a", "b"], "repair of what took the place of records", repair)
        .and(|place| {
            fs::remove_file(place.store().join("current")).expect("remove");
            for name in ["sequence", "log", "generations/1/manifest"] {
                let path = place.store().join(name);
                fs::remove_file(&path).expect("remove");
                symlink("elsewhere", &path).expect("make a symlink");
            }
        })
        .mends(),
];

/// Copies the store without its links, times and modes.
fn copy_without_links(place: &Place) {
    let (store, copy) = (place.store(), place.dir.join("copy"));
    let status = Command::new("cp").arg("-r").arg(&store).arg(&copy).status().expect("run cp");
    assert!(status.success(), "cp -r failed");
    fs::remove_dir_all(&store).expect("remove");
    fs::rename(&copy, &store).expect("rename");
}

/// Copies the store without its links, times and modes, and without its objects, its empty folders and
/// its records.
fn lose_parts(place: &Place) {
    copy_without_links(place);
    let store = place.store();
    for folder in ["objects", "locks", "staging", "pins", "marks", "views", "suspects", "quarantine"] {
        fs::remove_dir_all(store.join(folder)).expect("remove");
    }
    for file in ["current", "sequence", "log", "notice"] {
        fs::remove_file(store.join(file)).expect("remove");
    }
}

/// Refuses `b`, and keeps it for inspection instead of the previous refused one.
fn refuse(place: &Place, faults: Faults) -> genstore::Result<()> {
    if place.way.consume {
        give(&place.given("b"), &Trees::usual().b);
    }
    let store = place.open(faults)?;
    let staged = store.stage(&place.plan(&store, "b")?, place.way.staging())?;
    match staged.audit(&AuditRules::default().max_total(1))? {
        Judged::Rejected(rejected) => rejected.keep(KeepFailed::default().count(1).bytes(0)).map(drop),
        Judged::Accepted(_) => panic!("more than a byte is refused"),
    }
}

/// Puts a folder and a file of `b` into a batch, and commits it over what is current.
fn fill_and_commit(place: &Place, store: &Store, id: &StageId) -> genstore::Result<()> {
    let (rules, source) = (ScanRules::default(), place.sources.join("b"));
    for name in ["dir", "a.txt"] {
        let path = RelPath::new(name).expect("a path");
        store.put(id, (&path, &source.join(name)), &rules, Lossy::Warn)?;
    }
    let stage = store.resume(id)?;
    let base = Base::of(store.open_generation(&"@".parse().unwrap())?)?;
    let plan = stage.scan_onto(Plan::builder().base(base), &rules)?;
    stage.seal_plan(&plan, place.way.staging())?.unaudited().commit(&CommitOptions::default()).map(drop)
}

fn collect_all(place: &Place, faults: Faults) -> genstore::Result<()> {
    let store = place.open(faults)?;
    let rule = Retention::only_last(0);
    let plan = store.plan_gc(&rule)?;
    store.collect(&plan).map(drop)
}

/// Kills a verb just before a call, so that the next one has something to recover from.
fn cut(place: &Place, verb: &str, op: &str, path: &str) {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == verb).expect("a known scenario");
    let trial = place.at(place.dir.with_extension("trial"));
    copy_exactly(&place.dir, &trial.dir);
    let faults = Faults::record();
    (scenario.act)(&trial, faults.clone()).expect("the verb itself works");
    let calls = faults.seen();
    let at = calls.iter().position(|call| call.starts_with(op) && call.ends_with(path));
    let step = at.unwrap_or_else(|| panic!("{op} {path} is not among {calls:#?}")) as u64 + 1;
    assert!(kill_at(step, &place.task(scenario)), "{verb} gets as far as {op} {path}");
    fs::remove_dir_all(&trial.dir).expect("clean up");
}

fn publish_a(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.publish_with(faults, "a", Activate::Always).map(drop)
}

fn publish_b(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.publish_with(faults, "b", Activate::Always).map(drop)
}

fn publish_c(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.publish_with(faults, "c", Activate::Always).map(drop)
}

fn roll_back(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.open(faults)?.rollback(1, MarkLeft::Bad).map(drop)
}

fn repair(place: &Place, faults: Faults) -> genstore::Result<()> {
    place.open(faults)?.repair().map(drop)
}

/// Changes the oldest generation like a stray program. The store is clean afterwards only if that
/// generation is recycled.
fn spoil(place: &Place) {
    if !place.way.recycle {
        return;
    }
    let tree = place.store().join("generations/1/tree");
    fs::write(tree.join("dir/stranger"), "mine").expect("write");
    fs::write(tree.join("empty"), "mine").expect("root may write");
    fs::remove_file(tree.join("dir/twin")).expect("remove");
}

/// Writes through one name of an object, as root can. Size and mtime stay, as with bit rot.
fn damage_object(place: &Place, content: &[u8]) {
    let hex = Digest::of(content).to_string();
    let path = place.store().join("objects").join(&hex[..2]).join(&hex[2..]);
    let mtime = path.metadata().expect("the object").modified().expect("mtime");
    let mut bytes = fs::read(&path).expect("read");
    bytes[0] ^= 1;
    let file = fs::File::options().write(true).open(&path).expect("root may write");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("write");
    file.set_modified(mtime).expect("set the mtime");
    drop(file);
    let store = place.open(Faults::default()).expect("open");
    assert!(!store.verify(None, Depth::Full).expect("verify").is_clean(), "the damage is seen");
}

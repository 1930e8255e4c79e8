//! The verbs under test: the state before, and the action.

use genstore::audit::{AuditRules, Judged, KeepFailed};
use genstore::faults::Faults;
use genstore::generation::Mark;
use genstore::plan::ScanRules;
use genstore::publish::{Activate, Expect, MarkLeft, Owner};
use genstore::verify::Depth;
use genstore::{CommitOptions, Plan, Retention};
use genstore_testkit::{
    Trees, Way, at, change_tree, copy_exactly, debris, give, kill_at, same_content, settle, things,
    write_tree,
};

use super::Place;

/// A verb under test: the state before, and the action.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Whether the previous current generation is damaged.
    pub(super) mends: bool,
    pub(super) prepare: fn(&Place),
    /// An action in each copy of the place before the verb, for state that cannot be copied.
    pub(super) prepare_each: fn(&Place),
    pub(super) act: fn(&Place, Faults) -> genstore::Result<()>,
    /// Whether it changes nothing but sources that are consumed.
    pub(super) idle: bool,
    /// Whether it publishes `c` as the third generation, which recycles the first one.
    pub(super) third: bool,
    /// Whether the index knows sources that are consumed.
    pub(super) known: bool,
    /// The error codes that the repeated verb may return if it was done before.
    pub(super) again: &'static [&'static str],
}

const PLAIN: Scenario = Scenario {
    name: "",
    mends: false,
    prepare: |_| {},
    prepare_each: |_| {},
    act: |_, _| Ok(()),
    idle: false,
    third: false,
    known: false,
    again: &[],
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first publish", act: |place, faults| act_publish(place, faults, "a"), ..PLAIN },
    Scenario {
        name: "second publish",
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "b"),
        ..PLAIN
    },
    Scenario {
        name: "publish of what is current",
        idle: true,
        prepare: |place| place.publish("a"),
        act: |place, faults| act_publish(place, faults, "a"),
        ..PLAIN
    },
    Scenario {
        name: "publish that is only kept",
        prepare: |place| place.publish("a"),
        act: |place, faults| place.publish_with(faults, "b", Activate::Never).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "third publish",
        third: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "third publish, of what the index knows",
        third: true,
        known: true,
        prepare: |place| place.publish("a"),
        // The folder that was published before, and is consumed now that it was built again.
        prepare_each: |place| {
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
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "third publish, over a changed spare",
        third: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            spoil(place);
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "recovery of a third publish",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            // With recycling, the generation is in the stage by then.
            let last = if place.way.recycle { "tree/a.txt" } else { "store/current" };
            cut(place, "third publish", "rename", last);
        },
        act: |place, faults| act_publish(place, faults, "c"),
        ..PLAIN
    },
    Scenario {
        name: "third build in a stage",
        third: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &Trees::usual().c);
            let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "rollback",
        again: &["nothing-older"],
        prepare: |place| {
            place.publish("a");
            place.publish("b");
        },
        act: |place, faults| place.open(faults)?.rollback(1, MarkLeft::Bad).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "switch forward",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().rollback(1, MarkLeft::Bad).map(drop).unwrap();
        },
        act: |place, faults| place.open(faults)?.activate(&"2".parse().unwrap(), Expect::Any).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "gc",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            place.open(Faults::default()).unwrap().mark(&"1".parse().unwrap(), Mark::Bad, None).unwrap();
        },
        act: collect_all,
        ..PLAIN
    },
    Scenario {
        name: "mark, pin and unpin",
        again: &["no-such-pin"],
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            store.mark(&"@".parse().unwrap(), Mark::Good, Some("looked at".to_owned()))?;
            store.pin(&"@".parse().unwrap(), &"keep".parse().unwrap(), None, None)?;
            store.unpin(&"keep".parse().unwrap())
        },
        ..PLAIN
    },
    Scenario {
        name: "recovery of a publish",
        prepare: |place| {
            place.publish("a");
            cut(place, "second publish", "rename", "store/current");
        },
        act: |place, faults| act_publish(place, faults, "b"),
        ..PLAIN
    },
    Scenario {
        name: "recovery of a rollback",
        again: &["nothing-older"],
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "rollback", "rename", "store/current");
        },
        act: |place, faults| place.open(faults)?.rollback(1, MarkLeft::Bad).map(drop),
        ..PLAIN
    },
    Scenario {
        name: "recovery of gc",
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            cut(place, "gc", "unlink", "s-gone-1/manifest");
        },
        act: collect_all,
        ..PLAIN
    },
    Scenario {
        name: "publish that heals a damaged object",
        mends: true,
        prepare: |place| {
            place.publish("b");
            place.publish("a");
            damage_object(place, b"same");
        },
        act: |place, faults| act_publish(place, faults, "a"),
        ..PLAIN
    },
    Scenario {
        name: "build in a stage",
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin_build()?;
            let mut log = stage.log()?;
            std::io::Write::write_all(&mut log, b"building\n").expect("write the log");
            write_tree(stage.path(), &Trees::usual().b);
            let staged = stage.seal(&ScanRules::default(), place.way.staging())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "begin, and leave to nobody",
        prepare: |place| place.publish("a"),
        act: |place, faults| {
            let store = place.open(faults)?;
            let stage = store.begin()?;
            write_tree(stage.path(), &Trees::usual().b);
            // It expires at once, so that the next writer removes it.
            stage.leave_to(Owner::Until(at(5_000))).map(drop)
        },
        ..PLAIN
    },
    Scenario {
        name: "commit of a stage that was left",
        again: &["stage-committed"],
        prepare: |place| {
            place.publish("a");
            let store = place.open(Faults::default()).expect("open");
            let stage = store.begin().expect("begin");
            write_tree(stage.path(), &Trees::usual().b);
            stage.leave_to(Owner::Process(std::process::id())).map(drop).expect("leave");
        },
        act: |place, faults| {
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
        },
        ..PLAIN
    },
    Scenario {
        name: "refusal",
        prepare: |place| {
            place.publish("a");
            refuse(place, Faults::default()).expect("refuse");
        },
        act: refuse,
        ..PLAIN
    },
    Scenario {
        name: "repair",
        mends: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            // An executable has the same bytes, too: a copy to heal from.
            damage_object(place, b"second");
        },
        act: |place, faults| place.open(faults)?.repair().map(drop),
        ..PLAIN
    },
    Scenario {
        name: "repair of a store that lost its parts",
        mends: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            lose_parts(place);
        },
        act: |place, faults| place.open(faults)?.repair().map(drop),
        ..PLAIN
    },
    Scenario {
        name: "repair of what took the place of records",
        mends: true,
        prepare: |place| {
            place.publish("a");
            place.publish("b");
            std::fs::remove_file(place.store().join("current")).expect("remove");
            for name in ["sequence", "log", "generations/1/manifest"] {
                let path = place.store().join(name);
                std::fs::remove_file(&path).expect("remove");
                std::os::unix::fs::symlink("elsewhere", &path).expect("make a symlink");
            }
        },
        act: |place, faults| place.open(faults)?.repair().map(drop),
        ..PLAIN
    },
];

/// Copies the store without its links, times and modes, and without its objects, its empty folders and
/// its records.
fn lose_parts(place: &Place) {
    let (store, copy) = (place.store(), place.dir.join("copy"));
    let status =
        std::process::Command::new("cp").arg("-r").arg(&store).arg(&copy).status().expect("run cp");
    assert!(status.success(), "cp -r failed");
    std::fs::remove_dir_all(&store).expect("remove");
    std::fs::rename(&copy, &store).expect("rename");
    for folder in ["objects", "locks", "staging", "pins", "marks", "views", "suspects", "quarantine"] {
        std::fs::remove_dir_all(store.join(folder)).expect("remove");
    }
    for file in ["current", "sequence", "log", "notice"] {
        std::fs::remove_file(store.join(file)).expect("remove");
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
    std::fs::remove_dir_all(&trial.dir).expect("clean up");
}

fn act_publish(place: &Place, faults: Faults, source: &str) -> genstore::Result<()> {
    place.publish_with(faults, source, Activate::Always).map(drop)
}

/// Changes the oldest generation like a stray program. The store is clean afterwards only if that
/// generation is recycled.
fn spoil(place: &Place) {
    if !place.way.recycle {
        return;
    }
    let tree = place.store().join("generations/1/tree");
    std::fs::write(tree.join("dir/stranger"), "mine").expect("write");
    std::fs::write(tree.join("empty"), "mine").expect("root may write");
    std::fs::remove_file(tree.join("dir/twin")).expect("remove");
}

/// Writes through one name of an object, as root can. Size and mtime stay, as with bit rot.
fn damage_object(place: &Place, content: &[u8]) {
    let hex = genstore::tree::Digest::of(content).to_string();
    let path = place.store().join("objects").join(&hex[..2]).join(&hex[2..]);
    let mtime = path.metadata().expect("the object").modified().expect("mtime");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[0] ^= 1;
    let file = std::fs::File::options().write(true).open(&path).expect("root may write");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("write");
    file.set_modified(mtime).expect("set the mtime");
    drop(file);
    let store = place.open(Faults::default()).expect("open");
    assert!(!store.verify(None, Depth::Full).expect("verify").is_clean(), "the damage is seen");
}

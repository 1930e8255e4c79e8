//! Failures after the commit: the change stands, the command warns that it is not fully durable, and
//! the next writer does the rest (`store-layout.md`, "Commit", steps 8 and 9).

use genstore::Warning;

use crate::prelude::*;

/// The result of a verb: whether it is durable, and its warnings.
type Done = (bool, Vec<Warning>);

fn publish(store: &Store, content: &str, activate: Activate) -> genstore::Result<Done> {
    let staged = store.stage(&plan_of(&[("file", &format!("={content}"))]), StageOptions::default())?;
    let done = staged.unaudited().commit(&CommitOptions::default().activate(activate))?;
    Ok((done.durable, done.warnings))
}

fn two(path: &Path) {
    let store = open(path, Faults::default());
    for content in ["one", "two"] {
        assert!(publish(&store, content, Activate::Always).unwrap().0);
    }
}

struct Verb {
    name: &'static str,
    act: fn(&Store) -> genstore::Result<Done>,
    /// The call by which the change happens, the last of its kind.
    commit: &'static str,
    /// The expected final content of the store's files.
    tells: &'static [(&'static str, &'static str)],
}

const VERBS: [Verb; 4] = [
    Verb {
        name: "publish",
        act: |store| publish(store, "three", Activate::Always),
        commit: "rename current",
        tells: &[
            ("log", "\"generation\":3,\"event\":\"publish\""),
            ("log", "\"generation\":3,\"event\":\"activate\""),
            ("notice", "3 "),
        ],
    },
    Verb {
        name: "publish that only keeps",
        act: |store| publish(store, "three", Activate::Never),
        commit: "rename sequence",
        tells: &[("log", "\"generation\":3,\"event\":\"publish\""), ("notice", "2 ")],
    },
    Verb {
        name: "rollback",
        act: |store| store.rollback(1, MarkLeft::Bad).map(|done| (done.durable, done.warnings)),
        commit: "rename current",
        tells: &[
            ("log", "\"generation\":1,\"event\":\"activate\",\"previous\":2"),
            ("marks/2", "bad"),
            ("hold", "\"generation\":1"),
            ("notice", "1 "),
        ],
    },
    Verb {
        name: "switch",
        act: |store| {
            store
                .activate(&"1".parse::<Rev>().unwrap(), Expect::Any)
                .map(|done| (done.durable, done.warnings))
        },
        commit: "rename current",
        tells: &[("log", "\"generation\":1,\"event\":\"activate\",\"previous\":2"), ("notice", "1 ")],
    },
];

#[test]
fn what_fails_after_the_commit_is_told_and_done_by_the_next_writer() {
    for verb in VERBS {
        let name = verb.name;
        let dir = scratch();
        let path = dir.path().join("store");
        two(&path);
        let faults = Faults::record();
        assert_eq!((verb.act)(&open(&path, faults.clone())).unwrap(), (true, vec![]), "{name}");
        let root = format!("{}/", fs::canonicalize(&path).unwrap().display());
        let calls: Vec<String> = faults.seen().iter().map(|call| call.replace(&root, "")).collect();
        let commit = calls.iter().rposition(|call| call == verb.commit).unwrap();
        let mut told = 0;
        for (step, call) in calls.iter().enumerate().skip(commit + 1) {
            let what = format!("{name}, {call}");
            let dir = scratch();
            let path = dir.path().join("store");
            two(&path);
            let faults = Faults::inject(FaultPlan::step(step as u64 + 1, FaultKind::Eio));
            let (durable, warnings) =
                (verb.act)(&open(&path, faults)).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(!warnings.is_empty(), "{what}");
            assert_eq!(durable, !warnings.iter().any(|warning| warning.not_durable), "{what}");
            let tells = ["log", "notice", "marks/2", "hold"].iter().any(|name| call.ends_with(name));
            if call.starts_with("fsync ") || tells {
                told += 1;
                assert!(!durable, "{what}: {warnings:?}");
                assert!(
                    warnings.iter().any(|warning| warning.message.contains("the next writer")),
                    "{what}"
                );
            }
            // The next writer does the missing steps.
            let pin = "next".parse().unwrap();
            open(&path, Faults::default()).pin(&"1".parse().unwrap(), &pin, None, None).unwrap();
            for (file, part) in verb.tells {
                let found = fs::read_to_string(path.join(file)).unwrap_or_default();
                assert_eq!(found.matches(part).count(), 1, "{what}: {file}: {found}");
            }
            assert!(!fs::read_to_string(path.join("sequence")).unwrap().contains("intent"), "{what}");
            let report = open(&path, Faults::default()).verify(None, Depth::Full).unwrap();
            assert!(report.is_clean(), "{what}: {report:#?}");
        }
        assert!(told >= 1, "{name}: {calls:#?}");
    }
}

#[test]
fn without_flushes_nothing_is_durable() {
    let dir = scratch();
    let path = dir.path().join("store");
    let mut options = Options::new(Arc::new(|| at(1_000_000)));
    options.durability = Durability::None;
    let store = Store::init(&path, options).unwrap().store;
    assert_eq!(publish(&store, "one", Activate::Always).unwrap(), (false, vec![]));
}

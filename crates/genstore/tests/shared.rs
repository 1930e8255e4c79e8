//! The fault countdown for shared paths: every call of a publish that makes a place, and of a rollback that makes it
//! again, is interrupted or failed once. The link of a current generation never leads to nothing (INV-1), and a
//! place is whole or missing.

use std::fs;
use std::path::{Path, PathBuf};

use genstore::faults::Faults;
use genstore::plan::{ScanRules, SharedPath, SharedPaths};
use genstore::publish::MarkLeft;
use genstore::tree::RelPath;
use genstore::verify::Depth;
use genstore::{CommitOptions, Plan, StageOptions};
use genstore_testkit::{
    End, Task, child_task, copy_exactly, count_down_in_turn, debris, scratch, things, try_open, write_tree,
};

/// Publishes the source, with a place that it fills.
fn publish(dir: &Path, faults: Faults) -> genstore::Result<()> {
    let path = RelPath::new("d/s").expect("a path");
    let shared = SharedPath::new(path, dir.join("shared/here/s")).mode(0o750).seed();
    let rules = ScanRules::default().shared(SharedPaths::new(vec![shared]).expect("one path"));
    let store = try_open(&dir.join("store"), faults)?;
    let staged = store.stage(&Plan::scan(&dir.join("source"), &rules)?, StageOptions::default())?;
    staged.unaudited().commit(&CommitOptions::default()).map(drop)
}

fn roll_back(dir: &Path, faults: Faults) -> genstore::Result<()> {
    try_open(&dir.join("store"), faults)?.rollback(1, MarkLeft::Unchanged).map(drop)
}

type Act = fn(&Path, Faults) -> genstore::Result<()>;

/// A name, the verb, and how many publications come before it.
const SCENARIOS: [(&str, Act, usize); 3] =
    [("first publish", publish, 0), ("publish again", publish, 1), ("rollback", roll_back, 2)];

fn prepare(dir: &Path, publications: usize) {
    for nth in 0..=publications {
        let content = format!("={nth}");
        write_tree(
            &dir.join("source"),
            &things(nth as u64 * 10, &[("a", &content), ("d/s/seed", "=seed")]),
        );
        if nth < publications {
            publish(dir, Faults::default()).expect("publish");
        }
    }
    if publications > 0 {
        fs::remove_dir_all(dir.join("shared")).expect("remove the place");
    }
}

#[test]
fn a_link_never_leads_to_nothing() {
    for (name, act, publications) in SCENARIOS {
        let temp = scratch();
        let (prepared, dir) = (temp.path().join("prepared"), temp.path().join("broken"));
        fs::create_dir(&prepared).unwrap();
        prepare(&prepared, publications);
        let before = fs::read_link(prepared.join("store/current")).ok();
        let points = count_down_in_turn(name, 1, |fault, what| {
            copy_exactly(&prepared, &dir);
            let end = fault.meet(&Task::new(child, &dir, &[name]), |faults| act(&dir, faults));
            let (place, link) = (dir.join("shared/here/s"), dir.join("store/current/d/s"));
            if fs::read_link(dir.join("store/current")).ok() != before {
                // A rollback is not refused because its place cannot be made: it warns.
                let is_warned = name == "rollback" && matches!(end, End::Met(Ok(())));
                assert!(is_warned || link.is_dir(), "{what}: the link leads to nothing");
            }
            // A rollback does not have the first content any more.
            let is_whole = || name == "rollback" || place.join("seed").is_file();
            assert!(!place.exists() || is_whole(), "{what}: the place is half made");
            if end.is_failure() {
                assert_eq!(fs::read_link(dir.join("store/current")).ok(), before, "{what}");
            }
            publish(&dir, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(link.is_dir() && is_whole(), "{what}");
            let store = try_open(&dir.join("store"), Faults::default()).unwrap();
            let report = store.verify(None, Depth::Full).unwrap();
            assert!(report.is_clean() && report.shared.is_empty(), "{what}: {report:#?}");
            assert!(debris(&dir.join("store")).iter().all(|left| left == "places"), "{what}");
            fs::remove_dir_all(&dir).unwrap();
            end
        });
        assert!(points > 20, "{name}: {points}");
    }
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((dir, words, faults)): Option<(PathBuf, _, _)> = child_task() else { return };
    let (_, act, _) = SCENARIOS.iter().find(|(name, ..)| *name == words[0]).expect("a known name");
    act(&dir, faults).expect("the verb itself works");
}

//! Faults at named stages: the way in which a build tool that embeds the library tests its own
//! publication.

use genstore::faults::FaultStage;

use crate::prelude::*;

fn open(dir: &Path, faults: Faults) -> Store {
    genstore_testkit::open(&dir.join("store"), faults)
}

fn tree(content: &str) -> Things {
    things(1_000, &[("file", &format!("={content}")), ("same", "=same"), ("too", "=same")])
}

/// Writes new bytes to `file`. If sources are not consumed, the rest stays unchanged and indexed.
fn build(source: &Path, content: &str, way: Way) {
    if way.consume {
        give(source, &tree(content));
    } else {
        fs::write(source.join("file"), content).unwrap();
    }
}

fn publish(store: &Store, source: &Path, way: Way) -> Result<Publication, Error> {
    let plan = Plan::scan(source, &ScanRules::default())?;
    match store.stage(&plan, way.staging())?.audit(&AuditRules::default())? {
        Judged::Accepted(audited) => audited.commit(&CommitOptions::default()),
        Judged::Rejected(_) => panic!("there are no rules"),
    }
}

#[test]
fn a_fault_at_any_stage_before_the_pointer_changes_nothing() {
    for way in Way::ALL {
        check_each_stage(way);
    }
}

fn check_each_stage(way: Way) {
    for stage in FaultStage::ALL {
        for kind in FAILURES {
            let what = format!("{} {kind:?}, {way}", stage.name());
            let dir = scratch();
            let store = open(dir.path(), Faults::default());
            let outside = Bystanders::make(&dir.path().join("outside"));
            let source = dir.path().join("source");
            give(&source, &tree("older"));
            assert!(publish(&store, &source, way).unwrap().changed);
            build(&source, "old", way);
            settle(dir.path());
            assert!(publish(&store, &source, way).unwrap().changed);
            let view = ViewOptions::default();
            drop(store.add_view(&dir.path().join("view"), &view).unwrap());
            let broken = open(dir.path(), Faults::inject(FaultPlan::stage(stage, kind)));
            build(&source, "new", way);
            let result = publish(&broken, &source, way);
            let shown = fs::read_to_string(dir.path().join("view/file")).unwrap();
            let is_whole = same_content(&read_tree(&source).unwrap(), &tree("new"));
            match (stage, result) {
                // The commit has happened. A later failure is a warning.
                (FaultStage::View, Ok(done)) => {
                    assert_eq!((shown.as_str(), done.warnings.is_empty()), ("new", false), "{what}");
                    assert_eq!(done.recycled.is_some(), way.recycle, "{what}");
                }
                (FaultStage::View, Err(e)) => panic!("{what}: {e}"),
                (_, Err(Error::Io { .. })) => assert_eq!((&*shown, is_whole), ("old", true), "{what}"),
                (_, other) => panic!("{what}: {other:?}"),
            }
            outside.check(&what);
            build(&source, "next", way);
            assert!(publish(&store, &source, way).unwrap().changed, "{what}");
            assert_eq!(debris(&dir.path().join("store")), [""; 0], "{what}");
            assert_clean_for(&store, &what);
            let files = fs::read_dir(&source).unwrap().count();
            assert_eq!(files == 0, way.consume, "{what}: what is committed is consumed, and nothing else");
        }
    }
}

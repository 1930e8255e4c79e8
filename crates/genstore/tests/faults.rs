//! Faults at named stages: how a build tool that embeds the library tests its own publication.
#![allow(clippy::disallowed_methods, reason = "tests read clocks and write files")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genstore::{
    AuditRules, CommitOptions, Depth, Error, FaultKind, FaultPlan, FaultStage, Faults, Judged, Options,
    Plan, Publication, RelPath, Retention, Source, StageOptions, Store, ViewOptions,
};
use genstore_testkit::{at, debris, scratch};

fn open(dir: &Path, faults: Faults) -> Store {
    let mut options = Options::new(Arc::new(|| at(1_000_000)));
    options.faults = faults;
    Store::init(&dir.join("store"), options).unwrap().0
}

fn publish(store: &Store, content: &str, recycle: bool) -> Result<Publication, Error> {
    let plan = Plan::builder()
        .file("file", false, Source::Bytes(content.into()))
        .file("same", false, Source::Bytes("same".into()))
        .build()?;
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let options = StageOptions { recycle: recycle.then_some(rule), ..StageOptions::default() };
    match store.stage(&plan, options)?.audit(&AuditRules::default())? {
        Judged::Accepted(audited) => audited.commit(&CommitOptions::default()),
        Judged::Rejected(_) => panic!("there are no rules"),
    }
}

#[test]
fn a_fault_at_any_stage_before_the_pointer_changes_nothing() {
    for recycle in [false, true] {
        check_each_stage(recycle);
    }
}

fn check_each_stage(recycle: bool) {
    for stage in FaultStage::ALL {
        for kind in [FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full] {
            let what = format!("{} {kind:?}, recycle {recycle}", stage.name());
            let dir = scratch();
            let store = open(dir.path(), Faults::default());
            assert!(publish(&store, "older", recycle).unwrap().changed);
            assert!(publish(&store, "old", recycle).unwrap().changed);
            let view = ViewOptions { from: None::<RelPath>, ..ViewOptions::default() };
            drop(store.add_view(&dir.path().join("view"), &view).unwrap());
            let broken = open(dir.path(), Faults::inject(FaultPlan::stage(stage, kind)));
            let result = publish(&broken, "new", recycle);
            let shown = fs::read_to_string(dir.path().join("view/file")).unwrap();
            match (stage, result) {
                // The commit has happened; what fails after it is a warning.
                (FaultStage::View, Ok(done)) => {
                    assert_eq!((shown.as_str(), done.warnings.is_empty()), ("new", false), "{what}");
                    assert_eq!(done.recycled.is_some(), recycle, "{what}");
                }
                (FaultStage::View, Err(e)) => panic!("{what}: {e}"),
                (_, Err(Error::Io { .. })) => assert_eq!(shown, "old", "{what}"),
                (_, other) => panic!("{what}: {other:?}"),
            }
            assert!(publish(&store, "next", recycle).unwrap().changed, "{what}");
            assert_eq!(debris(&dir.path().join("store")), [""; 0], "{what}");
            assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{what}");
        }
    }
}

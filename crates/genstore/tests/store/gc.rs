//! What a rollback and gc pass over, keep and remove.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use genstore::{Depth, Error, Plan, Retention, Source, Symlinks};
use genstore_testkit::{Bystanders, object_inodes, read_tree, scratch, things, write_tree};

use super::{collect, commit, id, memory, open};

#[test]
fn rollback_passes_over_what_is_marked_and_gc_keeps_what_it_must() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    for n in 1..=5 {
        drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
    }
    store.mark(&"4".parse().unwrap(), genstore::Mark::Bad, None).unwrap();
    let back = store.rollback(1, false).unwrap();
    assert_eq!((back.generation, back.previous), (id(3), Some(id(5))));
    store.pin(&"1".parse().unwrap(), &"first".parse().unwrap(), None, None).unwrap();
    let lease = store.open_generation(&"4".parse().unwrap()).unwrap();
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    let done = store.collect(&plan).unwrap();
    assert_eq!(plan.removed(), done.generations);
    assert_eq!(done.generations, [id(5), id(2)], "4 is leased, 3 is current, 1 is pinned");
    assert_eq!((plan.objects(), plan.freed_bytes), (done.objects, done.freed_bytes));
    assert_eq!(object_inodes(store.path()).len(), 3);
    drop(lease);
    assert_eq!(collect(&store, 0).generations, [id(4)]);
    // Numbers are never used again.
    assert_eq!(commit(&store, &memory(&[("n", "6")])).unwrap().generation, id(6));
    assert!(matches!(store.rollback(9, false), Err(Error::Refused { code: "nothing-older", .. })));
}

#[test]
fn gc_does_no_more_than_its_plan_and_less_if_it_must() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    for n in 1..=3 {
        drop(commit(&store, &memory(&[("n", &n.to_string())])).unwrap());
    }
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!(plan.removed(), [id(2), id(1)]);
    store.pin(&"2".parse().unwrap(), &"late".parse().unwrap(), None, None).unwrap();
    drop(commit(&store, &memory(&[("n", "4")])).unwrap());
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.spared), (vec![id(1)], vec![id(2)]));
    assert_eq!(store.list().unwrap().generations.len(), 3, "3 was in no plan");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

#[test]
fn gc_leaves_the_objects_of_generations_that_are_in_no_plan() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    for text in ["old", "new"] {
        drop(commit(&store, &memory(&[("n", text)])).unwrap());
    }
    let rule = Retention { keep_last: 1, keep_within: None, grace: Duration::ZERO };
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!((plan.removed(), plan.objects()), (vec![id(1)], 1));
    // The bytes come back, and are given up once more: by a generation that the plan knows nothing of.
    for text in ["old", "newest"] {
        drop(commit(&store, &memory(&[("n", text)])).unwrap());
    }
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.objects), (vec![id(1)], 0));
    let report = store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(collect(&store, 1).generations, [id(3), id(2)]);
    assert_eq!(object_inodes(store.path()).len(), 1);
}

/// Wide enough to be shared out to threads, and with something at every level.
#[test]
fn gc_removes_a_wide_tree_and_nothing_that_its_symlinks_lead_to() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    let outside = dir.path().join("outside");
    write_tree(&outside, &things(1_000, &[("kept", "=1"), ("below/kept", "=2")]));
    let mut plan =
        Plan::builder().symlinks(Symlinks::Any).file("file", false, Source::Bytes(b"0".to_vec()));
    for folder in (0..12).flat_map(|a| (0..12).map(move |b| format!("{a}/{b}"))) {
        let bytes = Source::Bytes(folder.clone().into_bytes());
        plan = plan.file(format!("{folder}/c/file"), false, bytes).dir(format!("{folder}/c/empty"));
        for level in [folder.clone(), format!("{folder}/c")] {
            plan = plan.symlink(format!("{level}/link"), outside.to_str().unwrap());
        }
    }
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    // Folders that nobody may list or change do not keep gc from it.
    let tree = store.path().join("generations/1/tree");
    for folder in ["3", "3/3", "3/3/c"] {
        fs::set_permissions(tree.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
    }
    drop(commit(&store, &memory(&[("flat", "1")])).unwrap());
    let done = collect(&store, 1);
    assert_eq!((done.generations, done.objects), (vec![id(1)], 145));
    assert_eq!(genstore_testkit::debris(store.path()), [""; 0]);
    assert_eq!(read_tree(&outside).unwrap().len(), 2);
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

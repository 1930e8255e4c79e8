//! Objects from elsewhere: they are durable when they have a name (INV-3), and an interruption at any step
//! leaves a store that the next writer uses as it is.

use std::path::Path;

use genstore::faults::Faults;
use genstore::tree::{Digest, FileNode, Mtime};
use genstore::verify::Depth;
use genstore::{CommitOptions, Plan, Publication, StageOptions, Store};
use genstore_testkit::{
    Task, child_task, collect, commit, copy_exactly, count_down_in_turn, debris, open, plan_of, scratch,
    try_open,
};

const MTIME: Mtime = Mtime { secs: 1_600_000_000, nanos: 7 };
const TEXTS: [&str; 3] = ["a", "bb", ""];

fn file(text: &str, executable: bool) -> FileNode {
    FileNode { digest: Digest::of(text.as_bytes()), size: text.len() as u64, executable, mtime: MTIME }
}

fn receive(store: &Store) -> genstore::Result<()> {
    let mut receiving = store.receive()?;
    for (text, executable) in TEXTS.iter().flat_map(|text| [(*text, false), (*text, true)]) {
        if !text.is_empty() {
            receiving.put(file(text, executable).object(), MTIME, &mut text.as_bytes())?;
        }
    }
    receiving.finish().map(drop)
}

fn publish(store: &Store) -> genstore::Result<Publication> {
    let mut plan = Plan::builder();
    for (number, text) in TEXTS.iter().enumerate() {
        plan = plan.stored(format!("f{number}"), file(text, false));
        plan = plan.stored(format!("x{number}"), file(text, true));
    }
    store.stage(&plan.build()?, StageOptions::default())?.unaudited().commit(&CommitOptions::default())
}

fn act(dir: &Path, faults: Faults) -> genstore::Result<()> {
    let store = try_open(&dir.join("store"), faults)?;
    receive(&store)?;
    publish(&store).map(drop)
}

#[test]
fn child() {
    if let Some((dir, _, faults)) = child_task() {
        act(&dir, faults).unwrap();
    }
}

#[test]
fn an_interruption_at_any_step_leaves_no_debris_and_no_object_with_other_bytes() {
    let dir = scratch();
    let (prepared, trial) = (dir.path().join("prepared"), dir.path().join("trial"));
    std::fs::create_dir(&prepared).unwrap();
    drop(commit(&open(&prepared.join("store"), Faults::default()), &plan_of(&[("old", "=old")])).unwrap());
    let steps = count_down_in_turn("receive", 1, |fault, what| {
        copy_exactly(&prepared, &trial);
        let end = fault.meet(&Task::new(child, &trial, &[]), |faults| act(&trial, faults));
        let store = open(&trial.join("store"), Faults::default());
        assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{what}");
        act(&trial, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let report = store.verify(None, Depth::Full).unwrap();
        assert!(report.is_clean(), "{what}: {report:?}");
        assert_eq!(debris(&trial.join("store")), [""; 0], "{what}");
        std::fs::remove_dir_all(&trial).unwrap();
        end
    });
    assert!(steps > 20, "{steps}");
}

#[test]
fn a_received_object_has_the_mtime_of_elsewhere_and_gc_removes_one_that_nothing_uses() {
    let dir = scratch();
    let store = open(&dir.path().join("store"), Faults::default());
    receive(&store).unwrap();
    let done = publish(&store).unwrap();
    assert_eq!((done.files, done.written, done.new_objects), (6, 0, 0));
    let tree = store.open_generation(&"1".parse().unwrap()).unwrap().manifest().unwrap().tree;
    assert!(tree.iter_files().all(|(_, file)| file.mtime == MTIME));
    let mut receiving = store.receive().unwrap();
    receiving.put(file("unused", false).object(), MTIME, &mut &b"unused"[..]).unwrap();
    let lie = receiving.put(file("truth", false).object(), MTIME, &mut &b"lie"[..]).unwrap_err();
    assert_eq!(lie.code(), "wrong-bytes");
    assert_eq!(receiving.finish().unwrap(), 1);
    assert!(!store.has_object(file("truth", false).object()).unwrap());
    assert_eq!(collect(&store, 1).unwrap().objects, 1);
}

#[test]
fn a_plan_with_an_object_that_is_missing_or_has_another_size_is_refused() {
    let dir = scratch();
    let store = open(&dir.path().join("store"), Faults::default());
    receive(&store).unwrap();
    let refusal = |file: FileNode| {
        let plan = Plan::builder().stored("f", file).build().unwrap();
        store.stage(&plan, StageOptions::default()).map(drop).unwrap_err().code()
    };
    assert_eq!(refusal(file("absent", false)), "object-missing");
    assert_eq!(refusal(FileNode { size: 3, ..file("a", false) }), "object-missing");
    assert_eq!(refusal(FileNode { size: 0, ..file("a", false) }), "object-missing");
}

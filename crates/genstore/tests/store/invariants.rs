//! The invariants of every store, after any history (`store-layout.md`, "Invariants").

use super::*;

/// Returns the path of the object with these bytes.
fn object(store: &Store, bytes: &str) -> PathBuf {
    let hex = Digest::of(bytes.as_bytes()).to_string();
    store.path().join("objects").join(&hex[..2]).join(&hex[2..])
}

fn inode(path: &Path) -> u64 {
    path.metadata().unwrap().ino()
}

/// Neither the same bytes from another file nor a rollback nor gc moves an object's name to another
/// inode (INV-4).
#[test]
fn an_object_keeps_its_inode() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        drop(commit(&store, &plan_of(&[("n", "=the same")])).unwrap());
        let first = inode(&object(&store, "the same"));
        for n in 1..=4 {
            let next = things(1_000 * n, &[("a", "=the same"), ("b", &format!("={n}"))]);
            drop(publish_in(way, &store, dir.path(), &next));
            assert_eq!(inode(&object(&store, "the same")), first, "{way}, {n}");
        }
        drop(store.rollback(1, MarkLeft::Bad).unwrap());
        drop(collect(&store, 0));
        assert_eq!(inode(&object(&store, "the same")), first, "{way}");
        assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{way}");
    }
}

/// gc derives the need for an object from manifests, never from its link count (INV-11).
#[test]
fn links_keep_no_object_and_lose_none() {
    let dir = scratch();
    let store = open(dir.path());
    for n in ["1", "2"] {
        drop(commit(&store, &plan_of(&[("n", &format!("={n}"))])).unwrap());
    }
    fs::hard_link(object(&store, "1"), dir.path().join("outside")).unwrap();
    // As after a rotation: the path in the tree has the inode that had the name before.
    let copy = dir.path().join("copy");
    copy_exactly(&object(&store, "2"), &copy);
    fs::rename(&copy, object(&store, "2")).unwrap();
    assert_eq!(object(&store, "2").metadata().unwrap().nlink(), 1);
    assert_eq!(collect(&store, 0).generations, [id(1)]);
    assert_eq!(object_inodes(store.path()), [inode(&object(&store, "2"))].into());
    assert_clean(&store);
}

/// gc unlists a generation durably before it removes the first object (INV-12).
#[test]
fn objects_go_after_the_generation_that_names_them() {
    let dir = scratch();
    for n in ["1", "2"] {
        drop(commit(&open(dir.path()), &plan_of(&[("n", &format!("={n}"))])).unwrap());
    }
    let faults = Faults::record();
    let mut options = ticking(9_000);
    options.faults = faults.clone();
    let store = Store::open(&dir.path().join("store"), options).unwrap();
    assert_eq!(collect(&store, 0).generations, [id(1)]);
    let calls = faults.seen();
    let position = |what: &dyn Fn(&str) -> bool| {
        calls.iter().position(|call| what(call)).unwrap_or_else(|| panic!("not among {calls:#?}"))
    };
    let off = position(&|call| call.starts_with("rename ") && call.contains("/staging/"));
    let durable = off + calls[off..].iter().position(|call| call.ends_with("/generations")).unwrap();
    let first = position(&|call| call.starts_with("unlink ") && call.contains("/objects/"));
    assert!(off < durable && durable < first, "{calls:#?}");
    assert!(calls[durable].starts_with("fsync "), "{calls:#?}");
}

/// `notice` and the lock files keep their inodes (INV-16): watchers and waiters hold them open.
#[test]
fn what_others_hold_open_keeps_its_inode() {
    let dir = scratch();
    let inodes = |store: &Store| -> BTreeMap<PathBuf, u64> {
        let locks = fs::read_dir(store.path().join("locks")).unwrap().map(|lock| lock.unwrap().path());
        locks.chain([store.path().join("notice")]).map(|path| (path.clone(), inode(&path))).collect()
    };
    let store = open(dir.path());
    drop(commit(&store, &plan_of(&[("n", "=1")])).unwrap());
    drop(store.lock_watch().unwrap());
    let before = inodes(&store);
    assert_eq!(before.len(), 4, "{before:?}");
    for n in ["2", "3"] {
        drop(commit(&open(dir.path()), &plan_of(&[("n", &format!("={n}"))])).unwrap());
    }
    drop(store.rollback(1, MarkLeft::Bad).unwrap());
    drop(collect(&store, 0));
    drop(store.lock_watch().unwrap());
    drop(store.repair().unwrap());
    assert_eq!(inodes(&store), before);
}

/// No operation on a generation changes its manifest (INV-6).
#[test]
fn a_manifest_never_changes() {
    let dir = scratch();
    let store = open(dir.path());
    let manifests = || -> BTreeMap<u64, Vec<u8>> {
        let path = |n: &u64| store.path().join(format!("generations/{n}/manifest"));
        [1, 2, 3].into_iter().map(|n| (n, fs::read(path(&n)).unwrap())).collect()
    };
    for n in 1..=3 {
        drop(publish_in(Way::PLAIN, &store, dir.path(), &things(5_000 - n, &[("a", &format!("={n}"))])));
    }
    let before = manifests();
    // The older bytes are shown with a newer mtime, which is recorded beside the manifest.
    drop(store.rollback(1, MarkLeft::Bad).unwrap());
    store.mark(&"3".parse().unwrap(), Mark::Bad, Some("a reason".to_owned())).unwrap();
    store.pin(&"1".parse().unwrap(), &"first".parse().unwrap(), None, None).unwrap();
    drop(store.activate(&"3".parse().unwrap(), Expect::Any).unwrap());
    drop(collect(&store, 3));
    drop(store.repair().unwrap());
    assert_eq!(manifests(), before);
}
